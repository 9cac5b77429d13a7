"""SigMF pairs and archives: segments, labels, and metadata that lie."""

import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.sigmf_files import open_sigmf, open_sigmf_archive
from armillary.domains.modulation.readers.sigmf_meta import Annotations, parse_metadata
from armillary.domains.modulation.settings import ModulationPredict

PLAIN = ModulationPredict()


def start(at: int, **more: Any) -> dict[str, Any]:
    return {"core:sample_start": at} | {f"core:{key}": value for key, value in more.items()}


@pytest.mark.parametrize("given_suffix", [".sigmf-meta", ".sigmf-data"])
def test_a_pair_is_read_with_rate_and_frequency_whichever_file_is_given(make: Any, problems: Any, given_suffix: str):
    meta = make.sigmf()
    (capture,) = open_sigmf(meta.with_suffix(given_suffix), PLAIN, problems.append)
    np.testing.assert_array_equal(make.samples(capture), make.tone(100))
    assert (capture.source, capture.sample_rate_hz, capture.centre_hz) == (str(meta), 1e6, 145.8e6)
    assert not problems


def test_segments_are_captures_of_their_own_frequency(make: Any, problems: Any):
    captures = [start(0, frequency=1e8), start(30, frequency=2e8), start(60)]
    found = list(open_sigmf(make.sigmf(captures=captures), PLAIN, problems.append))
    assert [(capture.first, capture.centre_hz) for capture in found][:2] == [(0, 1e8), (30, 2e8)]
    assert math.isnan(found[2].centre_hz)
    np.testing.assert_array_equal(np.concatenate([make.samples(capture) for capture in found]), make.tone(100))
    windows = [chunk for capture in found for chunk in make.cut(capture, problems, length=8)]
    assert [chunk.start.tolist() for chunk in windows] == [[0, 8, 16], [30, 38, 46], [60, 68, 76, 84, 92]]


@pytest.mark.parametrize("captures", [[], [start(40, frequency=1e8)]])
def test_samples_before_the_first_segment_are_kept(make: Any, problems: Any, captures: list[Any]):
    found = list(open_sigmf(make.sigmf(captures=captures), PLAIN, problems.append))
    assert sum(len(make.samples(capture)) for capture in found) == 100
    assert math.isnan(found[0].centre_hz)


def test_an_offset_numbers_the_first_sample(make: Any, problems: Any):
    meta = make.sigmf(offset=1000, captures=[start(1000)], annotations=[start(1010, sample_count=30, label="QPSK")])
    (capture,) = open_sigmf(meta, PLAIN, problems.append)
    (chunk,) = make.cut(capture, problems, length=10)
    assert chunk.start[:2].tolist() == [1000, 1010]
    assert chunk.label.tolist() == ["", "QPSK", "QPSK", "QPSK", *[""] * 6]
    assert not problems


def test_headers_between_segments_and_bytes_at_the_end_are_stepped_over(make: Any, problems: Any):
    samples = make.tone(50)
    data = b"0123" + samples[:20].tobytes() + b"01234567" + samples[20:].tobytes() + b"end"
    captures = [start(0, header_bytes=4), start(20, header_bytes=8)]
    meta = make.sigmf(data=b"", captures=captures, dataset="a.bin", trailing_bytes=3)
    make.write("a.bin", data)
    found = list(open_sigmf(meta, PLAIN, problems.append))
    np.testing.assert_array_equal(np.concatenate([make.samples(capture) for capture in found]), samples)
    assert not problems


def test_windows_inside_an_annotation_take_its_label_and_shorter_ones_win(make: Any, problems: Any):
    annotations = [
        start(0, sample_count=100, label="noise", freq_lower_edge=1e8, freq_upper_edge=2e8),
        start(20, sample_count=25, label="QPSK"),
        start(50, sample_count=20),
        start(70, label="GMSK"),
    ]
    (capture,) = open_sigmf(make.sigmf(annotations=annotations), PLAIN, problems.append)
    (chunk,) = make.cut(capture, problems, length=10)
    assert chunk.label.tolist() == ["noise", "noise", "QPSK", "QPSK", *["noise"] * 3, "GMSK", "GMSK", "GMSK"]
    assert not problems


@given(
    st.lists(st.tuples(st.integers(0, 80), st.integers(0, 60), st.sampled_from("abc")), max_size=6),
    st.integers(1, 20),
    st.integers(1, 9),
)
def test_labels_are_those_of_the_shortest_annotation_around_each_window(rows: list[Any], length: int, hop: int):
    rows = sorted(rows, key=lambda row: row[0])
    first, count = (np.array([row[place] for row in rows], np.int64) for place in (0, 1))
    annotations = Annotations(first, first + count, tuple(row[2] for row in rows))
    starts = np.arange(0, 100, hop, dtype=np.int64)
    for place, label in zip(starts.tolist(), annotations.labels(starts, length).tolist(), strict=True):
        around = [row for row in rows if row[0] <= place and place + length <= row[0] + row[1]]
        shortest = min((row[1] for row in around), default=0)
        assert label in ({row[2] for row in around if row[1] == shortest} or {""})


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [("cf64_le", "<f8"), ("ci16_le", "<i2"), ("ci16_be", ">i2"), ("ci8", "i1"), ("cu8", "u1"), ("cf32_be", ">f4")],
)
def test_datatypes_are_read_in_their_byte_order(make: Any, problems: Any, datatype: str, dtype: str):
    values = (np.arange(200) % 100).astype(dtype)
    (capture,) = open_sigmf(make.sigmf(data=values.tobytes(), datatype=datatype), PLAIN, problems.append)
    scale = {"f": 1.0, "i": 2.0 ** (8 * values.itemsize - 1), "u": 127.5}[values.dtype.kind]
    shift = 127.5 if values.dtype.kind == "u" else 0.0
    expected = (values.astype(float) - shift) / scale
    np.testing.assert_allclose(make.samples(capture), expected[::2] + 1j * expected[1::2], rtol=1e-6)


def test_real_samples_give_as_many_complex_ones(make: Any, problems: Any):
    data = make.noise(500).astype("<f4").tobytes()
    (capture,) = open_sigmf(make.sigmf(data=data, datatype="rf32_le"), PLAIN, problems.append)
    assert len(make.samples(capture)) == 500


# Each with what it says; the recording is left out.
IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "datatype": ({"datatype": "cf31_le"}, r"core:datatype is 'cf31_le'"),
    "no datatype": ({"datatype": None}, "core:datatype is missing"),
    "a number as datatype": ({"datatype": 7}, "core:datatype is a int"),
    "channels": ({"num_channels": 2}, "core:num_channels is 2"),
    "metadata only": ({"metadata_only": True}, "says that it has no samples"),
    "rate": ({"sample_rate": -5}, "core:sample_rate is -5"),
    "rate of text": ({"sample_rate": "fast"}, "core:sample_rate is 'fast'"),
    "rate without end": ({"sample_rate": 1e300}, "core:sample_rate is 1e[+]300"),
    "negative offset": ({"offset": -1}, "core:offset is -1"),
    "folder in the name": ({"dataset": "../a.sigmf-data"}, "core:dataset is '../a.sigmf-data'"),
    "root in the name": ({"dataset": "/etc/passwd"}, "without a folder"),
    "other folder": ({"dataset": "..\\secret"}, "without a folder"),
    "missing data": ({"dataset": "other.bin"}, r"no data file beside it \(other.bin\)"),
    "negative start": ({"captures": [start(-4)]}, "core:sample_start is -4"),
    "no start": ({"captures": [{}]}, "core:sample_start is missing"),
    "fraction of a sample": ({"captures": [start(1.5)]}, "core:sample_start is 1.5"),
    "captures out of order": ({"captures": [start(9), start(3)]}, r"captures\[1\] core:sample_start is 3"),
    "captures of text": ({"captures": "all"}, "captures is a str"),
    "a capture of text": ({"captures": ["all"]}, r"captures\[0\] is a str"),
    "frequency of text": ({"captures": [start(0, frequency="high")]}, "core:frequency is 'high'"),
    "a capture before the first sample": ({"offset": 10, "captures": [start(5)]}, "starts at sample 5, before"),
    "headers longer than the file": (
        {"captures": [start(0, header_bytes=10_000)]},
        "add up to 10000, the data have 800",
    ),
    "trailing bytes": ({"trailing_bytes": 900}, "add up to 900"),
    "annotations of text": ({"annotations": {}}, "annotations is a dict"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_metadata_that_cannot_be_right_are_a_data_error(make: Any, problems: Any, name: str):
    changes, told = IMPOSSIBLE[name]
    with pytest.raises(DataError, match=told):
        list(open_sigmf(make.sigmf(**changes), PLAIN, problems.append))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"global": 3}',
        b"\xff\xfe",
        b'{"global": {"core:datatype": ' + b"9" * 9999 + b"}}",
    ],
)
def test_metadata_that_are_no_object_are_a_data_error(problems: Any, text: bytes):
    with pytest.raises(DataError):
        parse_metadata(text, "a.sigmf-meta", problems.append)


def test_a_missing_rate_is_left_to_the_settings(make: Any, problems: Any):
    (capture,) = open_sigmf(make.sigmf(sample_rate=None), PLAIN, problems.append)
    assert math.isnan(capture.sample_rate_hz)
    (chunk,) = make.cut(capture, problems, sample_rate_hz=5e5)
    assert chunk.sample_rate_hz == 5e5


def test_a_digest_that_differs_is_told_with_both_and_the_samples_are_used(make: Any, problems: Any):
    wrong, right = "ab" * 64, hashlib.sha512(make.tone(100).tobytes()).hexdigest()
    (capture,) = open_sigmf(make.sigmf(sha512=wrong), PLAIN, problems.append)
    assert len(make.samples(capture)) == 100
    assert wrong[:16] in str(problems)
    assert right[:16] in str(problems)
    problems.clear()
    list(open_sigmf(make.sigmf(sha512=right.upper()), PLAIN, problems.append))
    assert not problems


def test_annotations_beyond_the_data_are_told_and_cut_off(make: Any, problems: Any):
    annotations = [start(40, sample_count=500, label="QPSK"), start(900, sample_count=5, label="BPSK")]
    (capture,) = open_sigmf(make.sigmf(annotations=annotations), PLAIN, problems.append)
    (chunk,) = make.cut(capture, problems, length=20)
    assert chunk.label.tolist() == ["", "", "QPSK", "QPSK", "QPSK"]
    assert "2 of its annotations reach beyond the data, which are samples 0 to 100" in str(problems)
    assert "from 40 to 540" in str(problems)


def test_annotations_that_say_nonsense_are_told_once_and_the_others_stay(make: Any, problems: Any):
    annotations = [
        start(-5, sample_count=5, label="a"),
        start(0, sample_count=-1, label="b"),
        start(0, sample_count=5, label=7),
        start(0, sample_count=5, label="x" * 101),
        "text",
        start(0, sample_count=100, label="QPSK"),
    ]
    (capture,) = open_sigmf(make.sigmf(annotations=annotations), PLAIN, problems.append)
    (chunk,) = make.cut(capture, problems, length=50)
    assert chunk.label.tolist() == ["QPSK", "QPSK"]
    assert len(problems) == 1
    assert "5 of its annotations cannot be used; annotations[0]: core:sample_start is -5" in str(problems)


def test_captures_beyond_the_data_are_told_and_left_out(make: Any, problems: Any):
    found = list(
        open_sigmf(make.sigmf(captures=[start(0), start(60), start(100), start(10**9)]), PLAIN, problems.append)
    )
    assert [len(make.samples(capture)) for capture in found] == [60, 40]
    assert "a capture starts at sample 100, the data end at 100" in str(problems)
    assert "a capture starts at sample 1000000000" in str(problems)


def test_a_datatype_that_does_not_divide_the_file_is_told_and_whole_samples_used(make: Any, problems: Any):
    (capture,) = open_sigmf(make.sigmf(data=bytes(range(1, 206))), PLAIN, problems.append)
    assert len(make.samples(capture)) == 25
    assert "a.sigmf-data holds 205 bytes, which is no whole number of samples of 8 bytes (cf32_le)" in str(problems)


def test_an_empty_recording_is_shorter_than_a_window(make: Any, problems: Any):
    (capture,) = open_sigmf(make.sigmf(data=b""), PLAIN, problems.append)
    assert make.cut(capture, problems) == []
    assert "has 0 samples; expected at least 8" in str(problems)


def test_data_without_metadata_are_a_data_error(make: Any, problems: Any):
    with pytest.raises(DataError, match=r"no metadata beside it \(b.sigmf-meta\)"):
        list(open_sigmf(make.write("b.sigmf-data", bytes(80)), PLAIN, problems.append))


def archived(make: Any, name: str = "a", **more: Any) -> dict[str, bytes]:
    """A pair as members of an archive."""
    meta = make.sigmf(name.replace("/", "_"), **more)
    return {f"{name}.sigmf-meta": meta.read_bytes(), f"{name}.sigmf-data": meta.with_suffix(".sigmf-data").read_bytes()}


def test_an_archive_is_read_in_place_with_all_its_recordings(make: Any, problems: Any):
    digest = hashlib.sha512(make.tone(100).tobytes()).hexdigest()
    members = archived(make, "x/a", sha512=digest) | archived(make, "x/b", data=make.tone(50, 1).tobytes())
    path = make.tar("two.sigmf", members)
    found = list(open_sigmf_archive(path, PLAIN, problems.append))
    assert [capture.source for capture in found] == [f"{path}:x/a.sigmf-meta", f"{path}:x/b.sigmf-meta"]
    np.testing.assert_array_equal(make.samples(found[0]), make.tone(100))
    np.testing.assert_array_equal(make.samples(found[1]), make.tone(50, 1))
    assert not problems


def test_an_archive_is_never_left_through_links_or_names(make: Any, problems: Any):
    make.write("secret.sigmf-data", make.tone(100).tobytes())
    meta = archived(make, "a")["a.sigmf-meta"]
    linked = make.tar(
        "linked.sigmf", {"a.sigmf-meta": meta}, **{"a.sigmf-data": str(make.folder / "secret.sigmf-data")}
    )
    assert list(open_sigmf_archive(linked, PLAIN, problems.append)) == []
    assert "the archive holds no a.sigmf-data" in str(problems)
    problems.clear()
    before = sorted(make.folder.iterdir())
    climbing = make.tar("climbing.sigmf", {f"../../{name}": data for name, data in archived(make, "a").items()})
    assert len(list(open_sigmf_archive(climbing, PLAIN, problems.append))) == 1
    assert sorted(make.folder.iterdir()) == sorted([*before, climbing])


def test_one_bad_recording_in_an_archive_does_not_lose_the_other(make: Any, problems: Any):
    path = make.tar("a.sigmf", archived(make, "a", datatype="x") | archived(make, "b"))
    (capture,) = open_sigmf_archive(path, PLAIN, problems.append)
    assert capture.source.endswith("b.sigmf-meta")
    assert "core:datatype is 'x'" in str(problems)


@pytest.mark.parametrize("content", [b"", bytes(2000), b"\x1f\x8b" + bytes(100), b"PK\x03\x04" + bytes(100)])
def test_what_is_no_plain_archive_is_a_data_error(make: Any, problems: Any, content: bytes):
    with pytest.raises(DataError, match=r"no plain tar archive|holds no"):
        list(open_sigmf_archive(make.write("a.sigmf", content), PLAIN, problems.append))


def test_a_truncated_archive_is_a_data_error(make: Any, problems: Any):
    path = make.tar("a.sigmf", archived(make, data=bytes(100_000)))
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match="damaged"):
        list(open_sigmf_archive(path, PLAIN, problems.append))


def test_undeclared_extensions_and_unknown_fields_do_no_harm(make: Any, problems: Any):
    meta = make.sigmf()
    about = json.loads(meta.read_text())
    about["global"]["other:thing"] = {"deep": [1, 2]}
    about["extra"] = None
    meta.write_text(json.dumps(about))
    (capture,) = open_sigmf(meta, PLAIN, problems.append)
    assert len(make.samples(capture)) == 100
    assert not problems
