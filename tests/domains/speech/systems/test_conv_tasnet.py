"""Conv-TasNet: its size, its reach, its norms."""

import pytest
import torch
from torch.testing import assert_close

from armillary.domains.speech.systems.conv_tasnet import ConvTasNet, RowNorm
from armillary.domains.speech.systems.settings import ConvTasNetSettings, FilterbankSettings


def small(**chosen: object) -> ConvTasNetSettings:
    bank = FilterbankSettings(filters=6, relu=False)
    sizes = {"bottleneck": 4, "hidden": 8, "skip": 5, "blocks": 2, "repeats": 2}
    return ConvTasNetSettings.model_validate({"filterbank": bank, **sizes, **chosen})


def test_the_published_best_form_has_about_five_million_parameters():
    with torch.device("meta"):
        masker = ConvTasNet(ConvTasNetSettings(), voices=2)
    parameters = sum(parameter.numel() for parameter in masker.parameters()) + 2 * 512 * 16
    assert parameters == pytest.approx(5.1e6, rel=0.03)


def test_no_parameter_is_without_use():
    masker = ConvTasNet(small(), voices=2)
    masker.head(masker.body(torch.randn(1, 9, 6), None, None)[0]).sum().backward()
    assert all(parameter.grad is not None for parameter in masker.parameters())


@pytest.mark.parametrize(("norm", "ahead"), [("step", 0), ("global", 9)])
def test_a_step_sees_as_far_as_the_dilations_reach(norm, ahead):
    """Two repeats of dilations 1 and 2, kernel 3: six steps in all before, and after where it is not causal."""
    torch.manual_seed(0)
    masker = ConvTasNet(small(norm="step" if norm == "step" else "global"), voices=2)
    if norm == "global":
        # Norms over the whole would let every step see every other.
        for module in masker.modules():
            if isinstance(module, RowNorm):
                module.kind = "step"
    features = torch.randn(1, 40, 6, requires_grad=True)
    masker.body(features, None, None)[0][0, 20].sum().backward()
    seen = features.grad[0].abs().sum(-1).nonzero().flatten()
    reach = 12 if norm == "step" else 6
    assert (int(seen.min()), int(seen.max())) == (20 - reach, 20 + (6 if ahead else 0))


@pytest.mark.parametrize("kind", ["global", "step"])
def test_norms_of_rows_do_not_see_padding(kind):
    norm, values = RowNorm(4, kind).double(), torch.randn(2, 4, 7).double()
    torch.nn.init.normal_(norm.weight)
    mask = torch.arange(7) < torch.tensor([[3], [7]])
    assert_close(norm(values, mask)[:1, :, :3], norm(values[:1, :, :3]))
    assert_close(norm(values, torch.ones(2, 7, dtype=torch.bool)), norm(values))


def test_masks_are_shares():
    masker = ConvTasNet(small(), voices=3)
    masks = masker.head(torch.randn(2, 5, 5))
    assert masks.shape == (2, 5, 3, 6)
    assert ((masks > 0) & (masks < 1)).all()
