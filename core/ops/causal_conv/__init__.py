"""Depth-wise causal convolution of a few taps, with an optional SiLU: what stands in front of a state space."""

from armillary.core.ops.causal_conv.cost import causal_conv_bytes, causal_conv_cost
from armillary.core.ops.causal_conv.op import causal_conv

__all__ = ["causal_conv", "causal_conv_bytes", "causal_conv_cost"]
