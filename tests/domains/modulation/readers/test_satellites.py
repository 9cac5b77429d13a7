"""Recordings of satellites: the twin, what may be wrong with an archive, and the real set."""

import csv
import hashlib
import io
import lzma
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from armillary.core.errors import DataError
from armillary.domains.modulation.frames import Frames
from armillary.domains.modulation.readers import satellites
from armillary.domains.modulation.readers.satellites import load_satellites
from armillary.domains.modulation.simulation.write_recordings import write_satellites_twin

Content = dict[str, bytes]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("twin")
    write_satellites_twin(folder, 0)
    return folder


@pytest.fixture
def twin(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    for file in made.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def load(folder: Path, length: int = 1024) -> tuple[Frames, list[DataError]]:
    problems: list[DataError] = []
    return load_satellites(folder, length, problems.append), problems


def members(folder: Path) -> Content:
    with tarfile.open(folder / "wav.tar.xz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def pack(folder: Path, content: Content, *extra: tarfile.TarInfo) -> None:
    with tarfile.open(folder / "wav.tar.xz", "w:xz") as archive:
        for info in extra:
            archive.addfile(info)
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def change_table(folder: Path, row: int, **values: str) -> None:
    path = folder / "labels.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    rows[row].update(values)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_broken_recording_of_the_twin_is_reported_and_the_others_come_whole(twin: Path) -> None:
    frames, problems = load(twin)
    assert [problem.path for problem in problems] == [f"{twin / 'wav.tar.xz'}:sim_009.wav"]
    assert "sha256" in str(problems[0])
    assert sorted(set(frames.group)) == [f"sim_{number:03d}.wav" for number in range(9)]
    assert frames.iq.shape == (len(frames), 2, 1024)
    assert frames.sample_rate_hz == 48_000
    assert np.isnan(frames.snr_db).all()
    assert set(frames.label) == {"AFSK", "BPSK", "FSK"}
    assert frames.id[0] == f"{frames.group[0]}:{frames.start[0]}"


def test_the_first_row_of_a_window_is_the_audio_itself(twin: Path) -> None:
    frames, _ = load(twin, 512)
    data = members(twin)[f"wav/{frames.group[3]}"]
    audio = np.frombuffer(data[44:], "<i2")[frames.start[3] :][:512] / 32768
    np.testing.assert_allclose(frames.iq[3, 0], audio, atol=1e-6)


def test_only_windows_of_the_burst_are_taken(twin: Path) -> None:
    frames, _ = load(twin)
    assert Counter(frames.start.tolist()) == dict.fromkeys((1024, 2048, 3072, 4096), 9)


def test_a_column_of_snr_labels_is_read_where_there_is_one(twin: Path) -> None:
    path = twin / "labels.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{head},snr_db", *(f"{row},{number}" for number, row in enumerate(rows))]))
    frames, _ = load(twin)
    assert frames.snr_db[frames.group == "sim_004.wav"].tolist() == [4.0] * 4


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("wav/sim_000.wav", tarfile.SYMTYPE, "link"),
        ("wav/sim_000.wav", tarfile.CHRTYPE, "device"),
        ("../sim_000.wav", tarfile.REGTYPE, "out of the archive"),
        ("/sim_000.wav", tarfile.REGTYPE, "out of the archive"),
        ("wav/stranger.wav", tarfile.REGTYPE, "not in labels.csv"),
    ],
)
def test_a_member_that_is_no_plain_listed_file_is_refused(twin: Path, name: str, kind: bytes, reason: str) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    pack(twin, members(twin), info)
    frames, problems = load(twin)
    assert len(set(frames.group)) == 9
    assert any(reason in str(problem) for problem in problems)


def test_a_member_larger_than_its_samples_need_is_refused_unread(twin: Path) -> None:
    content = members(twin)
    content["wav/sim_002.wav"] += bytes(100_000)
    pack(twin, content)
    frames, problems = load(twin)
    assert "sim_002.wav" not in frames.group
    assert any("more than the" in str(problem) for problem in problems)


def test_a_member_that_claims_more_than_could_be_there_ends_the_archive(twin: Path) -> None:
    info = tarfile.TarInfo("wav/stranger.wav")
    info.size = 1 << 50
    content, problems = members(twin), list[DataError]()
    with lzma.open(twin / "wav.tar.xz", "wb") as file, tarfile.open(fileobj=file, mode="w|") as archive:
        first = tarfile.TarInfo("wav/sim_000.wav")
        first.size = len(content["wav/sim_000.wav"])
        archive.addfile(first, io.BytesIO(content["wav/sim_000.wav"]))
        archive.addfile(info)
    frames = load_satellites(twin, 1024, problems.append)
    assert set(frames.group) == {"sim_000.wav"}
    assert "claims 1125899906842624 bytes" in str(problems[0])


def test_a_recording_that_comes_twice_or_not_at_all_is_reported(twin: Path) -> None:
    content = members(twin)
    del content["wav/sim_001.wav"]
    pack(twin, content | {"again/sim_000.wav": content["wav/sim_000.wav"]})
    frames, problems = load(twin)
    assert len(set(frames.group)) == 8
    text = "\n".join(str(problem) for problem in problems)
    assert "second member" in text
    assert "[sim_001.wav]: is in the table, but not in the archive" in text


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"n_samples": "many"}, "invalid literal"),
        ({"n_samples": "-3"}, "expected 1 to"),
        ({"n_samples": "99999999999"}, "expected 1 to"),
        ({"sample_rate_hz": "nan"}, "a rate of nan Hz"),
        ({"file": "../x.wav"}, "no plain file name"),
        ({"file": "sim_000.wav"}, "listed twice"),
        ({"n_samples": "6000"}, "6144 samples, expected 6000"),
        ({"sample_rate_hz": "44100"}, "48000 Hz, expected 44100 Hz"),
    ],
)
def test_a_row_that_does_not_fit_loses_its_own_recording_alone(twin: Path, values: Content, reason: str) -> None:
    change_table(twin, 4, **values)  # type: ignore[arg-type]
    frames, problems = load(twin)
    assert sorted(set(frames.group)) == [f"sim_{number:03d}.wav" for number in range(9) if number != 4]
    assert any(reason in str(problem) for problem in problems)


def test_a_recording_of_another_rate_than_the_others_is_left_out(twin: Path) -> None:
    content = members(twin)
    data = bytearray(content["wav/sim_003.wav"])
    data[24:28] = (44_100).to_bytes(4, "little")
    pack(twin, content | {"wav/sim_003.wav": bytes(data)})
    change_table(twin, 3, sample_rate_hz="44100", sha256=hashlib.sha256(data).hexdigest())
    frames, problems = load(twin)
    assert "sim_003.wav" not in frames.group
    assert any("44100 Hz, the others at 48000 Hz" in str(problem) for problem in problems)


def test_a_truncated_archive_gives_what_came_before(twin: Path) -> None:
    path = twin / "wav.tar.xz"
    plain = lzma.decompress(path.read_bytes())
    path.write_bytes(lzma.compress(plain[: len(plain) // 2 + 5000]))
    frames, problems = load(twin)
    assert 3 <= len(set(frames.group)) < 9
    assert any("truncated or damaged" in str(problem) for problem in problems)


def test_windows_longer_than_every_recording_leave_nothing(twin: Path) -> None:
    with pytest.raises(DataError, match="no usable recording"):
        load(twin, 10_000)


def test_without_its_columns_or_archive_the_folder_is_refused(twin: Path) -> None:
    (twin / "wav.tar.xz").unlink()
    with pytest.raises(DataError, match="no usable recording"):
        load(twin)
    (twin / "labels.csv").write_text("file,modulation\na.wav,FSK\n")
    with pytest.raises(DataError, match="no column sample_rate_hz, n_samples, sha256"):
        load(twin)
    (twin / "labels.csv").unlink()
    with pytest.raises(DataError, match="cannot be read"):
        load(twin)


def test_nothing_is_written_beside_the_archive(twin: Path) -> None:
    before = sorted(twin.rglob("*"))
    load(twin)
    assert sorted(twin.rglob("*")) == before


@pytest.fixture(scope="module")
def real(data_root: Path) -> tuple[Frames, list[DataError]]:
    folder = data_root / "modulation" / "satellite_recordings"
    if not folder.is_dir():
        pytest.skip("no satellite_recordings below ARMILLARY_DATA")
    return load(folder)


@pytest.mark.real
def test_every_real_recording_gives_windows_of_its_bursts(real: tuple[Frames, list[DataError]]) -> None:
    frames, problems = real
    assert problems == []
    assert len(frames) == 2364
    files = dict(zip(frames.group.tolist(), frames.label.tolist(), strict=True))
    assert Counter(files.values()) == {"FSK": 28, "BPSK": 10, "AFSK": 5}
    assert files["ao73.wav"] == "BPSK"
    assert np.isfinite(frames.iq).all()


@pytest.mark.real
def test_real_bursts_lie_where_the_spectrogram_shows_them(real: tuple[Frames, list[DataError]]) -> None:
    frames, _ = real
    for file, first, last in (("irazu.wav", 50, 59), ("zhou_enlai.wav", 23, 30), ("trisat.wav", 18, 162)):
        assert frames.start[frames.group == file].tolist() == [1024 * n for n in range(first, last + 1)], file


def test_names_of_the_files_are_those_of_the_card() -> None:
    assert (satellites.ARCHIVE, satellites.TABLE) == ("wav.tar.xz", "labels.csv")
