"""Signals to tokens."""

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from armillary.core.config.embeddings import (
    ContinuousTimeSettings,
    ConvEmbeddingSettings,
    LinearEmbeddingSettings,
    ObservationEmbeddingSettings,
    PatchEmbeddingSettings,
    SinusoidalSettings,
)
from armillary.core.config.parts import EMBEDDINGS, build_part
from armillary.core.embeddings import ConvEmbedding, LinearEmbedding, ObservationEmbedding, PatchEmbedding
from armillary.core.tokens import Grid


def _build(settings, width=8):
    torch.manual_seed(0)
    return build_part(EMBEDDINGS, settings, width)


def test_a_linear_embedding_maps_each_step_and_adds_its_position():
    settings = LinearEmbeddingSettings(features=3, activation="relu", position=SinusoidalSettings())
    embedding = _build(settings)
    assert isinstance(embedding, LinearEmbedding)
    series = torch.randn(2, 5, 3)
    without = embedding.project(series).relu()
    added = embedding(series).values - without
    assert_close(added[0], added[1])
    assert_close(added[:, 0, ::2], torch.zeros(2, 4))


@pytest.mark.parametrize("length", [1, 4, 7, 9])
@pytest.mark.parametrize("causal", [False, True])
def test_a_convolution_makes_one_token_for_every_stride_steps(length, causal):
    embedding = _build(ConvEmbeddingSettings(features=2, kernel=6, stride=4, causal=causal))
    tokens = embedding(torch.randn(3, length, 2))
    assert tokens.values.shape == (3, -(-length // 4), 8)
    assert tokens.mask is None


def test_a_causal_convolution_does_not_see_later_cells():
    embedding = _build(ConvEmbeddingSettings(features=2, kernel=7, stride=3, causal=True))
    series = torch.randn(1, 12, 2, requires_grad=True)
    embedding(series).values[0, 1].sum().backward()
    touched = series.grad.abs().sum(-1)[0] > 0
    assert touched.tolist() == [True] * 6 + [False] * 6


def test_masked_steps_change_no_token_and_masked_cells_are_not_real():
    embedding = _build(ConvEmbeddingSettings(features=2, kernel=5, stride=2))
    assert isinstance(embedding, ConvEmbedding)
    series, mask = torch.randn(2, 7, 2), torch.ones(2, 7, dtype=torch.bool)
    mask[1, 3:] = False
    times = torch.arange(7.0).reshape(1, 7, 1).expand(2, 7, 1)
    tokens = embedding(series, mask, times)
    other = embedding(series.where(mask.unsqueeze(-1), 99.0), mask, times.where(mask.unsqueeze(-1), -1e6))
    assert_close(tokens.values, other.values)
    assert_close(tokens.positions, other.positions)
    assert tokens.mask.tolist() == [[True] * 4, [True, True, False, False]]
    assert tokens.positions[:, :, 0].tolist() == [[0.5, 2.5, 4.5, 6.0], [0.5, 2.0, 0.0, 0.0]]


def test_a_kernel_that_skips_steps_is_refused():
    with pytest.raises(ValidationError, match="kernel 2 is below stride 3"):
        ConvEmbeddingSettings(features=1, kernel=2, stride=3)


@pytest.mark.parametrize(
    ("patch", "extents", "counts"), [((3,), (7,), (3,)), ((2, 3), (4, 7), (2, 3)), ((2, 2, 1), (3, 2, 4), (2, 1, 4))]
)
def test_patches_of_any_rank_lie_on_a_grid(patch, extents, counts):
    embedding = _build(PatchEmbeddingSettings(features=2, patch=patch))
    tokens = embedding(torch.randn(2, *extents, 2))
    assert tokens.grid == Grid(counts, (False,) * len(patch))
    assert tokens.values.shape == (2, torch.tensor(counts).prod(), 8)


def test_a_patch_sees_its_own_cells_in_row_major_order():
    embedding = _build(PatchEmbeddingSettings(features=1, patch=(2, 3)))
    assert isinstance(embedding, PatchEmbedding)
    field = torch.arange(24.0).reshape(1, 4, 6, 1)
    last = field[0, 2:4, 3:6].reshape(6)
    assert_close(embedding(field).values[0, 3], embedding.project(last))


def test_fields_that_do_not_fit_are_refused():
    embedding = _build(PatchEmbeddingSettings(features=1, patch=(2, 2), periodic=(True, False)))
    with pytest.raises(ValueError, match="a periodic axis of 5 does not hold whole patches of 2"):
        embedding(torch.zeros(1, 5, 4, 1))
    with pytest.raises(ValueError, match="expected a field with 2 axes"):
        embedding(torch.zeros(1, 4, 4, 4, 1))
    with pytest.raises(ValidationError, match="periodic has 1 flags for 2 axes"):
        PatchEmbeddingSettings(features=1, patch=(2, 2), periodic=(True,))


@pytest.mark.parametrize("hidden", [None, 5])
def test_an_observation_is_its_features_its_channel_and_its_time(hidden):
    settings = ObservationEmbeddingSettings(
        features=2, channels=3, hidden=hidden, time=ContinuousTimeSettings(frequencies=4)
    )
    embedding = _build(settings)
    assert isinstance(embedding, ObservationEmbedding)
    features, time = torch.randn(2, 5, 2), torch.rand(2, 5, 1) * 50
    channel, mask = torch.randint(0, 3, (2, 5)), torch.ones(2, 5, dtype=torch.bool)
    tokens = embedding(features, channel, time, mask)
    assert tokens.positions is time
    assert tokens.mask is mask
    other_channel = embedding(features, (channel + 1) % 3, time, mask)
    step = embedding.channel((channel + 1) % 3) - embedding.channel(channel)
    assert_close(other_channel.values - tokens.values, step)
    assert not torch.allclose(embedding(features, channel, time + 1, mask).values, tokens.values)


def test_an_observation_does_not_depend_on_its_neighbours_or_their_order():
    embedding = _build(ObservationEmbeddingSettings(features=2, channels=3))
    features, time, channel = torch.randn(1, 6, 2), torch.rand(1, 6, 1), torch.randint(0, 3, (1, 6))
    order = torch.randperm(6)
    shuffled = embedding(features[:, order], channel[:, order], time[:, order])
    assert_close(shuffled.values, embedding(features, channel, time).values[:, order])


def test_observation_channels_do_not_decay():
    assert _build(ObservationEmbeddingSettings(features=2, channels=3)).channel.weight.no_weight_decay
