"""A golden table of files from outside that are wrong: what is said of each, and that what is good comes out."""

import bz2
import errno
import gzip
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Case:
    """build(make) writes the bad file beside a good one; `says` are parts of one report; `left` are the good ids."""

    name: str
    build: Callable[[Any], object]
    says: tuple[str, ...]
    left: tuple[str, ...]


def edited(text: str, line: int, old: str, new: str) -> str:
    """The text with `old` replaced in one line (counted from 1)."""
    lines = text.split("\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    return "\n".join(lines)


def plasticc(
    name: str, change: Callable[[Any, list[str]], str | bytes], *says: str, left: tuple[str, ...] = ("1", "2", "3")
) -> Case:
    """A PLAsTiCC table of objects 1, 2, 3 (six rows each) after a change."""
    return Case(f"plasticc-{name}", lambda m: m.write("t.csv", change(m, m.rows((1, 2, 3)))), says, left)


def field(rows: list[str], row: int, place: int, value: str) -> list[str]:
    """The rows with one field replaced; `row` is the line of the file, the header being 1."""
    fields = rows[row - 2].split(",")
    fields[place] = value
    return [*rows[: row - 2], ",".join(fields), *rows[row - 1 :]]


def snana(name: str, change: Callable[[str], str | bytes], *says: str, left: tuple[str, ...] = ("1", "2")) -> Case:
    """SNANA text of object 2 after a change, beside the whole object 1; OBS rows begin at line 20."""

    def build(make: Any) -> None:
        make.write("a.DAT", make.snana(1))
        make.write("b.DAT", change(make.snana(2)))

    return Case(f"snana-{name}", build, says, left)


def bts(name: str, change: Callable[[str], str | bytes], *says: str, left: tuple[str, ...] = ("ZTFa", "ZTFb")) -> Case:
    def build(make: Any) -> None:
        make.write("ZTFa.csv", make.bts())
        make.write("ZTFb.csv", change(make.bts(seed=1)))

    return Case(f"bts-{name}", build, says, left)


def pair(name: str, says: tuple[str, ...], left: tuple[str, ...], **changes: Any) -> Case:
    return Case(f"fits-{name}", lambda make: make.pair(**changes), says, left)


def archive(name: str, build: Callable[[Any], object], *says: str, left: tuple[str, ...] = ("1",)) -> Case:
    return Case(f"archive-{name}", build, says, left)


def with_member(info: Callable[[], tarfile.TarInfo], data: bytes = b"") -> Callable[[Any], None]:
    """A tar archive of a good object and an odd member."""

    def build(make: Any) -> None:
        with tarfile.open(make.folder / "a.tar", "w") as tar:
            odd, good, text = info(), tarfile.TarInfo("good.DAT"), make.snana(1).encode()
            odd.size, good.size = len(data), len(text)
            tar.addfile(odd, io.BytesIO(data))
            tar.addfile(good, io.BytesIO(text))

    return build


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> Callable[[], tarfile.TarInfo]:
    def info() -> tarfile.TarInfo:
        made = tarfile.TarInfo(name)
        made.type, made.linkname = kind, target
        return made

    return info


def truncated(make: Any) -> None:
    # Without compression, so that it is known which member is cut.
    path = make.tar("a.tar", {"1.DAT": make.snana(1), "2.DAT": make.snana(2)}, "w")
    path.write_bytes(path.read_bytes()[:3300])


def bomb(make: Any) -> None:
    make.write("a.DAT", make.snana(1))
    make.tar("b.tar.xz", {name: bytes(40 << 20) for name in ("x.DAT", "y.DAT")})


def lying_size(make: Any) -> None:
    make.write("1.DAT", make.snana(1))
    info = tarfile.TarInfo("2.DAT")
    info.size = 1 << 40
    make.write("a.tar", info.tobuf() + make.snana(2).encode())


def lying_rows(make: Any) -> None:
    make.write("1.DAT", make.snana(1))
    make.pair()
    path = make.folder / "SIM_PHOT.FITS"
    data = path.read_bytes()
    old = b"NAXIS2  =                    9"
    assert old in data
    path.write_bytes(data.replace(old, b"NAXIS2  =           9000000000"))


def cut_fits(make: Any) -> None:
    make.write("1.DAT", make.snana(1))
    make.pair()
    path = make.folder / "SIM_PHOT.FITS"
    path.write_bytes(path.read_bytes()[:-2880])


def alone(kind: str) -> Callable[[Any], None]:
    def build(make: Any) -> None:
        make.write("1.DAT", make.snana(1))
        make.pair()
        (make.folder / f"SIM_{kind}.FITS").unlink()

    return build


def alert(change: Callable[[Any], bytes]) -> Callable[[Any], None]:
    def build(make: Any) -> None:
        make.write("a.avro", make.alert("ZTFa"))
        make.write("b.avro", change(make))

    return build


RECURSIVE = {
    "type": "record", "name": "alert",
    "fields": [{"name": "objectId", "type": "string"}, {"name": "again", "type": ["null", "alert"]}],
}  # fmt: skip
NAME_ONLY = [{"name": "objectId", "type": "string"}]
ENDLESS = {
    "type": "record", "name": "alert",
    "fields": [*NAME_ONLY, {"name": "many", "type": {"type": "array", "items": "null"}}],
}  # fmt: skip


def odd_alert(schema: dict[str, Any], packet: dict[str, Any]) -> bytes:
    import fastavro

    stream = io.BytesIO()
    fastavro.writer(stream, schema, [packet])
    return stream.getvalue()


CASES = [
    plasticc("missing column", lambda m, r: m.table(r, m.kaggle.replace("flux_err", "fluxerr")),
             "t.csv:1", "no column 'flux_err'", "did you mean 'fluxerr'", "Rename", left=()),
    plasticc("column twice", lambda m, r: m.table(r, m.kaggle.replace("detected", "flux")),
             "t.csv:1", "'flux' occurs twice", left=()),
    plasticc("both dialects", lambda m, r: m.table([x + ",1" for x in r], m.kaggle + ",detected_bool"),
             "both 'detected' and 'detected_bool'", left=()),
    plasticc("unknown band", lambda m, r: m.table(field(r, 4, 2, "7")),
             "t.csv:4[1]", "1 of 6 observations", "unknown band, first '7'", "lsst has lsst_u (u, 0), lsst_g (g, 1)"),
    plasticc("nan flux", lambda m, r: m.table(field(r, 9, 3, "nan")), "t.csv:9[2]", "1 of 6", "flux nan", "dropped"),
    plasticc("zero error", lambda m, r: m.table(field(r, 9, 4, "0")), "t.csv:9[2]", "1 of 6", "error 0"),
    plasticc("negative error", lambda m, r: m.table(field(field(r, 8, 4, "-1"), 9, 4, "-2")),
             "t.csv:8[2]", "2 of 6", "error -1"),
    plasticc("infinite flux", lambda m, r: m.table(field(r, 3, 3, "1e300")), "t.csv:3[1]", "flux inf"),
    plasticc("no usable row", lambda m, r: m.table([x if x[0] != "2" else ",".join([*x.split(",")[:4], "-9", "0"])
                                                    for x in r]),
             "[2]", "none of its 6 observations", left=("1", "3")),
    plasticc("text in a number", lambda m, r: m.table(field(r, 5, 3, "bright")),
             "t.csv:5", "'flux' is 'bright', expected a number", "The row is dropped"),
    plasticc("fraction in a passband", lambda m, r: m.table(field(r, 5, 2, "1.5")),
             "t.csv:5", "'passband' is '1.5', expected an integer"),
    plasticc("short row", lambda m, r: m.table([*r[:3], "1,59600", *r[3:]]), "t.csv:5", "2 fields, expected 6"),
    plasticc("long row", lambda m, r: m.table([r[0] + ",8", *r[1:]]), "t.csv:2", "7 fields, expected 6"),
    plasticc("id beyond 64 bits", lambda m, r: m.table([*r, "9" * 30 + ",59600,1,1,1,1"]), "t.csv:20", "'object_id'"),
    plasticc("garbage", lambda m, r: m.table([*r, *["x,y"] * 300]), "more than 100 rows cannot be read",
             left=("1", "2")),
    plasticc("utf-16", lambda m, r: m.table(r).encode("utf-16"), "t.csv", "UTF-16", "Save it as UTF-8", left=()),
    plasticc("latin-1 header", lambda m, r: (m.table(r, m.kaggle + ",gr\xf6\xdfe")).encode("latin-1"),
             "t.csv:1", "not UTF-8", left=()),
    plasticc("empty file", lambda m, r: b"", "t.csv", "is empty", "Fetch it again", left=()),
    plasticc("one endless line", lambda m, r: m.table(r) + "7" * (9 << 20), "a line of more than", left=("1", "2")),
    plasticc("unlike metadata", lambda m, r: (m.write("t_metadata.csv", m.metadata((1, 3))), m.table(r))[1],
             "1 objects are not in the metadata table t_metadata.csv, first 2", "kept without"),
    plasticc("metadata without ra", lambda m, r: (m.write("t_metadata.csv", m.metadata((1,)).replace("ra,", "RA,", 1)),
                                                  m.table(r))[1], "t_metadata.csv:1", "no column 'ra'"),
    plasticc("truncated gzip", lambda m, r: (m.write("u.csv.gz", gzip.compress(m.table(m.rows(range(50, 90), 40))
                                                                               .encode())[:9000]), m.table(r))[1],
             "u.csv.gz", "truncated or damaged", "checksum", left=("1", "2", "3")),
    plasticc("off the sky", lambda m, r: (m.write("t_metadata.csv", m.metadata((1, 2)).replace("2.5,-42", "2.5,-142")),
                                          m.table(r))[1], "[2]", "not on the sky", "taken as unknown"),
    Case("metadata alone", lambda m: (m.write("m.csv", m.metadata((1,))), m.write("a.DAT", m.snana(1))),
         ("metadata without light curves",), ("1",)),
    snana("unknown band", lambda t: edited(t, 21, " r ", " Q "), "b.DAT:21[2]", "first 'Q'", "des_g (g), des_r (r)"),
    snana("missing mark", lambda t: edited(edited(t, 20, t.split("\n")[19].split()[4], "-9"),
                                           20, t.split("\n")[19].split()[5], "-9"), "b.DAT:20[2]", "flux -9, error -9"),
    snana("text in a number", lambda t: edited(t, 22, "56206.000", "soon"), "b.DAT:22[2]", "1 of 8 rows", "soon"),
    snana("short row", lambda t: edited(t, 22, "22.900", ""), "b.DAT:22[2]", "8 values, expected 9"),
    snana("NOBS lies", lambda t: t.replace("NOBS: 8", "NOBS: 9"), "b.DAT[2]", "NOBS is 9, but 8", left=("1",)),
    snana("huge NOBS", lambda t: t.replace("NOBS: 8", "NOBS: 99999999999999"), "NOBS is 99999999999999", left=("1",)),
    snana("no END", lambda t: t.replace("END:", ""), "b.DAT[2]", "no END line", "Fetch", left=("1",)),
    snana("cut off", lambda t: t[:900], "b.DAT", "no END line", left=("1",)),
    snana("no VARLIST", lambda t: t.replace("VARLIST", "VARIABLES"), "no VARLIST", left=("1",)),
    snana("no error column", lambda t: t.replace("FLUXCALERR", "FLUXERR"), "no FLUXCALERR", "did you mean 'FLUXERR'",
          left=("1",)),
    snana("unknown survey", lambda t: t.replace("DES", "GAIA"), "survey 'GAIA'", "LSST, DES, ZTF", left=("1",)),
    snana("no SNID", lambda t: t.replace("SNID", "NAME"), "the header has no SNID", left=("1",)),
    snana("binary", lambda t: bytes(range(128, 256)) * 40, "b.DAT", "no known kind", left=("1",)),
    bts("missing column", lambda t: t.replace("ant_magerr", "magerr"), "ZTFb.csv:1[ZTFb]", "no column 'ant_magerr'",
        left=("ZTFa",)),
    bts("unknown band", lambda t: edited(t, 3, ",R,", ",V,"), "ZTFb.csv:3", "first 'V'", "ztf_r (r, R, 2)"),
    bts("dash for a number", lambda t: edited(t, 3, t.split("\n")[2].split(",")[3], "-"), "ZTFb.csv:3", "1 of 5"),
    bts("text in a number", lambda t: edited(t, 3, t.split("\n")[2].split(",")[3], "faint"), "ZTFb.csv:3", "faint"),
    bts("zero error", lambda t: edited(t, 3, t.split("\n")[2].split(",")[4], "0.0"), "ZTFb.csv:3", "error 0"),
    bts("wrong encoding", lambda t: t.encode() + b"\xff\xfe\xff", "ZTFb.csv[ZTFb]", "not UTF-8", left=("ZTFa",)),
    bts("no rows", lambda t: t.split("\n")[0] + "\n", "[ZTFb]", "none of its 0 observations", left=("ZTFa",)),
    pair("pointer beyond PHOT", ("SIM_HEAD.FITS:3[13]", "PHOT has 9 rows", "disagree"), ("11", "12"), last=[3, 5, 800]),
    pair("NOBS against pointers", ("SIM_HEAD.FITS:1[11]", "NOBS is 2, but it points at 3 rows"), ("12", "13"),
         nobs=[2, 1, 2]),
    pair("overlap", ("[12]", "belongs to an earlier object"), ("11", "13"), first=[1, 3, 7], nobs=[3, 3, 2]),
    pair("across objects", ("[11]", "across the end"), ("12", "13"), last=[4, 5, 8], nobs=[4, 1, 2]),
    pair("other PHOT file", ("names 'OTHER_PHOT.FITS'", "disagree"), (), photfile="OTHER_PHOT.FITS"),
    pair("unknown survey", ("survey 'KEPLER'",), (), survey="KEPLER"),
    pair("no band column", ("SIM_PHOT.FITS", "no column BAND or FLT"), (), band="FILTER"),
    pair("variable length", ("column FLUXCAL has the form", "expected one number"), (), form="PE()",
         flux=np.array([np.ones(2, np.float32)] * 9 + [np.ones(3)], dtype=object)[:9]),
    Case("fits-rows beyond the file", lying_rows, ("SIM_PHOT.FITS", "claims", "bytes of rows"), ("1",)),
    Case("fits-cut off", cut_fits, ("SIM_PHOT.FITS", "cut off"), ("1",)),
    Case("fits-HEAD alone", alone("PHOT"), ("has no PHOT file beside it",), ("1",)),
    Case("fits-PHOT alone", alone("HEAD"), ("has no HEAD file beside it",), ("1",)),
    archive("truncated", truncated, "a.tar", "truncated or damaged after 2 members", "checksum"),
    archive("not an archive", lambda m: (m.write("b.tar.gz", b"\x1f\x8b\x08junk"), m.write("a.DAT", m.snana(1))),
            "b.tar.gz", "truncated or damaged"),
    archive("damaged bzip2", lambda m: (m.write("b.tar.bz2", bz2.compress(b"x" * 9999)[:30]),
                                        m.write("a.DAT", m.snana(1))), "b.tar.bz2", "truncated or damaged"),
    archive("path traversal", with_member(member("../../etc/x.DAT")), "leads out of the archive", "left out"),
    archive("absolute path", with_member(member("/etc/x.DAT")), "leads out of the archive"),
    archive("symbolic link", with_member(member("x.DAT", tarfile.SYMTYPE, "/etc/passwd")), "is a link"),
    archive("hard link", with_member(member("x.DAT", tarfile.LNKTYPE, "good.DAT")), "is a link"),
    archive("unprintable name", with_member(member("\x1b[31m\udcff/x.DAT"), b"junk"), "a.tar:?[31m?/x.DAT",
            "no known kind"),
    archive("device", with_member(member("x.DAT", tarfile.CHRTYPE)), "a device"),
    archive("long-name record of 2 MB", with_member(member("x.DAT", tarfile.GNUTYPE_LONGNAME), b"n" * (2 << 20)),
            "header record claims", left=()),
    archive("member of a terabyte", lying_size, "claims 1099511627776 bytes"),
    archive("bomb", bomb, "b.tar.xz", "unfolds to more than", "bomb"),
    archive("table inside", lambda m: m.tar("a.tar.xz", {"1.DAT": m.snana(1), "t.csv": m.table(m.rows((5,)))}),
            "PLAsTiCC light curves", "not read from within an archive"),
    Case("alert-random bytes", alert(lambda m: b"Obj\x01" + bytes(range(200))), ("b.avro", "alert packet"), ("ZTFa",)),
    Case("alert-truncated", alert(lambda m: m.alert("ZTFb")[:-40]), ("b.avro", "alert packet"), ("ZTFa",)),
    Case("alert-other codec", alert(lambda m: m.alert("ZTFb", codec="deflate")), ("codec is 'deflate'",), ("ZTFa",)),
    Case("alert-recursive schema", alert(lambda m: odd_alert(RECURSIVE, {"objectId": "x", "again": None})),
         ("refers to itself",), ("ZTFa",)),
    Case("alert-items of no bytes", alert(lambda m: odd_alert(ENDLESS, {"objectId": "x", "many": [None] * 9})),
         ("take no bytes",), ("ZTFa",)),
    Case("alert-no candidate", alert(lambda m: odd_alert({**ENDLESS, "fields": NAME_ONLY}, {"objectId": "x"})),
         ("no objectId or no candidate",), ("ZTFa",)),
    Case("missing path", lambda m: m.write("a.DAT", m.snana(1)), ("nowhere.csv", "does not exist"), ("1",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_file_is_named_and_the_good_ones_come_out(case: Case, make: Any, outcome: Any) -> None:
    case.build(make)
    extra = [make.folder / "nowhere.csv"] if case.name == "missing path" else []
    result = outcome([make.folder, *extra])
    messages = [str(error) for error in result.errors]
    assert any(all(part in message for part in case.says) for message in messages), messages
    assert all("\n  " in message for message in messages), f"a message gives no advice: {messages}"
    assert result.ids == sorted(case.left)


def test_a_full_disk_while_unfolding_is_named_and_leaves_nothing(make: Any, outcome: Any, monkeypatch: Any) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    make.write("a.DAT", make.snana(1))
    make.pair(suffix=".gz")
    monkeypatch.setattr("shutil.copyfileobj", full)
    result = outcome([make.folder])
    assert result.ids == ["1"]
    assert "SIM_HEAD.FITS.gz: cannot be read: No space left on device" in str(result.errors[0])
    assert "temporary folder" in str(result.errors[0])


def test_the_table_has_at_least_forty_files() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40
