"""Mean and deviation of grey values: given, estimated, of each image."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from armillary.domains.medical.settings import MedicalData
from armillary.domains.medical.standardise import fitted_moments, given_moments, image_moments, standardised


class Films:
    """Training images that differ from epoch to epoch, were they augmented."""

    def __init__(self, images: list[np.ndarray]) -> None:
        self.images = images
        self.ids = self.groups = np.arange(len(images)).astype(str)
        self.problems = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        return {"image": self.images[index] + epoch, "index": index}

    def collate(self, items):
        raise NotImplementedError


def data(**changes) -> MedicalData:
    return MedicalData(card="films", task="pretrain", **changes)


def test_one_number_serves_all_channels_and_none_means_estimated():
    mean, std = given_moments(data(channels=3, mean=(0.5,), std=(0.25,)))
    assert mean.tolist() == [0.5] * 3
    assert std.tolist() == [0.25] * 3
    mean, _ = given_moments(data(channels=3, mean=(0.1, 0.2, 0.3), std=(1.0,)))
    assert_close(mean, torch.tensor([0.1, 0.2, 0.3]))
    assert given_moments(data()) is None


def test_moments_are_those_of_all_pixels_of_plain_images():
    generator = np.random.default_rng(0)
    images = [generator.random((2, 4, 6)).astype(np.float32) * scale for scale in (1, 2, 3)]
    mean, std = fitted_moments(Films(images), 2)
    together = np.stack(images).swapaxes(0, 1).reshape(2, -1)
    assert_close(mean, torch.from_numpy(together.mean(1)).float())
    assert_close(std, torch.from_numpy(together.std(1)).float())


@pytest.mark.parametrize("images", [[], [np.full((1, 3, 3), 0.5, np.float32)]])
def test_no_image_and_no_contrast_leave_a_deviation_of_one(images):
    mean, std = fitted_moments(Films(images), 1)
    assert mean.tolist() == [0.5 if images else 0.0]
    assert std.tolist() == [1.0]


def test_many_images_are_sampled_evenly():
    asked = []

    class Counted(Films):
        def __getitem__(self, key):
            asked.append(key[1])
            return super().__getitem__(key)

    images = [np.full((1, 1, 1), index / 3000, np.float32) for index in range(3000)]
    mean, _ = fitted_moments(Counted(images), 1)
    assert len(asked) == 1000
    assert (asked[0], asked[-1]) == (0, 2999)
    assert mean.item() == pytest.approx(0.5, abs=1e-3)


def test_standardised_images_have_the_moments_taken_off():
    image = torch.rand(2, 3, 4, 5, 2)
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([1.0, 2.0, 4.0])
    assert_close(standardised(image, mean, std)[:, 2], (image[:, 2] - 0.3) / 4)


def test_each_image_by_itself_and_an_even_one_stays_finite():
    image = torch.cat([torch.rand(2, 1, 6, 7) * 3 + 1, torch.full((1, 1, 6, 7), 0.7)])
    mean, std = image_moments(image)
    alone = (image - mean) / std
    assert_close(alone[:2].mean((1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    assert_close(alone[:2].square().mean((1, 2, 3)), torch.ones(2))
    assert_close(alone[2], torch.zeros(1, 6, 7), atol=1e-6, rtol=0)
