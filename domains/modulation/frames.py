"""Frames of complex samples with what is known of each: what readers give and items are made of."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import xarray as xr
from jaxtyping import Float32, Int64

Indices = Int64[np.ndarray, " m"]


@runtime_checkable
class IQStore(Protocol):
    """Frames that stay on disk until they are asked for; can be pickled, and opens its file where it is used."""

    shape: tuple[int, ...]

    def __getitem__(self, indices: Indices) -> Float32[np.ndarray, "m 2 l"]:
        """The frames at `indices`, in their order."""
        ...


@runtime_checkable
class Unchecked(Protocol):
    """A store that refuses frames which are not finite, and can also give them as they are."""

    def unchecked(self, indices: Indices) -> Float32[np.ndarray, "m 2 l"]:
        """The frames at `indices`, finite or not."""
        ...


@dataclass(frozen=True)
class Frames:
    """n frames of l samples, rows I then Q, all at one sample rate.

    label: as the data set writes it, "" unknown. snr_db: the data set's own number [dB], NaN unknown.
    group: what must not straddle splits (burst, recording). start: first sample in the source, 0 where frames are
    all there is. lead: frames that were seen before and only give context to the next ones.
    sample_rate_hz, centre_hz: samples per second and centre frequency [Hz], NaN unknown.
    """

    iq: Float32[np.ndarray, "n 2 l"] | IQStore
    label: np.ndarray
    snr_db: Float32[np.ndarray, " n"]
    id: np.ndarray
    group: np.ndarray
    start: Int64[np.ndarray, " n"]
    sample_rate_hz: float = float("nan")
    centre_hz: float = float("nan")
    sources: tuple[str, ...] = ()
    lead: int = 0

    def __len__(self) -> int:
        return len(self.label)

    @property
    def length(self) -> int:
        """Samples in a frame."""
        return int(self.iq.shape[2])

    def select(self, indices: Indices) -> "Frames":
        """The frames at `indices`, in their order; frames on disk are read."""
        return replace(
            self,
            iq=np.asarray(self.iq[indices], np.float32),
            **{name: getattr(self, name)[indices] for name in _PER_FRAME},
            lead=0,
        )

    def to_dataset(self) -> xr.Dataset:
        """Labelled, with units; the inverse of `from_dataset`."""
        variables = {
            "iq": (("item", "rail", "sample"), np.asarray(self.iq[np.arange(len(self))], np.float32), {"units": "1"}),
            "label": ("item", self.label.astype(np.str_)),
            "snr_db": ("item", self.snr_db, {"units": "dB"}),
            "group": ("item", self.group.astype(np.str_)),
            "start": ("item", self.start, {"units": "sample"}),
        }
        attrs = {
            "sample_rate_hz": self.sample_rate_hz,
            "centre_hz": self.centre_hz,
            "sources": json.dumps(self.sources),
            "lead": self.lead,
        }
        return xr.Dataset(variables, {"item": self.id.astype(np.str_), "rail": ["i", "q"]}, attrs)

    @classmethod
    def from_dataset(cls, chunk: xr.Dataset) -> "Frames":
        """Frames of a Dataset; what is missing but `iq` is taken as unknown."""
        count = chunk.sizes["item"]

        def column(name: str, missing: np.ndarray) -> np.ndarray:
            return chunk[name].values if name in chunk else missing

        ids = column("item", np.arange(count).astype(np.str_)).astype(np.str_)
        return cls(
            np.ascontiguousarray(chunk["iq"].transpose("item", "rail", "sample").values, np.float32),
            column("label", np.full(count, "")).astype(np.str_),
            column("snr_db", np.full(count, np.nan)).astype(np.float32),
            ids,
            column("group", ids).astype(np.str_),
            column("start", np.zeros(count)).astype(np.int64),
            float(chunk.attrs.get("sample_rate_hz", np.nan)),
            float(chunk.attrs.get("centre_hz", np.nan)),
            tuple(json.loads(chunk.attrs.get("sources", "[]"))),
            int(chunk.attrs.get("lead", 0)),
        )


_PER_FRAME = ("label", "snr_db", "id", "group", "start")


def concat(parts: Sequence[Frames]) -> Frames:
    """Frames of several sources, one after another; all in memory and of one rate and length."""
    first = parts[0]
    return replace(
        first,
        iq=np.concatenate([np.asarray(part.iq[np.arange(len(part))], np.float32) for part in parts]),
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _PER_FRAME},
        sources=tuple(dict.fromkeys(source for part in parts for source in part.sources)),
    )
