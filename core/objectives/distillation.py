"""Losses of a student that learns from a teacher's scores and features."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def soft_loss(student: Float[Tensor, "b k"], teacher: Float[Tensor, "b k"], temperature: float) -> Float[Tensor, ""]:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over the items [nat].

    The factor T^2 keeps the gradient's size when T grows, so that its weight beside a loss on labels stays the same.
    Zero where the scores agree but for one constant an item.

    References:
        Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network", section 2.
    """
    wanted = (teacher.float() / temperature).log_softmax(-1)
    given = (student.float() / temperature).log_softmax(-1)
    return temperature**2 * functional.kl_div(given, wanted, reduction="batchmean", log_target=True)


def feature_loss(student: Float[Tensor, "b f"], teacher: Float[Tensor, "b f"]) -> Float[Tensor, ""]:
    """Mean squared difference to the teacher's features, which are scaled to zero mean and unit variance an item.

    Scaled, since the weight of this loss should not depend on how large a teacher's features happen to be. A student
    that says zero everywhere has about 1.

    References:
        Romero et al. 2015, "FitNets: hints for thin deep nets", eq. 3, without the scaling.
    """
    wanted = functional.layer_norm(teacher.float(), teacher.shape[-1:])
    return functional.mse_loss(student.float(), wanted)
