"""Channel mixers: how features mix inside a token. Each is pointwise, (..., d) to (..., d).

One that sees the neighbours of a token sets `reads_tokens` and takes Tokens (b, l, d) in place of values.
"""

from armillary.core.channels.conv_mlp import ConvMLP
from armillary.core.channels.glu import GLU
from armillary.core.channels.mlp import MLP
from armillary.core.channels.poly import PolyMLP
from armillary.core.channels.rational import RationalMLP

__all__ = ["GLU", "MLP", "ConvMLP", "PolyMLP", "RationalMLP"]
