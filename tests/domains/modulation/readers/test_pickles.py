"""RML2016 pickles of every protocol; hostile ones run nothing and cost no more than their size."""

import bz2
import gzip
import io
import lzma
import os
import pickle
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from armillary.core.errors import DataError
from armillary.domains.modulation.readers.pickle_arrays import PickleRefusedError, load_dict
from armillary.domains.modulation.readers.rml_pickle import read_rml_pickle


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def load(data: bytes) -> dict[object, object]:
    return load_dict(io.BytesIO(data))


def python2(array: np.ndarray, protocol: int) -> bytes:
    """What Python 2 and its NumPy wrote of {('QPSK', 18): array}: text and data are byte strings."""
    data, shape = array.tobytes(), array.shape
    if protocol == 0:
        quoted = "".join(f"\\x{byte:02x}" for byte in data)
        sizes = "".join(f"I{size}\n" for size in shape)
        return (
            "(dp0\n(S'QPSK'\np1\nI18\ntp2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntp5\n"
            f"S'b'\np6\ntp7\nRp8\n(I1\n({sizes}tp9\ncnumpy\ndtype\np10\n(S'f4'\np11\nI0\nI1\ntp12\nRp13\n(I3\nS'<'\n"
            f"p14\nNNNI-1\nI-1\nI0\ntp15\nbI00\nS'{quoted}'\np16\ntp17\nbs."
        ).encode()
    sizes = b"".join(b"K" + bytes([size]) for size in shape)
    state = b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return (
        b"\x80\x02}q\x00U\x04QPSKK\x12\x86cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01(" + sizes + b"tcnumpy\ndtype\nU\x02f4K\x00K\x01\x87R" + state + b"\x89"
        b"T" + struct.pack("<I", len(data)) + data + b"tbs."
    )


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_gives_the_arrays_that_went_in(protocol: int):
    content = {
        ("QPSK", 18): noise(3, 2, 16),
        ("8PSK", np.int64(-2)): noise(2, 2, 16).astype(">f8"),
        ("BPSK", 0.5): np.asfortranarray(noise(2, 2, 5)),
        ("none", 1): np.zeros((0, 2, 5), np.float32),
        ("AM", True): [1, 2.5, None, "text", b"bytes", -(2**40), False, (), {}],
    }
    found = load(pickle.dumps(content, protocol))
    assert list(found) == list(content)
    for key, value in content.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[key], value)
        else:
            assert found[key] is None


@pytest.mark.parametrize("protocol", [0, 2])
def test_a_pickle_of_python_2_is_read_as_its_own_unpickler_reads_it(protocol: int):
    array = noise(2, 2, 7)
    data = python2(array, protocol)
    known = pickle.loads(data, encoding="latin1")
    np.testing.assert_array_equal(known[("QPSK", 18)], array)
    np.testing.assert_array_equal(load(data)[(b"QPSK", 18)], array)


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_frames_come_sorted_with_names_of_class_snr_and_place(make: Any, problems: Any, suffix: str, pack: Any):
    path = make.write(f"b.pkl{suffix}", pack(make.rml().read_bytes()))
    parts = list(read_rml_pickle(path, problems.append))
    assert [(part.label[0], part.snr_db[0]) for part in parts] == [
        ("BPSK", -20),
        ("BPSK", 18),
        ("QPSK", -20),
        ("QPSK", 18),
    ]
    frames = parts[3]
    assert frames.id.tolist() == ["QPSK/18/0000", "QPSK/18/0001", "QPSK/18/0002"]
    assert frames.group.tolist() == frames.id.tolist()
    np.testing.assert_array_equal(frames.iq, noise(3, 2, 16))
    assert frames.sources == (str(path),)
    assert not problems


def test_frames_of_zeros_or_nan_are_named_and_the_others_stay(make: Any, problems: Any):
    iq = noise(6, 2, 16)
    iq[1, 0, 3], iq[4] = np.nan, 0
    frames = make.joined(read_rml_pickle(make.rml(QAM16_m2=iq), problems.append))
    assert [name for name in frames.id if "QAM16" in name] == [f"QAM16/-2/000{i}" for i in (0, 2, 3, 5)]
    assert "[QAM16/-2/0001]: samples that are not finite" in str(problems)
    assert "[QAM16/-2/0004]: all samples are zero" in str(problems)
    assert len(frames) == 16


WRONG_VALUES = {
    "QAM16_2": (np.zeros((2, 16), np.float32), "an array of shape (2, 16)"),
    "QAM16_4": (noise(2, 2, 7), "frames of 7 samples, the others have 16"),
    "QAM16_6": ("text", "no array of real numbers"),
    "QAM16_8": (np.zeros((1, 2, 16), np.complex64), "no array of real numbers"),
}


@pytest.mark.parametrize("key", WRONG_VALUES)
def test_a_key_with_a_wrong_value_is_named_and_the_others_stay(make: Any, problems: Any, key: str):
    value, told = WRONG_VALUES[key]
    frames = make.joined(read_rml_pickle(make.rml(**{key: value}), problems.append))
    assert len(frames) == 12
    assert told in str(problems)
    assert "QAM16" in str(problems)


def test_keys_of_another_form_and_keys_that_are_there_twice_are_named(make: Any, problems: Any):
    iq = noise(1, 2, 8)
    content = {("QPSK", 2): iq, (b"QPSK", 2): iq, "QPSK": iq, ("QPSK", "2"): iq, ("Q" * 101, 2): iq, ("", 1): iq}
    frames = make.joined(read_rml_pickle(make.write("a.pkl", pickle.dumps(content, 4)), problems.append))
    assert len(frames) == 1
    assert len(problems) == 5
    assert "there twice" in str(problems)


class Hostile:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


HOSTILE = {
    "os.system": (Hostile(os.system, "touch pwned"), "system"),
    "eval": (Hostile(eval, "open('pwned', 'w')"), "builtins.eval"),
    "nested": (Hostile(dict, Hostile(getattr, Hostile(__import__, "os"), "system")), "dict"),
    "in a key": ({("QPSK", Hostile(eval, "1")): 1}, "builtins.eval"),
    "objects": ({("QPSK", 2): np.array([[[1], [2]]], object)}, "dtype 'O8'"),
    "text": ({("QPSK", 2): np.array([["a"]])}, "dtype 'U1'"),
    "records": ({("QPSK", 2): np.zeros(2, [("a", "f4")])}, "dtype 'V4'"),
    "a subclass": ({("QPSK", 2): np.ma.array([1.0])}, "numpy.ma"),
    "a matrix": ({("QPSK", 2): np.recarray((1,), [("a", "f4")])}, "numpy.rec"),
    "a set": ({("QPSK", 2): {1, 2}}, "set"),
    "a complex number": ({("QPSK", 2): 1j}, "complex"),
    "a path": ({("QPSK", 2): Path("a")}, "pathlib"),
    "a list": ([1], "expected a dict"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", HOSTILE)
def test_anything_but_plain_arrays_is_refused_by_name_and_not_run(
    name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    content, told = HOSTILE[name]
    with pytest.raises(PickleRefusedError) as refused:
        load(pickle.dumps(content, protocol))
    if protocol > 0 and name != "a set":
        assert told.split(".")[-1] in str(refused.value)
    assert not list(tmp_path.iterdir())


HEAD = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
FLOAT = b"cnumpy\ndtype\nX\x02\0\0\0f4\x89\x88\x87R(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
LIES = {
    "a shape of a terabyte": HEAD + b"(K\x01\x8a\x06\0\0\0\0\0\x01\x85" + FLOAT + b"\x89C\x04\0\0\0\0tb.",
    "sizes whose product wraps round": HEAD + b"(K\x01\x8a\x09" + b"\0" * 8 + b"\x01\x85" + FLOAT + b"\x89C\0tb.",
    "a negative size": HEAD + b"(K\x01J\xff\xff\xff\xff\x85" + FLOAT + b"\x89C\x04\0\0\0\0tb.",
    "an allocation by the constructor": b"\x80\x02cnumpy\nndarray\n\x8a\x06\0\0\0\0\0\x01\x85\x85R.",
    "4 GB of bytes that are not there": b"\x80\x04B\xff\xff\xff\xffabc",
    "an exabyte of bytes": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x0fabc",
    "a byte array of an exabyte": b"\x80\x05\x96" + b"\xff" * 7 + b"\x0fabc",
    "text of an exabyte": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x0fabc",
    "a frame of an exabyte": b"\x80\x04\x95" + b"\xff" * 7 + b"\x0f",
    "a memo of four thousand million": b"\x80\x02Nr\xff\xff\xff\xff.",
    "a line without an end": b"S'" + b"a" * 1000,
    "nothing to take": b"\x80\x020.",
    "no mark": b"\x80\x02t.",
    "below the mark": b"\x80\x02N(0.",
    "a memo that is not there": b"\x80\x02h\x05.",
    "a persistent id": b"\x80\x02Pabc\n.",
    "an extension": b"\x80\x02\x82\x01.",
    "an instance": b"(ios\nsystem\n.",
    "an object": b"\x80\x02(cos\nsystem\no.",
    "a name made of text": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "a state for a name": b"\x80\x02cnumpy\ndtype\n}b.",
    "a call of a name that makes nothing": b"\x80\x02cnumpy\nndarray\n)R.",
    "a call of a value": b"\x80\x02K\x01)R.",
    "a dtype with fields": b"\x80\x02cnumpy\ndtype\nX\x02\0\0\0f4\x89\x88\x87R(K\x03X\x01\0\0\0<N(X\x01\0\0\0at}tb.",
    "a list as a key": b"\x80\x02}]K\x01s.",
    "too many digits": b"I" + b"9" * 10000 + b"\n.",
    "nothing": b"",
    "half a dict": b"\x80\x02}X\x04\0\0\0QPSK",
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_pickle_that_lies_about_sizes_is_refused_without_their_memory(name: str):
    tracemalloc.start()
    try:
        with pytest.raises(PickleRefusedError):
            load(LIES[name])
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()


def test_arrays_that_share_their_bytes_may_not_be_more_than_was_read():
    data = b"\x80\x02}("
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01K\x00\x85" + FLOAT
    block = b"B" + struct.pack("<I", 4 << 10) + bytes(4 << 10) + b"q\x01"
    shape = array.replace(b"K\x01K\x00\x85", b"K\x01M\x00\x04\x85")
    data += b"".join(b"K" + bytes([i]) + shape + b"\x89" + (block if i == 0 else b"h\x01") + b"tb" for i in range(200))
    with pytest.raises(PickleRefusedError, match="by its shape"):
        load(data + b"u.")


def test_depth_and_number_of_instructions_are_bounded():
    deep = b"\x80\x02" + b"(" * 50_000 + b"t" * 50_000
    with pytest.raises(PickleRefusedError, match="keys that are neither"):
        load(b"\x80\x02}" + deep[2:] + b"K\x01s.")
    assert load(b"\x80\x02}K\x01" + deep[2:] + b"s.") == {1: None}
    with pytest.raises(PickleRefusedError, match="more than 200000 pickle instructions"):
        load(b"\x80\x02" + b"]" * 200_001)


def test_a_list_that_holds_itself_is_no_trouble():
    assert load(b"\x80\x02}K\x01]q\x00h\x00as.") == {1: None}


def test_a_wrong_pickle_is_a_data_error_that_says_what_was_expected(make: Any, problems: Any):
    path = make.write("a.pkl", pickle.dumps(Hostile(os.system, "true"), 2))
    with pytest.raises(DataError, match=r"names .*system, which is no NumPy array; nothing of it was run") as error:
        list(read_rml_pickle(path, problems.append))
    assert "RML2016.10a" in error.value.advice


def test_a_damaged_or_bloated_compressed_pickle_is_a_data_error(make: Any, problems: Any):
    whole = make.rml("a.pkl.gz").read_bytes()
    with pytest.raises(DataError, match="truncated or damaged"):
        list(read_rml_pickle(make.write("b.pkl.gz", whole[: len(whole) // 2]), problems.append))
    bomb = gzip.compress(b"\x80\x04\x8e" + struct.pack("<Q", 80 << 20) + bytes(80 << 20))
    with pytest.raises(DataError, match="unfolds to more than 67108864 bytes"):
        list(read_rml_pickle(make.write("c.pkl.gz", bomb), problems.append))
