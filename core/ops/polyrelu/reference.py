"""PolyReLU by its formula: the specification of every faster tier."""

from jaxtyping import Float
from torch import Tensor


def polyrelu_reference(
    x: Float[Tensor, "*b"], weight: Float[Tensor, " 3"], bias: Float[Tensor, ""]
) -> Float[Tensor, "*b"]:
    """w_0 p³ + w_1 p² + w_2 p + bias with p = max(x, 0), in the inputs' precision.

    References:
        Zhuo et al. 2025, "Polynomial composition activations: unleashing the dynamics of large language models".
    """
    p = x.relu()
    return weight[0] * p**3 + weight[1] * p**2 + weight[2] * p + bias
