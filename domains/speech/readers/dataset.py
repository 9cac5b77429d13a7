"""What lies in the folders of a run's cards: mixtures that a set lists, voices to be mixed, noises."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from armillary.core.domain import Split
from armillary.core.errors import ConfigError, DataError
from armillary.domains.speech.readers.librimix import any_lists, lists_of, read_list
from armillary.domains.speech.readers.librispeech import read_librispeech, tree_of
from armillary.domains.speech.readers.mixture_folders import find_folder, read_mixture_folder, sexes_below
from armillary.domains.speech.readers.mixtures import Listed
from armillary.domains.speech.readers.noise import read_noises
from armillary.domains.speech.readers.recordings import Recording
from armillary.domains.speech.readers.report import Report, ignore
from armillary.domains.speech.readers.spoken_digits import is_spoken_digits, read_spoken_digits
from armillary.domains.speech.settings import SpeechData

NOISE_CARD = "speech_commands_noise"
# Cards whose lists or voices need the files of others; noise only where a run has noise.
_VOICES = {"libri2mix_mini": "librispeech_mini"}
_WITH_NOISE = ("libri2mix_mini", "librispeech_mini", "fsdd_subset")
_NOISE_FOLDERS = ("wham_noise", "noise")


def cards_of(data: SpeechData) -> tuple[str, ...]:
    """The cards whose files a run reads: its own first."""
    voices = (_VOICES[data.card],) if data.card in _VOICES else ()
    noise = (NOISE_CARD,) if data.noise and data.card in _WITH_NOISE else ()
    return (data.card, *voices, *noise)


@dataclass(frozen=True)
class MixtureSet:
    """The mixtures of each split.

    finished: they are files, not lists. shares_voices: validation has voices of training, as the set's authors want it.
    """

    splits: Mapping[Split, list[Listed]]
    finished: bool = False
    shares_voices: bool = False


def mixture_set(data: SpeechData, folders: Mapping[str, Path], split: Split, report: Report) -> MixtureSet | None:
    """The mixtures of all splits that the run's card lists or holds; None where it holds voices only.

    Only what is wrong with `split` is reported.

    Raises:
        ConfigError: no mixtures of the rate, mode or kind that the run asks for. DataError: voices or noises of a
            list are not there.
    """
    folder = folders[data.card]
    place = find_folder(folder, data)
    if place is not None:
        read = partial(read_mixture_folder, data=data, sexes=sexes_below(folder))
        return MixtureSet(_read_each(place.splits, read, split, report), True, place.shares_voices)
    lists = lists_of(folder, data.voices)
    if not lists:
        if data.card in _VOICES and not any_lists(folder):
            raise DataError(
                "holds no lists of mixtures", path=folder, card=data.card,
                advice="Expected metadata/libri2mix_train.csv, libri2mix_dev.csv and libri2mix_test.csv in it.",
            )  # fmt: skip
        return None
    if data.reverberant:
        raise ConfigError(f"data.reverberant=true, but the lists of {data.card} have no reverberation")
    voices, noises = _voice_root(data, folders), noise_root(data, folders) if data.noise else None
    read_one = partial(read_list, num_voices=data.voices, voices=voices, noises=noises, card=data.card)
    return MixtureSet(_read_each(lists, read_one, split, report))


def voice_recordings(
    data: SpeechData, folders: Mapping[str, Path], found: MixtureSet | None, report: Report
) -> list[Recording]:
    """Every voice that can be mixed anew, with its split: utterances, or the voices of finished mixtures.

    Raises:
        DataError: no voices lie there.
    """
    tree = next((path for path in folders.values() if tree_of(path)), None)
    if tree is not None:
        return read_librispeech(tree, report)
    if is_spoken_digits(folders[data.card]):
        return read_spoken_digits(folders[data.card])
    if found is None:
        raise DataError(
            "holds no voices that are known", path=folders[data.card], card=data.card,
            advice="Expected a tree of LibriSpeech, lists of LibriMix, or folders of finished mixtures.",
        )  # fmt: skip
    return [voice for split in found.splits for voice in _voices(found.splits[split], split)]


def noise_recordings(
    data: SpeechData, folders: Mapping[str, Path], found: MixtureSet | None, split: Split
) -> list[Recording]:
    """The noises of a split to be mixed anew: recordings, or the noises of finished mixtures.

    Raises:
        DataError: no noise lies there.
    """
    if found is None or not found.finished:
        return read_noises(noise_root(data, folders), split)
    paths = {one.noise.path: one for one in found.splits.get(split, []) if one.noise is not None}
    return [Recording(one.id, one.id, (path,), split=split) for path, one in paths.items()]


def noise_root(data: SpeechData, folders: Mapping[str, Path]) -> Path:
    """The folder of noises: that of the noise card, or one in the card's own folder.

    Raises:
        DataError: there is none.
    """
    own = folders[data.card]
    places = [folders[NOISE_CARD]] if NOISE_CARD in folders else [own / name for name in _NOISE_FOLDERS]
    for place in places:
        if place.is_dir():
            return place
    wanted = (
        f"Expected audio of the card {NOISE_CARD}"
        if NOISE_CARD in folders
        else f"Expected {' or '.join(_NOISE_FOLDERS)} in it"
    )
    raise DataError(
        "holds no noise",
        path=folders.get(NOISE_CARD, own),
        card=data.card,
        advice=f"{wanted}, or set data.noise=false.",
    )


def _voice_root(data: SpeechData, folders: Mapping[str, Path]) -> Path:
    for folder in folders.values():
        root = tree_of(folder)
        if root is not None:
            return root
    other = _VOICES.get(data.card)
    raise DataError(
        f"holds no voices for the lists of {data.card}" if other else "holds lists of mixtures without the voices",
        path=folders[other or data.card], card=other or data.card,
        advice="Put the tree LibriSpeech (with SPEAKERS.TXT) into it.",
    )  # fmt: skip


def _read_each(
    places: Mapping[Split, Iterable[Path]], read: Callable[..., Iterable[Listed]], split: Split, report: Report
) -> dict[Split, list[Listed]]:
    """What lies in the places of each split; the other splits are read as well, since no speaker may be in two."""
    told = {other: report if other == split else ignore for other in places}
    return {
        other: list(chain.from_iterable(read(place, report=told[other]) for place in places[other])) for other in places
    }


def _voices(listed: Iterable[Listed], split: Split) -> list[Recording]:
    """One recording of each utterance: an utterance is in many mixtures, cut and scaled differently."""
    found: dict[str, Recording] = {}
    for one in listed:
        names = one.id.split("_")
        spoken = names if len(names) == len(one.voices) else names[::2]
        for place, part in enumerate(one.voices):
            speaker = one.speakers[place] if one.speakers else ""
            known = bool(speaker) and len(spoken) == len(one.voices)
            name = spoken[place] if known else f"{one.id}/{part.path.parent.name}"
            sex = one.sexes[place] if one.sexes else ""
            found.setdefault(name, Recording(name, speaker or name, (part.path,), sex, split))
    return list(found.values())
