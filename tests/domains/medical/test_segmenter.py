"""What every segmentation network gets for free: normalisation, windows, losses, scores, thresholds."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from armillary.core.domain import Exportable, Model
from armillary.core.errors import ConfigError
from armillary.domains.medical.mask_scores import mask_scores
from armillary.domains.medical.segmenter import Segmenter
from armillary.domains.medical.settings import MedicalData, MedicalPredict, MedicalRun
from armillary.domains.medical.systems.settings import UMambaSettings
from armillary.domains.medical.systems.u_mamba import UMamba
from armillary.pipelines.export_program import Served, trace

OPTIONS = MedicalPredict()
TINY = UMambaSettings(widths=(8, 8), blocks=(1, 1), state=4, norm="batch")


class Bright(nn.Module):
    """Two structures: what is bright, and what is dark; looks at one place alone."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        bright = image.mean(1, keepdim=True) * self.gain
        return torch.cat((bright, -bright), dim=1)


class Images:
    """Training items that only have an image."""

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self.images = images
        self.ids = self.groups = np.arange(len(images)).astype(str)
        self.problems = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        return {"image": self.images[key[1]]}

    def collate(self, items: Any) -> Any:
        raise NotImplementedError


def run(model: UMambaSettings = TINY, **data: Any) -> MedicalRun:
    told = {"card": "none", "task": "masks", "names": ("one", "two"), "size": (16, 16), "mean": (0.5,), "std": (0.25,)}
    return MedicalRun(recipe="medical/test", data=MedicalData(**{**told, **data}), model=model)


def segmenter(network: nn.Module | None = None, **data: Any) -> Segmenter:
    return Segmenter(network or Bright(), run(**data)).eval()


def batch(image: Tensor, mask: Tensor | None = None, shape: list[list[int]] | None = None) -> dict[str, Tensor]:
    extents = torch.tensor(shape or [list(image.shape[2:])] * len(image))
    found = {"image": image, "shape": extents, "index": torch.arange(len(image))}
    found["spacing"] = torch.full((len(image), image.ndim - 2), float("nan"))
    return found if mask is None else {**found, "mask": mask}


def grey(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def drawn(image: Tensor) -> Tensor:
    """True masks of what is bright and dark."""
    bright = (image.mean(1, keepdim=True) > 0.5).float()
    return torch.cat((bright, 1 - bright), dim=1)


def predicted(model: Segmenter, batch: dict[str, Tensor], options: MedicalPredict = OPTIONS) -> dict[str, Tensor]:
    with torch.no_grad():
        (found,) = model.predict(batch, options)
    return found


def test_it_is_a_model_that_can_be_exported():
    assert isinstance(segmenter(), Model)
    assert isinstance(segmenter(), Exportable)


def test_fitting_takes_the_moments_of_the_training_images_and_forgets_old_thresholds():
    rng = np.random.default_rng(0)
    images = [rng.random((1, 16, 16), np.float32) * 0.3 + 0.2 for _ in range(5)]
    model = segmenter(mean=None, std=None)
    model.threshold.fill_(0.9)
    model.fit(Images(images))
    assert_close(model.mean, torch.tensor([np.mean(images)]), atol=1e-5, rtol=0)
    assert_close(model.std, torch.tensor([np.std(images)]), atol=1e-5, rtol=0)
    assert (model.threshold == 0.5).all()


@pytest.mark.parametrize("data", [{}, {"each_image": True}])
def test_given_moments_stay_and_each_image_has_its_own(data):
    model = segmenter(**data)
    model.fit(Images([np.zeros((1, 16, 16), np.float32)]))
    assert_close(model.mean, torch.tensor([0.5]))
    image = grey(2, 1, 16, 16) * 0.1
    normal = model.normalised(image)
    if data:
        assert_close(normal.mean((2, 3)), torch.zeros(2, 1), atol=1e-5, rtol=0)
    else:
        assert_close(normal, (image - 0.5) / 0.25)


@given(st.floats(0.2, 3), st.floats(-0.4, 0.4))
@settings(max_examples=8)
def test_level_and_contrast_change_nothing_where_each_image_is_normalised(gain, offset):
    model, image = segmenter(each_image=True), grey(1, 1, 16, 16)
    assert_close(model(image), model(gain * image + offset), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("each_image", [False, True])
def test_a_padded_image_is_normalised_without_its_padding(each_image):
    model, image = segmenter(each_image=each_image), torch.zeros(2, 1, 16, 16)
    image[0], image[1, :, :5, :9] = grey(1, 16, 16), grey(1, 5, 9)
    found = model.normalised(image, torch.tensor([[16, 16], [5, 9]]))
    assert_close(found[1:, :, :5, :9], model.normalised(image[1:, :, :5, :9]))
    assert (found[1, :, 5:] == 0).all()
    assert (found[1, :, :, 9:] == 0).all()


def test_the_loss_is_the_sum_of_its_parts_and_trains():
    torch.manual_seed(0)
    model = Segmenter(UMamba(TINY, 2, 1, (16, 16)), run())
    image = grey(4, 1, 16, 16)
    found = model.loss(batch(image, drawn(image)), torch.Generator())
    assert_close(found["total"], found["entropy"] + found["dice"])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    before = found["total"].item()
    for _ in range(8):
        loss = model.loss(batch(image, drawn(image)), torch.Generator())["total"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.after_step()
    assert loss.item() < 0.8 * before
    assert (model.network.stem[0].first_norm.norm.running_mean != 0).any()


def test_padding_and_unlabelled_places_do_not_change_the_loss():
    model, image = segmenter(), grey(1, 1, 10, 12)
    mask = drawn(image)
    expected = model.loss(batch(image, mask), torch.Generator())["total"]
    padded = batch(nn.functional.pad(image, (0, 4, 0, 6)), nn.functional.pad(mask, (0, 4, 0, 6)), [[10, 12]])
    assert_close(model.loss(padded, torch.Generator())["total"], expected)
    padded["mask"][:, :, 10:] = float("nan")
    assert_close(model.loss(padded, torch.Generator())["total"], expected)
    mask[:, 1] = float("nan")
    assert model.loss(batch(image, mask), torch.Generator())["total"].isfinite()


def test_images_with_masks_get_scores_and_images_without_get_probabilities():
    model, image = segmenter(), grey(3, 1, 16, 16)
    scores = predicted(model, batch(image, drawn(image)))
    assert set(scores) == {"dice", "iou", "hd95", "volume_share"}
    assert_close(scores["dice"], torch.ones(3, 2))
    assert_close(scores["hd95"], torch.zeros(3, 2))
    assert_close(scores["volume_share"], drawn(image).mean((2, 3)))
    kept = predicted(model, batch(image, drawn(image)), MedicalPredict(keep_masks=True))
    plain = predicted(model, batch(image))
    assert set(kept) == set(scores) | set(plain)
    assert set(plain) == {"probability", "threshold", "volume_share"}
    assert_close(plain["probability"], model(image).sigmoid())


@pytest.mark.parametrize("patch", [None, (8, 8)])
def test_images_of_several_sizes_get_what_they_get_alone(patch):
    torch.manual_seed(0)
    model = segmenter(UMamba(TINY, 2, 1, (16, 16)), size=None, patch=patch)
    alone = [grey(1, 1, 20, 9), grey(1, 1, 13, 17, seed=1)]
    image = torch.zeros(2, 1, 20, 17)
    for row, part in enumerate(alone):
        image[row, :, : part.shape[2], : part.shape[3]] = part
    shape = [list(part.shape[2:]) for part in alone]
    together = predicted(model, batch(image, shape=shape))
    for row, part in enumerate(alone):
        expected = predicted(model, batch(part))
        size = part.shape[2:]
        assert_close(together["probability"][row, :, : size[0], : size[1]], expected["probability"][0])
        assert_close(together["volume_share"][row], expected["volume_share"][0])
        mask = torch.zeros(2, 2, 20, 17)
        mask[:, :, :8, :8] = 1
        scored = predicted(model, batch(image, mask, shape))
        for name, value in predicted(model, batch(part, mask[:1, :, : size[0], : size[1]])).items():
            assert_close(scored[name][row], value[0], equal_nan=True)


def test_scores_are_those_of_the_thresholded_probability_and_count_in_millimetres():
    torch.manual_seed(0)
    model = segmenter(UMamba(TINY, 2, 1, (16, 16)))
    model.threshold.copy_(torch.tensor([0.45, 0.55]))
    image = grey(2, 1, 16, 16)
    given = batch(image, drawn(image))
    given["spacing"] = torch.tensor([[2.0, 3.0], [0.5, 0.5]])
    probability = predicted(model, batch(image))["probability"]
    mask = probability >= torch.tensor([0.45, 0.55])[:, None, None]
    expected = mask_scores(mask, drawn(image), given["spacing"])
    found = predicted(model, given)
    for name, value in expected.items():
        assert_close(found[name], value, equal_nan=True)
    half = predicted(model, given, MedicalPredict(threshold="half"))
    assert_close(half["dice"], mask_scores(probability >= 0.5, drawn(image))["dice"], equal_nan=True)


def test_windows_and_the_whole_are_near_each_other_with_batch_norms_and_not_with_instance_norms():
    torch.manual_seed(0)
    # Dark on the left and bright on the right, as the fundus of an eye beside its dark surround.
    image = grey(1, 1, 48, 48) * 0.2 + torch.linspace(0, 0.8, 48)
    apart: dict[str, float] = {}
    for norm in ("batch", "instance"):
        settings = UMambaSettings(widths=(8, 8), blocks=(1, 1), state=4, norm=norm, variant="bot")
        network = UMamba(settings, 2, 1, (24, 24))
        whole, parts = (segmenter(network, size=None, patch=patch) for patch in (None, (24, 24)))
        if norm == "batch":  # running moments of such images
            network.train()
            for _ in range(25):
                network(whole.normalised(image))
                network.after_step()
            network.eval()
        found = [predicted(model, batch(image))["probability"] for model in (whole, parts)]
        apart[norm] = (found[0] - found[1]).abs().mean().item() / found[0].std().item()
    assert apart["batch"] < 0.1
    assert apart["instance"] > 3 * apart["batch"]


def test_a_volume_from_a_file_equals_the_volume_in_memory(tmp_path):
    torch.manual_seed(0)
    settings = UMambaSettings(widths=(8, 8), blocks=(1, 1), state=4)
    model = segmenter(UMamba(settings, 2, 1, (4, 8, 8)), size=None, patch=(4, 8, 8))
    volume = grey(1, 1, 11, 10, 9)
    source = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", np.float32, (1, 11, 10, 9))
    source[:] = volume[0].numpy()
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.float32, (2, 11, 10, 9))
    model.segment_volume(source, out, 0.5)
    expected = predicted(model, batch(volume))["probability"][0]
    assert_close(torch.from_numpy(np.array(out)), expected, atol=1e-5, rtol=1e-4)


def test_a_volume_without_a_patch_is_refused():
    with pytest.raises(ConfigError, match=r"data\.patch is not set"):
        segmenter().segment_volume(np.zeros((1, 4, 4, 4), np.float32), np.zeros((2, 4, 4, 4), np.float32), 0.5)


def test_calibration_finds_the_thresholds_of_the_best_dice_and_survives_saving():
    model, image = segmenter(), grey(6, 1, 16, 16)
    # What is called bright begins at a probability of 0.75, what is called dark at 0.25.
    bright = model(image).sigmoid()[:, :1] >= 0.7499
    mask = torch.cat((bright, ~bright), dim=1).float()
    before = predicted(model, batch(image, mask))["dice"].mean()

    def batches() -> Iterator[dict[str, Tensor]]:
        for first in (0, 3):
            yield batch(image[first : first + 3], mask[first : first + 3])

    model.calibrate(batches)
    assert_close(model.threshold, torch.tensor([0.75, 0.25]), atol=0.051, rtol=0)
    after = predicted(model, batch(image, mask))["dice"].mean()
    assert after > before
    again = segmenter()
    again.load_state_dict(model.state_dict())
    assert_close(predicted(again, batch(image, mask))["dice"].mean(), after)


def test_calibration_on_nothing_changes_nothing():
    model = segmenter()
    model.calibrate(lambda: iter(()))
    assert (model.threshold == 0.5).all()


def test_a_threshold_of_a_sensitivity_is_refused():
    with pytest.raises(ConfigError, match="youden"):
        predicted(segmenter(), batch(grey(1, 1, 16, 16)), MedicalPredict(threshold="sensitivity"))


@pytest.mark.parametrize("data", [{}, {"size": None}, {"size": (4, 8, 8)}])
def test_the_interface_names_what_a_prediction_of_an_image_alone_gives(data):
    model = segmenter(**data)
    interface = model.interface()
    rank = len(data.get("size") or (0, 0))
    found = predicted(model, {"image": grey(1, 1, *(8,) * rank)})
    assert set(interface.outputs) == set(found)
    for name, port in interface.outputs.items():
        assert len(port.axes) == found[name].ndim
    assert set(interface.ragged) == ({"row", "column"} if data.get("size", 1) is None else set())


def test_an_exported_program_serves_any_number_of_images():
    model, image = segmenter(), grey(5, 1, 16, 16)
    with torch.no_grad():
        program = trace(Served(model, model.interface(), OPTIONS), {"image": image[:3]}, {})
        found = program.exported.module()({"image": image})
    for name, value in predicted(model, {"image": image}).items():
        assert_close(found[name], value)


def test_a_part_is_normalised_by_the_moments_of_its_image():
    model, image = segmenter(each_image=True), grey(2, 1, 16, 16)
    whole = model.normalised(image)
    moments = torch.stack([image.mean((2, 3)), image.std((2, 3), correction=0)], 1)
    part = model.normalised(image[..., 3:11, :8], moments=moments)
    assert_close(part, whole[..., 3:11, :8], atol=1e-5, rtol=1e-5)
