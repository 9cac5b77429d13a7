"""The explicit tables of parts."""

import importlib
import subprocess
import sys

import pytest

from armillary.core.config.parts import CHANNELS, EMBEDDINGS, HEADS, MIXERS, NORMS, POSITIONS, build_part
from armillary.core.config.settings import Settings
from armillary.core.errors import ConfigError

TABLES = {
    "mixers": MIXERS,
    "channels": CHANNELS,
    "norms": NORMS,
    "positions": POSITIONS,
    "embeddings": EMBEDDINGS,
    "heads": HEADS,
}
ROWS = [(f"{title}:{name}", name, part) for title, table in TABLES.items() for name, part in table.items()]


@pytest.mark.parametrize(("name", "part"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_each_name_is_the_kind_of_its_settings_and_its_class_exists(name, part):
    assert part.settings.model_fields["kind"].default == name
    module, _, attribute = part.target.partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))


def test_settings_outside_a_table_are_refused_with_the_names_in_it():
    with pytest.raises(ConfigError, match=r"no part is built from Settings.*glu, mlp"):
        build_part(CHANNELS, Settings(), 8)


def test_settings_of_every_part_load_no_torch():
    code = "import sys, armillary.core.config.parts, armillary.core.config.trunk; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
