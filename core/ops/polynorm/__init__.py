"""PolyNorm: a learned combination of normalised powers of a row."""

from armillary.core.ops.polynorm.cost import polynorm_bytes, polynorm_cost
from armillary.core.ops.polynorm.op import polynorm

__all__ = ["polynorm", "polynorm_bytes", "polynorm_cost"]
