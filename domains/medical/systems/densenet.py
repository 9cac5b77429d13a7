"""DenseNet-121, MONAI's, with what its last linear map reads."""

from typing import Any, cast

from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.errors import ConfigError
from armillary.domains.medical.systems.settings import DenseNetSettings

_SMALLEST = 29  # pixels: five halvings leave one place


class DenseNet(nn.Module):
    """Images (b, c, *s) to scores (b, k), for sides of 29 pixels or more, of two axes or three.

    With three channels and 1000 classes it has 7,978,856 parameters. Its batch norms are torch's own, so they need no
    call after a step. `dropout` acts on what every dense layer adds.

    References:
        Huang et al. 2017, "Densely connected convolutional networks", table 1 (DenseNet-121).
    """

    def __init__(self, settings: DenseNetSettings, num_outputs: int, channels: int, size: tuple[int, ...]) -> None:
        super().__init__()
        # Here, since MONAI takes seconds to import and only this network needs it.
        from monai.networks.nets.densenet import DenseNet121

        if min(size) < _SMALLEST:
            raise ConfigError(
                f"densenet halves images five times, so {size} pixels leave nothing.\n"
                f"  Set data.size to {_SMALLEST} or more along every axis, or take model.kind=stages."
            )
        make = cast(Any, DenseNet121)  # MONAI's signature is untyped
        self.network: Any = make(
            spatial_dims=len(size), in_channels=channels, out_channels=num_outputs, dropout_prob=settings.dropout
        )

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k"]:
        return self.network(image)

    def features(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b f"]:
        """The mean over all places: what the last linear map reads."""
        return self.network.class_layers[:-1](self.network.features(image))
