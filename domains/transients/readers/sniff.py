"""What kind of file lies at a path, judged by its first bytes."""

from enum import Enum
from pathlib import Path

from armillary.core.errors import DataError
from armillary.domains.transients.readers.archives import DAMAGE, damaged, open_bounded

HEAD_BYTES = 4096
KNOWN = "PLAsTiCC CSV, SNANA .DAT and FITS, ZTF BTS CSV, ZTF alert Avro, and tar archives of the small ones"


class Kind(Enum):
    """The kinds of files that `read` knows."""

    TAR = "tar archive"
    PLASTICC = "PLAsTiCC light curves"
    METADATA = "PLAsTiCC metadata"
    TYPES = "SPCC label table"
    BTS_TABLE = "ZTF BTS table"
    BTS = "ZTF BTS light curve"
    SNANA = "SNANA text"
    FITS_HEAD = "SNANA FITS HEAD"
    FITS_PHOT = "SNANA FITS PHOT"
    ALERT = "Avro alert"


def sniff(path: Path) -> Kind:
    """The kind of a file on disk, compressed or not."""
    try:
        with open_bounded(path) as stream:
            head = stream.read(HEAD_BYTES)
    except DAMAGE as error:
        raise damaged(str(path), error) from error
    return sniff_bytes(head, str(path))


def sniff_bytes(head: bytes, name: str) -> Kind:
    """The kind of a file that begins with `head`."""
    if not head.strip():
        raise DataError("is empty", path=name, advice="Fetch it again.")
    if head[257:262] == b"ustar":
        return Kind.TAR
    if head.startswith(b"Obj\x01"):
        return Kind.ALERT
    if head.startswith(b"SIMPLE  ="):
        return _fits_kind(name)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("is UTF-16 text, expected UTF-8", path=name, advice="Save it as UTF-8.")
    kind = _table_kind(head) or _snana_kind(head)
    if kind is None:
        raise DataError(f"is of no known kind (known: {KNOWN})", path=name, advice="Check the file, or convert it.")
    return kind


def _fits_kind(name: str) -> Kind:
    base = Path(name).name.upper()
    for word, kind in (("HEAD", Kind.FITS_HEAD), ("PHOT", Kind.FITS_PHOT)):
        if f"_{word}." in base or base.startswith(f"{word}."):
            return kind
    raise DataError(
        "is FITS, but its name ends neither in _HEAD.FITS nor in _PHOT.FITS", path=name,
        advice="Give both files of an SNANA pair under their own names.",
    )  # fmt: skip


def _table_kind(head: bytes) -> Kind | None:
    line = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0]
    names = {word.strip().strip('"') for word in line.decode("utf-8", "replace").split(",")}
    if len(names) < 2:
        return None
    if "object_id" in names:
        rows = names & {"mjd", "passband", "flux", "flux_err", "detected", "detected_bool"}
        return Kind.PLASTICC if rows else Kind.METADATA
    if {"mjd", "passband"} <= names:
        return Kind.PLASTICC
    if any(name.startswith("ant_") for name in names):
        return Kind.BTS
    if "ZTFID" in names:
        return Kind.BTS_TABLE
    return Kind.TYPES if "snid" in names or "true_type" in names else None


def _snana_kind(head: bytes) -> Kind | None:
    keys = (b"SURVEY:", b"SNID:", b"VARLIST:", b"NOBS:", b"OBS:")
    return Kind.SNANA if any(line.lstrip().startswith(keys) for line in head.split(b"\n")) else None
