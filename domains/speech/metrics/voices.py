"""What the metrics read of the records: values of voices, and the sums and orders over them that take weights."""

from collections.abc import Callable

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Float64

Prepared = Callable[[np.ndarray], float]
Values = Float64[np.ndarray, "n k"]


def score(records: xr.Dataset, name: str) -> Values:
    """A score of each voice; NaN everywhere where the records have none of that name."""
    if name not in records:
        return np.full((records.sizes["item"], records.sizes["source"]), np.nan)
    return records[name].transpose("item", "source").values.astype(np.float64)


def gain(records: xr.Dataset, name: str) -> Values:
    """A score of each voice minus what the mixture has of it."""
    return score(records, name) - score(records, f"{name}_mixture")


def level_difference_db(records: xr.Dataset) -> Values:
    """How much louder each voice is than the others together [dB]; a lone voice: its SI-SDR in the mixture.

    Behind a lone voice there is noise, whose level the SI-SDR of the mixture tells.
    """
    if records.sizes["source"] == 1:
        return score(records, "si_sdr_mixture")
    power = 10 ** (score(records, "level_db") / 10)
    others = power.sum(1, keepdims=True) - power
    # The sum of all minus a very loud one may be a rounding error below the quietest voice.
    return 10 * np.log10(power / np.maximum(others, 1e-15 * power))


def mean(values: Values, chosen: Bool[np.ndarray, "n k"] | None = None) -> Prepared:
    """The mean over voices, each with the weight of its item; NaN without voices.

    Voices whose value is NaN (a silent one) or that are not chosen are left out.
    """
    kept = ~np.isnan(values) if chosen is None else chosen & ~np.isnan(values)
    total, count = np.where(kept, values, 0.0).sum(1), kept.sum(1).astype(np.float64)

    def value(weight: Float[np.ndarray, " n"]) -> float:
        number = float(weight @ count)
        return float(weight @ total) / number if number > 0 else float("nan")

    return value


def median(values: Values) -> Prepared:
    """The middle voice, each with the weight of its item: the mean of both where two are in the middle.

    Voices whose value is NaN are left out; NaN without voices.
    """
    item, voice = np.nonzero(~np.isnan(values))
    found = values[item, voice]
    order = np.argsort(found, kind="stable")
    found, item = found[order], item[order]

    def value(weight: Float[np.ndarray, " n"]) -> float:
        until = np.cumsum(weight[item])
        if not len(until) or until[-1] <= 0:
            return float("nan")
        half = until[-1] / 2
        lower, upper = np.searchsorted(until, half, "left"), np.searchsorted(until, half, "right")
        return float(found[lower] + found[upper]) / 2

    return value
