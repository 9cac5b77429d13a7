"""Costs on the meta device against real models and hand-worked counts."""

import json

import pytest
import torch
from torch import nn

from armillary.core.config.channels import MLPSettings
from armillary.core.config.embeddings import LearnedPositionSettings, LinearEmbeddingSettings
from armillary.core.config.heads import PooledSettings
from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, MambaSettings, PoolingSettings
from armillary.core.config.parts import EMBEDDINGS, HEADS, build_part
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.cost import describe
from armillary.core.trunk import Trunk

BATCH = {"series": torch.randn(3, 5, 2), "target": torch.tensor([0, 1, 2]), "names": ["a", "b", "c"]}
ATTENTION = TrunkSettings(width=8, depth=2, pattern=(AttentionSettings(heads=2),), channel=MLPSettings(hidden=16))


class Classifier(nn.Module):
    def __init__(self, settings: TrunkSettings = ATTENTION) -> None:
        super().__init__()
        embedding = LinearEmbeddingSettings(features=2, position=LearnedPositionSettings(max_length=9))
        self.embedding = build_part(EMBEDDINGS, embedding, settings.width)
        self.trunk = Trunk(settings)
        self.head = build_part(HEADS, PooledSettings(classes=4, dropout=0.1), self.trunk.output_width)

    def loss(self, batch, generator):
        noise = torch.rand(batch["series"].shape, generator=generator, device=batch["series"].device)
        scores = self.head(self.trunk(self.embedding(batch["series"] + noise))[0])
        return {"total": nn.functional.cross_entropy(scores, batch["target"])}


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_are_those_of_the_real_model():
    model = Classifier()
    for given in (Classifier, model):
        description = describe(given, BATCH)
        assert description.parameters == description.trainable == _size(model)
    assert next(model.parameters()).device.type == "cpu"


def test_multiply_adds_are_those_worked_by_hand():
    rows = {part.name: part for part in describe(Classifier, BATCH).parts}
    tokens = 3 * 5
    block = 4 * tokens * 8 * 8 + 2 * 3 * 5 * 5 * 8 + 2 * tokens * 8 * 16
    assert {name: part.mac for name, part in rows.items()} == {
        "(model)": 0,
        "embedding": tokens * 2 * 8,
        "trunk": 0,
        "trunk.stages.0.blocks.0": block,
        "trunk.stages.0.blocks.1": block,
        "head": 3 * 8 * 4,
    }
    assert rows["head"].output == (3, 4)
    assert rows["trunk.stages.0.blocks.1"].output == (3, 5, 8)
    assert rows["trunk"].parameters == 16
    assert rows["embedding"].kind == "LinearEmbedding"


def test_a_tied_block_works_as_often_as_it_is_applied():
    once, twice = (describe(lambda n=n: Classifier(ATTENTION.model_copy(update={"tied": n})), BATCH) for n in (1, 2))
    name = "trunk.stages.0.blocks.0"
    mac = [next(part.mac for part in description.parts if part.name == name) for description in (once, twice)]
    assert mac[1] == 2 * mac[0]
    assert once.parameters == twice.parameters


def test_layers_of_torch_are_counted_by_formula():
    class Layers(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(
                [
                    nn.Conv1d(4, 6, 3, padding=1, groups=2),
                    nn.ConvTranspose1d(6, 5, 2, stride=2),
                    nn.LSTM(10, 7, num_layers=2, bidirectional=True, batch_first=True),
                ]
            )

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x[0]

    description = describe(Layers, {"x": torch.zeros(2, 4, 10)}, lambda model, batch: model.layers[0](batch["x"]))
    assert description.mac == 2 * 6 * 10 * 2 * 3
    description = describe(Layers, {"x": torch.zeros(2, 6, 10)}, lambda model, batch: model.layers[1](batch["x"]))
    assert description.mac == 2 * 6 * 10 * 5 * 2
    description = describe(Layers, {"x": torch.zeros(2, 3, 10)}, lambda model, batch: model.layers[2](batch["x"]))
    assert description.mac == 2 * 3 * 2 * 4 * 7 * ((10 + 7) + (14 + 7))
    assert [part.name for part in description.parts] == ["layers.0", "layers.1", "layers.2"]


def test_kept_activations_are_those_of_a_layer_worked_by_hand():
    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 2)

    def run(model, batch):
        return model.second(model.first(batch["x"]).relu().exp())

    description = describe(Chain, {"x": torch.zeros(3, 4)}, run)
    # The results of relu and of exp, 3 x 8 floats each; the batch and the weights are not counted.
    assert description.activation_bytes == 2 * 3 * 8 * 4


@pytest.mark.parametrize("pattern", [(AttentionSettings(heads=2),), (MambaSettings(state=4),)])
def test_checkpointing_keeps_less(pattern):
    kept = []
    for checkpoint in (False, True):
        settings = TrunkSettings(width=8, depth=3, pattern=pattern, checkpoint=checkpoint)
        description = describe(lambda settings=settings: Classifier(settings), BATCH)
        kept.append([part.activation_bytes for part in description.parts if "blocks" in part.name])
    # A checkpointed block keeps its input alone: 3 x 5 tokens of 8 floats.
    assert kept[1] == [3 * 5 * 8 * 4] * 3
    assert min(kept[0]) > 5 * kept[1][0]


@pytest.mark.parametrize("mixer", [MambaSettings(state=4), Mamba2Settings(head_width=4, state=4), PoolingSettings()])
def test_every_mixer_and_resampling_is_described(mixer):
    stages = (
        StageSettings(depth=1, pattern=(mixer,)),
        StageSettings(depth=1, pattern=(mixer,), resample="down2", width=12),
    )
    settings = TrunkSettings(width=8, stages=stages)
    description = describe(lambda: Classifier(settings), BATCH)
    rows = {part.name: part for part in description.parts}
    assert description.parameters == _size(Classifier(settings))
    assert rows["trunk"].mac == 3 * 3 * (2 * 8) * 12
    assert rows["trunk.stages.1.blocks.0"].output == (3, 3, 12)
    assert not description.uncounted


def test_work_without_a_formula_is_named():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x):
            return x @ self.weight

    model = nn.Sequential(nn.Embedding(3, 4), nn.Sequential(Own()), nn.Linear(4, 4))
    description = describe(model, {"x": torch.tensor([0, 2])}, lambda model, batch: model(batch["x"]))
    assert description.uncounted == ("1.0",)
    assert "no formula: 1.0" in str(description)


def test_arguments_given_by_name_are_counted_too():
    model = nn.Sequential(nn.Linear(4, 5))
    description = describe(model, {"x": torch.zeros(2, 4)}, lambda model, batch: model[0](input=batch["x"]))
    assert description.mac == 2 * 4 * 5


def test_frozen_and_shared_parameters_are_told_apart():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    model[0].bias.requires_grad_(False)
    description = describe(model, {"x": torch.zeros(1, 4)}, lambda model, batch: model(batch["x"]))
    assert (description.parameters, description.trainable) == (24, 20)


def test_the_dictionary_is_plain_json_and_the_table_shows_totals():
    description = describe(Classifier, BATCH)
    plain = json.loads(json.dumps(description.to_dict()))
    assert plain["parameters"] == description.parameters
    assert plain["batch_size"] == 3
    assert plain["mac_per_item"] * 3 == plain["mac"] == sum(part["mac"] for part in plain["parts"])
    text = str(description)
    assert f"{description.parameters:,}" in text
    assert "trunk.stages.0.blocks.1 (Block)" in text


def test_a_large_model_costs_nothing_to_describe():
    settings = TrunkSettings(width=8192, depth=24, pattern=(AttentionSettings(heads=64),))
    description = describe(lambda: Classifier(settings), BATCH)
    assert description.parameters > 19e9
