"""Numeric kernels: one public call an op, the same in every tier."""

from armillary.core.ops.causal_conv import causal_conv, causal_conv_bytes, causal_conv_cost
from armillary.core.ops.depthwise_conv import depthwise_conv, depthwise_conv_bytes, depthwise_conv_cost
from armillary.core.ops.mamba2_step import mamba2_step, mamba2_step_bytes, mamba2_step_cost
from armillary.core.ops.mamba_step import mamba_step, mamba_step_bytes, mamba_step_cost
from armillary.core.ops.neighbourhood import neighbourhood_attention, neighbourhood_bytes, neighbourhood_cost
from armillary.core.ops.polynorm import polynorm, polynorm_bytes, polynorm_cost
from armillary.core.ops.polyrelu import polyrelu, polyrelu_bytes, polyrelu_cost
from armillary.core.ops.rational import rational, rational_bytes, rational_cost
from armillary.core.ops.scalar_decay import scalar_decay, scalar_decay_bytes, scalar_decay_cost
from armillary.core.ops.selective_scan import grid_paths, selective_scan, selective_scan_bytes, selective_scan_cost

__all__ = [
    "causal_conv",
    "causal_conv_bytes",
    "causal_conv_cost",
    "depthwise_conv",
    "depthwise_conv_bytes",
    "depthwise_conv_cost",
    "grid_paths",
    "mamba2_step",
    "mamba2_step_bytes",
    "mamba2_step_cost",
    "mamba_step",
    "mamba_step_bytes",
    "mamba_step_cost",
    "neighbourhood_attention",
    "neighbourhood_bytes",
    "neighbourhood_cost",
    "polynorm",
    "polynorm_bytes",
    "polynorm_cost",
    "polyrelu",
    "polyrelu_bytes",
    "polyrelu_cost",
    "rational",
    "rational_bytes",
    "rational_cost",
    "scalar_decay",
    "scalar_decay_bytes",
    "scalar_decay_cost",
    "selective_scan",
    "selective_scan_bytes",
    "selective_scan_cost",
]
