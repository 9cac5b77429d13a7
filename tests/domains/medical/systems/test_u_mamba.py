"""U-Mamba: where its Mamba layers stand, and its norms."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from armillary.core.norms import BatchNorm
from armillary.domains.medical.systems.mamba_layer import MambaLayer
from armillary.domains.medical.systems.residual import MapNorm
from armillary.domains.medical.systems.settings import UMambaSettings
from armillary.domains.medical.systems.u_mamba import UMamba

SMALL = UMambaSettings(widths=(8, 12, 16), blocks=(1, 1, 1), state=4)


def layers(model: nn.Module) -> list[MambaLayer]:
    return [module for module in model.modules() if isinstance(module, MambaLayer)]


def test_enc_has_a_mamba_layer_behind_every_stage_and_bot_behind_the_last():
    assert [layer.norm.normalized_shape[0] for layer in layers(UMamba(SMALL, 1, 1, (64, 64)))] == [8, 12, 16]
    bot = UMamba(SMALL.model_copy(update={"variant": "bot"}), 1, 1, (64, 64))
    assert [layer.norm.normalized_shape[0] for layer in layers(bot)] == [16]
    assert isinstance(bot.mixers[2], MambaLayer)


def test_channels_are_the_tokens_where_a_map_has_no_more_places_than_features():
    # Maps of 12x12, 6x6 and 3x3 with widths 8, 12 and 16: only the last one is small.
    assert [layer.extents for layer in layers(UMamba(SMALL, 1, 1, (12, 12)))] == [None, None, (3, 3)]
    # The size is brought to a multiple of 4 first.
    assert [layer.extents for layer in layers(UMamba(SMALL, 1, 1, (4, 9, 5)))] == [None, None, (1, 3, 2)]
    bot = UMamba(SMALL.model_copy(update={"variant": "bot"}), 1, 1, (12, 12))
    assert [layer.extents for layer in layers(bot)] == [None]


def test_a_layer_on_places_reads_them_row_by_row():
    torch.manual_seed(0)
    layer, values = MambaLayer(6, 4), torch.randn(2, 6, 3, 4)
    rows = values.permute(0, 2, 3, 1).reshape(2, 12, 6)
    expected = layer._mixed(rows).reshape(2, 3, 4, 6).permute(0, 3, 1, 2)
    assert_close(layer(values), expected)


def test_a_layer_on_channels_reads_the_places_of_a_map_as_features():
    torch.manual_seed(0)
    layer, values = MambaLayer(6, 4, (3, 2)), torch.randn(2, 6, 3, 2)
    assert_close(layer(values), layer._mixed(values.flatten(2)).reshape(2, 6, 3, 2))


@pytest.mark.parametrize("size", [(6, 4), (5, 3), (2, 1), (3, 7)])
def test_a_map_of_another_size_is_mixed_block_by_block(size):
    torch.manual_seed(0)
    layer, values = MambaLayer(6, 4, (3, 2)), torch.randn(2, 6, *size)
    found = layer(values)
    assert found.shape == values.shape
    padded = torch.zeros(2, 6, -(-size[0] // 3) * 3, -(-size[1] // 2) * 2)
    padded[:, :, : size[0], : size[1]] = values
    expected = torch.zeros_like(padded)
    for row in range(0, padded.shape[2], 3):
        for column in range(0, padded.shape[3], 2):
            place = (..., slice(row, row + 3), slice(column, column + 2))
            expected[place] = layer(padded[place])
    assert_close(found, expected[:, :, : size[0], : size[1]])


def test_blocks_of_a_volume_are_mixed_each_by_itself():
    torch.manual_seed(0)
    layer, values = MambaLayer(5, 4, (1, 2, 2)), torch.randn(1, 5, 2, 2, 4)
    found = layer(values)
    for plane in range(2):
        for column in (0, 2):
            place = (..., slice(plane, plane + 1), slice(0, 2), slice(column, column + 2))
            assert_close(found[place], layer(values[place]))


@pytest.mark.parametrize("extents", [None, (4, 4)])
def test_mixed_precision_leaves_a_mamba_layer_in_float32(extents):
    torch.manual_seed(0)
    layer, values = MambaLayer(16, 4, extents), torch.randn(1, 16, 4, 4)
    seen: list[torch.dtype] = []
    layer.mamba.in_proj.register_forward_hook(lambda module, given, found: seen.append(found.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(values.bfloat16())
    assert found.dtype == torch.bfloat16
    assert seen == [torch.float32]
    assert_close(found, layer(values.bfloat16().float()).bfloat16())


def test_a_whole_network_runs_under_mixed_precision():
    torch.manual_seed(0)
    model = UMamba(SMALL, 1, 1, (32, 32))
    image = torch.randn(1, 1, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(image)
    found.float().mean().backward()
    assert found.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_double_precision_stays_double():
    layer = MambaLayer(6, 4).double()
    assert layer(torch.randn(1, 6, 3, 3, dtype=torch.float64)).dtype == torch.float64


def test_a_causal_layer_sees_no_later_place():
    torch.manual_seed(0)
    layer, values = MambaLayer(6, 4), torch.randn(1, 6, 4, 4)
    changed: Tensor = values.clone()
    changed[..., 0, 2, 1] += 1
    before, after = layer(values).flatten(2), layer(changed).flatten(2)
    assert_close(before[..., :9], after[..., :9])
    assert not torch.allclose(before[..., 9], after[..., 9])


def test_batch_norms_move_after_a_step_and_not_in_a_forward_pass():
    torch.manual_seed(0)
    model = UMamba(SMALL.model_copy(update={"norm": "batch"}), 1, 1, (16, 16))
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    # Two norms in each of stem, three stages and two decoder stages, the coarser with two blocks.
    assert len(norms) == 2 * (1 + 3 + 2 + 2)
    model(3 + torch.randn(2, 1, 16, 16))
    assert all((norm.running_mean == 0).all() for norm in norms)
    model.after_step()
    assert all((norm.running_mean != 0).any() for norm in norms)


def test_a_map_norm_is_a_batch_norm_of_each_channel():
    values = torch.randn(2, 5, 3, 4) * 3 + 1
    peer = nn.BatchNorm2d(5)
    assert_close(MapNorm(5)(values), peer(values), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("variant", "number"), [("enc", 4_587_169), ("bot", 4_427_681)])
def test_the_parameters_of_the_default_networks_stay(variant, number):
    with torch.device("meta"):
        model = UMamba(UMambaSettings(variant=variant), 1, 1, (256, 256))
    assert sum(parameter.numel() for parameter in model.parameters()) == number
