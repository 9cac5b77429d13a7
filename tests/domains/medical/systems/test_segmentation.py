"""What every segmentation network promises, over all of them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from armillary.domains.medical.systems.settings import UMambaSettings, UNetSettings, VMUNetSettings
from armillary.domains.medical.systems.u_mamba import UMamba
from armillary.domains.medical.systems.unet import UNet
from armillary.domains.medical.systems.vm_unet import VMUNet

Build = Callable[[int, int, tuple[int, ...]], nn.Module]

VM_UNET = VMUNetSettings(patch=2, widths=(8, 16), depths=(1, 1), decoder_depths=(1, 1), state=4)
U_MAMBA = UMambaSettings(widths=(8, 12, 16), blocks=(2, 1, 1), state=4)
NETWORKS: dict[str, Build] = {
    "vm_unet": lambda *shape: VMUNet(VM_UNET, *shape),
    "u_mamba_enc": lambda *shape: UMamba(U_MAMBA, *shape),
    "u_mamba_bot": lambda *shape: UMamba(U_MAMBA.model_copy(update={"variant": "bot"}), *shape),
    "u_mamba_batch": lambda *shape: UMamba(U_MAMBA.model_copy(update={"norm": "batch"}), *shape),
    "unet": lambda *shape: UNet(UNetSettings(features=(8, 8, 8, 8, 8, 8)), *shape),
}
ALL = pytest.mark.parametrize("name", NETWORKS)


def network(name: str, outputs: int = 2, channels: int = 1, size: tuple[int, ...] = (32, 32)) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name](outputs, channels, size)


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@ALL
@pytest.mark.parametrize(
    ("channels", "built", "size"),
    [
        (1, (32, 32), (32, 32)),
        (3, (32, 32), (33, 47)),
        (1, (32, 32), (7, 65)),
        (3, (32, 32), (1, 1)),
        (3, (8, 16, 16), (5, 17, 9)),
    ],
)
def test_every_size_and_number_of_channels_gives_logits_of_the_same_size(name, channels, built, size):
    model = network(name, 2, channels, built).eval()
    with torch.no_grad():
        found = model(images(2, channels, *size))
    assert found.shape == (2, 2, *size)
    assert found.isfinite().all()


@ALL
@pytest.mark.parametrize("size", [(32, 32), (8, 16, 16)])
def test_every_weight_gets_a_gradient(name, size):
    model = network(name, 2, 1, size)
    model(images(2, 1, *size)).square().mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name


@ALL
def test_an_image_alone_equals_the_same_image_in_a_batch(name):
    # In double precision, in which no rounding hides a leak.
    model, batch = network(name).eval().double(), images(3, 1, 33, 20).double()
    with torch.no_grad():
        whole = model(batch)
        for row in range(3):
            assert_close(model(batch[row : row + 1])[0], whole[row])


@ALL
def test_other_images_of_the_batch_change_nothing(name):
    model, batch = network(name).eval().double(), images(2, 1, 32, 32).double()
    other = torch.stack((batch[0], 10 + images(1, 32, 32, seed=5).double()))
    with torch.no_grad():
        assert_close(model(batch)[0], model(other)[0])


@ALL
def test_the_network_learns_a_bright_square(name):
    model = network(name, 1)
    image, truth = images(2, 1, 32, 32) * 0.1, torch.zeros(2, 1, 32, 32)
    truth[0, 0, 4:20, 8:24] = truth[1, 0, 10:30, 2:14] = 1
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-2)
    losses: list[float] = []
    for _ in range(9):
        loss = nn.functional.binary_cross_entropy_with_logits(model(image + truth), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@ALL
def test_a_network_on_meta_tensors_costs_no_memory(name):
    with torch.device("meta"):
        model = NETWORKS[name](2, 1, (64, 64))
        assert model(torch.empty(1, 1, 64, 64)).shape == (1, 2, 64, 64)
