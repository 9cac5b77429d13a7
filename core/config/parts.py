"""The explicit table of parts: name -> its settings and where its module is built. Torch-free until one is built."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from armillary.core.config.channels import ConvMLPSettings, GLUSettings, MLPSettings, PolySettings, RationalSettings
from armillary.core.config.embeddings import (
    ContinuousTimeSettings,
    ConvEmbeddingSettings,
    GridSinusoidalSettings,
    LearnedPositionSettings,
    LinearEmbeddingSettings,
    NoPositionSettings,
    ObservationEmbeddingSettings,
    PatchEmbeddingSettings,
    SinusoidalSettings,
)
from armillary.core.config.heads import PooledSettings
from armillary.core.config.mixers import (
    AttentionSettings,
    CrossScanSettings,
    FSMNSettings,
    GatedAttentionSettings,
    LegendreSettings,
    Mamba2Settings,
    MambaSettings,
    ManhattanSettings,
    MedMambaSettings,
    NeighbourhoodSettings,
    PoolingSettings,
    PSCASettings,
    RetentionSettings,
    SpectralSettings,
    URPESettings,
    WindowSettings,
)
from armillary.core.config.norms import (
    BatchNormSettings,
    LayerNormSettings,
    NoNormSettings,
    RMSNormSettings,
    ScaleNormSettings,
)
from armillary.core.config.settings import Settings
from armillary.core.errors import ConfigError


@dataclass(frozen=True)
class Part:
    """Settings of a part and the class 'module:Class' that is called as Class(width, settings)."""

    settings: type[Settings]
    target: str


def build_part(table: Mapping[str, Part], settings: Settings, width: int) -> Any:
    """The torch module that `settings` describe, at `width` channels."""
    target = _find(table, settings).target
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)(width, settings)


def _find(table: Mapping[str, Part], settings: Settings) -> Part:
    for part in table.values():
        if part.settings is type(settings):
            return part
    raise ConfigError(
        f"no part is built from {type(settings).__name__}; expected settings of one of: {', '.join(sorted(table))}.\n"
        "  Choose one of these kinds, or add the part to its table in armillary.core.config.parts."
    )


MIXERS: Mapping[str, Part] = {
    "attention": Part(AttentionSettings, "armillary.core.mixers.attention:Attention"),
    "mamba": Part(MambaSettings, "armillary.core.mixers.mamba:Mamba"),
    "mamba2": Part(Mamba2Settings, "armillary.core.mixers.mamba2:Mamba2"),
    "pooling": Part(PoolingSettings, "armillary.core.mixers.pooling:Pooling"),
    "neighbourhood": Part(NeighbourhoodSettings, "armillary.core.mixers.neighbourhood:Neighbourhood"),
    "window": Part(WindowSettings, "armillary.core.mixers.window:Window"),
    "manhattan": Part(ManhattanSettings, "armillary.core.mixers.manhattan:Manhattan"),
    "cross_scan": Part(CrossScanSettings, "armillary.core.mixers.cross_scan:CrossScan"),
    "medmamba": Part(MedMambaSettings, "armillary.core.mixers.medmamba:MedMamba"),
    "spectral": Part(SpectralSettings, "armillary.core.mixers.spectral:Spectral"),
    "legendre": Part(LegendreSettings, "armillary.core.mixers.legendre:Legendre"),
    "urpe": Part(URPESettings, "armillary.core.mixers.urpe:URPE"),
    "retention": Part(RetentionSettings, "armillary.core.mixers.retention:Retention"),
    "psca": Part(PSCASettings, "armillary.core.mixers.psca:PSCA"),
    "gated_attention": Part(GatedAttentionSettings, "armillary.core.mixers.gated_attention:GatedAttention"),
    "fsmn": Part(FSMNSettings, "armillary.core.mixers.fsmn:FSMN"),
}

CHANNELS: Mapping[str, Part] = {
    "mlp": Part(MLPSettings, "armillary.core.channels.mlp:MLP"),
    "glu": Part(GLUSettings, "armillary.core.channels.glu:GLU"),
    "rational": Part(RationalSettings, "armillary.core.channels.rational:RationalMLP"),
    "poly": Part(PolySettings, "armillary.core.channels.poly:PolyMLP"),
    "conv_mlp": Part(ConvMLPSettings, "armillary.core.channels.conv_mlp:ConvMLP"),
}

NORMS: Mapping[str, Part] = {
    "layer": Part(LayerNormSettings, "armillary.core.norms:LayerNorm"),
    "rms": Part(RMSNormSettings, "armillary.core.norms:RMSNorm"),
    "scale": Part(ScaleNormSettings, "armillary.core.norms:ScaleNorm"),
    "batch": Part(BatchNormSettings, "armillary.core.norms:BatchNorm"),
    "none": Part(NoNormSettings, "armillary.core.norms:NoNorm"),
}

POSITIONS: Mapping[str, Part] = {
    "sinusoidal": Part(SinusoidalSettings, "armillary.core.embeddings.sinusoidal:Sinusoidal"),
    "grid_sinusoidal": Part(GridSinusoidalSettings, "armillary.core.embeddings.grid_sinusoidal:GridSinusoidal"),
    "learned": Part(LearnedPositionSettings, "armillary.core.embeddings.learned:LearnedPosition"),
    "continuous_time": Part(ContinuousTimeSettings, "armillary.core.embeddings.continuous_time:ContinuousTime"),
    "none": Part(NoPositionSettings, "armillary.core.embeddings.positions:NoPosition"),
}

EMBEDDINGS: Mapping[str, Part] = {
    "linear": Part(LinearEmbeddingSettings, "armillary.core.embeddings.linear:LinearEmbedding"),
    "conv": Part(ConvEmbeddingSettings, "armillary.core.embeddings.conv:ConvEmbedding"),
    "patch": Part(PatchEmbeddingSettings, "armillary.core.embeddings.patch:PatchEmbedding"),
    "observation": Part(ObservationEmbeddingSettings, "armillary.core.embeddings.observation:ObservationEmbedding"),
}

HEADS: Mapping[str, Part] = {
    "pooled": Part(PooledSettings, "armillary.core.heads.pooled:PooledClassifier"),
}
