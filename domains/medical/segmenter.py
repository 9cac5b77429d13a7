"""What every segmenter has in common: normalisation, loss, windows, thresholds, scores."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from armillary.core.domain import Batch, Interface, Items, Port
from armillary.core.errors import ConfigError
from armillary.domains.medical.extents import all_whole, inside_of, places_of
from armillary.domains.medical.mask_losses import dice_loss, entropy_loss
from armillary.domains.medical.mask_scores import mask_scores
from armillary.domains.medical.mask_thresholds import HALF, best_thresholds, dice_curve
from armillary.domains.medical.settings import MedicalPredict, MedicalRun
from armillary.domains.medical.standardise import fitted_moments, given_moments, image_moments, standardised
from armillary.domains.medical.windows import Sink, Source, segment_volume, slide

Extents = Int[Tensor, "b r"] | None  # how much of each image in a batch is real; None: all of it
_AXES = ("plane", "row", "column")


class Segmenter(nn.Module):
    """A network on normalised images (b, c, *s) -> logits of structures (b, k, *s), which may overlap.

    Where data.patch is set, whole images are read in windows of that size. With batch norms windows and whole images
    get nearly the same answer, for all that differs is what lies beyond a window (a scan along rows, as U-Mamba's, sees
    farthest). An instance norm takes its moments from the part it is given, so that the two differ much where parts
    look different. With data.each_image parts are normalised by the moments of their whole image ("moments").
    """

    mean: Tensor
    std: Tensor
    threshold: Tensor

    def __init__(self, network: nn.Module, config: MedicalRun) -> None:
        super().__init__()
        self.network, self.data = network, config.data
        self._overlap = config.predict.overlap
        ones = torch.ones(config.data.channels)
        mean, std = given_moments(config.data) or (torch.zeros_like(ones), ones)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("threshold", torch.full((len(config.data.names),), HALF))

    def fit(self, items: Items) -> None:
        """Mean and deviation of the training images, where the run neither gives them nor takes each image's own."""
        if self.data.mean is None and not self.data.each_image:
            mean, std = fitted_moments(items, self.data.channels)
            self.mean.copy_(mean)
            self.std.copy_(std)
        # A run that starts from another one's weights got its calibration, too.
        self.threshold.fill_(HALF)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k *s"]:
        """Logits of whole images with grey values in [0, 1]."""
        return self.network(self.normalised(image))

    def normalised(
        self, image: Float[Tensor, "b c *s"], shape: Extents = None, moments: Float[Tensor, "b 2 c"] | None = None
    ) -> Float[Tensor, "b c *s"]:
        """What the network sees; zero beyond an image's end. moments: of the whole images that these are parts of."""
        if moments is not None:
            mean, std = moments.reshape(*moments.shape, *(1,) * (image.ndim - 2)).unbind(1)
            return (image - mean) / torch.where(std > 0, std, 1.0)
        if shape is None or all_whole(shape, image):
            if not self.data.each_image:
                return standardised(image, self.mean, self.std)
            mean, std = image_moments(image)
            return (image - mean) / std
        found = torch.zeros_like(image)
        for row, place in enumerate(places_of(shape)):
            found[row][place] = self.normalised(image[row][place].unsqueeze(0))[0]
        return found

    def loss(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Binary cross entropy [nat] plus soft Dice loss, over places whose truth is known."""
        logits = self.network(self.normalised(batch["image"], batch.get("shape"), batch.get("moments"))).float()
        truth = batch["mask"]
        inside = inside_of(batch.get("shape"), truth)
        known = truth.isfinite() if inside is None else truth.isfinite() & inside
        entropy, dice = entropy_loss(logits, truth, known), dice_loss(logits, truth, known)
        return {"total": entropy + dice, "entropy": entropy, "dice": dice}

    def predict(self, batch: Batch, options: MedicalPredict) -> Iterator[dict[str, Tensor]]:
        """Scores against true masks where the batch has them, else probabilities; `keep_masks`: both.

        volume_share: share of the image that is found to be each structure. A batch without "shape" is not cut into
        windows: so are exported programs fed.

        Raises:
            ConfigError: thresholds of a sensitivity, which masks have none of.
        """
        probability = self.probability(batch, options.overlap)
        thresholds = self.thresholds(options)
        shape = thresholds.reshape(-1, *(1,) * (probability.ndim - 2))
        inside = inside_of(batch.get("shape"), probability)
        mask = probability >= shape if inside is None else (probability >= shape) & inside
        places = probability[0, 0].numel() if inside is None else inside.flatten(1).sum(1, keepdim=True)
        found = {"volume_share": mask.flatten(2).sum(2) / places}
        if "mask" in batch:
            found |= mask_scores(mask, batch["mask"], batch.get("spacing"), inside)
        if options.keep_masks or "mask" not in batch:
            found |= {"probability": probability, "threshold": thresholds.expand(probability.shape[0], -1)}
        yield found

    def probability(self, batch: Batch, overlap: float) -> Float[Tensor, "b k *s"]:
        """Of every structure at every place, in windows where data.patch is set; zero beyond an image's end.

        Images of several sizes go through the network one by one, so that none sees another one's padding.
        """
        image, shape = batch["image"], batch.get("shape")
        if shape is None:
            return self(image).float().sigmoid()
        run = self.network
        if self.data.patch is not None:
            run = partial(slide, self.network, patch=self.data.patch, overlap=overlap)
        normal = self.normalised(image, shape)
        if all_whole(shape, image):
            return run(normal).float().sigmoid()
        found = normal.new_zeros(len(image), len(self.threshold), *image.shape[2:], dtype=torch.float32)
        for row, place in enumerate(places_of(shape)):
            found[row][place] = run(normal[row][place].unsqueeze(0))[0].float().sigmoid()
        return found

    @torch.no_grad()
    def segment_volume(self, source: Source, out: Sink, overlap: float) -> None:
        """Probabilities of a volume (c, planes, rows, columns) that need not fit in memory; see windows.segment_volume.

        Raises:
            ConfigError: the run has no data.patch.
        """
        if self.data.patch is None:
            raise ConfigError(
                "data.patch is not set, expected the extents of a window (planes, rows, columns); without it the whole "
                "volume goes through the network at once.\n  Train a run with data.patch."
            )
        mean, std = _moments_of(source) if self.data.each_image else (self.mean.cpu(), self.std.cpu())
        mean, std = mean.to(self.mean.device), std.to(self.mean.device)
        device = self.mean.device
        segment_volume(
            lambda window: self.network(standardised(window, mean, std)).float(),
            source, out, self.data.patch, overlap, device=device,
        )  # fmt: skip

    def thresholds(self, options: MedicalPredict) -> Float[Tensor, " k"]:
        """From which probability a place belongs to each structure: 0.5, or what gave the best Dice on validation."""
        if options.threshold == "sensitivity":
            raise ConfigError(
                "predict.threshold=sensitivity: masks have no such threshold.\n"
                "  Set it to youden, which stands for the best Dice on validation, or to half."
            )
        return torch.full_like(self.threshold, HALF) if options.threshold == "half" else self.threshold

    @torch.no_grad()
    def calibrate(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """The threshold of each structure with the best mean Dice over the validation items that have it."""
        curves: list[Tensor] = []
        for batch in batches():
            probability = self.probability(batch, self._overlap)
            curves.append(dice_curve(probability, batch["mask"], inside_of(batch.get("shape"), probability)))
        if curves:
            self.threshold.copy_(best_thresholds(curves))

    def interface(self) -> Interface:
        """Images of data.channels with grey values in [0, 1], to probabilities; no windows are cut."""
        space = _AXES[-self.data.rank :] if self.data.rank else _AXES[1:]
        of_structure = ("item", "structure")
        return Interface(
            inputs={
                "image": Port(("item", "channel", *space), about="grey or colour values from 0 (black) to 1 (white)")
            },
            outputs={
                "probability": Port((*of_structure, *space), about="of each structure; not for diagnosis"),
                "threshold": Port(of_structure, about="from which probability a place counts"),
                "volume_share": Port(of_structure, about="share of the image at or above the threshold", counts=True),
            },
            ragged=() if self.data.size else space,
        )

    def after_step(self) -> None:
        """Lets the network fold what it gathered (batch norms)."""
        step = getattr(self.network, "after_step", None)
        if step is not None:
            step()


def _moments_of(source: Source) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean and deviation of each channel, plane by plane; an even volume has deviation one."""
    sums = np.zeros((3, source.shape[0]))
    for plane in range(source.shape[1]):
        values = np.asarray(source[:, plane : plane + 1], np.float64).reshape(source.shape[0], -1)
        sums += np.stack([np.full(len(values), values.shape[1]), values.sum(1), np.square(values).sum(1)])
    number, total, squares = sums
    mean = total / number
    deviation = np.sqrt(np.maximum(squares / number - mean**2, 0))
    return torch.from_numpy(mean).float(), torch.from_numpy(np.where(deviation > 1e-6, deviation, 1)).float()
