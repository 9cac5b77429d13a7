"""VM-UNet: the published shape."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from armillary.core.block import Block
from armillary.domains.medical.systems.settings import VMUNetSettings
from armillary.domains.medical.systems.vm_unet import VMUNet

SMALL = VMUNetSettings(patch=2, widths=(8, 16, 24), depths=(1, 2, 1), decoder_depths=(1, 2, 1), state=4)


def published(widths: tuple[int, ...], depths: tuple[int, ...], decoder: tuple[int, ...]) -> int:
    """Parameters of the released code, counted from its layers, for three channels and one structure."""

    def block(width: int, state: int = 16) -> int:
        inner, rank = 2 * width, -(-width // 16)
        scan = inner * (rank + 2 * state) + inner * rank + inner + inner * state + inner
        return 2 * width + width * 2 * inner + 10 * inner + 4 * scan + 2 * inner + inner * width

    first, total = widths[0], 0
    total += 3 * 16 * first + first + 2 * first
    for width, depth in zip(widths, depths, strict=True):
        total += depth * block(width)
    for width in widths[:-1]:
        total += 8 * width + 4 * width * 2 * width  # merging, its norm in front of it
    for width, depth in zip(widths[::-1], decoder, strict=True):
        total += depth * block(width)
    for width in widths[:-1]:
        total += 2 * width * 4 * width + 2 * width  # splitting, its norm behind it
    features = first // 4
    return total + first * 4 * first + 2 * features + features + 1


@pytest.mark.parametrize(
    ("depths", "decoder", "millions"),
    [((2, 2, 2, 2), (2, 2, 2, 1), 27.43), ((2, 2, 9, 2), (2, 9, 2, 2), 44.27)],
)
def test_the_parameters_are_the_published_ones_but_for_the_norms_in_front_of_merging(depths, decoder, millions):
    widths = (96, 192, 384, 768)
    with torch.device("meta"):
        model = VMUNet(VMUNetSettings(depths=depths, decoder_depths=decoder), 1, 3, (224, 224))
    found = sum(parameter.numel() for parameter in model.parameters())
    norms = sum(8 * width for width in widths[:-1])
    assert norms == 5376
    assert found + norms == published(widths, depths, decoder)
    assert round((found + norms) / 1e6, 2) == millions


def test_drop_path_grows_towards_the_bottom_from_either_end():
    model = VMUNet(SMALL, 1, 1, (32, 32))
    rates = [
        [block.mixer_branch.drop_path.rate for block in part.modules() if isinstance(block, Block)]
        for part in (model.encoder, model.decoder)
    ]
    assert rates[0] == pytest.approx([0, 0.2 / 3, 0.4 / 3, 0.2])
    assert rates[1] == pytest.approx([0.2, 0.4 / 3, 0.2 / 3, 0])


def test_every_token_becomes_the_patch_that_it_stands_for():
    torch.manual_seed(0)
    model = VMUNet(SMALL, 3, 1, (8, 12)).eval()
    values = torch.randn(1, 4 * 6, 8)
    tokens = model._embedded(torch.zeros(1, 1, 8, 12)).with_values(values)
    pixels = model._pixels(tokens)
    row, column = 2, 5
    # The patch of one token, by hand.
    features = model.expand(values[0, row * 6 + column]).reshape(2, 2, model.features)
    patch = model.head(model.expand_norm(features)).permute(2, 0, 1)
    assert_close(pixels[0, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2], patch)


def test_what_enters_each_encoder_stage_but_the_finest_reaches_the_decoder_of_its_resolution():
    torch.manual_seed(0)
    model = VMUNet(SMALL, 1, 1, (32, 32)).eval()
    given: dict[int, Tensor] = {}
    for index, stage in enumerate(model.encoder[1:]):
        stage.resample.register_forward_hook(lambda *call, index=index: given.update({index: call[2].values}))
    read: dict[int, Tensor] = {}
    for index, stage in enumerate(model.decoder[1:]):
        stage.resample.register_forward_hook(lambda *call, index=index: read.update({index: call[1][0].values}))
    mixed: dict[int, Tensor] = {}
    for index, stage in enumerate(model.decoder[:2]):
        stage.blocks[-1].register_forward_hook(lambda *call, index=index: mixed.update({index: call[2][0].values}))
    with torch.no_grad():
        model(torch.randn(1, 1, 32, 32))
    for index in range(2):
        assert_close(read[index], mixed[index] + given[1 - index])


def test_step_size_weights_of_the_scans_keep_their_own_start():
    model = VMUNet(VMUNetSettings(widths=(32, 64), depths=(1, 1), decoder_depths=(1, 1)), 1, 1, (32, 32))
    mixer = model.encoder[0].blocks[0].mixer.requires_grad_(False)
    assert mixer.in_proj.weight.std() == pytest.approx(0.02, rel=0.1)
    assert mixer.forwards[0].dt_proj.weight.abs().max() > 0.3  # uniform within rank^-0.5 = 0.71


def test_stages_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="expected one entry a stage in each, got"):
        VMUNetSettings(widths=(8, 16), depths=(1,), decoder_depths=(1, 1))
