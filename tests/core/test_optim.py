"""Parameter groups."""

import torch
from torch import nn

from armillary.core.config.embeddings import ObservationEmbeddingSettings
from armillary.core.config.heads import PooledSettings
from armillary.core.config.mixers import AttentionSettings, Mamba2Settings, MambaSettings
from armillary.core.config.parts import EMBEDDINGS, HEADS, build_part
from armillary.core.config.trunk import TrunkSettings
from armillary.core.optim import parameter_groups
from armillary.core.trunk import Trunk


def _model() -> nn.Module:
    pattern = (AttentionSettings(heads=2), MambaSettings(state=4), Mamba2Settings(head_width=4, state=4))
    trunk = Trunk(TrunkSettings(width=8, pattern=pattern, residual_scale=0.1))
    embedding = build_part(EMBEDDINGS, ObservationEmbeddingSettings(features=2, channels=3), 8)
    return nn.ModuleList([embedding, trunk, build_part(HEADS, PooledSettings(classes=3), 8)])


def _names(model: nn.Module, group: dict) -> list[str]:
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return [known[id(parameter)] for parameter in group["params"]]


def test_every_trainable_parameter_is_in_exactly_one_group():
    model = _model()
    frozen = model[2].classify.weight.requires_grad_(False)
    grouped = [id(parameter) for group in parameter_groups(model, 0.1, 1e-3) for parameter in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in model.parameters()} - {id(frozen)}


def test_matrices_decay_and_biases_norms_scales_and_state_space_parameters_do_not():
    model = _model()
    groups = {group["weight_decay"]: _names(model, group) for group in parameter_groups(model, 0.1, 1e-3)}
    assert set(groups) == {0.0, 0.1}
    assert not [name for name in groups[0.1] if "norm" in name or name.endswith(("bias", "A_log", "scale"))]
    assert "0.features.weight" in groups[0.1]
    assert "0.channel.weight" in groups[0.0]
    assert [name for name in groups[0.0] if name.endswith("A_log")]


def test_the_owner_s_word_on_decay_and_learning_rate_counts():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[0].weight.no_weight_decay = True
    model[1].weight.lr_scale = 0.1
    groups = parameter_groups(model, 0.5, 1.0)
    assert [(group["lr"], group["weight_decay"], _names(model, group)) for group in groups] == [
        (1.0, 0.0, ["0.weight", "0.bias", "1.bias"]),
        (0.1, 0.5, ["1.weight"]),
    ]


def test_a_shared_parameter_is_listed_once():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert sum(len(group["params"]) for group in parameter_groups(model, 0.1, 1.0)) == 3


def test_the_order_is_the_same_every_time():
    first, second = (parameter_groups(model, 0.1, 1e-3) for model in (_model(), _model()))
    shapes = [[[tuple(p.shape) for p in group["params"]] for group in groups] for groups in (first, second)]
    assert shapes[0] == shapes[1]


def test_an_optimiser_takes_the_groups():
    optimiser = torch.optim.AdamW(parameter_groups(_model(), 0.1, 1e-3))
    assert sorted(group["weight_decay"] for group in optimiser.param_groups) == [0.0, 0.1]
