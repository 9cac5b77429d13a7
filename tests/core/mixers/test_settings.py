"""Mixer settings: told apart by their kind, kept through JSON, built through the table, and free of torch."""

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, MambaSettings, MixerSettings
from armillary.core.config.norms import LayerNormSettings
from armillary.core.config.parts import MIXERS, build_part
from armillary.core.errors import ConfigError
from armillary.core.mixers import Mamba

ANY_MIXER: TypeAdapter[MixerSettings] = TypeAdapter(MixerSettings)


@pytest.mark.parametrize("kind", MIXERS)
def test_settings_come_back_from_json_as_they_were(kind: str) -> None:
    settings = MIXERS[kind].settings()
    assert ANY_MIXER.validate_json(settings.model_dump_json()) == settings
    assert ANY_MIXER.validate_python({"kind": kind}) == settings


def test_a_setting_of_another_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="heads"):
        ANY_MIXER.validate_python({"kind": "mamba", "heads": 4})


def test_step_sizes_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"dt_min=0\.2 is above dt_max=0\.1"):
        MambaSettings(dt_min=0.2)


def test_the_table_builds_the_class_of_the_settings() -> None:
    assert isinstance(build_part(MIXERS, MambaSettings(state=2), 8), Mamba)


def test_settings_of_another_table_are_refused_with_the_kinds_it_has() -> None:
    with pytest.raises(ConfigError, match="LayerNormSettings; expected settings of one of: attention, "):
        build_part(MIXERS, LayerNormSettings(), 8)


def test_settings_and_their_table_load_without_torch() -> None:
    code = "import sys, armillary.core.config.mixers, armillary.core.config.parts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_equal_settings_are_equal_and_hashable() -> None:
    assert hash(AttentionSettings(heads=2)) == hash(AttentionSettings(heads=2))
    assert Mamba2Settings(state=8) != Mamba2Settings(state=16)
