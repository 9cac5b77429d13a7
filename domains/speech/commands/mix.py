"""`armillary speech mix`: a set of mixtures from a folder of speakers, or the audio of listed mixtures."""

import argparse
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from armillary.core.errors import ConfigError, DataError
from armillary.domains.speech.mixing.build import Made, MixFolder, build, claim, line_of
from armillary.domains.speech.mixing.choose import Plan, check_speakers, choose, deal
from armillary.domains.speech.mixing.lists import Listed, info_path, is_list, read_list, write_list
from armillary.domains.speech.mixing.render import Roots
from armillary.domains.speech.mixing.sources import Recording, scan_noises, scan_voices
from armillary.domains.speech.readers.report import Report
from armillary.domains.speech.settings import LOWEST_HZ, DynamicSettings, RoomSettings

_NEW = {"voices": 2, "levels": "loudness", "count": "100", "seed": 0, "shortest": 3.0}
_SPLITS = "train=0.8,dev=0.1,test=0.1"
_SPLIT_NAME = re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_TOLD = 20  # problems that are printed
_ABOUT = """\
Build a set of mixtures in LibriMix's layout.

SOURCE is a folder of voices: a LibriSpeech tree, or one folder a speaker. Mixtures are then drawn, and listed in
OUT/metadata. Or SOURCE is a list in LibriMix's columns, or a folder of such lists (or with a folder `metadata` of
them); then the audio of those mixtures is made, their recordings being looked for below --root and --noise.

A halted build goes on when the command is given again. A recording that cannot be used is told and left out.
"""


def main(arguments: Sequence[str]) -> int:
    """Makes a set of mixtures from voices and noises, or the audio of listed mixtures.

    Prints one line a split. Gives 1 where there is no mixture at all.
    """
    options = parser().parse_args(arguments)
    if options.rate < LOWEST_HZ:
        raise ConfigError(f"--rate {options.rate}: expected samples per second, {LOWEST_HZ} at least")
    problems: list[DataError] = []

    def report(error: DataError) -> None:
        problems.append(error)
        if len(problems) <= _TOLD:
            print(error, file=sys.stderr)

    lists = _lists(options.source)
    made = _rebuild(options, lists, report) if lists else _build_new(options, report)
    if problems:
        print(f"{len(problems)} problem(s), the first {min(_TOLD, len(problems))} told above", file=sys.stderr)
    return 0 if any(split.made + split.kept for split in made) else 1


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    found = argparse.ArgumentParser(
        "armillary speech mix", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("source", type=Path, metavar="SOURCE", help="folder of voices, or lists of mixtures")
    found.add_argument("--out", type=Path, required=True, help="folder of the set; made if missing")
    found.add_argument("--rate", type=int, default=8000, help="sample rate of the set [Hz] (8000)")
    found.add_argument("--mode", choices=("min", "max"), default="min", help="cut to the shortest voice, or pad (min)")
    found.add_argument(
        "--noise", type=Path, metavar="DIR", help="folder of noises; folders named as splits are used so"
    )
    found.add_argument(
        "--target", choices=("direct", "reverberant"), help="voices to be found, of mixtures in a room (direct)"
    )
    found.add_argument("--root", type=Path, metavar="DIR", help="lists: where the paths of voices begin")
    new = found.add_argument_group("new mixtures (SOURCE is a folder of voices)")
    new.add_argument(
        "--voices", type=int, choices=range(1, 6), help="voices in a mixture (2); 1 needs --noise or --rooms"
    )
    new.add_argument(
        "--levels", choices=("loudness", "decibel"),
        help="loudness: LibriMix's rule; decibel: WSJ0-mix's, the first voice louder by 0 to 5 dB (loudness)",
    )  # fmt: skip
    new.add_argument(
        "--rooms", nargs="?", const="0.1,0.5", metavar="LOW,HIGH",
        help="put each mixture into a simulated room of this reverberation time [s] (0.1,0.5)",
    )  # fmt: skip
    new.add_argument("--count", metavar="N", help="mixtures in all, or train=N,dev=N,... (100)")
    new.add_argument("--seed", type=int, help="the same seed and files give the same set (0)")
    new.add_argument("--shortest", type=float, metavar="S", help="leave out shorter utterances [s] (3)")
    new.add_argument(
        "--splits", metavar="NAME=SHARE,...",
        help=f"shares of the speakers ({_SPLITS}), or NAME=FOLDER,... below SOURCE, such as dev=dev-clean",
    )  # fmt: skip
    return found


def _lists(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    for folder in (source, source / "metadata"):
        found = sorted(path for path in folder.glob("*mix_*.csv") if is_list(path))
        if found:
            return found
    return []


def _rebuild(options: argparse.Namespace, lists: Sequence[Path], report: Report) -> list[Made]:
    given = [f"--{name}" for name in (*_NEW, "rooms", "splits") if getattr(options, name) is not None]
    if given:
        raise ConfigError(f"{', '.join(given)}: no effect on listed mixtures, whose list tells all; leave it out")
    if options.root is None:
        raise ConfigError("lists tell the paths of voices below a root; give it with --root DIR")
    _check_folders(options.root, options.noise, options.out)
    read = {path: read_list(path, report) for path in lists}
    if options.target is not None and not any(one.room_seed is not None for found in read.values() for one in found):
        raise ConfigError("--target: no effect, since no listed mixture is in a room; leave it out")
    options.target = options.target or "direct"
    folder = MixFolder(options.out, options.rate, options.mode)
    shared = {key: str(value) for key, value in vars(options).items() if value is not None and key != "out"}
    claim(folder.root, shared | {"lists": [path.name for path in lists]})
    roots = Roots(options.root, options.noise)
    made: list[Made] = []
    for path, mixtures in read.items():
        if options.noise is None and any(listed.noise_path for listed in mixtures):
            print(f"{path.name}: without --noise, mix_clean alone is made", file=sys.stderr)
        split = path.stem.partition("mix_")[2] or path.stem
        write_list(folder.root / "metadata" / path.name, mixtures)
        made.append(build(folder, split, mixtures, roots, options.target, report))
        print(line_of(split, made[-1]))
    return made


def _build_new(options: argparse.Namespace, report: Report) -> list[Made]:
    for name, value in _NEW.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.voices == 1 and options.noise is None and options.rooms is None:
        raise ConfigError("--voices 1 without noise leaves nothing to separate; give --noise DIR or --rooms")
    if options.target is not None and options.rooms is None:
        raise ConfigError("--target: no effect without a room; give --rooms, or leave it out")
    if not 0 <= options.shortest < math.inf:
        raise ConfigError(f"--shortest {options.shortest:g}: expected seconds, 0 at least")
    if options.root is not None:
        raise ConfigError("--root: no effect on new mixtures, whose voices are those of SOURCE; leave it out")
    _check_folders(options.source, options.noise, options.out)
    options.target = options.target or "direct"
    plan, roots = _plan(options), Roots(options.source, options.noise)
    folder = MixFolder(options.out, options.rate, options.mode)
    voices = _voices(options, report)
    noises = _noises(options, list(voices), report)
    counts = _counts(options.count, {name: len({v.speaker for v in found}) for name, found in voices.items()})
    if not any(counts.values()):
        raise ConfigError(f"--count {options.count}: asks for no mixture")
    for split, found in voices.items():
        check_speakers(plan, split, found)
    claim(folder.root, {key: str(value) for key, value in vars(options).items() if value is not None and key != "out"})
    made: list[Made] = []
    for split, count in counts.items():
        path = folder.list_path(split, plan.voices)
        mixtures = _chosen(path, plan, split, count, voices[split], noises[split], roots, report)
        made.append(build(folder, split, mixtures, roots, options.target, report))
        print(line_of(split, made[-1]))
    return made


def _chosen(
    path: Path, plan: Plan, split: str, count: int, voices: Sequence[Recording], noises: Sequence[Recording],
    roots: Roots, report: Report,
) -> list[Listed]:  # fmt: skip
    """The list of a split; one that an earlier call finished is read again."""
    if path.exists() and info_path(path).exists():
        return read_list(path, report)
    mixtures = choose(plan, split, count, voices, noises, roots, report)
    if len(mixtures) < count:
        print(f"{split}: {len(mixtures)} different mixtures found, {count} were asked for", file=sys.stderr)
    write_list(path, mixtures)
    return mixtures


def _plan(options: argparse.Namespace) -> Plan:
    room = None
    if options.rooms is not None:
        low, high = _numbers(options.rooms)
        room = RoomSettings(rt60_s=(low, high), target=options.target)
    sound = DynamicSettings(levels=options.levels, room=room)
    return Plan(options.voices, options.rate, options.mode, sound, options.seed)


def _check_folders(voices: Path, noise: Path | None, out: Path) -> None:
    """Refuses what is no folder, and a set that would lie among the recordings it is made of."""
    for folder, what in ((voices, "of voices"), (noise, "of noises")):
        if folder is not None and not folder.is_dir():
            raise ConfigError(f"{folder} is no folder; expected one {what}. Check the path")
        if folder is not None and folder.resolve() in out.resolve().parents:
            raise ConfigError(f"--out {out} lies in {folder}, whose recordings it would join; give a place beside it")


def _numbers(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--rooms {text}: expected two times in seconds, such as 0.1,0.5") from error
    if not 0 < low <= high < math.inf:
        raise ConfigError(f"--rooms {text}: expected 0 < LOW <= HIGH")
    return low, high


def _voices(options: argparse.Namespace, report: Report) -> dict[str, list[Recording]]:
    """Utterances of each split: no speaker is in two of them."""
    wanted = _named(options.splits or _SPLITS, "--splits")
    shares = _shares(wanted)
    below = wanted if shares is None else {"": ""}
    found = {split: scan_voices(options.source, folder, report) for split, folder in below.items()}
    kept = {split: [v for v in voices if v.seconds >= options.shortest] for split, voices in found.items()}
    if not any(kept.values()):
        raise ConfigError(
            f"{options.source}: no utterance of {options.shortest:g} s in a speaker's folder; check the folder, or set "
            "--shortest lower"
        )
    if shares is not None:
        kept = _dealt(kept[""], shares, options)
    _check_disjoint(kept)
    return kept


def _dealt(
    voices: Sequence[Recording], shares: Mapping[str, float], options: argparse.Namespace
) -> dict[str, list[Recording]]:
    """The voices of each split by its share of the speakers, as many of them at least as a mixture has voices."""
    speakers = sorted({voice.speaker for voice in voices})
    if len(speakers) < options.voices * len(shares):
        raise ConfigError(
            f"{len(speakers)} speaker(s) with an utterance of {options.shortest:g} s are too few for mixtures of "
            f"{options.voices} in {len(shares)} split(s), none of them in two; give more recordings, a lower "
            "--shortest, or fewer splits, as --splits train=1"
        )
    dealt = deal(speakers, shares, options.seed, "speakers", options.voices)
    return {split: [voice for voice in voices if voice.speaker in set(names)] for split, names in dealt.items()}


def _noises(options: argparse.Namespace, splits: Sequence[str], report: Report) -> dict[str, list[Recording]]:
    """Noises of each split: its own folder, or its share of the recordings, or all where they are too few for that."""
    if options.noise is None:
        return {split: [] for split in splits}
    if all((options.noise / split).is_dir() for split in splits):
        return {split: scan_noises(options.noise, split, report) for split in splits}
    found = scan_noises(options.noise, "", report)
    if not found:
        raise ConfigError(f"--noise {options.noise}: no noise that can be used; check the folder")
    if len(found) < len(splits):
        print(f"{options.noise}: {len(found)} noise(s), so the splits share them", file=sys.stderr)
        return dict.fromkeys(splits, found)
    return deal(found, dict.fromkeys(splits, 1.0), options.seed, "noises")


def _check_disjoint(voices: Mapping[str, Sequence[Recording]]) -> None:
    home: dict[str, str] = {}
    for split, found in voices.items():
        for speaker in sorted({voice.speaker for voice in found}):
            if home.setdefault(speaker, split) != split:
                raise ConfigError(
                    f"--splits: speaker {speaker} is in {home[speaker]} and in {split}; splits must differ"
                )


def _named(text: str, option: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(name and mark and value for name, mark, value in pairs) or len({p[0] for p in pairs}) != len(pairs):
        raise ConfigError(f"{option} {text}: expected NAME=VALUE,NAME=VALUE with different names")
    if unfit := [name for name, _, _ in pairs if not _SPLIT_NAME.fullmatch(name)]:
        raise ConfigError(f"{option}: '{unfit[0]}' cannot name a folder; expected letters, digits and dashes")
    return {name: value for name, _, value in pairs}


def _shares(wanted: Mapping[str, str]) -> dict[str, float] | None:
    """Numbers of a --splits option; None where it names folders."""
    try:
        shares = {name: float(value) for name, value in wanted.items()}
    except ValueError:
        return None
    if not all(0 < share < math.inf for share in shares.values()):
        raise ConfigError("--splits: shares of speakers must be numbers above 0")
    return shares


def _counts(text: str, speakers: Mapping[str, int]) -> dict[str, int]:
    """Mixtures of each split; a number for all is shared out as the speakers are."""
    try:
        if "=" not in text:
            total = int(text)
            told = {name: round(total * count / sum(speakers.values())) for name, count in speakers.items()}
        else:
            told = {name: int(value) for name, value in _named(text, "--count").items()}
    except ValueError as error:
        raise ConfigError(f"--count {text}: expected a number, or NAME=N,...") from error
    unknown = sorted(set(told) ^ set(speakers))
    if any(count < 0 for count in told.values()):
        raise ConfigError(f"--count {text}: a number of mixtures cannot be negative")
    if unknown:
        raise ConfigError(
            f"--count: '{unknown[0]}' is not in both --count and --splits (it has: {', '.join(speakers)})"
        )
    return told
