"""LightCurves: many objects' observations as plain arrays, and the labelled Dataset they travel in."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float32, Float64, Int, Int8, Int64, Shaped

from armillary.core.errors import DataError
from armillary.domains.transients.bands import BANDS, wavelengths

ZERO_POINT = 27.5  # AB magnitude of one unit of flux in SNANA's FLUXCAL
MJD = "MJD"
RELATIVE = "days since first observation"

OBSERVATION_TYPES = {
    "time": np.float64, "band_index": np.int8, "flux": np.float32, "flux_error": np.float32, "detected": np.bool_,
}  # fmt: skip
OBJECT_TYPES = {
    "row_size": np.int64, "ra": np.float64, "dec": np.float64, "redshift": np.float32, "redshift_error": np.float32,
    "redshift_spec": np.float32, "mwebv": np.float32, "label": np.str_,
}  # fmt: skip
UNITS = {
    "time": "d", "flux": "FLUXCAL", "flux_error": "FLUXCAL", "ra": "deg", "dec": "deg", "mwebv": "mag",
    "wavelength": "Angstrom",
}  # fmt: skip
ATTRIBUTES = ("format", "sources", "zero_point", "extinction_corrected", "survey")


@dataclass(frozen=True)
class LightCurves:
    """Light curves of n objects; the rows of one object are contiguous and sorted by time.

    time [d], in MJD or since the object's first observation, as `time_reference` says. flux and flux_error are in
    FLUXCAL (zero point 27.5 mag AB). ra, dec [deg], mwebv = E(B-V) [mag] and all redshifts are NaN where unknown;
    redshift is the host's photometric one. label is "" where unknown. wavelength [Angstrom] belongs to `band`.
    """

    object_id: Shaped[np.ndarray, " n"]
    band: tuple[str, ...]
    wavelength: Float64[np.ndarray, " b"]
    time: Float64[np.ndarray, " rows"]
    band_index: Int8[np.ndarray, " rows"]
    flux: Float32[np.ndarray, " rows"]
    flux_error: Float32[np.ndarray, " rows"]
    detected: Bool[np.ndarray, " rows"]
    row_size: Int64[np.ndarray, " n"]
    ra: Float64[np.ndarray, " n"]
    dec: Float64[np.ndarray, " n"]
    redshift: Float32[np.ndarray, " n"]
    redshift_error: Float32[np.ndarray, " n"]
    redshift_spec: Float32[np.ndarray, " n"]
    mwebv: Float32[np.ndarray, " n"]
    label: Shaped[np.ndarray, " n"]
    time_reference: str = MJD
    attrs: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __len__(self) -> int:
        return len(self.object_id)

    @cached_property
    def offsets(self) -> Int64[np.ndarray, " n_plus_1"]:
        """First row of each object, and the number of rows at the end."""
        return np.concatenate([[0], np.cumsum(self.row_size)]).astype(np.int64)

    def rows(self, index: int) -> slice:
        """The rows of one object."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def select(self, indices: Int[np.ndarray, " m"] | Sequence[int]) -> "LightCurves":
        """The objects at `indices`, in that order."""
        places = np.asarray(indices, np.int64)
        rows = ragged_rows(self.offsets[places], self.row_size[places])
        values = {name: getattr(self, name)[rows] for name in OBSERVATION_TYPES}
        values |= {name: getattr(self, name)[places] for name in ("object_id", *OBJECT_TYPES)}
        return replace(self, **values)

    def where(self, kept: Bool[np.ndarray, " rows"]) -> "LightCurves":
        """The same objects with only the observations that are `kept`."""
        sizes = np.add.reduceat(np.append(kept, False).astype(np.int64), self.offsets[:-1]) if len(self) else kept[:0]
        values = {name: getattr(self, name)[kept] for name in OBSERVATION_TYPES}
        # reduceat gives the value itself, not zero, for an empty range.
        return replace(self, **values, row_size=np.where(self.row_size > 0, sizes, 0).astype(np.int64))

    def renumbered(self, band: tuple[str, ...], band_index: Int8[np.ndarray, " rows"]) -> "LightCurves":
        """The same observations with their bands numbered by another tuple of band names."""
        return replace(self, band=band, wavelength=wavelengths(band), band_index=band_index)

    @classmethod
    def concat(cls, parts: Sequence["LightCurves"]) -> "LightCurves":
        """All objects of `parts` in one; bands are united, and parts with unlike flux scales are refused."""
        if not parts:
            raise ValueError("nothing to concatenate: the list of light curves is empty")
        bands = _united_bands(parts)
        values = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("object_id", *OBSERVATION_TYPES, *OBJECT_TYPES)
        }
        values["band_index"] = np.concatenate(
            [np.array([list(bands).index(b) for b in part.band], np.int8)[part.band_index] for part in parts]
        )
        references = {part.time_reference for part in parts}
        return cls(
            **values,
            band=tuple(bands),
            wavelength=np.array(list(bands.values()), np.float64),
            time_reference=references.pop() if len(references) == 1 else "mixed",
            attrs=_united_attrs([part.attrs for part in parts]),
        )

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> "LightCurves":
        """The arrays of a chunk, after checking that it keeps the schema."""
        check_chunk(dataset)
        observed = {name: dataset[name].values.astype(kind, copy=False) for name, kind in OBSERVATION_TYPES.items()}
        objects = {name: dataset[name].values.astype(kind, copy=False) for name, kind in OBJECT_TYPES.items()}
        return cls(
            object_id=dataset["object_id"].values.astype(np.str_),
            band=tuple(str(name) for name in dataset["band"].values),
            wavelength=dataset["wavelength"].values.astype(np.float64),
            **observed,
            **objects,
            time_reference=str(dataset["time"].attrs.get("reference", MJD)),
            attrs=dict(dataset.attrs),
        )

    def to_dataset(self) -> xr.Dataset:
        """The chunk as a labelled Dataset with units: dims object, observation (contiguous ragged) and band."""
        observed = {name: ("observation", getattr(self, name), _units(name)) for name in OBSERVATION_TYPES}
        objects = {name: ("object", getattr(self, name), _units(name)) for name in OBJECT_TYPES}
        observed["time"][2]["reference"] = self.time_reference
        objects["row_size"][2]["sample_dimension"] = "observation"
        coords = {
            "object_id": ("object", self.object_id),
            "band": ("band", np.array(self.band, np.str_)),
            "wavelength": ("band", self.wavelength, _units("wavelength")),
        }
        return xr.Dataset(observed | objects, coords, dict(self.attrs))


def ragged_rows(starts: Int[np.ndarray, " m"], sizes: Int[np.ndarray, " m"]) -> Int64[np.ndarray, " rows"]:
    """Row numbers of ranges [start, start + size), one range after the other."""
    shifts = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    return (np.arange(int(sizes.sum())) + shifts).astype(np.int64)


def check_chunk(dataset: xr.Dataset) -> None:
    """Raise DataError unless the Dataset keeps the schema of a light-curve chunk."""
    _check_variables(dataset)
    _check_attributes(dataset)
    sizes, time = dataset["row_size"].values, dataset["time"].values
    if (sizes < 0).any() or sizes.sum() != dataset.sizes["observation"]:
        raise _broken(f"row_size adds up to {sizes.sum()}, but there are {dataset.sizes['observation']} observations")
    bands, index = dataset.sizes["band"], dataset["band_index"].values
    if index.size and not (index.min() >= 0 and index.max() < bands):
        raise _broken(f"band_index runs from {index.min()} to {index.max()}, but there are {bands} bands")
    for name in ("time", "flux", "flux_error"):
        if not np.isfinite(dataset[name].values).all():
            raise _broken(f"{name} is not finite everywhere")
    if not (dataset["flux_error"].values > 0).all():
        raise _broken("flux_error is not positive everywhere")
    falls = np.flatnonzero(np.diff(time) < 0) + 1
    unsorted = np.setdiff1d(falls, np.cumsum(sizes))
    if unsorted.size:
        raise _broken(f"times fall back at observation {unsorted[0]}, within one object")


def _check_variables(dataset: xr.Dataset) -> None:
    expected = {name: ("observation", kind) for name, kind in OBSERVATION_TYPES.items()}
    expected |= {name: ("object", kind) for name, kind in OBJECT_TYPES.items()}
    expected |= {"object_id": ("object", np.str_), "band": ("band", np.str_), "wavelength": ("band", np.float64)}
    for name, (dim, kind) in expected.items():
        if name not in dataset.variables:
            raise _broken(f"it has no variable '{name}'")
        variable = dataset[name]
        # Files bring strings back as objects.
        text = kind is np.str_ and variable.dtype.kind in "OUT"
        if variable.dims != (dim,) or not (text or variable.dtype == kind):
            wanted = f"{np.dtype(kind).name}({dim})"
            raise _broken(f"'{name}' is {variable.dtype}({', '.join(map(str, variable.dims))}), expected {wanted}")


def _check_attributes(dataset: xr.Dataset) -> None:
    for name in ATTRIBUTES:
        if name not in dataset.attrs:
            raise _broken(f"it has no attribute '{name}'")
    if dataset.attrs["extinction_corrected"] not in ("yes", "no"):
        raise _broken(f"extinction_corrected is {dataset.attrs['extinction_corrected']!r}, expected 'yes' or 'no'")


def _broken(problem: str) -> DataError:
    return DataError(
        f"this is not a chunk of light curves: {problem}",
        advice="Make chunks with LightCurves(...).to_dataset(), or read files with armillary.domains.transients.read.",
    )


def _units(name: str) -> dict[str, str]:
    return {"units": UNITS[name]} if name in UNITS else {}


def _united_bands(parts: Sequence[LightCurves]) -> dict[str, float]:
    found = {name: float(wave) for part in parts for name, wave in zip(part.band, part.wavelength, strict=True)}
    order = [band.name for band in BANDS if band.name in found]
    return {name: found[name] for name in (*order, *(name for name in found if name not in order))}


def _united_attrs(attrs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Attributes of all parts; flux scale and extinction must agree, names are joined."""
    for name, remedy in (("zero_point", "to_zero_point"), ("extinction_corrected", "deredden")):
        values = {one.get(name) for one in attrs}
        if len(values) > 1:
            raise DataError(
                f"light curves with unlike {name} cannot be joined: {', '.join(sorted(map(str, values)))}",
                advice=f"Bring them to the same state first, with armillary.domains.transients.extinction.{remedy}.",
            )
    united = dict(attrs[0])
    for name in ("format", "survey"):
        united[name] = "+".join(dict.fromkeys(str(one[name]) for one in attrs if name in one))
    united["repeated_rows"] = sum(int(one.get("repeated_rows", 0)) for one in attrs)
    united["sources"] = json.dumps(
        list(dict.fromkeys(s for one in attrs for s in json.loads(one.get("sources", "[]"))))
    )
    return united
