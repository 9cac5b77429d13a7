"""Every recipe builds; the published networks have the published sizes."""

import pytest
import torch
from torch.testing import assert_close

from armillary.core.config.overrides import parse_set, resolve
from armillary.core.cost import describe
from armillary.core.counting import uncounted
from armillary.core.errors import ConfigError
from armillary.domains.speech import recipes
from armillary.domains.speech.build import build, example_batch
from armillary.domains.speech.settings import SpeechRun

ALL = (
    "mossformer_l", "mossformer_m", "mossformer_s", "mossformer2_l", "conv_tasnet", "ssm", "ssm_causal", "small",
    "simulated",
)  # fmt: skip
# As published; those of S and M are told to a tenth of a million.
SIZES = {"mossformer_l": 42_101_834, "mossformer2_l": 55_735_394}
ABOUT = {"mossformer_s": 10.8, "mossformer_m": 25.3, "conv_tasnet": 5.0, "small": 1.3}


def recipe(name: str) -> SpeechRun:
    return getattr(recipes, name)()


@pytest.mark.parametrize("name", ALL)
def test_every_recipe_is_complete_and_its_work_is_counted(name):
    config = recipe(name)
    assert config.recipe == f"speech/{name.replace('_', '-')}"
    assert SpeechRun.model_validate(config.model_dump()) == config
    with torch.device("meta"):
        model = build(config)
    assert list(uncounted(model)) == []
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters == SIZES.get(name, parameters)
    assert round(parameters / 1e6, 1) == ABOUT.get(name, round(parameters / 1e6, 1))


def test_mossformer2_costs_about_what_its_authors_say():
    """84.2 GMAC a second of audio are reported."""
    config = recipe("mossformer2_l")
    described = describe(lambda: build(config), example_batch(config, 1))
    assert described.mac / 2 / 1e9 == pytest.approx(84.2, rel=0.03)


@pytest.mark.parametrize("name", ["small", "simulated", "ssm_causal"])
def test_small_recipes_train_and_separate(name):
    config = recipe(name)
    batch = example_batch(config.model_copy(update={"data": config.data.model_copy(update={"segment_s": 0.1})}), 2)
    torch.manual_seed(0)
    model = build(config)
    model.loss(batch, torch.Generator())["total"].backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in model.parameters())


def test_the_causal_recipe_streams_hops_of_twenty_milliseconds_with_two_milliseconds_of_latency():
    config = recipe("ssm_causal")
    torch.manual_seed(0)
    network, mixture = build(config).eval().network, 0.1 * torch.randn(1, 1001)
    state, given = network.start(1), []
    with torch.inference_mode():
        for hop in mixture.split(160, 1):
            estimates, state = network.step(hop, state)
            given.append(estimates)
        streamed = torch.cat([*given, network.finish(state)], -1)
        assert_close(streamed, network(mixture), atol=1e-5, rtol=1e-4)
    assert network.latency / config.data.sample_rate_hz <= 0.002


def test_a_rate_that_differs_is_told_without_the_whole_run():
    base = recipes.small()
    with pytest.raises(ConfigError) as caught:
        resolve(base, [parse_set("data.sample_rate_hz=16000")])
    assert str(caught.value).endswith("files are separated at the rate of training: set both alike.")
    assert "value error" not in str(caught.value).lower()
