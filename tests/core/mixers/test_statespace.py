"""Mamba and Mamba-2: the equations of their blocks, initialisation, and marks for the optimiser."""

import math
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import Mamba2Settings, MambaSettings
from armillary.core.errors import ConfigError
from armillary.core.mixers import Mamba, Mamba2
from armillary.core.ops.scalar_decay.reference import scalar_decay_reference
from armillary.core.ops.selective_scan.reference import selective_scan_reference
from armillary.core.tokens import Tokens

WIDTH = 16


def signal(length: int = 21) -> Tensor:
    return torch.randn(2, length, WIDTH, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def causal_conv(values: Tensor, conv: nn.Module) -> Tensor:
    """The library's own depthwise convolution; ours names its taps from the oldest token to the newest."""
    padded = functional.pad(values.transpose(1, 2), (conv.weight.shape[1] - 1, 0))
    return functional.conv1d(padded, conv.weight[:, None], conv.bias, groups=values.shape[2]).transpose(1, 2)


def test_mamba_is_its_published_block() -> None:
    mixer, values = Mamba(WIDTH, MambaSettings(state=4)).double(), signal()
    branch = mixer.scan
    x, z = functional.linear(values, mixer.in_proj.weight).chunk(2, -1)
    x = functional.silu(causal_conv(x, branch.conv))
    low, B, C = functional.linear(x, branch.x_proj.weight).split([1, 4, 4], -1)
    dt = functional.softplus(functional.linear(low, branch.dt_proj.weight, branch.dt_bias))
    y, state = selective_scan_reference(x, dt, -branch.A_log.exp(), B[:, :, None], C[:, :, None], branch.D, z)
    mixed, after = mixer(Tokens(values))
    torch.testing.assert_close(mixed, functional.linear(y, mixer.out_proj.weight))
    torch.testing.assert_close(after.scan, state)


def test_mamba2_is_its_published_block() -> None:
    mixer, values = Mamba2(WIDTH, Mamba2Settings(head_width=8, state=3, groups=2, chunk=5)).double(), signal()
    branch = mixer.scan
    z, xBC, dt = functional.linear(values, mixer.in_proj.weight).split([32, 32 + 2 * 6, 4], -1)
    x, B, C = functional.silu(causal_conv(xBC, branch.conv)).split([32, 6, 6], -1)
    x, B, C = x.unflatten(-1, (4, 8)), B.unflatten(-1, (2, 3)), C.unflatten(-1, (2, 3))
    dt = functional.softplus(dt + branch.dt_bias)
    y, state = scalar_decay_reference(x * dt[..., None], -dt * branch.A_log.exp(), B, C)
    y = (y + branch.D[:, None] * x).flatten(2) * functional.silu(z)
    y = y / (y.square().mean(-1, keepdim=True) + 1e-5).sqrt() * mixer.norm_weight
    mixed, after = mixer(Tokens(values))
    torch.testing.assert_close(mixed, functional.linear(y, mixer.out_proj.weight))
    torch.testing.assert_close(after.heads, state)


@pytest.mark.parametrize(
    "mixer",
    [
        Mamba(WIDTH, MambaSettings(bidirectional=True)).double(),
        Mamba2(WIDTH, Mamba2Settings(head_width=8, state=4, bidirectional=True)).double(),
    ],
    ids=["mamba", "mamba2"],
)
def test_swapping_directions_and_reversing_time_reverses_the_output(mixer: Mamba | Mamba2) -> None:
    mixed = mixer(Tokens(signal()))[0]
    mixer.scan, mixer.reverse = mixer.reverse, mixer.scan
    torch.testing.assert_close(mixer(Tokens(signal().flip(1)))[0].flip(1), mixed)


@pytest.mark.parametrize(
    "branch",
    [
        Mamba(256, MambaSettings()).scan,
        Mamba2(256, Mamba2Settings(head_width=1, state=4)).scan,
    ],
    ids=["mamba", "mamba2"],
)
def test_initial_step_sizes_are_log_uniform_in_their_range(branch: nn.Module) -> None:
    dt = functional.softplus(branch.dt_bias).detach()
    assert 1e-3 * (1 - 1e-4) <= float(dt.min()) < 1.2e-3
    assert 8e-2 < float(dt.max()) <= 1e-1 * (1 + 1e-4)
    assert abs(float(dt.log().mean()) - math.log(1e-2)) < 0.2


def test_a_floor_lifts_the_smallest_step_sizes() -> None:
    bias = Mamba(64, MambaSettings(dt_floor=2e-2)).scan.dt_bias
    assert float(functional.softplus(bias).detach().min()) == pytest.approx(2e-2, rel=1e-4)


def test_initial_decays_are_the_first_integers_in_mamba_and_spread_from_one_to_sixteen_in_mamba2() -> None:
    torch.testing.assert_close(
        Mamba(WIDTH, MambaSettings(state=5)).scan.A_log.exp(), torch.arange(1.0, 6).expand(32, -1)
    )
    rates = Mamba2(256, Mamba2Settings(head_width=1, state=4)).scan.A_log.detach().exp()
    assert 1 <= float(rates.min()) < 2
    assert 15 < float(rates.max()) <= 16


@pytest.mark.parametrize(
    "mixer", [Mamba(WIDTH, MambaSettings()), Mamba2(WIDTH, Mamba2Settings(head_width=8))], ids=["mamba", "mamba2"]
)
def test_decays_step_sizes_and_skips_are_marked_as_free_of_weight_decay(mixer: nn.Module) -> None:
    marked = {name for name, value in mixer.named_parameters() if getattr(value, "no_weight_decay", False)}
    assert marked == {"scan.A_log", "scan.dt_bias", "scan.D"}


def test_the_step_size_rank_follows_from_the_width() -> None:
    assert Mamba(40, MambaSettings()).scan.dt_proj.weight.shape == (80, 3)
    assert Mamba(40, MambaSettings(dt_rank=7)).scan.dt_proj.weight.shape == (80, 7)


@pytest.mark.parametrize("settings", [Mamba2Settings(head_width=24), Mamba2Settings(head_width=16, groups=3)])
def test_heads_that_do_not_fit_the_width_are_refused(settings: Mamba2Settings) -> None:
    with pytest.raises(ConfigError, match="Choose a head_width that divides"):
        Mamba2(WIDTH, settings)


def test_mamba_refuses_packed_sequences() -> None:
    packed = replace(Tokens(signal()), segments=torch.zeros(2, 21, dtype=torch.long))
    with pytest.raises(ValueError, match="give one sequence a row"):
        Mamba(WIDTH, MambaSettings()).double()(packed)


def test_a_bidirectional_mixer_refuses_a_state() -> None:
    state = Mamba(WIDTH, MambaSettings()).double()(Tokens(signal()))[1]
    with pytest.raises(ValueError, match="not causal"):
        Mamba(WIDTH, MambaSettings(bidirectional=True)).double()(Tokens(signal()), state)


def test_a_masked_token_in_the_middle_leaves_the_state_of_the_scan_as_it_is() -> None:
    mixer = Mamba(WIDTH, MambaSettings(conv=1)).double()
    mask = torch.ones(2, 21, dtype=torch.bool)
    mask[:, 7:11] = False
    with_gap = mixer(Tokens(signal(), mask=mask))[0]
    without = mixer(Tokens(torch.cat([signal()[:, :7], signal()[:, 11:]], 1)))[0]
    torch.testing.assert_close(with_gap[:, mask[0]], without)


STREAMING = {
    "mamba": lambda: Mamba(WIDTH, MambaSettings(state=4)),
    "mamba2": lambda: Mamba2(WIDTH, Mamba2Settings(head_width=8, state=3, groups=2)),
}


@pytest.fixture(params=STREAMING)
def layer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[nn.Module]:
    """A layer in single precision, and a guard that its fused step runs in the test."""
    module, name = f"armillary.core.mixers.{request.param}", f"{request.param}_step"
    fused, calls = getattr(import_module(module), name), []
    monkeypatch.setattr(f"{module}.{name}", lambda *inputs: calls.append(name) or fused(*inputs))
    yield STREAMING[request.param]()
    assert calls


def one_token(seed: int = 0) -> Tokens:
    return Tokens(torch.randn(2, 1, WIDTH, generator=torch.Generator().manual_seed(seed)))


def assert_steps_as_a_whole(layer: nn.Module) -> None:
    """Four tokens in fused steps and in one call; the states handed in stay as they were."""
    tokens, state = Tokens(signal(4).float()), None
    with torch.no_grad():
        whole, after = layer(tokens)
        for t in range(4):
            before = None if state is None else [part.clone() for part in state]
            mixed, next_state = layer.step(Tokens(tokens.values[:, t : t + 1]), state)
            torch.testing.assert_close(mixed, whole[:, t : t + 1], rtol=1e-4, atol=1e-5)
            for part, copy in zip(state or (), before or (), strict=True):
                assert torch.equal(part, copy)
            state = next_state
    for part, expected in zip(state, after, strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)


def test_fused_steps_equal_the_whole_sequence(layer: nn.Module) -> None:
    assert_steps_as_a_whole(layer)


def test_a_fused_step_follows_every_change_of_the_weights(layer: nn.Module) -> None:
    def optimiser_step() -> None:
        optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
        layer(Tokens(signal().float()))[0].square().mean().backward()
        optimiser.step()

    def replaced_data() -> None:
        for parameter in layer.parameters():
            parameter.data = parameter.data * 1.1

    def replaced_parameter() -> None:
        layer.in_proj.weight = nn.Parameter(layer.in_proj.weight * 0.9)

    changes = (
        optimiser_step,
        replaced_data,
        replaced_parameter,
        lambda: layer.load_state_dict({name: value * 1.1 for name, value in layer.state_dict().items()}),
        lambda: layer.double().float(),
    )
    for change in changes:
        with torch.no_grad():
            layer.step(one_token(), None)
        change()
        assert_steps_as_a_whole(layer)


@pytest.mark.parametrize("kind", STREAMING)
def test_a_step_that_cannot_be_fused_takes_the_whole_layer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(f"armillary.core.mixers.{kind}.{kind}_step")
    layer, one = STREAMING[kind](), one_token()
    mask = torch.tensor([[True], [False]])
    layer.step(one, None)[0].sum().backward()
    with torch.no_grad():
        layer.step(replace(one, mask=mask), None)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer.step(one, None)
        layer.double().step(one.with_values(one.values.double()), None)
