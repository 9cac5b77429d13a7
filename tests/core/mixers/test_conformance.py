"""Every mixer of the table, in its variants, keeps to what every mixer must keep to."""

import pytest
import torch

from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, MambaSettings, PoolingSettings
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
    "pooling": PoolingSettings(),
    "pooling-causal": PoolingSettings(causal=True),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("check", MIXER_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_every_mixer_passes_every_check(variant: str, check: Check) -> None:
    with torch.random.fork_rng():
        check(lambda: build_part(MIXERS, VARIANTS[variant], WIDTH), WIDTH)


def test_every_mixer_of_the_table_has_a_variant_here() -> None:
    assert {type(settings) for settings in VARIANTS.values()} == {part.settings for part in MIXERS.values()}
