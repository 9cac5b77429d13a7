"""Channel mixers: how features mix inside a token. Each is pointwise, (..., d) to (..., d)."""

from armillary.core.channels.glu import GLU
from armillary.core.channels.mlp import MLP

__all__ = ["GLU", "MLP"]
