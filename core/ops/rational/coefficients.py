"""What the rational activation starts as: the results of `fit`, kept so that every start is the same number."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Coefficients:
    """Of one group: a_0 to a_5 and b_1 to b_4 of form A; max_error is the largest one found on [-5, 5]."""

    numerator: tuple[float, ...]
    denominator: tuple[float, ...]
    max_error: float


# ReLU has a corner, which no quotient of this degree follows.
INITIAL: Mapping[str, Coefficients] = {
    "identity": Coefficients(
        numerator=(0.0, 0.999998607718, 0.0, 0.100002508804, 0.0, 0.0100001114577),
        denominator=(1e-06, 0.1, 1e-06, 0.01),
        max_error=7.9e-07,
    ),
    "gelu": Coefficients(
        numerator=(-0.00310294318789, 0.499999282571, 0.4172308511, 0.120923456481, 0.0137716915361, 0.000451296308525),
        denominator=(1e-06, 0.24184436642, 1e-06, 0.000902483003234),
        max_error=0.0031,
    ),
    "silu": Coefficients(
        numerator=(
            2.66088937154e-05,
            0.499999056177,
            0.249901149973,
            0.0525699144943,
            0.00550821606336,
            0.000240167904235,
        ),
        denominator=(1e-06, 0.105137194271, 1e-06, 0.000480229272422),
        max_error=2.7e-05,
    ),
    "relu": Coefficients(
        numerator=(0.0609943617314, 0.499999725145, 0.929190271466, 0.617766817364, 0.163770375044, 0.0147934621185),
        denominator=(1e-06, 1.23553131137, 1e-06, 0.0295868060144),
        max_error=0.061,
    ),
}
