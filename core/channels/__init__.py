"""Channel mixers: how features mix inside a token. Each is pointwise, (..., d) to (..., d)."""

from armillary.core.channels.glu import GLU
from armillary.core.channels.mlp import MLP
from armillary.core.channels.poly import PolyMLP
from armillary.core.channels.rational import RationalMLP

__all__ = ["GLU", "MLP", "PolyMLP", "RationalMLP"]
