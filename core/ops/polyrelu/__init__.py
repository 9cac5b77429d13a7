"""PolyReLU: a learned cubic of the positive part."""

from armillary.core.ops.polyrelu.cost import polyrelu_bytes, polyrelu_cost
from armillary.core.ops.polyrelu.op import polyrelu

__all__ = ["polyrelu", "polyrelu_bytes", "polyrelu_cost"]
