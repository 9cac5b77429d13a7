"""Shape and type checks of the package are active here, and only here."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

# Random examples look for new failures at the desk; where a change is judged, the same change gets the same answer.
settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# Triton reads these when it is first imported, so they are set before any test can bring it in: kernels run in its
# interpreter where there is no GPU, and on one the default that it would warn about is said.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")

# Tests are small: a second thread gains nothing, and on a busy machine waiting for it takes ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

_HOOK = install_import_hook(["armillary.core", "armillary.domains", "armillary.pipelines"], "beartype.beartype")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked gpu say why they do not run where there is no GPU."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("ARMILLARY_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The root of the real datasets; tests marked `real` are skipped where there is none."""
    told = os.environ.get("ARMILLARY_DATA")
    if not told:
        pytest.skip("ARMILLARY_DATA is not set: no real data here")
    root = Path(told).resolve()
    if not root.is_dir():
        pytest.fail(f"ARMILLARY_DATA={told} is no folder")
    return root
