"""Depth-wise convolution with taps on both sides of a token, dilated if asked, with an optional SiLU before it."""

from armillary.core.ops.depthwise_conv.cost import depthwise_conv_bytes, depthwise_conv_cost
from armillary.core.ops.depthwise_conv.op import depthwise_conv

__all__ = ["depthwise_conv", "depthwise_conv_bytes", "depthwise_conv_cost"]
