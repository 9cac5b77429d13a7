"""Group rational activation: a learned quotient of polynomials for each group of channels."""

from armillary.core.ops.rational.cost import rational_bytes, rational_cost
from armillary.core.ops.rational.op import rational

__all__ = ["rational", "rational_bytes", "rational_cost"]
