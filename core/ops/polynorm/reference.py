"""PolyNorm by its formula: the specification of every faster tier."""

from jaxtyping import Float
from torch import Tensor


def polynorm_reference(
    x: Float[Tensor, "*b d"], weight: Float[Tensor, " 3"], bias: Float[Tensor, ""]
) -> Float[Tensor, "*b d"]:
    """w_0 n(x³) + w_1 n(x²) + w_2 n(x) + bias with n(z) = z / sqrt(mean z² + 1e-6), in the inputs' precision.

    References:
        Zhuo et al. 2025, "Polynomial composition activations: unleashing the dynamics of large language models".
    """

    def normed(z: Tensor) -> Tensor:
        return z / (z.square().mean(-1, keepdim=True) + 1e-6).sqrt()

    return weight[0] * normed(x**3) + weight[1] * normed(x**2) + weight[2] * normed(x) + bias
