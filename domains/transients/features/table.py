"""The feature table of a set of light curves, kept in the cache under the digest of what it is made from."""

import hashlib
from collections.abc import Sequence

import light_curve
import numpy as np

from armillary.core.files import atomic_write
from armillary.core.paths import cache_root
from armillary.domains.transients.features.extract import FeatureTable, extract_features
from armillary.domains.transients.features.redshift import Mode
from armillary.domains.transients.lightcurves import LightCurves

VERSION = 1  # raised whenever a formula changes, so that older tables are not read
INPUTS = (
    "time", "band_index", "flux", "flux_error", "detected", "row_size",
    "redshift", "redshift_error", "redshift_spec", "mwebv",
)  # fmt: skip


def cached_features(curves: LightCurves, bands: Sequence[str], redshift: Mode, jobs: int = 1) -> FeatureTable:
    """`extract_features`, read from the cache if the same light curves were seen before."""
    path = cache_root() / "features" / f"{_digest(curves, bands, redshift)}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as stored:
            return FeatureTable(tuple(stored["names"].tolist()), stored["values"])
    table = extract_features(curves, bands, redshift, jobs)
    with atomic_write(path) as temporary:
        np.savez(temporary, names=np.array(table.names), values=table.values)
    return table


def _digest(curves: LightCurves, bands: Sequence[str], redshift: Mode) -> str:
    """A name for the inputs: all columns that features read, the choices, and the versions of the formulas."""
    hasher = hashlib.blake2b(digest_size=16)
    hasher.update(repr((VERSION, light_curve.__version__, curves.band, tuple(bands), redshift)).encode())
    for name in INPUTS:
        hasher.update(np.ascontiguousarray(getattr(curves, name)).tobytes())
    return hasher.hexdigest()
