"""What every network gets for free: level, loss, order, gains, export."""

from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from armillary.core.config.mixers import AttentionSettings, Mamba2Settings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.domain import Exportable, Model
from armillary.domains.speech.build import build
from armillary.domains.speech.separator import Separator, level_db
from armillary.domains.speech.settings import SpeechData, SpeechPredict, SpeechRun
from armillary.domains.speech.systems.settings import FilterbankSettings, MaskTrunkSettings
from armillary.pipelines.export_program import Served, trace

RATE = 8000
SAMPLES = 400
PLAIN = SpeechPredict(scores=("si_sdr",))


class Answers(nn.Module):
    """A network that says what it was told, in units of the mixture's root mean square."""

    causal = False

    def __init__(self, estimates: Tensor) -> None:
        super().__init__()
        self.estimates = nn.Parameter(estimates)
        self.register_buffer("gain", torch.ones(estimates.shape[1]))

    def forward(self, mixture: Tensor, length: Tensor | None = None) -> Tensor:
        return self.estimates * self.gain[:, None]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def batch(sources: Tensor, length: list[int] | None = None) -> dict[str, Tensor]:
    told = torch.tensor([sources.shape[-1]] * len(sources) if length is None else length)
    sources = sources * (torch.arange(sources.shape[-1]) < told[:, None, None])
    return {"mixture": sources.sum(1), "sources": sources, "length": told, "index": torch.arange(len(sources))}


def separator(voices: int = 2, norm: str = "global") -> Separator:
    mixer = Mamba2Settings(head_width=8, state=4) if norm == "step" else AttentionSettings(heads=2)
    model = MaskTrunkSettings(
        filterbank=FilterbankSettings(filters=8), trunk=TrunkSettings(width=8, pattern=(mixer,)), norm=norm
    )
    torch.manual_seed(0)
    run = SpeechRun(recipe="speech/x", data=SpeechData(card="c", voices=voices, noise=voices == 1), model=model)
    return build(run).eval()


def predicted(model: Separator, given: dict[str, Tensor], options: SpeechPredict = PLAIN) -> dict[str, Tensor]:
    with torch.no_grad():
        return next(iter(model.predict(given, options)))


def loss_of(estimates: Tensor, given: dict[str, Tensor]) -> Tensor:
    return Separator(Answers(estimates), RATE).loss(given, torch.Generator())["total"]


def test_it_is_a_model_that_can_be_exported():
    assert isinstance(separator(), Model)
    assert isinstance(separator(), Exportable)


@settings(max_examples=25)
@given(st.integers(-20, 20), st.integers(0, 50))
def test_the_level_of_a_mixture_changes_the_level_of_its_voices_and_nothing_else(exponent, seed):
    model, mixture = separator(), noise(2, SAMPLES, seed=seed)
    mixture[1, 200:] = 0
    with torch.no_grad():
        plain, scaled = (model(level * mixture, torch.tensor([SAMPLES, 200])) for level in (1.0, 2.0**exponent))
    assert_close(scaled / 2.0**exponent, plain)


@settings(max_examples=15)
@given(st.integers(-5, 5))
def test_the_level_matters_little_to_a_causal_network(exponent):
    model, mixture = separator(norm="step"), 0.1 * noise(1, SAMPLES)
    with torch.no_grad():
        assert_close(model(2.0**exponent * mixture) / 2.0**exponent, model(mixture), atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("norm", ["global", "step"])
def test_a_silent_mixture_gives_silence_and_a_finite_loss(norm):
    model, silence = separator(norm=norm), batch(torch.zeros(2, 2, SAMPLES))
    with torch.no_grad():
        assert (model(silence["mixture"], silence["length"]) == 0).all()
    loss = model.loss(silence, torch.Generator())["total"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_causal_network_gets_samples_as_they_are():
    model, mixture = separator(norm="step"), noise(1, SAMPLES)
    with torch.no_grad():
        assert_close(model(mixture), model.network(mixture))


@given(st.integers(1, 5), st.integers(0, 100), st.data())
def test_the_order_of_the_voices_does_not_matter_to_the_loss(voices, seed, data):
    sources = noise(1, voices, SAMPLES, seed=seed)
    estimates = sources + noise(1, voices, SAMPLES, seed=seed + 1)
    order = data.draw(st.permutations(range(voices)))
    assert_close(loss_of(estimates[:, order], batch(sources)), loss_of(estimates, batch(sources)))


def test_the_loss_is_what_the_best_order_has_on_average():
    sources = noise(1, 2, 4000)
    estimates = sources[:, [1, 0]] + torch.tensor([[[0.1], [0.3162]]]) * noise(1, 2, 4000, seed=1)
    # Ten and twenty decibels above independent noise.
    assert loss_of(estimates, batch(sources)).item() == pytest.approx(-15, abs=0.2)


def test_padding_does_not_reach_the_loss():
    model, sources = separator(), noise(2, 2, SAMPLES)
    both = batch(sources, [SAMPLES, 150])
    alone = [batch(sources[:1]), batch(sources[1:, :, :150])]
    losses = [model.loss(given, torch.Generator())["total"] for given in (both, *alone)]
    assert_close(losses[0], (losses[1] + losses[2]) / 2)


def test_an_output_without_a_source_learns_to_be_quiet():
    sources = noise(1, 2, SAMPLES)
    sources[:, 1] = 0
    leak = 0.1 * noise(1, 1, SAMPLES, seed=1)
    loud, quiet, silent = (torch.cat([share * leak, sources[:, :1] + leak], 1) for share in (1.0, 0.5, 0.0))
    losses = [loss_of(estimates, batch(sources)).item() for estimates in (loud, quiet, silent)]
    assert losses[0] > losses[1] > losses[2]
    # Twenty decibels of the voice that is there, thirty below the mixture for the one that is not.
    assert losses[2] == pytest.approx((-20 - 30) / 2, abs=0.7)
    model = Answers(loud)
    Separator(model, RATE).loss(batch(sources), torch.Generator())["total"].backward()
    assert (model.estimates.grad[:, 0] * leak).sum() > 0


def test_a_perfect_answer_gains_no_more_than_thirty_decibels_where_a_voice_is_silent_only():
    sources = noise(1, 2, SAMPLES)
    assert loss_of(sources.clone(), batch(sources)).item() == pytest.approx(-80, abs=1)
    sources[:, 1] = 0
    assert loss_of(sources.clone(), batch(sources)).item() == pytest.approx(-30, abs=0.01)


def test_training_steps_lower_the_loss():
    model, given = separator().train(), batch(noise(2, 2, SAMPLES))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        losses.append(model.loss(given, torch.Generator())["total"])
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0] - 3


@pytest.mark.parametrize("voices", [1, 2, 3])
def test_mixtures_without_known_voices_give_estimates(voices):
    given = batch(noise(2, 2, SAMPLES), [SAMPLES, 77])
    del given["sources"]
    found = predicted(separator(voices), given)
    assert found.keys() == {"estimate"}
    assert found["estimate"].shape == (2, voices, SAMPLES)
    assert (found["estimate"][1, :, 77:] == 0).all()


def test_known_voices_give_scores_of_the_best_order_and_levels():
    sources = noise(1, 2, 100_000) * torch.tensor([[[1.0], [0.1]]])
    given = batch(sources)
    found = predicted(Separator(Answers(sources[:, [1, 0]] + 0.01 * noise(1, 2, 100_000, seed=1)), RATE), given)
    assert {"si_sdr", "si_sdr_mixture", "level_db"} <= found.keys()
    assert_close(found["si_sdr"], torch.tensor([[40.0, 20.0]]), atol=0.3, rtol=0)
    assert_close(found["si_sdr_mixture"], torch.tensor([[20.0, -20.0]]), atol=0.5, rtol=0)
    assert_close(found["level_db"], torch.tensor([[0.0, -20.0]]), atol=0.3, rtol=0)


def test_without_scores_known_voices_give_estimates_in_their_order():
    sources = noise(2, 3, SAMPLES)
    found = predicted(Separator(Answers(sources[:, [2, 0, 1]]), RATE), batch(sources), SpeechPredict(scores=()))
    assert found.keys() == {"estimate"}
    level = sources.sum(1).square().mean(1).sqrt()[:, None, None]
    assert_close(found["estimate"], sources * level)


def test_levels_of_silence_are_finite():
    assert_close(level_db(torch.zeros(1, 2, 5), torch.zeros(1, 5)), torch.full((1, 2), -120.0))
    assert torch.isfinite(level_db(torch.ones(1, 1, 5), torch.zeros(1, 5))).all()


def test_calibrated_gains_bring_each_output_to_the_level_of_its_voices():
    sources = noise(4, 2, SAMPLES)
    given = batch(sources / sources.sum(1).square().mean(1).sqrt()[:, None, None])
    wrong = given["sources"][:, [1, 0]] * torch.tensor([[[0.25], [-4.0]]])
    model = Separator(Answers(wrong), RATE)

    def batches() -> Iterator[dict[str, Tensor]]:
        yield given

    for _ in range(2):  # twice: the first must not count in the second
        model.calibrate(batches)
        # A voice may come out upside down; its gain stays as it was, for a wave has no sign.
        assert_close(model.network.gain, torch.tensor([4.0, 1.0]))
    before = predicted(model, given)["si_sdr"]
    assert (before > 79).all()


def test_calibration_on_nothing_but_silence_changes_nothing():
    model = separator()
    model.calibrate(lambda: iter([batch(torch.zeros(1, 2, SAMPLES))]))
    assert_close(model.network.gain, torch.ones(2))
    model.calibrate(lambda: iter(()))
    assert_close(model.network.gain, torch.ones(2))


def test_calibration_survives_saving():
    model, again = separator(), separator()
    given = batch(noise(2, 2, SAMPLES))
    model.calibrate(lambda: iter([given]))
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert_close(again(given["mixture"]), model(given["mixture"]))
    assert (model.network.gain != 1).any()


def test_the_interface_names_what_a_prediction_gives_and_is_a_program_of_any_length(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # checks of shapes would bind the program to them
    model, given = separator(), batch(noise(3, 2, SAMPLES), [SAMPLES, 300, 77])
    served = Served(model, model.interface(), PLAIN)
    inputs = {name: given[name] for name in model.interface().inputs}
    assert served(inputs).keys() == {"estimate"}
    program = trace(served, inputs, {"sample": SAMPLES})
    assert program.lengths == {}
