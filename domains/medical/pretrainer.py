"""What masked pre-training of images has besides its network: standardisation, masks, loss, errors, pictures."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from armillary.core.domain import Batch, Interface, Items, Port
from armillary.core.objectives.masked import draw_hiding, item_hiding, masked_errors, masked_loss
from armillary.domains.medical.settings import MedicalPredict, MedicalRun
from armillary.domains.medical.standardise import fitted_moments, given_moments, image_moments, standardised
from armillary.domains.medical.systems.mae import MAE, Draw
from armillary.domains.medical.systems.patches import from_patches, to_patches

_SPACE = ("plane", "row", "column")


class Pretrainer(nn.Module):
    """A masked auto-encoder on standardised images; images come with grey values in [0, 1].

    Training draws its masks from the loss's generator, prediction from the items' indices, so that an evaluation
    repeats itself.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: MAE, config: MedicalRun) -> None:
        super().__init__()
        self.network, self.data = network, config.data
        mean, std = given_moments(config.data) or (torch.zeros(config.data.channels), torch.ones(config.data.channels))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def fit(self, items: Items) -> None:
        """Mean and deviation of the training images where the run does not give them."""
        if self.data.mean is None and not self.data.each_image:
            mean, std = fitted_moments(items, self.data.channels)
            self.mean.copy_(mean)
            self.std.copy_(std)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b f"]:
        """Features of whole images: mean of the encoder's patches."""
        return self.network.features(self.standardised(image))

    def standardised(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b c *s"]:
        """What the network sees."""
        if not self.data.each_image:
            return standardised(image, self.mean, self.std)
        mean, std = image_moments(image)
        return (image - mean) / std

    def loss(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean squared error of the hidden patches, which are drawn from the generator."""
        image = self.standardised(batch["image"])
        draw = partial(draw_hiding, ratio=self.network.settings.ratio, generator=generator)
        prediction, hidden = self.network(image, draw)
        return {"total": masked_loss(prediction, self.network.target(image), hidden)}

    def predict(self, batch: Batch, options: MedicalPredict) -> Iterator[dict[str, Tensor]]:
        """Mean squared errors of the hidden patches in standardised grey values, of the network and of a constant.

        masked_error: the network's. mean_error: of saying everywhere the mean of the visible pixels, channel by
        channel. A network of normalised targets is told the hidden patches' own moments, which makes its error small.
        With keep_masks also, for each of predict.ratios, reconstruction (b, r, c, *s) and hidden (b, r, *s), 1 or 0.
        """
        image = self.standardised(batch["image"])
        prediction, hidden = self.network(image, self.draw_by_index(batch["index"]))
        patches = to_patches(image, self.network.side)
        constant = visible_mean(patches, hidden, image.shape[1])
        found = {
            "masked_error": masked_errors(self.network.pixels(prediction, image), patches, hidden),
            "mean_error": masked_errors(constant.expand_as(patches), patches, hidden),
        }
        if options.keep_masks:
            draws = [partial(item_hiding, ratio=ratio, index=batch["index"]) for ratio in options.ratios]
            filled, taken = zip(*(self._filled(batch["image"], draw) for draw in draws), strict=True)
            found |= {"reconstruction": torch.stack(filled, 1), "hidden": torch.stack(taken, 1).float()}
        yield found

    def draw_by_index(self, index: Int[Tensor, " b"]) -> Draw:
        """What is hidden of each item, whenever it is asked."""
        return partial(item_hiding, ratio=self.network.settings.ratio, index=index)

    @torch.no_grad()
    def reconstruct(
        self, image: Float[Tensor, "b c *s"], ratio: float, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b c *s"], Bool[Tensor, "b *s"]]:
        """Images with a drawn share of their patches hidden and filled in by the network, and which pixels those are.

        Grey values as they came, so in [0, 1] but for what the network says beyond. Visible patches are the image's.
        """
        return self._filled(image, partial(draw_hiding, ratio=ratio, generator=generator))

    def _filled(
        self, image: Float[Tensor, "b c *s"], draw: Draw
    ) -> tuple[Float[Tensor, "b c *s"], Bool[Tensor, "b *s"]]:
        known = self.standardised(image)
        prediction, hidden = self.network(known, draw)
        patches = self.network.pixels(prediction.float(), known)
        said = from_patches(patches, tuple(image.shape[1:]), self.network.side)
        cells = hidden.unsqueeze(-1).expand(-1, -1, self.network.side ** (image.ndim - 2))
        taken = from_patches(cells.float(), (1, *image.shape[2:]), self.network.side)[:, 0] > 0
        return torch.where(taken.unsqueeze(1), self._grey(said, image), image), taken

    def calibrate(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Nothing is chosen on validation."""

    def interface(self) -> Interface:
        """Images of data.size and data.channels with grey values in [0, 1], to the errors of hidden patches."""
        about = "mean squared error of the hidden patches, standardised grey values"
        return Interface(
            inputs={
                "image": Port(("item", "channel", *_SPACE[-self.data.rank :]), about="0 (black) to 1 (white)"),
                "index": Port(("item",), about="any whole number; it decides which patches are hidden"),
            },
            outputs={
                "masked_error": Port(("item",), about=f"{about}; not for diagnosis"),
                "mean_error": Port(("item",), about=f"{about}, had each been the mean of the visible pixels"),
            },
        )

    def after_step(self) -> None:
        """Nothing: there are no batch norms."""

    def _grey(self, values: Float[Tensor, "b c *s"], image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b c *s"]:
        """Standardised values as grey values of these images."""
        if self.data.each_image:
            mean, std = image_moments(image)
            return values * std + mean
        shape = (-1, *(1,) * (image.ndim - 2))
        return values * self.std.reshape(shape) + self.mean.reshape(shape)


def visible_mean(patches: Float[Tensor, "b l f"], hidden: Bool[Tensor, "b l"], channels: int) -> Float[Tensor, "b 1 f"]:
    """The mean of the visible pixels of each channel, as a patch."""
    seen = (~hidden).to(patches.dtype).unsqueeze(-1)
    mean = (patches * seen).sum(1, keepdim=True) / seen.sum(1, keepdim=True).clamp(min=1)
    pixels = mean.unflatten(-1, (-1, channels))
    return pixels.mean(-2, keepdim=True).expand_as(pixels).flatten(-2)
