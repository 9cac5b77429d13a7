"""Training items that are mixed anew in every epoch."""

from collections.abc import Sequence

import numpy as np

from armillary.core.domain import Batch, Item
from armillary.core.errors import DataError
from armillary.domains.speech.collate import collate
from armillary.domains.speech.mixing.draw import MixtureDraw
from armillary.domains.speech.mixing.pool import KeptPool, VoicePool
from armillary.domains.speech.settings import DynamicSettings, SpeechRun


class DynamicItems:
    """`data.dynamic.mixtures` mixtures of the training voices an epoch; each a function of (seed, epoch, index).

    Recordings are kept in memory once read, as many as fit. Who speaks changes from epoch to epoch, so that `known`
    is empty; splits are kept apart by the pools, which hold training speakers alone.
    """

    def __init__(
        self,
        config: SpeechRun,
        voices: VoicePool,
        noises: VoicePool | None = None,
        problems: Sequence[DataError] = (),
    ) -> None:
        settings = config.data.dynamic or DynamicSettings()
        kept = None if noises is None else KeptPool(noises)
        self._draw = MixtureDraw(config.data, KeptPool(voices), kept, config.seed)
        self._problems = list(problems)
        names = np.arange(settings.mixtures).astype(np.str_)
        self.ids = self.groups = np.char.add("dynamic/", names)
        nobody = np.full((settings.mixtures, config.data.voices), "")
        self.known = {"speakers": nobody, "sexes": nobody}

    @property
    def problems(self) -> Sequence[DataError]:
        """What readers left out, and recordings that could not be read while mixing."""
        return [*self._problems, *self._draw.problems]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        drawn = self._draw(epoch, index)
        return {"mixture": drawn.mixture, "sources": drawn.sources, "index": index}

    def collate(self, items: Sequence[Item]) -> Batch:
        """mixture (b, t), sources (b, k, t), length and index (b,)."""
        return collate(items)
