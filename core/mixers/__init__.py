"""How tokens exchange information: one family a file, one protocol."""

from armillary.core.mixers.attention import Attention, AttentionState
from armillary.core.mixers.cross_scan import CrossScan
from armillary.core.mixers.fsmn import FSMN, FSMNState
from armillary.core.mixers.gated_attention import GatedAttention, GatedAttentionState
from armillary.core.mixers.legendre import Legendre, LegendreState
from armillary.core.mixers.mamba import Mamba, MambaState
from armillary.core.mixers.mamba2 import Mamba2, Mamba2State
from armillary.core.mixers.manhattan import Manhattan
from armillary.core.mixers.medmamba import MedMamba
from armillary.core.mixers.neighbourhood import Neighbourhood, NeighbourhoodState
from armillary.core.mixers.pooling import Pooling, PoolingState
from armillary.core.mixers.protocol import Capabilities, Mixer, State
from armillary.core.mixers.psca import PSCA
from armillary.core.mixers.relative_bias import resize_bias
from armillary.core.mixers.retention import Retention, RetentionState
from armillary.core.mixers.spectral import Spectral
from armillary.core.mixers.urpe import URPE, URPEState
from armillary.core.mixers.window import Window

__all__ = [
    "FSMN",
    "PSCA",
    "URPE",
    "Attention",
    "AttentionState",
    "Capabilities",
    "CrossScan",
    "FSMNState",
    "GatedAttention",
    "GatedAttentionState",
    "Legendre",
    "LegendreState",
    "Mamba",
    "Mamba2",
    "Mamba2State",
    "MambaState",
    "Manhattan",
    "MedMamba",
    "Mixer",
    "Neighbourhood",
    "NeighbourhoodState",
    "Pooling",
    "PoolingState",
    "Retention",
    "RetentionState",
    "Spectral",
    "State",
    "URPEState",
    "Window",
    "resize_bias",
]
