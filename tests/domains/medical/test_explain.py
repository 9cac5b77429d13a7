"""Maps of where a classifier looked."""

import pytest
import torch
from torch import Tensor, nn

from armillary.core.errors import ConfigError
from armillary.domains.medical.explain import explain, smoothed


class Corner(nn.Module):
    """Label 0 is the brightness of the upper left quarter, label 1 that of the lower right one."""

    def forward(self, image: Tensor) -> Tensor:
        half = image.shape[-1] // 2
        corners = (image[..., :half, :half], image[..., half:, half:])
        return torch.stack([corner.flatten(1).square().mean(1) for corner in corners], 1)


class Looking(nn.Module):
    """A network whose attention lies on one patch of 2 x 2."""

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1)[:, :3]

    def attention_map(self, image: Tensor) -> Tensor:
        return torch.tensor([[[0.1, 0.1], [0.1, 0.7]]]).repeat(len(image), 1, 1)


def images(count: int = 2, channels: int = 1, size: tuple[int, ...] = (32, 32)) -> Tensor:
    return 0.2 + 0.6 * torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(0))


def test_a_gradient_map_is_bright_where_the_label_depends_on_the_image():
    maps = explain(Corner(), images(), "gradient")
    assert maps.shape == (2, 2, 32, 32)
    assert maps[:, 0, :14, :14].mean() > 5 * maps[:, 0, 18:, 18:].mean()
    assert maps[:, 1, 18:, 18:].mean() > 5 * maps[:, 1, :14, :14].mean()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_gradients_are_taken_whatever_the_caller_does_with_them(mode):
    expected = explain(Corner(), images(), "gradient")
    with mode():
        found = explain(Corner(), images(), "gradient")
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


def test_weights_gather_no_gradient():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    explain(network, images(size=(8, 8)), "gradient")
    assert all(weight.grad is None for weight in network.parameters())


def test_maps_go_from_zero_to_one_and_an_even_one_is_zero():
    maps = explain(Corner(), images(channels=3), "gradient")
    torch.testing.assert_close(maps.amax((2, 3)), torch.ones(2, 2))
    torch.testing.assert_close(maps.amin((2, 3)), torch.zeros(2, 2))

    class Blind(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return 0 * image.flatten(1)[:, :2]

    assert explain(Blind(), images(), "gradient").abs().max() == 0


def test_an_image_is_explained_alike_alone_and_in_company():
    batch = images(3)
    together = explain(Corner(), batch, "gradient")
    torch.testing.assert_close(explain(Corner(), batch[1:2], "gradient")[0], together[1])


def test_volumes_have_maps_too():
    network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    assert explain(network, images(size=(6, 7, 9)), "gradient").shape == (2, 2, 6, 7, 9)


def test_smoothing_keeps_an_even_map_and_the_sum_of_a_point_inside():
    even = torch.full((1, 1, 20, 30), 0.3)
    torch.testing.assert_close(smoothed(even), even)
    point = torch.zeros(1, 1, 48, 48)
    point[0, 0, 24, 24] = 1
    spread = smoothed(point)
    torch.testing.assert_close(spread.sum(), torch.tensor(1.0))
    assert spread.argmax() == point.argmax()


def test_attention_is_brought_to_the_images_size_for_every_label():
    maps = explain(Looking(), images(size=(8, 8)), "attention")
    assert maps.shape == (2, 3, 8, 8)
    torch.testing.assert_close(maps[:, :, 7, 7], torch.ones(2, 3))
    torch.testing.assert_close(maps[:, :, 0, 0], torch.zeros(2, 3))


def test_attention_of_a_network_without_it_is_refused_with_advice():
    with pytest.raises(ConfigError, match=r"Corner has no attention map.*\n.*predict\.maps=gradient"):
        explain(Corner(), images(), "attention")


def test_attention_of_a_trunk_of_other_mixers_is_refused_with_its_reason():
    class Scans(Looking):
        def attention_map(self, image: Tensor) -> Tensor:
            raise ValueError("the trunk has blocks that are not attention")

    with pytest.raises(ConfigError, match="not attention"):
        explain(Scans(), images(), "attention")
