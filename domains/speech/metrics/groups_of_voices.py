"""Kinds of voices and mixtures that are judged apart: by level difference, and by who speaks with whom."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from jaxtyping import Bool, Shaped

from armillary.domains.speech.metrics.voices import level_difference_db


@dataclass(frozen=True)
class LevelBin:
    """Voices that are at least `low` and less than `high` dB louder than the others together."""

    low: float
    high: float

    @property
    def name(self) -> str:
        """Part of a metric's name."""
        if np.isinf(self.low):
            return f"below_{self.high:g}dB"
        return f"from_{self.low:g}dB" if np.isinf(self.high) else f"{self.low:g}_to_{self.high:g}dB"

    @property
    def words(self) -> str:
        """For a reader."""
        if np.isinf(self.low):
            return f"below {self.high:g} dB"
        return f"from {self.low:g} dB" if np.isinf(self.high) else f"{self.low:g} to {self.high:g} dB"

    def holds(self, records: xr.Dataset) -> Bool[np.ndarray, "n k"]:
        """Which voices are in the bin."""
        level = level_difference_db(records)
        return (level >= self.low) & (level < self.high)


LEVEL_BINS = (
    LevelBin(-np.inf, -5.0), LevelBin(-5.0, 0.0), LevelBin(0.0, 5.0), LevelBin(5.0, np.inf),
)  # fmt: skip


def sex_groups(num_voices: int) -> tuple[str, ...]:
    """Names of the groups of mixtures: F and M; FF, FM and MM; of three voices and more, one_sex and both_sexes."""
    return {1: ("F", "M"), 2: ("FF", "FM", "MM")}.get(num_voices, ("one_sex", "both_sexes"))


def sex_group(records: xr.Dataset) -> Shaped[np.ndarray, " n"]:
    """The group of each mixture; "" where the sex of a voice is not known."""
    if "sex" not in records:
        return np.full(records.sizes["item"], "", np.str_)
    sexes = np.sort(records["sex"].transpose("item", "source").values.astype(np.str_), 1)
    joined = ["".join(row) if np.isin(row, ("F", "M")).all() else "" for row in sexes]
    if sexes.shape[1] > 2:
        joined = [name and ("one_sex" if len(set(name)) == 1 else "both_sexes") for name in joined]
    return np.array(joined, np.str_).reshape(-1)
