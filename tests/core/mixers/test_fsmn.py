"""The gated memory by its formula, with torch's own layers, and its parameters as published."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from armillary.core.config.mixers import FSMNSettings, GatedAttentionSettings
from armillary.core.config.norms import NoNormSettings
from armillary.core.config.trunk import TrunkSettings
from armillary.core.mixers.conv_map import ConvMap
from armillary.core.mixers.fsmn import FSMN
from armillary.core.mixers.instance_norm import RectifiedInstanceNorm
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk

WIDTH, INNER = 8, 6


def _mixer(**settings: object) -> FSMN:
    torch.manual_seed(0)
    small = {"inner": INNER, "kernel": 5, "conv": 3}
    mixer = FSMN(WIDTH, FSMNSettings.model_validate(small | settings)).double().eval()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return mixer


def _values(*shape: int) -> Tensor:
    return 1 + 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _mapped(part: ConvMap, x: Tensor) -> Tensor:
    y = functional.silu(part.linear(functional.layer_norm(x, (INNER,), part.norm_scale, part.norm_bias)))
    return y + functional.conv1d(y.mT, part.weight[:, None], padding=1, groups=INNER).mT


def _remembered(mixer: FSMN, a: Tensor) -> Tensor:
    """Grouped convolutions over what is stacked, the newest first."""
    memory, stack = mixer.memory, None
    out = memory.project(memory.read(a).relu()).mT
    for place, layer in enumerate(memory.layers):
        stack = out if stack is None else torch.cat([out, stack], 1)
        weight, dilation = layer.weight.view(INNER, place + 1, 5), 2**place
        out = functional.conv1d(stack, weight, padding=2 * dilation, dilation=dilation, groups=INNER)
        out = functional.instance_norm(out, weight=layer.norm.weight, bias=layer.norm.bias)
        out = functional.prelu(out, layer.norm.slopes)
    return out.mT


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_it_is_its_formula(depth: int):
    mixer, x = _mixer(depth=depth), _values(2, 21, WIDTH)
    y = mixer.enter_norm(functional.prelu(mixer.enter(x), mixer.slope))
    a, b = _mapped(mixer.written, y), _mapped(mixer.gate, y)
    expected = mixer.leave(mixer.leave_norm(b * (a + _remembered(mixer, a)) + y))
    assert_close(mixer(Tokens(x))[0], expected)


def test_at_the_published_sizes_it_has_the_published_parameters():
    with torch.device("meta"):
        mixer = FSMN(512, FSMNSettings())
    assert sum(parameter.numel() for parameter in mixer.parameters()) == 568_065


def test_a_trunk_in_which_it_takes_turns_is_as_large_as_that_of_mossformer2():
    settings = TrunkSettings(
        width=512,
        depth=48,
        pattern=(GatedAttentionSettings(), FSMNSettings()),
        channel=None,
        norm=NoNormSettings(),
        final_norm=False,
    )
    with torch.device("meta"):
        trunk = Trunk(settings)
    assert sum(parameter.numel() for parameter in trunk.parameters()) == 24 * (1_687_811 + 568_065)


def test_moments_are_those_of_the_real_tokens_and_gradients_those_of_autograd():
    norm, x = RectifiedInstanceNorm(3).double(), _values(2, 7, 3)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(torch.randn_like(parameter))
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    alone = functional.instance_norm(x[1:, :4].mT, weight=norm.weight, bias=norm.bias)
    assert_close(norm(x, mask)[1:, :4], functional.prelu(alone, norm.slopes).mT)
    inputs = (x.requires_grad_(), norm.weight, norm.bias, norm.slopes)
    for given in (None, mask):
        assert torch.autograd.gradcheck(lambda x, *_, given=given: norm(x, given), inputs)


def test_one_token_is_its_own_mean():
    norm = RectifiedInstanceNorm(3).double()
    torch.nn.init.normal_(norm.bias)
    assert_close(norm(_values(2, 1, 3)), functional.prelu(norm.bias.expand(2, 1, 3).mT, norm.slopes).mT)


def test_single_and_double_precision_agree_in_values_and_gradients():
    found = []
    for mixer in (_mixer().float(), _mixer()):
        x = _values(2, 11, WIDTH).to(mixer.slope.dtype).requires_grad_()
        y = mixer(Tokens(x))[0]
        found.append((y, *torch.autograd.grad(y.square().sum(), (x, *mixer.parameters()))))
    for one, other in zip(*found, strict=True):
        assert_close(one.double(), other, rtol=1e-3, atol=1e-5 * float(other.detach().abs().max()))


def test_causal_it_looks_back_as_far_as_its_kernels_reach_together():
    mixer = _mixer(causal=True)
    x = _values(1, 40, WIDTH).requires_grad_()
    mixer(Tokens(x))[0][:, -1].sum().backward()
    seen = x.grad.abs().amax((0, 2)) > 0
    reach = 2 + 4 + 8
    assert seen[-reach - 1 :].all()
    assert not seen[: -reach - 1].any()


def test_costs_are_those_worked_by_hand():
    maps = 2 * WIDTH * INNER + 2 * (INNER**2 + INNER * 3)
    memory = 2 * INNER**2 + INNER * 5 + 2 * INNER * 5
    assert _mixer().cost(2, 7) == 2 * 7 * (maps + memory)


def test_kernels_without_a_centre_are_refused():
    with pytest.raises(ValidationError, match="kernel=4 has no centre token"):
        FSMNSettings(kernel=4)
    with pytest.raises(ValidationError, match="conv=2 has no centre token"):
        FSMNSettings(conv=2)
