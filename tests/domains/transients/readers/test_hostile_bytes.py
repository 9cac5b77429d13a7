"""Whatever the bytes, a reader gives good chunks and DataErrors, and nothing else; it also ends."""

import bz2
import gzip
import io
import lzma
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from armillary.core.errors import DataError

BUDGET = settings(
    max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None,
    derandomize=True,
)  # fmt: skip


def snana(make: Any) -> dict[str, bytes]:
    return {"a.DAT": make.snana(1, points=3).encode()}


def plasticc(make: Any) -> dict[str, bytes]:
    return {"t.csv": make.table(make.rows((1, 2), 3)).encode()}


def metadata(make: Any) -> dict[str, bytes]:
    table = make.metadata((1, 2), "zenodo").encode()
    return {"t_metadata.csv": table, "t.csv": make.table(make.rows((1, 2), 3)).encode()}


def bts(make: Any) -> dict[str, bytes]:
    return {"ZTFa.csv": make.bts().encode()}


def bts_table(make: Any) -> dict[str, bytes]:
    return {"labels.csv": make.bts_table(["ZTFa"]).encode(), "ZTFa.csv": make.bts().encode()}


def alert(make: Any) -> dict[str, bytes]:
    return {"a.avro": make.alert()}


def head(make: Any) -> dict[str, bytes]:
    make.pair()
    return {name: (make.folder / name).read_bytes() for name in ("SIM_HEAD.FITS", "SIM_PHOT.FITS")}


def phot(make: Any) -> dict[str, bytes]:
    return dict(reversed(head(make).items()))


def tar(mode: str) -> Callable[[Any], dict[str, bytes]]:
    def build(make: Any) -> dict[str, bytes]:
        return {f"a.tar{mode}": make.tar("a", {"1.DAT": make.snana(1, points=3)}, f"w:{mode}").read_bytes()}

    return build


# The first file is the one that is damaged.
FORMATS = {
    "snana": snana, "plasticc": plasticc, "metadata": metadata, "bts": bts, "bts_table": bts_table, "alert": alert,
    "head": head, "phot": phot, "tar": tar(""), "tar.gz": tar("gz"), "tar.xz": tar("xz"), "tar.bz2": tar("bz2"),
}  # fmt: skip
edits = st.lists(
    st.tuples(
        st.sampled_from(["replace", "delete", "insert", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from(
                [b"nan", b"-9", b"1e999", b"\n", b",", b":", b'"', b"\x00", b"99999999999999999999", b"\xff"]
            ),
        ),
    ),
    min_size=1,
    max_size=6,
)


def damaged(data: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """The data after a few local changes."""
    for kind, where, what in changes:
        place = int(where * len(data))
        if kind == "insert":
            data = data[:place] + what + data[place:]
        elif kind == "repeat":
            data = data[:place] + data[place : place + 300] + data[place:]
        else:
            data = data[:place] + (what if kind == "replace" else b"") + data[place + len(what) :]
    return data


def check(files: dict[str, bytes], outcome: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / name).write_bytes(data)
        result = outcome([Path(folder)])  # checks every chunk's schema
    assert all(type(error) is DataError and str(error) for error in result.errors)


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_gives_chunks_or_reports(name: str, make: Any, outcome: Any) -> None:
    files = FORMATS[name](make)
    first = next(iter(files))

    @BUDGET
    @given(changes=edits)
    def run(changes: list[tuple[str, float, bytes]]) -> None:
        check({**files, first: damaged(files[first], changes)}, outcome)

    run()


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_anywhere_gives_chunks_or_reports(name: str, make: Any, outcome: Any) -> None:
    files = FORMATS[name](make)
    first = next(iter(files))

    @BUDGET
    @given(where=st.floats(0, 1))
    def run(where: float) -> None:
        check({**files, first: files[first][: int(where * len(files[first]))]}, outcome)

    run()


MAGIC = (b"", b"Obj\x01", b"SIMPLE  =                    T", b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"BZh9",
         b"object_id,mjd,passband,flux,flux_err,detected\n", b",ant_mjd,ant_passband,ant_mag,ant_magerr\n",
         b"SURVEY: DES\nSNID: 1\nNOBS: 1\nVARLIST: MJD FLT FLUXCAL FLUXCALERR\n", b"ZTFID,RA\n")  # fmt: skip


@BUDGET
@given(
    magic=st.sampled_from(MAGIC),
    data=st.binary(max_size=400),
    suffix=st.sampled_from([".csv", ".DAT", ".avro", "_HEAD.FITS", "_PHOT.FITS", ".tar.gz"]),
)
def test_random_bytes_give_reports(magic: bytes, data: bytes, suffix: str, outcome: Any) -> None:
    check({f"x{suffix}": magic + data}, outcome)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress])
def test_random_content_behind_a_good_compressor_gives_reports(compress: Any, outcome: Any) -> None:
    @BUDGET
    @given(magic=st.sampled_from(MAGIC), data=st.binary(max_size=200))
    def run(magic: bytes, data: bytes) -> None:
        check({"x.csv.gz": compress(magic + data)}, outcome)

    run()


def test_an_avro_header_that_claims_endless_records_ends(make: Any, outcome: Any) -> None:
    packet = make.alert()
    marker = packet[-16:]  # each block ends in the file's marker
    cut = packet.index(marker) + 16
    endless = io.BytesIO()
    endless.write(packet[:cut])
    endless.write(b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x00")  # records claimed, in no bytes
    endless.write(marker)
    check({"a.avro": endless.getvalue()}, outcome)
