"""MedMNIST: one .npz with images and labels of three splits, in two or three dimensions."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from armillary.core.domain import Split
from armillary.core.errors import ConfigError, DataError
from armillary.domains.medical.readers.report import Report, report_together
from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.sources import ArraySource
from armillary.domains.medical.sources.array import keys_of, open_array
from armillary.domains.medical.studies import Study

_SPLITS: Mapping[str, Split] = {"train": "train", "val": "validation", "test": "test"}
_LAYOUT = "Expected train_images, train_labels and the same of val and test in one .npz."


def find_npz(folder: Path, card: str) -> Path | None:
    """The archive of a set: the one that is called like its card, or the only one."""
    archives = sorted(folder.glob("*.npz"))
    named = [path for path in archives if path.stem == card]
    return (named or archives)[0] if named or len(archives) == 1 else None


def read_medmnist(folder: Path, data: MedicalData, report: Report) -> list[Study]:
    """All images in their published splits.

    data.names are the classes in the order of their numbers, or the columns of several labels. The sets name no
    patients, so each image is its own: that images of one patient lie in different splits cannot be seen. The same
    picture in two splits is reported, and kept as published. Ids are as in "train_images/17".

    Raises:
        DataError: no archive or no such arrays in it, images and labels of different numbers, labels that are no
            whole numbers. ConfigError: data.names do not fit the labels, or data.size not the images.
    """
    path = find_npz(folder, data.card)
    if path is None:
        raise DataError(f"holds no {data.card}.npz", path=folder, advice=_LAYOUT)
    shapes = keys_of(path)
    missing = [f"{part}_{kind}" for part in _SPLITS for kind in ("images", "labels") if f"{part}_{kind}" not in shapes]
    if missing:
        raise DataError(f"has no {', '.join(missing)}; it has {', '.join(shapes)}", path=path, advice=_LAYOUT)
    _check_rank(shapes["train_images"], data)
    labels = {part: _labels(path, part, shapes) for part in _SPLITS}
    _check_labels(labels["train"], data)
    studies: list[Study] = []
    strange: list[str] = []
    for part, split in _SPLITS.items():
        usable = np.asarray((labels[part] < _num_values(data)).all(1))
        strange += [f"{part}_images/{index}" for index in np.flatnonzero(~usable)]
        targets = _targets(labels[part], data)
        studies += [
            Study(f"{part}_images/{i}", ArraySource(path, f"{part}_images", i), split=split, target=targets[i])
            for i in np.flatnonzero(usable).tolist()
        ]
    report_together(report, strange, "labels that are none of data.names", path, "The images are left out.")
    _tell_duplicates(path, report)
    return studies


def _check_rank(shape: tuple[int, ...], data: MedicalData) -> None:
    rank = len(shape) - (2 if len(shape) > 3 and shape[-1] == 3 else 1)
    if rank != data.rank:
        raise ConfigError(
            f"data.size: {data.card} has images of {rank} axes ({' x '.join(map(str, shape[1:]))}), and the run "
            f"asks for {data.rank}"
        )


def _labels(path: Path, part: str, shapes: Mapping[str, tuple[int, ...]]) -> Int64[np.ndarray, "n l"]:
    images, labels = shapes[f"{part}_images"], shapes[f"{part}_labels"]
    if images[:1] != labels[:1] or len(labels) != 2:
        raise DataError(
            f"has {part}_images of shape {images} and {part}_labels of {labels}; expected one row of labels an image",
            path=path, advice=_LAYOUT,
        )  # fmt: skip
    values = open_array(path, f"{part}_labels")
    with np.errstate(invalid="ignore"):
        whole = np.asarray(values).astype(np.int64)
    if not np.array_equal(whole, values) or (whole.size and whole.min() < 0):
        raise DataError(f"has {part}_labels that are no whole numbers from 0 on", path=path, advice=_LAYOUT)
    return whole


def _num_values(data: MedicalData) -> int:
    """How many values a label can have; any number where no label is asked for."""
    return {"classes": len(data.names), "labels": 2}.get(data.task, int(np.iinfo(np.int64).max))


def _check_labels(labels: Int64[np.ndarray, "n l"], data: MedicalData) -> None:
    """Whether the training images have the labels that are named: in as many columns, and none beyond them."""
    if data.task not in ("labels", "classes"):
        return
    columns = 1 if data.task == "classes" else len(data.names)
    largest = int(labels.max(initial=0))
    if labels.shape[1] != columns or largest >= _num_values(data):
        wanted = "one label that is a class" if data.task == "classes" else "one column of 0 and 1 a name"
        raise ConfigError(
            f"data.names: {data.card} has {labels.shape[1]} columns of labels up to {largest}, and {len(data.names)} "
            f"names are given; data.task={data.task} expects {wanted}"
        )


def _targets(labels: Int64[np.ndarray, "n l"], data: MedicalData) -> Float32[np.ndarray, "n k"]:
    """A row of one-hot classes, of labels, or of nothing for each image."""
    if data.task == "classes":
        return (labels == np.arange(len(data.names))).astype(np.float32)
    return labels.astype(np.float32) if data.task == "labels" else np.zeros((len(labels), 0), np.float32)


def _tell_duplicates(path: Path, report: Report) -> None:
    """One report for each pair of splits that have pictures in common."""
    held = {part: _digests(open_array(path, f"{part}_images")) for part in _SPLITS}
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        both = sorted(held[second][digest] for digest in held[first].keys() & held[second].keys())
        names = [f"{second}_images/{number}" for number in both]
        told = f"pictures of {_SPLITS[second]} that are in {_SPLITS[first]} too"
        report_together(report, names, told, path, "They are kept, as the splits are the published ones.")


def _digests(images: np.ndarray) -> dict[bytes, int]:
    """Where a picture comes first, by a digest of its pixels."""
    found: dict[bytes, int] = {}
    for number, image in enumerate(images):
        found.setdefault(hashlib.blake2b(image.tobytes(), digest_size=16).digest(), number)
    return found
