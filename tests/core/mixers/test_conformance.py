"""Every mixer of the table, in its variants, keeps to what every mixer must keep to."""

import pytest
import torch

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
from armillary.core.config.parts import MIXERS, build_part
from armillary.core.config.settings import Settings
from armillary.core.testing.mixers import MIXER_CHECKS, Check

WIDTH = 16

VARIANTS: dict[str, Settings] = {
    "attention": AttentionSettings(),
    "attention-causal": AttentionSettings(heads=2, causal=True, bias=False),
    "attention-rotary": AttentionSettings(rotary=True),
    "attention-rotary-causal": AttentionSettings(rotary=True, causal=True, dropout=0.1),
    "mamba": MambaSettings(state=4, chunk=4),
    "mamba-wide-rank": MambaSettings(state=2, expand=1, conv=2, dt_rank=5),
    "mamba-bidirectional": MambaSettings(state=4, bidirectional=True),
    "mamba2": Mamba2Settings(head_width=8, state=4, chunk=4),
    "mamba2-grouped": Mamba2Settings(head_width=8, state=4, groups=2, conv=1),
    "mamba2-bidirectional": Mamba2Settings(head_width=8, state=4, bidirectional=True),
    "cross-scan-1d": CrossScanSettings(rank=1, state=3),
    "cross-scan-2d": CrossScanSettings(state=2),
    "cross-scan-2d-gated": CrossScanSettings(state=4, expand=1, conv=5, gate=True, chunk=4),
    "cross-scan-3d-one-axis": CrossScanSettings(rank=3, axis=1, conv=1, dt_rank=3),
    "medmamba": MedMambaSettings(scan=CrossScanSettings(state=2, gate=True)),
    "pooling": PoolingSettings(),
    "pooling-causal": PoolingSettings(causal=True),
    "neighbourhood": NeighbourhoodSettings(window=3),
    "neighbourhood-causal": NeighbourhoodSettings(heads=2, window=3, dilation=2, causal=True, bias=False),
    "neighbourhood-line": NeighbourhoodSettings(rank=1, window=4, dilation=2, causal=True, relative_bias=True),
    "neighbourhood-plane": NeighbourhoodSettings(rank=2, window=(3, 2), causal=(True, False), relative_bias=True),
    "neighbourhood-volume": NeighbourhoodSettings(rank=3, window=(2, 3, 2), dilation=(2, 1, 1), relative_bias=True),
    "window": WindowSettings(window=4),
    "window-any": WindowSettings(rank=None, window=2, shift=True, relative_bias=False),
    "window-line": WindowSettings(rank=1, window=4, shift=True),
    "window-volume": WindowSettings(rank=3, window=2, shift=True, heads=2, bias=False),
    "manhattan": ManhattanSettings(),
    "manhattan-any": ManhattanSettings(rank=None, local=0, decay="product"),
    "manhattan-line": ManhattanSettings(rank=1, heads=2, local=3, bias=False),
    "manhattan-full": ManhattanSettings(decomposed=False, rotary=False, local=3),
    "manhattan-volume": ManhattanSettings(rank=3, heads=2, local=3, decay_range=3.0),
    "spectral": SpectralSettings(extents=(9,)),
    "spectral-2d": SpectralSettings(extents=(4, 6), std=1.0),
    "spectral-3d": SpectralSettings(extents=(3, 2, 5), std=0.5),
    "legendre": LegendreSettings(order=6, theta=5),
    "legendre-gelu": LegendreSettings(order=5, theta=40, activation="gelu"),
    "urpe": URPESettings(reach=4),
    "urpe-causal": URPESettings(heads=2, causal=True, reach=5, distance_bias=True),
    "urpe-positions": URPESettings(distance="positions", reach=3, shortest=0.2, longest=5.0, distance_bias=True),
    "urpe-positions-causal": URPESettings(distance="positions", causal=True, reach=3, shortest=0.2, longest=5.0),
    "retention": RetentionSettings(chunk=4),
    "retention-plain-both-ways": RetentionSettings(heads=2, causal=False, expand=2, rotary=False),
    "psca": PSCASettings(),
    "psca-wide": PSCASettings(heads=2, kernel=5, stride=3, ratio=5),
    "gated-attention": GatedAttentionSettings(query_width=6, expand=2, group=4, kernel=3, rotary_width=4),
    "gated-attention-plain": GatedAttentionSettings(
        query_width=5, expand=1, group=1, kernel=1, rotary_width=1, token_shift=False
    ),
    "gated-attention-causal": GatedAttentionSettings(query_width=5, group=4, kernel=5, rotary_width=3, causal=True),
    "fsmn": FSMNSettings(inner=6, kernel=5, conv=3),
    "fsmn-causal": FSMNSettings(inner=5, kernel=3, conv=3, depth=3, causal=True),
    "psca-every-key": PSCASettings(heads=1, kernel=1, stride=1, ratio=64),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("check", MIXER_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_every_mixer_passes_every_check(variant: str, check: Check) -> None:
    with torch.random.fork_rng():
        check(lambda: build_part(MIXERS, VARIANTS[variant], WIDTH), WIDTH)


def test_every_mixer_of_the_table_has_a_variant_here() -> None:
    assert {type(settings) for settings in VARIANTS.values()} == {part.settings for part in MIXERS.values()}
