"""What every network of the peers and students keeps to, and what each must hold of its published layers."""

import importlib

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from armillary.core.errors import ConfigError
from armillary.domains.modulation.classifier import FrameClassifier
from armillary.domains.modulation.systems import settings
from armillary.domains.modulation.systems.lstm2 import amplitude_phase
from armillary.domains.modulation.systems.pet_cgdnn import turn_back

NETWORKS = {
    "mcldnn": ("MCLDNN", settings.MCLDNNSettings(), 406_199),
    "pet_cgdnn": ("PETCGDNN", settings.PETCGDNNSettings(), 71_871),
    "resnet": ("ResNet", settings.ResNetSettings(), None),
    "lstm2": ("LSTM2", settings.LSTM2Settings(), 201_099),
    "kd_cnn": ("KDCNN", settings.KDCNNSettings(), 36_299),
    "kd_mobilenet": ("KDMobileNet", settings.KDMobileNetSettings(), None),
}
ANY_LENGTH = ("mcldnn", "lstm2", "kd_cnn", "kd_mobilenet")
every = pytest.mark.parametrize("kind", NETWORKS)


def network(kind: str, classes: int = 11, length: int = 128, chosen: settings.Settings | None = None) -> nn.Module:
    name, default, _ = NETWORKS[kind]
    module = importlib.import_module(f"armillary.domains.modulation.systems.{kind}")
    torch.manual_seed(0)
    return getattr(module, name)(chosen or default, classes, length)


def frames(count: int, length: int = 128, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 2, length, generator=torch.Generator().manual_seed(seed)) / 2**0.5


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def shapes(module: nn.Module, names: tuple[str, ...], iq: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """What the named layers give for a batch."""
    seen: dict[str, tuple[int, ...]] = {}
    for name in names:
        module.get_submodule(name).register_forward_hook(
            lambda _, __, out, name=name: seen.__setitem__(
                name, tuple((out[0] if isinstance(out, tuple) else out).shape)
            )
        )
    module(iq)
    return seen


@pytest.mark.parametrize("kind", [kind for kind, (_, _, count) in NETWORKS.items() if count])
def test_the_parameters_are_as_many_as_told(kind):
    assert parameters(network(kind)) == NETWORKS[kind][2]


@every
def test_students_are_smaller_than_their_teachers(kind):
    assert parameters(network(kind)) <= parameters(network("mcldnn"))
    if kind.startswith("kd_"):
        assert parameters(network(kind)) < 120_000


@every
def test_a_frame_alone_gets_what_it_gets_among_others(kind):
    net, iq = network(kind).eval(), frames(5)
    scores = net(iq)
    assert scores.shape == (5, 11)
    for i in range(5):
        assert_close(net(iq[i : i + 1]), scores[i : i + 1], atol=1e-5, rtol=1e-4)


@every
def test_one_frame_is_enough_to_train_on(kind):
    net = network(kind)
    net(frames(1)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@every
def test_gradients_reach_every_parameter(kind):
    net = network(kind)
    nn.functional.cross_entropy(net(frames(16)), torch.arange(16) % 11).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().sum() > 0, name


@every
def test_the_scores_are_a_linear_map_of_the_features(kind):
    net, iq = network(kind).eval(), frames(3)
    assert_close(net.head(net.features(iq)), net(iq))


@every
def test_a_frame_of_zeros_is_scored_and_trained_on(kind):
    net = FrameClassifier(network(kind))
    scores = net(torch.zeros(3, 2, 128))
    scores.square().sum().backward()
    assert scores.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@every
def test_the_amplitude_of_the_published_sets_changes_nothing(kind):
    net, iq = FrameClassifier(network(kind)).eval(), frames(4)
    assert_close(net(0.01 * iq), net(iq), atol=1e-5, rtol=1e-4)


@every
def test_no_buffer_changes_before_the_step(kind):
    net = network(kind)
    before = {name: buffer.clone() for name, buffer in net.named_buffers()}
    net(frames(4))
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())
    if before:
        net.after_step()
        assert any(not torch.equal(buffer, before[name]) for name, buffer in net.named_buffers())


@every
def test_the_network_goes_where_it_is_sent(kind):
    net = network(kind).to("meta")
    assert net(torch.zeros(2, 2, 128, device="meta")).device.type == "meta"


@every
def test_a_few_steps_on_one_batch_lower_the_loss(kind):
    net, iq, target = network(kind), frames(12), torch.arange(12) % 3
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for _ in range(8):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(net(iq), target)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[-2:]) < losses[0]


@pytest.mark.parametrize("kind", ANY_LENGTH)
@pytest.mark.parametrize("length", [37, 200])
def test_networks_without_a_length_of_their_own_take_any(kind, length):
    assert network(kind, classes=3).eval()(frames(2, length)).shape == (2, 3)


@pytest.mark.parametrize("kind", ["pet_cgdnn", "resnet"])
def test_networks_of_one_length_refuse_another_and_say_what_to_do(kind):
    with pytest.raises(ValueError, match=r"frames of 64 samples, expected 128.*\n.*data\.length=64"):
        network(kind)(frames(2, 64))


def test_mcldnn_has_the_published_shapes():
    net = network("mcldnn").eval()
    seen = shapes(net, ("both", "rails.0", "rails.1", "apart", "joint", "lstm", "dense"), frames(3))
    assert seen == {
        "both": (3, 50, 2, 128), "rails.0": (3, 50, 128), "rails.1": (3, 50, 128), "apart": (3, 50, 2, 128),
        "joint": (3, 100, 1, 124), "lstm": (3, 124, 128), "dense": (3, 128),
    }  # fmt: skip


def test_mcldnn_pads_even_kernels_with_one_more_zero_behind():
    net, iq = network("mcldnn"), frames(2)
    seen = {}
    net.both.register_forward_hook(lambda _, __, out: seen.update(out=out))
    net(iq)
    weight = net.both.weight.detach()
    padded = torch.zeros(2, 3, 135)
    padded[:, :2, 3:131] = iq
    expected = torch.stack([torch.stack([(padded[:, r : r + 2, t : t + 8] * weight[7, 0]).sum((1, 2))
                                         for t in range(128)], -1) for r in range(2)], 1)  # fmt: skip
    assert_close(seen["out"][:, 7], expected + net.both.bias[7], atol=1e-5, rtol=1e-4)


def test_mcldnn_reads_no_future_sample_in_the_maps_of_one_rail():
    net, iq = network("mcldnn").eval(), frames(1)
    seen = []
    net.rails[1].register_forward_hook(lambda _, __, out: seen.append(out))
    net(iq)
    later = iq.clone()
    later[..., 60:] = 5.0
    net(later)
    assert torch.equal(seen[0][..., :60], seen[1][..., :60])
    assert not torch.equal(seen[0][..., 60], seen[1][..., 60])


def test_recurrent_layers_have_both_biases_and_an_open_forget_gate():
    for kind in ("mcldnn", "lstm2"):
        lstm = network(kind).lstm
        assert lstm.bias_ih_l0.shape == lstm.bias_hh_l0.shape == (512,)
        assert torch.equal((lstm.bias_ih_l1 + lstm.bias_hh_l1).view(4, 128)[1], torch.ones(128))
        assert_close(lstm.weight_hh_l0.T @ lstm.weight_hh_l0, torch.eye(128), atol=1e-4, rtol=0)


def test_pet_cgdnn_has_the_published_shapes():
    seen = shapes(network("pet_cgdnn").eval(), ("phase", "first", "second", "gru"), frames(3))
    assert seen == {"phase": (3, 1), "first": (3, 75, 121), "second": (3, 25, 117), "gru": (3, 117, 128)}


def test_turning_back_by_the_carrier_phase_undoes_it():
    phase = torch.tensor([[0.3], [-2.0]])
    z = torch.complex(frames(2)[:, 0], frames(2)[:, 1]) * torch.polar(torch.ones(2, 1), phase)
    turned = turn_back(torch.stack([z.real, z.imag], 1), phase)
    assert_close(turned, frames(2), atol=1e-6, rtol=1e-5)


def test_lstm2_reads_normed_amplitude_and_phase_over_pi():
    inputs = amplitude_phase(torch.cat([frames(3), torch.zeros(1, 2, 128)]))
    assert_close(inputs[:3, 0].norm(dim=-1), torch.ones(3))
    assert inputs[:, 1].abs().max() <= 1
    assert torch.equal(inputs[3], torch.zeros(2, 128))
    assert_close(amplitude_phase(7 * frames(3)), inputs[:3], atol=1e-6, rtol=1e-5)
    assert_close(amplitude_phase(torch.tensor([[[0.0, -3.0], [4.0, 0.0]]]))[0, 1], torch.tensor([0.5, 1.0]))


@pytest.mark.parametrize(("length", "stacks", "left"), [(128, 4, 8), (1024, 6, 16), (100, 3, 12)])
def test_resnet_halves_the_length_in_each_stack(length, stacks, left):
    net = network("resnet", length=length, chosen=settings.ResNetSettings(stacks=stacks)).eval()
    seen = shapes(net, ("stacks", "dense"), frames(2, length))
    assert seen == {"stacks": (2, 32, left), "dense": (2, 128)}


def test_resnet_says_how_many_stacks_a_short_frame_allows():
    with pytest.raises(ConfigError, match=r"model\.stacks=8 halves frames of 128.*\n?.*to 7 or fewer"):
        network("resnet", chosen=settings.ResNetSettings(stacks=8))


def test_students_have_the_shapes_of_their_plans():
    seen = shapes(network("kd_cnn").eval(), tuple(f"convolutions.{i}" for i in range(3)), frames(2))
    assert list(seen.values()) == [(2, 32, 128), (2, 64, 64), (2, 64, 32)]
    seen = shapes(network("kd_mobilenet").eval(), ("stem", "blocks", "last"), frames(2))
    assert seen == {"stem": (2, 16, 128), "blocks": (2, 48, 16), "last": (2, 128, 16)}


def test_a_narrow_mobilenet_has_fewer_weights():
    narrow = network("kd_mobilenet", chosen=settings.KDMobileNetSettings(width_factor=0.1))
    assert parameters(narrow) < parameters(network("kd_mobilenet")) / 5
    assert narrow(frames(2)).shape == (2, 11)
