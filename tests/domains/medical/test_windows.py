"""Windows: blending, odd sizes, and volumes that are never held whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from armillary.domains.medical.windows import segment_volume, slide


def pointwise(image: Tensor) -> Tensor:
    """Looks at one place alone, so that windows change nothing."""
    return torch.cat((image.sum(1, keepdim=True), image[:, :1].square()), dim=1)


def convolved(rank: int, channels: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return (nn.Conv3d if rank == 3 else nn.Conv2d)(channels, 3, 3, padding=1)


class Planes:
    """A volume that tells how many planes were asked for at once."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.most = values, values.shape, 0

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        found = self.values[key]
        self.most = max(self.most, found.shape[1])
        return found


class Writes:
    """Takes planes and remembers which."""

    def __init__(self, *shape: int) -> None:
        self.values, self.planes = np.full(shape, np.nan, np.float32), []

    def __setitem__(self, key: tuple[slice, slice], value: np.ndarray) -> None:
        self.values[key] = value
        self.planes += range(key[1].start, key[1].stop)


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 15), min_size=2, max_size=3),
    st.integers(3, 9),
    st.sampled_from([0.0, 0.25, 0.5]),
)
def test_a_network_without_neighbours_gives_the_same_in_windows_of_any_size(size, side, overlap):
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(side))
    found = slide(pointwise, image, (side,) * len(size), overlap)
    assert_close(found, pointwise(image), atol=1e-5, rtol=1e-5)


def test_an_image_of_one_window_goes_through_the_network_once():
    calls: list[tuple[int, ...]] = []

    def watched(image: Tensor) -> Tensor:
        calls.append(tuple(image.shape))
        return pointwise(image)

    slide(watched, torch.rand(2, 1, 8, 5), (8, 9), 0.5)
    assert calls == [(2, 1, 8, 5)]


def test_windows_agree_with_the_whole_but_near_their_borders():
    network, image = convolved(2), torch.rand(1, 2, 40, 40)
    with torch.no_grad():
        whole, found = network(image), slide(network, image, (16, 16), 0.5)
    # With half an overlap the Gaussian gives windows' borders, where alone they differ, little weight. At the image's
    # own border all weights are at their floor.
    inner = (..., slice(8, 32), slice(8, 32))
    assert (found - whole)[inner].abs().max() < 0.01
    assert_close(found[..., 3:8, 3:8], whole[..., 3:8, 3:8], atol=1e-2, rtol=0)
    assert not torch.allclose(found, whole)


@settings(max_examples=10)
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 10), st.integers(1, 10)),
    st.tuples(st.integers(1, 6), st.integers(3, 6), st.integers(3, 6)),
    st.sampled_from([0.0, 0.3, 0.6]),
)
def test_a_volume_read_plane_by_plane_equals_the_whole(size, patch, overlap):
    network = convolved(3)
    volume = np.random.default_rng(0).random((2, *size), np.float32)
    source, out = Planes(volume), Writes(3, *size)
    segment_volume(network, source, out, patch, overlap, at_once=5)
    with torch.no_grad():
        whole = slide(network, torch.from_numpy(volume)[None], patch, overlap).sigmoid()[0]
    assert_close(torch.from_numpy(out.values), whole, atol=1e-5, rtol=1e-5)
    assert source.most <= min(patch[0], size[0])
    assert out.planes == list(range(size[0]))


def test_a_volume_goes_from_one_memory_map_to_another(tmp_path):
    source = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.int16, (1, 9, 8, 8))
    source[:] = np.arange(9)[:, None, None]
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, (2, 9, 8, 8))
    segment_volume(pointwise, source, out, (4, 4, 4), 0.5)
    assert_close(torch.from_numpy(np.array(out[0, :, 3, 3])), torch.arange(9.0).sigmoid())


def test_a_patch_with_another_number_of_axes_is_refused():
    with pytest.raises(ValueError, match=r"set data\.patch"):
        slide(pointwise, torch.rand(1, 1, 8, 8), (4, 4, 4), 0.5)
