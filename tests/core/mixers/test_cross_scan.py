"""Cross scan and the MedMamba block: the equations of their papers, directions, edges and masks."""

from collections.abc import Callable

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import CrossScanSettings, MedMambaSettings
from armillary.core.errors import ConfigError
from armillary.core.mixers import CrossScan, MedMamba
from armillary.core.mixers.grid_convolution import GridConv
from armillary.core.ops.selective_scan.reference import selective_scan_reference
from armillary.core.testing.mixer_grids import assert_wraps
from armillary.core.tokens import Grid, Tokens

WIDTH = 8
PLAIN = {1: Grid((7,), (False,)), 2: Grid((3, 5), (False, False)), 3: Grid((2, 3, 4), (False, False, False))}


def tokens_on(grid: Grid, mask: Tensor | None = None) -> Tokens:
    length = torch.Size(grid.extents).numel()
    values = torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return Tokens(values, mask=mask, grid=grid)


def scanned_along(x: Tensor, grid: Grid, axis: int, scan: nn.Module, backwards: bool) -> Tensor:
    """One direction, with the grid permuted into the order of the scan and back again."""
    order = torch.arange(x.shape[1]).reshape(grid.extents).movedim(axis, -1).flatten()
    order = order.flip(0) if backwards else order
    x = x[:, order]
    rank, states = scan.dt_proj.weight.shape[1], scan.A_log.shape[1]
    low, B, C = functional.linear(x, scan.x_proj.weight).split([rank, states, states], -1)
    dt = functional.softplus(functional.linear(low, scan.dt_proj.weight, scan.dt_bias))
    y, _ = selective_scan_reference(x, dt, -scan.A_log.exp(), B[:, :, None], C[:, :, None], scan.D)
    return y[:, order.argsort()]


def library_conv(x: Tensor, grid: Grid, conv: GridConv) -> Tensor:
    """The library's convolution of the same rank, with zeros beyond the edge."""
    convolve: Callable[..., Tensor] = getattr(functional, f"conv{len(grid.extents)}d")
    on_grid = x.transpose(1, 2).unflatten(2, grid.extents)
    return convolve(on_grid, conv.weight, conv.bias, padding=conv.reach, groups=conv.groups).flatten(2).transpose(1, 2)


@pytest.mark.parametrize("gate", [False, True], ids=["plain", "gated"])
@pytest.mark.parametrize("grid", PLAIN.values(), ids=lambda grid: str(grid.extents))
def test_a_cross_scan_is_its_published_block(grid: Grid, gate: bool) -> None:
    rank, tokens = len(grid.extents), tokens_on(grid)
    mixer = CrossScan(WIDTH, CrossScanSettings(rank=rank, state=3, gate=gate)).double()
    x, *z = functional.linear(tokens.values, mixer.in_proj.weight).chunk(2 if gate else 1, -1)
    x = functional.silu(library_conv(x, grid, mixer.conv))
    y = torch.zeros_like(x)
    for axis in range(rank):
        y += scanned_along(x, grid, axis, mixer.forwards[axis], backwards=False)
        y += scanned_along(x, grid, axis, mixer.backwards[axis], backwards=True)
    y = functional.layer_norm(y, y.shape[-1:], mixer.norm.weight, mixer.norm.bias)
    y = y * functional.silu(z[0]) if gate else y
    torch.testing.assert_close(mixer(tokens)[0], functional.linear(y, mixer.out_proj.weight))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_one_axis_keeps_the_two_scans_along_it(axis: int) -> None:
    grid = PLAIN[3]
    mixer = CrossScan(WIDTH, CrossScanSettings(rank=3, axis=axis, conv=1)).double()
    x = torch.randn(2, 24, 16, dtype=torch.float64)
    expected = scanned_along(x, grid, axis, mixer.forwards[0], backwards=False)
    expected = expected + scanned_along(x, grid, axis, mixer.backwards[0], backwards=True)
    assert len(mixer.forwards) == len(mixer.backwards) == 1
    torch.testing.assert_close(mixer._scanned(x, grid, None), expected)


def test_swapping_the_axes_and_their_parameters_swaps_the_axes_of_the_output() -> None:
    mixer, tokens = CrossScan(WIDTH, CrossScanSettings()).double(), tokens_on(PLAIN[2])
    turned = CrossScan(WIDTH, CrossScanSettings()).double()
    turned.load_state_dict(mixer.state_dict())
    turned.forwards, turned.backwards = (nn.ModuleList(reversed(m)) for m in (mixer.forwards, mixer.backwards))
    turned.conv.weight.data = mixer.conv.weight.data.transpose(-1, -2)
    values = tokens.values.unflatten(1, (3, 5)).transpose(1, 2).flatten(1, 2)
    mixed = turned(Tokens(values, grid=Grid((5, 3), (False, False))))[0]
    torch.testing.assert_close(mixed.unflatten(1, (5, 3)).transpose(1, 2).flatten(1, 2), mixer(tokens)[0])


@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_convolution_wraps_around_periodic_axes_only(width: int) -> None:
    class OnTokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = GridConv(WIDTH, width, 2, depthwise=True).double()

        def forward(self, tokens: Tokens) -> tuple[Tensor, None]:
            return self.conv(tokens.values, tokens.grid, tokens.mask), None

    module, tokens = OnTokens(), tokens_on(Grid((3, 5), (True, False)))
    assert_wraps(module, tokens, (1, 0))
    flat = Tokens(tokens.values, grid=PLAIN[2])
    edges = (module(tokens)[0] - module(flat)[0]).unflatten(1, (3, 5)).abs().amax((0, 3))
    assert bool((edges > 0).all()) == (width == 5)
    assert bool((edges[1] == 0).all()) == (width < 5)


def test_a_window_wider_than_a_periodic_axis_goes_around_more_than_once() -> None:
    conv = GridConv(WIDTH, 5, 1, depthwise=True).double()
    values = tokens_on(Grid((1,), (True,))).values
    expected = values * conv.weight.sum((1, 2)) + conv.bias
    torch.testing.assert_close(conv(values, Grid((1,), (True,)), None), expected)


def test_a_masked_token_is_nothing_but_a_step_of_size_zero() -> None:
    mixer = CrossScan(WIDTH, CrossScanSettings(rank=1, conv=1, state=4)).double()
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[:, 2:4] = False
    tokens = tokens_on(PLAIN[1], mask)
    alone = mixer(Tokens(tokens.values[:, mask[0]]))[0]
    torch.testing.assert_close(mixer(tokens)[0][:, mask[0]], alone)


def test_single_precision_in_the_fast_tier_equals_double() -> None:
    for rank, grid in PLAIN.items():
        mixer, tokens = CrossScan(WIDTH, CrossScanSettings(rank=rank, state=2)).double(), tokens_on(grid)
        expected = mixer(tokens)[0]
        single = mixer.float()(Tokens(tokens.values.float(), grid=grid))[0]
        torch.testing.assert_close(single.double(), expected, rtol=1e-4, atol=1e-5)


def test_medmamba_is_its_published_block() -> None:
    grid, tokens = PLAIN[2], tokens_on(PLAIN[2])
    mixer = MedMamba(WIDTH, MedMambaSettings()).double().train()
    x, scanned = tokens.values[..., : WIDTH // 2], tokens.values[..., WIDTH // 2 :]
    branch = mixer.convolve

    def batch_norm(values: Tensor, norm: nn.Module) -> Tensor:
        folded = functional.batch_norm(values.flatten(0, 1), None, None, norm.weight, norm.bias, training=True)
        return folded.unflatten(0, values.shape[:2])

    x = batch_norm(x, branch.norms[0])
    x = functional.relu(batch_norm(library_conv(x, grid, branch.convolutions[0]), branch.norms[1]))
    x = functional.relu(batch_norm(library_conv(x, grid, branch.convolutions[1]), branch.norms[2]))
    x = functional.relu(library_conv(x, grid, branch.convolutions[2]))
    scanned = functional.layer_norm(scanned, (WIDTH // 2,), mixer.norm.weight, mixer.norm.bias)
    scanned = mixer.scan(tokens.with_values(scanned))[0]
    mixed = torch.cat([x, scanned], -1).unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
    torch.testing.assert_close(mixer(tokens)[0], mixed)


def test_medmamba_in_training_counts_real_tokens_only() -> None:
    mixer = MedMamba(WIDTH, MedMambaSettings()).double().train()
    mask = (torch.arange(15) < 10).expand(2, -1)
    tokens = tokens_on(PLAIN[2], mask)
    alone = mixer(Tokens(tokens.values[:, :10], grid=Grid((2, 5), (False, False))))[0]
    torch.testing.assert_close(mixer(tokens)[0][:, :10], alone)


def test_medmamba_refuses_an_odd_width() -> None:
    with pytest.raises(ConfigError, match=r"medmamba at width 7 .*\n  Choose an even width"):
        MedMamba(7, MedMambaSettings())


def test_settings_that_fit_no_grid_are_refused() -> None:
    with pytest.raises(ValidationError, match="axis=2 is none of the axes 0 to 1 that rank=2 gives"):
        CrossScanSettings(axis=2)
    with pytest.raises(ValidationError, match="conv=4 has no centre token; expected an odd number"):
        CrossScanSettings(conv=4)


def test_a_cross_scan_of_a_plane_refuses_a_sequence_and_a_class_token() -> None:
    mixer = CrossScan(WIDTH, CrossScanSettings()).double()
    tokens = tokens_on(PLAIN[2])
    with pytest.raises(ValueError, match="cross_scan mixes tokens on a grid of 2 axes, got tokens without a grid"):
        mixer(Tokens(tokens.values))
    with pytest.raises(ValueError, match="cross_scan mixes tokens on a grid, got 1 prefix tokens"):
        mixer(Tokens(tokens.values, grid=PLAIN[2], prefix=1))


def test_every_direction_has_its_own_parameters() -> None:
    width, inner, rank = 32, 64, 2
    scan = inner * (rank + 2 * 1) + inner * rank + inner + inner + inner
    expected = width * inner + inner * 9 + inner + 4 * scan + 2 * inner + inner * width
    assert sum(p.numel() for p in CrossScan(width, CrossScanSettings()).parameters()) == expected
    marked = {
        name for name, p in CrossScan(width, CrossScanSettings()).named_parameters() if hasattr(p, "no_weight_decay")
    }
    assert len(marked) == 4 * 3
