"""What all separation networks promise: any length, padding that changes nothing, streams that equal the whole."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from armillary.core.config.mixers import (
    AttentionSettings,
    FSMNSettings,
    GatedAttentionSettings,
    Mamba2Settings,
    RetentionSettings,
)
from armillary.core.config.norms import RMSNormSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.cost import describe
from armillary.core.errors import ConfigError
from armillary.domains.speech.systems.conv_tasnet import ConvTasNet
from armillary.domains.speech.systems.filterbank import build_bank
from armillary.domains.speech.systems.mask_trunk import MaskTrunk
from armillary.domains.speech.systems.masking import MaskingNetwork
from armillary.domains.speech.systems.settings import (
    ConvTasNetSettings,
    FilterbankSettings,
    FourierSettings,
    MaskTrunkSettings,
)

BANK = FilterbankSettings(filters=10)
AWKWARD = FilterbankSettings(filters=10, kernel=20, stride=8)  # stride does not divide the kernel, three frames overlap
TOUCHING = FilterbankSettings(filters=10, kernel=8, stride=8, relu=False)
FOURIER = FourierSettings(kernel=16, stride=4)
GATED = GatedAttentionSettings(query_width=6, group=3, kernel=3, rotary_width=4)
MEMORY = FSMNSettings(inner=6, kernel=5, conv=3)
CAUSAL = (Mamba2Settings(head_width=8, state=4), RetentionSettings(heads=2), AttentionSettings(heads=2, causal=True))


def trunk(*mixers: object) -> TrunkSettings:
    return TrunkSettings(width=8, pattern=mixers, channel=None, final_norm=False, norm=RMSNormSettings())


def tasnet(bank: FilterbankSettings, norm: str) -> ConvTasNetSettings:
    return ConvTasNetSettings(filterbank=bank, bottleneck=8, hidden=12, skip=6, blocks=3, repeats=2, norm=norm)


SEEING = {
    "attention": MaskTrunkSettings(filterbank=BANK, trunk=trunk(AttentionSettings(heads=2))),
    "mamba2": MaskTrunkSettings(
        filterbank=AWKWARD, trunk=trunk(Mamba2Settings(head_width=8, state=4, bidirectional=True)), positions=False
    ),
    "fourier": MaskTrunkSettings(filterbank=FOURIER, trunk=trunk(AttentionSettings(heads=2))),
    "mossformer2": MaskTrunkSettings(filterbank=BANK, trunk=trunk(GATED, MEMORY)),
    "conv_tasnet": tasnet(TOUCHING, "global"),
}
STREAMING = {
    "mamba2": MaskTrunkSettings(filterbank=BANK, trunk=trunk(CAUSAL[0]), norm="step", positions=False),
    "mixed": MaskTrunkSettings(filterbank=AWKWARD, trunk=trunk(*CAUSAL), norm="step"),
    "conv_tasnet": tasnet(BANK, "step"),
    "touching": tasnet(TOUCHING, "step"),
    "fourier": MaskTrunkSettings(filterbank=FOURIER, trunk=trunk(CAUSAL[0]), norm="step", positions=False),
}
ALL = {**SEEING, **{f"causal {name}": chosen for name, chosen in STREAMING.items()}}


def network(chosen: MaskTrunkSettings | ConvTasNetSettings, voices: int = 2) -> MaskingNetwork:
    torch.manual_seed(0)
    masker = MaskTrunk(chosen, voices) if isinstance(chosen, MaskTrunkSettings) else ConvTasNet(chosen, voices)
    built = MaskingNetwork(build_bank(chosen.filterbank), masker, voices).double().eval()
    built.gain.copy_(torch.arange(1, voices + 1))
    return built


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def streamed(built: MaskingNetwork, mixture: Tensor, cuts: list[int]) -> Tensor:
    state, given = built.start(len(mixture)), []
    for piece in mixture.split(cuts, 1):
        estimates, state = built.step(piece, state)
        given.append(estimates)
    return torch.cat([*given, built.finish(state)], -1)


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_a_padded_item_gives_what_it_gives_alone_and_zeros_beyond(name):
    built, mixture, lengths = network(ALL[name]), noise(5, 90), [90, 41, 17, 1, 0]
    padded = built(mixture, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        if length:
            assert_close(padded[row, :, :length], built(mixture[row : row + 1, :length])[0])
        assert (padded[row, :, length:] == 0).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("samples", [1, 7, 8, 9, 16, 17, 20, 21, 64])
@torch.no_grad()
def test_any_length_gives_as_many_samples_of_each_voice(name, samples):
    estimates = network(ALL[name], voices=3)(noise(2, samples))
    assert estimates.shape == (2, 3, samples)
    assert torch.isfinite(estimates).all()


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_silence_gives_silence(name):
    assert (network(ALL[name])(torch.zeros(1, 50).double()) == 0).all()


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_learns_and_all_work_is_counted(name):
    built = network(ALL[name])
    built(noise(2, 60), torch.tensor([60, 33])).square().sum().backward()
    missing = [key for key, value in built.named_parameters() if value.grad is None or not value.grad.isfinite().all()]
    assert missing == []
    described = describe(built, {"mixture": noise(2, 60)}, lambda model, batch: model(batch["mixture"]))
    assert described.uncounted == ()
    assert described.mac > 0


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("hop", [1, 7, 8, 19, 160, 500])
@torch.no_grad()
def test_a_stream_in_pieces_equals_the_whole(name, hop):
    built, mixture = network(STREAMING[name]), noise(2, 171)
    cuts = [hop] * (171 // hop) + [171 % hop]
    assert_close(streamed(built, mixture, cuts), built(mixture))


@settings(max_examples=30)
@given(st.sampled_from(sorted(STREAMING)), st.lists(st.integers(0, 30), min_size=1, max_size=8))
def test_a_stream_of_any_length_in_any_pieces_equals_the_whole(name, cuts):
    built, samples = network(STREAMING[name]), sum(cuts)
    with torch.no_grad():
        estimates = streamed(built, noise(1, samples), cuts)
        assert estimates.shape == (1, 2, samples)
        if samples:
            assert_close(estimates, built(noise(1, samples)))


@pytest.mark.parametrize("name", STREAMING)
@torch.no_grad()
def test_an_estimate_is_given_out_as_soon_as_its_latency_has_passed(name):
    built = network(STREAMING[name])
    state, given, most = built.start(1), 0, 0
    for taken in range(1, 200):
        estimates, state = built.step(noise(1, 1, seed=taken), state)
        given += estimates.shape[-1]
        most = max(most, taken - given)
    assert most == built.latency == built.filterbank.frames.kernel - 1


@pytest.mark.parametrize("name", STREAMING)
def test_no_estimate_depends_on_samples_beyond_the_latency(name):
    built, mixture = network(STREAMING[name]), noise(1, 120).requires_grad_()
    for place in (0, 8, 37, 63):
        slope = torch.autograd.grad(built(mixture)[0, :, place].sum(), mixture)[0]
        assert (slope[0, place + built.latency + 1 :] == 0).all()


def test_a_network_that_looks_ahead_refuses_to_stream():
    with pytest.raises(ConfigError, match="speech/ssm-causal"):
        network(SEEING["attention"]).start(1)


@pytest.mark.parametrize("name", ALL)
def test_masks_made_in_pieces_are_those_made_at_once(name, monkeypatch):
    built, mixture = network(ALL[name]), noise(2, 90)
    expected = built(mixture).detach()
    monkeypatch.setattr("armillary.domains.speech.systems.masking._AT_ONCE", 3)
    with torch.no_grad():
        assert_close(built(mixture), expected)
