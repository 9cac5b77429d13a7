"""Which image belongs to which split, always by patient, and what the report says about it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from armillary.core.domain import Split
from armillary.core.errors import DataError
from armillary.core.random import derive_seed
from armillary.domains.medical.notice import NOTICE
from armillary.domains.medical.readers.report import some_of
from armillary.domains.medical.settings import MedicalData, MedicalRun
from armillary.domains.medical.studies import Study

# Where a set has no splits of its own. Fixed, so that a run's seed never changes which patients it is judged by.
SPLIT_SEED = 0
VALIDATION_SHARE = 0.1  # of the patients that are not tested
TEST_SHARE = 0.2  # of all patients


def check_patients(studies: Sequence[Study], path: Path | None = None, card: str | None = None) -> None:
    """Whether each patient is in one split only.

    Raises:
        DataError: some are in several; it names them.
    """
    splits: dict[str, set[str]] = {}
    for study in studies:
        splits.setdefault(study.group, set()).add(study.split or "none")
    torn = [f"'{patient}' ({', '.join(sorted(its))})" for patient, its in sorted(splits.items()) if len(its) > 1]
    if torn:
        raise DataError(
            f"{len(torn)} of {len(splits)} patients are in more than one split: {some_of(torn)}",
            path=path, card=card,
            advice="Put all images of a patient into one split: results would be of patients seen in training.",
        )  # fmt: skip


def draw_validation(studies: Sequence[Study], share: float, seed: int) -> list[Study]:
    """The same studies, where a share of the training patients, with all their images, is validation.

    Which ones depends on the seed and the names of the patients, not on the order of the studies; at least one and
    never all of two or more.
    """
    return _move(studies, "train", "validation", share, seed)


def draw_splits(studies: Sequence[Study], seed: int = SPLIT_SEED) -> list[Study]:
    """The same studies with splits drawn by patient: 20 % test, 10 % of the others validation, the rest training."""
    everyone = [replace(study, split="train") for study in studies]
    return draw_validation(_move(everyone, "train", "test", TEST_SHARE, seed), VALIDATION_SHARE, seed)


def _move(studies: Sequence[Study], source: Split, target: Split, share: float, seed: int) -> list[Study]:
    """A patient's place in the draw is a hash of the name, so that one more patient moves at most one other."""
    patients = {study.group for study in studies if study.split == source}
    order = sorted(patients, key=lambda patient: (derive_seed(seed, target, patient), patient))
    count = min(max(round(share * len(order)), 1), len(order) - 1) if share > 0 else 0
    chosen = set(order[: max(count, 0)])
    return [
        replace(study, split=target) if study.split == source and study.group in chosen else study for study in studies
    ]


def protocol(config: MedicalRun) -> str:
    """The sentences of the report: which images, how they are split, what labels mean, what is normalised."""
    data = config.data
    parts = [_images(data), _split(data.card), _meaning(data), _normalised(data)]
    chosen = "The checkpoint is the one with the best validation score; nothing is chosen on the test split."
    return " ".join([*(part for part in parts if part), chosen, NOTICE])


def _images(data: MedicalData) -> str:
    views = f" of the views {', '.join(data.views)}" if data.views else ""
    size = "at their own size" if data.size is None else f"brought to {' x '.join(map(str, data.size))} pixels"
    patch = f", learned from parts of {' x '.join(map(str, data.patch))}" if data.patch else ""
    simulated = " They are simulated: results say nothing about patients." if data.card.startswith("simulated") else ""
    return f"Images of {data.card}{views}, {size}{patch}.{simulated}"


def _split(card: str) -> str:
    drawn = f"{100 * VALIDATION_SHARE:g} % of the training patients, drawn once (seed {SPLIT_SEED})"
    if "mnist" in card:
        return (
            "Splits are the published ones; the set names no patients, so each image counts as a patient of its own, "
            "and images of one patient may lie in different splits."
        )
    official = f"The test split is the official list; validation is the set's list, or else {drawn}."
    own = {
        "nih_cxr14": official,
        "nih_cxr14_mini": official,
        "chexpert": f"The official validation set is the test split here; validation is {drawn}.",
        "chase_db1": "Children 09 and 10 are validation, from 11 on test, the others training.",
    }.get(card, "Splits are the set's own, or drawn by patient where it has none.")
    return f"{own} No patient is in two splits; intervals are over patients."


def _meaning(data: MedicalData) -> str:
    if data.task == "labels":
        if data.card.startswith("nih_cxr14") or "mnist" in data.card:  # they have no uncertain labels
            return ""
        counts = {"ignore": "is left out", "zero": "counts as absent", "one": "counts as present"}[data.unknown]
        blank = " A label that a report does not mention counts as absent." if data.card == "chexpert" else ""
        return f"A label marked uncertain (-1) {counts}.{blank}"
    if data.task == "masks" and data.card == "covid_cxr_structures":
        return (
            "Lungs, heart and airways that are not drawn are left out of the score; findings and devices that are not "
            "drawn count as absent."
        )
    if data.task == "masks" and data.card == "chase_db1" and data.names == ("vessel",):
        return "The truth is the first observer's drawing, counted on the whole frame."
    return ""


def _normalised(data: MedicalData) -> str:
    if data.each_image:
        return "Each image is normalised by its own mean and deviation."
    if data.mean is not None and data.std is not None:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (data.mean, data.std))
        return f"Grey values in [0, 1] are normalised by a fixed mean of {mean} and deviation of {std}."
    return "Grey values in [0, 1] are normalised by mean and deviation of the training images."
