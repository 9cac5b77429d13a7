"""Embeddings: signals to tokens, and the positions they add."""

from armillary.core.embeddings.continuous_time import ContinuousTime
from armillary.core.embeddings.conv import ConvEmbedding
from armillary.core.embeddings.grid_sinusoidal import GridSinusoidal, grid_sinusoidal
from armillary.core.embeddings.learned import LearnedPosition
from armillary.core.embeddings.linear import LinearEmbedding
from armillary.core.embeddings.observation import ObservationEmbedding
from armillary.core.embeddings.patch import PatchEmbedding
from armillary.core.embeddings.positions import NoPosition
from armillary.core.embeddings.rotary import apply_rotary
from armillary.core.embeddings.sinusoidal import Sinusoidal, sinusoidal

__all__ = [
    "ContinuousTime",
    "ConvEmbedding",
    "GridSinusoidal",
    "LearnedPosition",
    "LinearEmbedding",
    "NoPosition",
    "ObservationEmbedding",
    "PatchEmbedding",
    "Sinusoidal",
    "apply_rotary",
    "grid_sinusoidal",
    "sinusoidal",
]
