"""Small twins of MedMNIST's archives, filled with phantoms; the last label of the test part is none of the set's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from armillary.core.domain import Size
from armillary.core.random import derive_seed
from armillary.domains.medical.simulation.patients import draw_patient, draw_visit
from armillary.domains.medical.simulation.phantom import draw_film
from armillary.domains.medical.simulation.volume import draw_volume

_COUNTS = {"train": 24, "val": 8, "test": 8}
_NO_CLASS = 9
Draw = Callable[[int], tuple[UInt8[np.ndarray, " *s"], int]]


def write_pneumoniamnist_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """pneumoniamnist.npz: films of 28 x 28 pixels, 1 where there is an opacity or fluid."""
    own = derive_seed(seed, "pneumoniamnist")

    def draw(index: int) -> tuple[UInt8[np.ndarray, "28 28"], int]:
        visit = draw_visit(own, draw_patient(own, index), 0)
        film = draw_film(own, visit, 84)
        small = film.image.reshape(28, 3, 28, 3).mean((1, 3))
        return np.round(255 * small).astype(np.uint8), int(bool(visit.findings & {"Opacity", "Effusion"}))

    return _write(folder / "pneumoniamnist.npz", draw)


def write_medmnist_twin(folder: Path, seed: int, size: Size) -> tuple[int, str | None]:
    """nodulemnist3d.npz: volumes of 28 x 28 x 28, 1 where there is a nodule."""

    def draw(index: int) -> tuple[UInt8[np.ndarray, "28 28 28"], int]:
        volume = draw_volume(seed, index, (28, 28, 28))
        # Coarse greys pack well: a twin has to stay small.
        grey = np.clip((volume.hounsfield + 1000) / 1600, 0, 1)
        return (np.round(7 * grey) * 36).astype(np.uint8), int(volume.masks["nodule"].any())

    return _write(folder / "nodulemnist3d.npz", draw)


def _write(path: Path, draw: Draw) -> tuple[int, str | None]:
    arrays: dict[str, np.ndarray] = {}
    start = 0
    for part, count in _COUNTS.items():
        images, labels = zip(*(draw(index) for index in range(start, start + count)), strict=True)
        arrays[f"{part}_images"] = np.stack(images)
        arrays[f"{part}_labels"] = np.array(labels, np.uint8)[:, None]
        start += count
    arrays["test_labels"][-1] = _NO_CLASS
    np.savez_compressed(path, **arrays)  # pyright: ignore[reportArgumentType]
    last = _COUNTS["test"] - 1
    return start, f"test/{last:06d}"
