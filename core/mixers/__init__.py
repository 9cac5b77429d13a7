"""How tokens exchange information: one family a file, one protocol."""

from armillary.core.mixers.attention import Attention, AttentionState
from armillary.core.mixers.mamba import Mamba, MambaState
from armillary.core.mixers.mamba2 import Mamba2, Mamba2State
from armillary.core.mixers.pooling import Pooling, PoolingState
from armillary.core.mixers.protocol import Capabilities, Mixer, State

__all__ = [
    "Attention",
    "AttentionState",
    "Capabilities",
    "Mamba",
    "Mamba2",
    "Mamba2State",
    "MambaState",
    "Mixer",
    "Pooling",
    "PoolingState",
    "State",
]
