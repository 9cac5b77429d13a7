"""Images in memory as items."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from armillary.domains.medical.recipes import chase, pneumoniamnist, simulated
from armillary.domains.medical.settings import MedicalRun


class Pictures:
    """Images (c, *s) with targets (n, k), or with masks, each of its own size."""

    problems: Sequence[Any] = ()
    chunk = None

    def __init__(
        self, images: Sequence[np.ndarray], targets: np.ndarray | None = None, masks: Sequence[np.ndarray] = ()
    ) -> None:
        self.images, self.masks = images, masks
        count = len(images)
        self.targets = np.zeros((count, 0), np.float32) if targets is None else targets.astype(np.float32)
        self.ids = np.char.add("image ", np.arange(count).astype(np.str_))
        self.groups = self.ids
        self.known: Mapping[str, np.ndarray] = {
            "sex": np.full(count, "F"),
            "view": np.full(count, ""),
            "age_years": np.full(count, np.nan, np.float32),
            "spacing_mm": np.full((count, 2), np.nan, np.float32),
        }

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, index = key
        assert epoch == 0, "an augmented image was asked for"
        item = {"image": self.images[index], "spacing": self.known["spacing_mm"][index], "index": index}
        return item | ({"mask": self.masks[index]} if len(self.masks) else {"target": self.targets[index]})

    def collate(self, items: Sequence[Any]) -> Any:
        raise AssertionError("a baseline takes items one by one")


def _named(config: MedicalRun, *names: str, **data: Any) -> MedicalRun:
    """The run with other names, and other settings of its data."""
    return config.model_copy(update={"data": config.data.model_copy(update={"names": names, **data})})


@pytest.fixture
def labels() -> MedicalRun:
    return _named(simulated(), "left", "right")


@pytest.fixture
def classes() -> MedicalRun:
    return _named(pneumoniamnist(), "left", "right", "none")


@pytest.fixture
def masks() -> MedicalRun:
    return _named(chase(), "disc", "ring", channels=1)


def _lit(count: int, seed: int) -> Pictures:
    """Noise whose left or right half is brighter where the label is there, some labels unknown."""
    rng = np.random.default_rng(seed)
    target = (rng.random((count, 2)) < 0.4).astype(np.float32)
    images = rng.random((count, 1, 20, 24)).astype(np.float32) * 0.6
    images[:, 0, :, :12] += 0.1 * target[:, :1, None]
    images[:, 0, :, 12:] += 0.1 * target[:, 1:, None]
    target[rng.random(target.shape) < 0.1] = np.nan
    return Pictures(list(images), target)


def _discs(count: int, seed: int, sizes: Sequence[tuple[int, int]] = ((32, 40),), dark: bool = False) -> Pictures:
    """A disc near the middle, brighter than noise (or darker); the second structure was never drawn."""
    rng = np.random.default_rng(seed)
    images, drawn = list[np.ndarray](), list[np.ndarray]()
    for number in range(count):
        rows, columns = sizes[number % len(sizes)]
        y, x = np.mgrid[:rows, :columns] / [[[rows]], [[columns]]] - 0.5 + rng.uniform(-0.05, 0.05, (2, 1, 1))
        disc = (y**2 + x**2 < 0.06).astype(np.float32)
        grey = 0.5 + (-0.3 if dark else 0.3) * disc + rng.normal(0, 0.05, disc.shape)
        images.append(grey[None].astype(np.float32))
        drawn.append(np.stack([disc, np.full_like(disc, np.nan)]))
    return Pictures(images, masks=drawn)


@pytest.fixture
def pictures() -> type[Pictures]:
    """Items from arrays."""
    return Pictures


@pytest.fixture
def named() -> Callable[..., MedicalRun]:
    """(config, *names, **settings) -> the run with those in its data."""
    return _named


@pytest.fixture
def lit() -> Callable[[int, int], Pictures]:
    """(count, seed) -> images whose halves show two labels."""
    return _lit


@pytest.fixture
def discs() -> Callable[..., Pictures]:
    """(count, seed, sizes, dark) -> images with a disc and its mask."""
    return _discs
