"""Which voices and noises a folder holds."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from armillary.core.errors import DataError
from armillary.domains.speech.readers.audio import SUFFIXES, info
from armillary.domains.speech.readers.librispeech import READERS, read_sexes, speaker_of
from armillary.domains.speech.readers.report import Report


@dataclass(frozen=True)
class Recording:
    """An audio file below a root. path: relative to that root; name: unique among those found with it; speaker: ""
    for a noise; sex: "F", "M" or "" unknown; num_samples at rate_hz.
    """

    path: str
    name: str
    speaker: str
    sex: str
    num_samples: int
    rate_hz: int

    @property
    def seconds(self) -> float:
        """Length [s]."""
        return self.num_samples / self.rate_hz


def scan_voices(root: Path, below: str, report: Report) -> list[Recording]:
    """Utterances in `root`/`below`: a tree as LibriSpeech has it, or any with one folder a speaker.

    The speaker is the reader of a LibriSpeech file name, else the first folder on the way to the file. Files that
    cannot be used, or that lie in no speaker's folder, are reported and left out. Sexes come from a SPEAKERS.TXT in
    the root.
    """
    sexes = read_sexes(root / READERS) if (root / READERS).is_file() else {}
    files = _audio_files(root / below, report)
    speakers = [_speaker(path.relative_to(root / below)) for path in files]
    if homeless := speakers.count(""):
        problem = f"{homeless} file(s) lie in no speaker's folder, the first is {files[speakers.index('')].name}"
        report(DataError(problem, path=root / below, advice="Make one folder for each speaker."))
    pairs = [(path, speaker) for path, speaker in zip(files, speakers, strict=True) if speaker]
    found = [_recording(path, root, speaker, report) for path, speaker in pairs]
    return _named([replace(voice, sex=sexes.get(voice.speaker, "")) for voice in found if voice])


def scan_noises(root: Path, below: str, report: Report) -> list[Recording]:
    """All audio files in `root`/`below`; those that cannot be used are reported and left out."""
    found = [_recording(path, root, "", report) for path in _audio_files(root / below, report)]
    return _named([recording for recording in found if recording])


def _audio_files(folder: Path, report: Report) -> list[Path]:
    if not folder.is_dir():
        report(DataError("is no folder", path=folder, advice="Check the path."))
        return []
    files = [path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()]
    return sorted(path for path in files if not path.name.startswith("."))


def _speaker(path: Path) -> str:
    reader = speaker_of(path.stem)
    if reader and reader in path.parts:
        return reader
    return path.parts[0] if len(path.parts) > 1 else ""


def _recording(path: Path, root: Path, speaker: str, report: Report) -> Recording | None:
    try:
        about = info(path)
    except DataError as error:
        report(error)
        return None
    if about.num_frames is None:
        report(DataError("does not tell its length", path=path, advice="Convert it to WAV or FLAC."))
        return None
    return Recording(path.relative_to(root).as_posix(), path.stem, speaker, "", about.num_frames, about.rate_hz)


def _named(found: list[Recording]) -> list[Recording]:
    """Stems as names where no two are alike, else the whole path."""
    counts = Counter(recording.name for recording in found)
    return [
        recording
        if counts[recording.name] == 1
        else replace(recording, name=recording.path.rpartition(".")[0].replace("/", "-"))
        for recording in found
    ]
