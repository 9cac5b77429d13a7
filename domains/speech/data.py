"""From a configuration to the items of a split, and from windows of files to items to predict."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import xarray as xr

from armillary.core.domain import Items, Split
from armillary.core.errors import ConfigError, DataError
from armillary.core.random import derive_seed
from armillary.domains.speech.dynamic_items import DynamicItems
from armillary.domains.speech.items import DrawnItems, MixtureItems, WindowItems
from armillary.domains.speech.mixing.draw import MixtureDraw
from armillary.domains.speech.mixing.pool import KeptPool
from armillary.domains.speech.readers.dataset import (
    MixtureSet,
    cards_of,
    mixture_set,
    noise_recordings,
    voice_recordings,
)
from armillary.domains.speech.readers.mixtures import Gathering
from armillary.domains.speech.readers.recordings import FilePool, Recording, open_pool
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.settings import SpeechData, SpeechRun
from armillary.domains.speech.splits import KNOWN_SPEAKERS, apart

# Mixtures of validation and test where a set has voices only.
_DRAWN = 120


def uses(config: SpeechRun) -> tuple[str, ...]:
    """The cards that a run reads: of mixtures, and of the voices and noises that they are made of."""
    return cards_of(config.data)


def datasets(config: SpeechRun, folders: Mapping[str, Path], split: Split) -> Items:
    """One split of a run's data as items.

    Training is mixed anew with data.dynamic. Where a set has voices and no mixtures, validation and test are drawn
    from their voices once, the same for every run.

    Raises:
        ConfigError: the set has not what the run asks for. DataError: nothing of the split can be used.
    """
    data = config.data
    problems: list[DataError] = []
    found = mixture_set(data, folders, split, problems.append)
    if found is None and data.dynamic is None:
        raise ConfigError(
            f"{data.card} lists no mixtures of {data.voices} voice(s); set data.dynamic={{}} to mix its voices while "
            "training"
        )
    if found is not None and (split != "train" or data.dynamic is None):
        return _listed(config, found, folders[data.card], split, problems)
    voices = _voices(data, folders, found, split, problems)
    noises = _noises(data, folders, found, split, problems.append)
    if split == "train":
        # Its problems grow while it is used, so that they are no plain attribute.
        return cast(Items, DynamicItems(config, voices, noises, problems))
    return _drawn(data, voices, noises, split, problems)


def items(config: SpeechRun, chunk: xr.Dataset) -> Items:
    """Items to predict from windows of files.

    Raises:
        DataError: windows at another sample rate than the model's.
    """
    rate, wanted = int(chunk.attrs["sample_rate_hz"]), config.data.sample_rate_hz
    if rate != wanted:
        raise DataError(
            f"windows at {rate} Hz, the model was trained at {wanted} Hz",
            path=", ".join(dict.fromkeys(map(str, chunk["file"].values))),
            advice=f"Read files at the model's rate: --set predict.sample_rate_hz={wanted}.",
        )
    return WindowItems(chunk, config.data.voices)


def _listed(
    config: SpeechRun, found: MixtureSet, folder: Path, split: Split, problems: list[DataError]
) -> MixtureItems:
    data = config.data
    if split not in found.splits:
        raise DataError(
            f"has no mixtures of {split}; it has those of {', '.join(found.splits)}", path=folder, card=data.card,
            advice="Expected folders or lists called train (or tr), dev (or cv) and test (or tt): make those missing.",
        )  # fmt: skip
    kept = apart(found.splits, split, found.shares_voices, folder, data.card, problems.append)
    gathering = Gathering(data.sample_rate_hz, data.mode, problems.append, data.card)
    mixtures = gathering.table(kept, data.voices)
    _check_any(len(mixtures), "mixtures", folder, data.card, split, problems)
    return MixtureItems(config, mixtures, split == "train", problems)


def _voices(
    data: SpeechData, folders: Mapping[str, Path], found: MixtureSet | None, split: Split,
    problems: list[DataError],
) -> FilePool:  # fmt: skip
    """The voices of a split, of speakers that the others do not have."""
    by_split: defaultdict[Split, list[Recording]] = defaultdict(list)
    for voice in voice_recordings(data, folders, found, problems.append):
        if voice.split is not None:
            by_split[voice.split].append(voice)
    folder, kept = folders[data.card], by_split[split]
    if data.card not in KNOWN_SPEAKERS:
        shared = found is not None and found.shares_voices
        kept = apart(by_split, split, shared, folder, data.card, problems.append)
    pool = open_pool(kept, data.sample_rate_hz, problems.append, data.card)
    _check_any(len(pool), "voices", folder, data.card, split, problems)
    return pool


def _noises(
    data: SpeechData, folders: Mapping[str, Path], found: MixtureSet | None, split: Split, report: Report
) -> FilePool | None:
    if not data.noise:
        return None
    return open_pool(noise_recordings(data, folders, found, split), data.sample_rate_hz, report, data.card)


def _drawn(
    data: SpeechData, voices: FilePool, noises: FilePool | None, split: Split, problems: list[DataError]
) -> DrawnItems:
    """Whole mixtures, drawn without what only training does to voices."""
    assert data.dynamic is not None
    plain = data.dynamic.model_copy(update={"speed": (1.0, 1.0), "reverse": 0.0})
    data = data.model_copy(update={"segment_s": None, "dynamic": plain})
    kept = None if noises is None else KeptPool(noises)
    draw = MixtureDraw(data, KeptPool(voices), kept, derive_seed("drawn", data.card, split))
    sexes = dict(zip(voices.speaker.tolist(), voices.sex.tolist(), strict=True))
    return DrawnItems(draw, sexes, _DRAWN, split, problems)


def _check_any(count: int, what: str, folder: Path, card: str, split: Split, problems: Sequence[DataError]) -> None:
    if count == 0:
        advice = f"Expected some in the folder; 'armillary data show {card}' tells what belongs there."
        if problems:
            advice = f"The first of {len(problems)} problem(s): {problems[0]}"
        raise DataError(f"no {what} of {split} can be used", path=folder, card=card, advice=advice)
