"""Which mixture or voice belongs to which split, and that no speaker is in two."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

from armillary.core.domain import Split
from armillary.core.errors import DataError
from armillary.domains.speech.readers.mixtures import Listed
from armillary.domains.speech.readers.recordings import Recording
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.settings import SpeechData, SpeechRun

Voiced = TypeVar("Voiced", Listed, Recording)
# Of two splits with the same speaker, the one that comes later here loses it: the test stays what its authors made it.
_RANK: tuple[Split, ...] = ("test", "validation", "train")
# Sets whose splits are different recordings of the same speakers, and sets that validate on those of training.
KNOWN_SPEAKERS = ("fsdd_subset",)
_NAMED = 5  # speakers that a problem names
_VALIDATED_ON_TRAINING = ("wsj0_mix", "wham", "whamr")


def apart(
    splits: Mapping[Split, Sequence[Voiced]], split: Split, shares_voices: bool, folder: Path, card: str, report: Report
) -> list[Voiced]:
    """What a split holds of speakers that no split before it has, in the order test, validation, training.

    Those left out are reported together. With `shares_voices` training and validation may have the same speakers.
    """
    heard: dict[str, Split] = {}
    for other in _RANK[: _RANK.index(split)]:
        if not (shares_voices and other == "validation"):
            heard |= {name: other for one in splits.get(other, ()) for name in _names(one) if name not in heard}
    kept = [one for one in splits.get(split, ()) if not any(name in heard for name in _names(one))]
    lost = [one for one in splits.get(split, ()) if any(name in heard for name in _names(one))]
    if lost:
        names = [name for name in dict.fromkeys(chain.from_iterable(map(_names, lost))) if name in heard]
        told = ", ".join(f"'{name}' of {heard[name]}" for name in names[:_NAMED])
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        report(
            DataError(
                f"{len(lost)} of {len(lost) + len(kept)} of {split} have speakers of another split: {told}{more}",
                path=folder, item=lost[0].id, card=card,
                advice="They are left out, so that results are of speakers that training has not heard.",
            )
        )  # fmt: skip
    return kept


def _names(one: Listed | Recording) -> tuple[str, ...]:
    """Its speakers, as far as they are known."""
    names = one.speakers if isinstance(one, Listed) else (one.speaker,)
    return tuple(name for name in names if name)


def protocol(config: SpeechRun) -> str:
    """The sentences of the report: which mixtures, how they are split, what trains."""
    data = config.data
    voices = "one voice and noise" if data.voices == 1 else f"{data.voices} voices"
    noise = " with noise" if data.noise and data.voices > 1 else ""
    rooms = " in rooms, to be found without reverberation" if data.reverberant else ""
    length = "cut to the shortest voice" if data.mode == "min" else "padded to the longest voice"
    return (
        f"Mixtures of {voices}{noise}{rooms} of {data.card} at {data.sample_rate_hz} Hz, {length} ({data.mode}), in "
        f"the set's own splits. {_training(data)} No speaker of the test is heard in training{_exception(data)}. "
        "Validation and test are whole mixtures; scores are those of the best order of the voices, as improvements "
        "over the unprocessed mixture. The checkpoint is the one with the best validation score."
    )


def _training(data: SpeechData) -> str:
    part = "whole mixtures" if data.segment_s is None else f"parts of {data.segment_s:g} s, drawn anew in every epoch,"
    if data.dynamic is None:
        return f"Training is on {part} of the mixtures that the set lists."
    room = "" if data.dynamic.room is None else ", in simulated rooms"
    return (
        f"Training is on {data.dynamic.mixtures} mixtures an epoch, {part} mixed anew of the training voices{room} "
        f"(levels by {data.dynamic.levels})."
    )


def _exception(data: SpeechData) -> str:
    if data.card in KNOWN_SPEAKERS:
        return ", as a rule; of this set the splits are different clips of the same speakers"
    if data.card in _VALIDATED_ON_TRAINING:
        return "; validation has other mixtures of the training speakers, as the set's authors made it"
    return ""
