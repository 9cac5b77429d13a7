"""The group rational activation."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from armillary.core.ops.checks import check_alike, check_divides, check_rank, check_shape
from armillary.core.ops.dispatch import Op

_HOME = "armillary.core.ops.rational"
OP = Op(
    "rational",
    reference=f"{_HOME}.reference:rational_reference",
    portable=f"{_HOME}.portable:rational_portable",
    native=f"{_HOME}.native:rational_native",
    triton=f"{_HOME}.triton:rational_triton",
)
FORMS = ("A", "B")


def rational(
    x: Float[Tensor, "*b d"],
    numerator: Float[Tensor, "..."],
    denominator: Float[Tensor, "..."],
    *,
    form: Literal["A", "B"] = "A",
) -> Float[Tensor, "*b d"]:
    """r(x) = P(x) / Q(x) with P = Σ_{i=0..5} a_i x^i and Q = 1 + Σ_{j=1..4} |b_j||x|^j, element by element.

    The d channels form g groups of d / g neighbours. denominator: (g, 4), b_1 to b_4 of each group. numerator: (g, 6),
    a_0 to a_5, or (1, 6) for one that all groups share. Form A, above, has no poles. Form "B", Q = 1 + |Σ_j b_j x^j|,
    is for weights that were trained with it; a third one in circulation, 1 + Σ_j |b_j| x^j, has poles and is not here.

    Both are computed in float32, or float64 if x is; y has the dtype of x. Powers overflow float32 beyond |x| = 5e7,
    and an input that is not finite gives NaN. Once differentiable, where sign(0) = 0: |x| and |b_j| have slope 0 at 0,
    so a b_j that starts at exactly 0 under form A never moves. Gradients of the coefficients are summed over blocks
    of rows, then over the blocks; natively they are the same for any number of threads.

    Raises:
        ValueError: groups that do not divide d, coefficients of other shapes, dtypes or devices, an unknown form.

    References:
        Yang and Wang 2025, "Kolmogorov-Arnold transformer".
        Molina, Schramowski and Kersting 2020, "Padé activation units" (the absolute value in Q).
    """
    _check(x, numerator, denominator, form)
    return OP(x, numerator, denominator, form)


def _check(x: Tensor, numerator: Tensor, denominator: Tensor, form: str) -> None:
    if x.ndim == 0:
        raise ValueError("rational: x has no axis, expected (..., d) with the channels last.")
    check_alike("rational", x=x, numerator=numerator, denominator=denominator)
    check_rank("rational", "denominator", denominator, 2, "g 4")
    groups = denominator.shape[0]
    check_shape("rational", "denominator", denominator, (groups, 4), "g, 4")
    check_rank("rational", "numerator", numerator, 2, "g 6")
    check_shape("rational", "numerator", numerator, (1 if numerator.shape[0] == 1 else groups, 6), "1 or g, 6")
    check_divides("rational", "groups", groups, "d", x.shape[-1])
    if form not in FORMS:
        raise ValueError(f"rational: form is {form!r}, expected 'A' or 'B'.")
