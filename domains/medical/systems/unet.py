"""MONAI's BasicUNet, the peer of every segmenter."""

from jaxtyping import Float
from torch import Tensor, nn

from armillary.domains.medical.systems.padding import cut, padded
from armillary.domains.medical.systems.settings import UNetSettings

_HALVINGS = 4


class UNet(nn.Module):
    """BasicUNet with MONAI's own defaults: instance norms, leaky ReLU, transposed convolutions.

    Its instance norms see the part they are given, so that windows and whole images get different answers.

    References:
        Falk et al. 2019, "U-Net: deep learning for cell counting, detection, and morphometry".
    """

    def __init__(self, settings: UNetSettings, num_outputs: int, channels: int, size: tuple[int, ...]) -> None:
        super().__init__()
        # Here, because importing MONAI takes seconds.
        from monai.networks.nets.basic_unet import BasicUNet

        self.rank = len(size)
        self.body = BasicUNet(self.rank, channels, num_outputs, settings.features)

    def forward(self, image: Float[Tensor, "b c *s"]) -> Float[Tensor, "b k *s"]:
        """Logits of every structure at every pixel."""
        step = 2**_HALVINGS
        # An instance norm needs two places, also at the coarsest resolution.
        return cut(self.body(padded(image, (step,) * self.rank, least=2 * step)), image.shape[2:])
