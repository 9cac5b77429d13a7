"""Items of every system: images of a set or of files, with labels or masks, brought to the network's size."""

import copy
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float32, Int64

from armillary.core.domain import Batch, Item, Split
from armillary.core.errors import DataError
from armillary.core.random import derive_rng
from armillary.domains.medical.augment import augment, reach
from armillary.domains.medical.cache import CACHE_BYTES, ImageCache, Packed, pack
from armillary.domains.medical.collate import collate
from armillary.domains.medical.parts import cut, place_part
from armillary.domains.medical.resize import resize, resize_mask
from armillary.domains.medical.settings import MedicalData, MedicalRun
from armillary.domains.medical.sources import Measured
from armillary.domains.medical.studies import Absent, MaskSource, Study
from armillary.domains.medical.verify import checked, named, path_of, unlike, used_shape

Key = tuple[int, int]
Image = Float32[np.ndarray, "c *s"]
Masks = Float32[np.ndarray, "k *s"]
# Rec. 601: how bright red, green and blue look.
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_TOLD = 5  # warnings of strange images from one process


class ImageItems:
    """Images and what is asked of them: {"image" (c, *s), "target" (k,), "mask" (k, *s), "spacing" (r,) [mm], "index"}.

    target for labels and classes, mask for masks where any image has one: 1, 0, or NaN all over for a structure that
    nobody drew. Items of epochs from 1 on are augmented, and with data.patch random parts; of the split "train" each
    image is `patches_per_image` items. Epoch 0 has plain images, whole. Item i of epoch e is a function of (seed, e, i)
    alone. Parts of images that are normalised each by itself bring "moments" (2, c), mean and deviation of the whole.

    Headers are read once, here, and what cannot be used is in `problems`; an image that fails later, in the middle of
    its pixels, raises a DataError with its file when it is asked for. Decoded images are kept in `cache_bytes` of
    memory.

    targets (n, k): NaN unknown. known: sex, age_years, view, spacing_mm. sizes: of the stored images, by place.
    chunk: files that are being predicted, as they were read.
    """

    def __init__(
        self,
        config: MedicalRun,
        studies: Sequence[Study],
        split: Split = "test",
        problems: Sequence[DataError] = (),
        *,
        cache_bytes: int = CACHE_BYTES,
        chunk: xr.Dataset | None = None,
    ) -> None:
        self._data, self._seed = config.data, config.seed
        found: list[DataError] = []
        usable = checked(studies, config.data, found.append)
        self.problems: Sequence[DataError] = [*problems, *found]
        self.studies = [one.study for one in usable]
        self._sizes = [one.shape for one in usable]
        self._spacing: Float32[np.ndarray, "m r"] = np.array([one.spacing_mm for one in usable], np.float32).reshape(
            len(usable), config.data.rank
        )
        self._masked = config.data.task == "masks" and any(study.masks for study in self.studies)
        self._cache, self._told = ImageCache(cache_bytes), 0
        repeats = config.data.patches_per_image if split == "train" and config.data.patch else 1
        self._places: Int64[np.ndarray, " n"] = np.tile(np.arange(len(usable), dtype=np.int64), repeats)
        names = [f"{study.id}#{number}" if number else study.id for number in range(repeats) for study in self.studies]
        self.chunk = chunk
        self._describe(np.array(names, np.str_))

    def _describe(self, names: np.ndarray) -> None:
        """Columns of all items from the studies at their places."""
        studies = [self.studies[place] for place in self._places]
        num_names = len(self._data.names) if self._data.task in ("labels", "classes") else 0
        unknown = np.full(num_names, np.nan, np.float32)
        self.ids = names
        self.groups = np.array([study.group for study in studies], np.str_)
        self.targets: Float32[np.ndarray, "n k"] = np.array(
            [study.target if len(study.target) else unknown for study in studies] if num_names else (), np.float32
        ).reshape(len(studies), num_names)
        self.known: Mapping[str, np.ndarray] = {
            "sex": np.array([study.sex for study in studies], np.str_),
            "age_years": np.array([study.age_years for study in studies], np.float32),
            "view": np.array([study.view for study in studies], np.str_),
            "spacing_mm": self._spacing[self._places],
        }
        self.sizes = [self._sizes[place] for place in self._places]
        self.kept = self._places

    def select(self, indices: Int64[np.ndarray, " m"]) -> "ImageItems":
        """The items at `indices` as a dataset of their own; decoded images are shared."""
        chosen = copy.copy(self)
        chosen._places = self._places[indices]
        chosen.problems = ()
        chosen._describe(self.ids[indices])
        return chosen

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        place = int(self._places[index])
        packed = self._packed(place)
        if epoch > 0:
            image, mask = self._changed(packed, epoch, index)
        else:
            image, mask = packed.part()
            size = self._data.size or image.shape[1:]
            image, mask = resize(image, size), resize_mask(mask, size)
        item = self._item(index, place, self._channels(image), mask)
        if self._data.patch is not None and self._data.each_image:
            item["moments"] = self._channels(packed.moments.T).T
        return item

    def collate(self, items: Sequence[Item]) -> Batch:
        """image, shape, spacing, index, and target or mask where items have them; padded to the largest."""
        return collate(items)

    def _item(self, index: int, place: int, image: Image, mask: Masks) -> dict[str, Any]:
        item: dict[str, Any] = {"image": image, "spacing": self._scaled_spacing(place), "index": index}
        if self._data.task in ("labels", "classes"):
            item["target"] = self.targets[index]
        if self._masked:
            mask[self._undrawn(self.studies[place])] = np.nan
            item["mask"] = mask
        return item

    def _changed(self, packed: Packed, epoch: int, index: int) -> tuple[Image, Masks]:
        """A training item: augmented, and with data.patch a random part."""

        def draw(stream: str) -> np.random.Generator:
            return derive_rng(self._seed, "augment", stream, epoch, index)

        settings, patch = self._data.augment, self._data.patch
        if patch is None:
            return augment(*packed.part(), self._data.size or packed.shape, settings, draw)
        large = reach(patch, settings)
        margins = [(wide - own) // 2 for wide, own in zip(large, patch, strict=True)]
        start = place_part(packed.shape, patch, draw("patch"))
        part = packed.part([begin - margin for begin, margin in zip(start, margins, strict=True)], large)
        image, mask = augment(*part, large, settings, draw)
        return cut(image, margins, patch), cut(mask, margins, patch)

    def _packed(self, place: int) -> Packed:
        kept = self._cache.get(place)
        if kept is None:
            kept = self._load(self.studies[place])
            self._cache.put(place, kept)
        return kept

    def _load(self, study: Study) -> Packed:
        """The study's image and masks at the size in which they are kept.

        Raises:
            DataError: a file cannot be read, or a mask has another size than its image.
        """
        try:
            image = study.image.load(self._tell) if isinstance(study.image, Measured) else study.image.load()
            shape = image.shape[1:]
            used = used_shape(shape, self._data.rank, path_of(study.image))
            mask = self._load_masks(study, shape).reshape(-1, *used)
            image = _to_channels(image.reshape(len(image), *used), self._data.channels)
        except DataError as error:
            raise named(error, study.id) from error
        size = _kept_size(used, self._data)
        return pack(resize(image, size), resize_mask(mask, size))

    def _load_masks(self, study: Study, shape: tuple[int, ...]) -> Bool[np.ndarray, "k *s"]:
        masks = study.masks if self._masked else ()
        out = np.zeros((len(self._data.names) if self._masked else 0, *shape), np.bool_)
        for target, source in zip(out, masks, strict=False):
            if isinstance(source, MaskSource) and not isinstance(source, Absent):
                found = source.load()
                if found.shape != shape:
                    raise unlike(source, found.shape, shape)
                target[...] = found > 0.5
        return out

    def _tell(self, problem: DataError) -> None:
        """Warns of what is strange about an image, a few times: a whole set may share it."""
        if self._told < _TOLD:
            self._told += 1
            warnings.warn(str(problem), RuntimeWarning, stacklevel=2)

    def _undrawn(self, study: Study) -> list[int]:
        masks = study.masks or (None,) * len(self._data.names)
        return [number for number, source in enumerate(masks) if source is None]

    def _channels(self, image: Image) -> Float32[np.ndarray, "d *s"]:
        """Grey values repeated where the network takes three."""
        return np.repeat(image, self._data.channels, 0) if len(image) < self._data.channels else image

    def _scaled_spacing(self, place: int) -> Float32[np.ndarray, " r"]:
        """Distance of the item's pixels [mm]: shrinking puts them further apart."""
        spacing, stored = self._spacing[place], self._sizes[place]
        if self._data.size is None or not stored:
            return spacing.copy()
        return spacing * np.array(stored, np.float32) / np.array(self._data.size, np.float32)


def _to_channels(image: Image, channels: int) -> Float32[np.ndarray, "d *s"]:
    """One channel of grey, or three of colour for a network that takes them.

    Raises:
        DataError: neither one nor three channels.
    """
    if len(image) not in (1, 3):
        raise DataError(f"has {len(image)} channels; expected grey (1) or colour (3)")
    if len(image) == 3 and channels == 1:
        return np.tensordot(_LUMINANCE, image, 1)[None]
    return image


def _kept_size(shape: Sequence[int], data: MedicalData) -> tuple[int, ...]:
    """The size in which an image is kept: the run's; for random crops larger, so that none has to be enlarged."""
    if data.size is None:
        return tuple(shape)
    if data.augment.crop is None or data.patch is not None:
        return data.size
    grow = data.augment.crop[0] ** (-1 / len(shape))
    return tuple(min(max(own, size), math.ceil(size * grow)) for own, size in zip(shape, data.size, strict=True))
