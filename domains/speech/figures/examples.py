"""The mixtures that a report shows and plays, with their voices and what was found of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import xarray as xr
from jaxtyping import Float32, Int64

from armillary.core.domain import Again, Batch, Item, Items
from armillary.core.errors import DataError
from armillary.domains.speech.assemble import KnownItems
from armillary.domains.speech.gain import WindowGain
from armillary.domains.speech.metrics.voices import gain, score
from armillary.domains.speech.settings import SpeechRun


@dataclass(frozen=True)
class Example:
    """One mixture. estimates: in the order of the sources, brought to the level of the mixture; None: not known.

    si_sdr_db, improvement_db: of each voice. voices: who speaks, as far as that is known.
    """

    id: str
    mixture: Float32[np.ndarray, " t"]
    sources: Float32[np.ndarray, "k t"]
    estimates: Float32[np.ndarray, "k t"] | None
    si_sdr_db: np.ndarray
    improvement_db: np.ndarray
    voices: tuple[str, ...]


class Chosen:
    """Some of the items, in the given order, as items of their own."""

    problems: Sequence[DataError] = ()

    def __init__(self, items: KnownItems, places: Int64[np.ndarray, " m"]) -> None:
        self._items, self._places = items, places
        self.ids, self.groups, self.lengths = items.ids[places], items.groups[places], items.lengths[places]
        self.known: Mapping[str, np.ndarray] = {name: values[places] for name, values in items.known.items()}

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        return {**self._items[(epoch, int(self._places[index]))], "index": index}

    def collate(self, items: Sequence[Item]) -> Batch:
        """As the items themselves do."""
        return self._items.collate(items)


def examples(config: SpeechRun, prediction: xr.Dataset, items: Items, again: Again | None) -> list[Example]:
    """`predict.examples` mixtures of the records, from the one that was separated worst to the best.

    Estimates are predicted again, and are missing where that cannot be done.
    """
    places = choose_examples(prediction, config.predict.examples)
    if not len(places):
        return []
    chosen = Chosen(cast(KnownItems, items), places)
    estimates: list[Float32[np.ndarray, "k t"]] | None = None
    if again is not None:
        # Without scores the model gives the voices themselves.
        options = config.predict.model_copy(update={"scores": ()})
        found = again(chosen, options)["estimate"].transpose("item", "source", "sample").values
        estimates = [voices[:, :length] for voices, length in zip(found, chosen.lengths, strict=True)]
    records = prediction.isel(item=places)
    scores, improvements = score(records, "si_sdr"), gain(records, "si_sdr")
    drawn: list[Example] = []
    for index in range(len(chosen)):
        item = chosen[(0, index)]
        drawn.append(
            Example(
                id=str(chosen.ids[index]),
                mixture=item["mixture"],
                sources=item["sources"],
                estimates=None if estimates is None else _levelled(estimates[index], item["mixture"]),
                si_sdr_db=scores[index],
                improvement_db=improvements[index],
                voices=tuple(_who(chosen, index, voice) for voice in range(len(item["sources"]))),
            )
        )
    return drawn


def choose_examples(prediction: xr.Dataset, number: int) -> Int64[np.ndarray, " m"]:
    """Places of so many items, evenly spaced in rank from the lowest to the highest mean improvement of SI-SDR.

    One alone is the middle one. Items without a score are not chosen.
    """
    if "si_sdr" not in prediction or "si_sdr_mixture" not in prediction:
        return np.zeros(0, np.int64)
    improvement = gain(prediction, "si_sdr").mean(1)
    order = np.argsort(improvement, kind="stable")[: int(np.isfinite(improvement).sum())]
    if not len(order) or not number:
        return np.zeros(0, np.int64)
    number = min(number, len(order))
    ranks = np.linspace(0, len(order) - 1, number) if number > 1 else np.array([(len(order) - 1) / 2])
    return order[np.round(ranks).astype(np.int64)].astype(np.int64)


def _levelled(estimates: Float32[np.ndarray, "k t"], mixture: Float32[np.ndarray, " t"]) -> np.ndarray:
    return (WindowGain()(estimates, mixture) * estimates).astype(np.float32)


def _who(items: Chosen, index: int, voice: int) -> str:
    told = (str(items.known[name][index, voice]) for name in ("speakers", "sexes"))
    return ", ".join(part for part in told if part)
