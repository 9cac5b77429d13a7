"""Every op of the core, by name."""

from collections.abc import Mapping

from armillary.core.ops.causal_conv.op import OP as CAUSAL_CONV
from armillary.core.ops.depthwise_conv.op import OP as DEPTHWISE_CONV
from armillary.core.ops.dispatch import Op
from armillary.core.ops.mamba2_step.op import OP as MAMBA2_STEP
from armillary.core.ops.mamba_step.op import OP as MAMBA_STEP
from armillary.core.ops.neighbourhood.op import OP as NEIGHBOURHOOD
from armillary.core.ops.polynorm.op import OP as POLYNORM
from armillary.core.ops.polyrelu.op import OP as POLYRELU
from armillary.core.ops.rational.op import OP as RATIONAL
from armillary.core.ops.scalar_decay.op import OP as SCALAR_DECAY
from armillary.core.ops.selective_scan.op import OP as SELECTIVE_SCAN

_ALL = (
    SELECTIVE_SCAN, SCALAR_DECAY, NEIGHBOURHOOD, RATIONAL, POLYNORM, POLYRELU, CAUSAL_CONV, DEPTHWISE_CONV,
    MAMBA_STEP, MAMBA2_STEP,
)  # fmt: skip
OPS: Mapping[str, Op] = {op.name: op for op in _ALL}
