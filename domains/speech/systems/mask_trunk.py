"""Masks from any trunk of the core, in MossFormer's frame: the published networks, and ours around other mixers."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from armillary.core.config.norms import LayerNormSettings
from armillary.core.convolutions import PointConv
from armillary.core.errors import ConfigError
from armillary.core.norms import LayerNorm
from armillary.core.tokens import Tokens
from armillary.core.trunk import Trunk
from armillary.domains.speech.systems.norms import build_norm
from armillary.domains.speech.systems.settings import MaskTrunkSettings


class MaskTrunk(nn.Module):
    """mask_k = relu(E (tanh(A h_k) · sigmoid(G h_k))) with h = split(prelu(norm(layer_norm(trunk(x))) + x)).

    x = P norm(features), plus sines of the step's number times one learned scale. A trunk that is handed in replaces
    that of the settings. With norm="step" nothing sees later steps, and the body goes on from its state.

    References:
        Zhao and Ma 2023, "MossFormer: pushing the performance limit of monaural speech separation using gated
        single-head transformer with convolution-augmented joint self-attentions", with the gates, norms and
        positions of the authors' released network.
    """

    def __init__(self, settings: MaskTrunkSettings, voices: int, trunk: nn.Module | None = None) -> None:
        super().__init__()
        width, bands = settings.trunk.width, settings.filterbank.bands
        self.voices, self.causal = voices, settings.causal
        self.norm_in = build_norm(settings.norm, bands)
        self.project = PointConv(bands, width, bias=False)
        self.scale = nn.Parameter(torch.ones(1)) if settings.positions else None
        self.trunk = Trunk(settings.trunk) if trunk is None else trunk
        _check_trunk(self.trunk, width, settings.causal)
        self.final_norm = LayerNorm(width, LayerNormSettings(eps=1e-6))
        self.norm_out = build_norm(settings.norm, width)
        self.slope = nn.PReLU()
        self.split = PointConv(width, voices * width)
        self.output, self.gate = PointConv(width, width), PointConv(width, width)
        self.expand = PointConv(width, bands, bias=False)

    def body(
        self, features: Float[Tensor, "b s n"], mask: Bool[Tensor, "b s"] | None, state: Any
    ) -> tuple[Float[Tensor, "b s d"], Any]:
        """What the trunk makes of the features, and the state to go on from: steps so far, and the trunk's."""
        passed, before = (0, None) if state is None else state
        entered = self.project(self.norm_in(features, mask))
        if self.scale is not None:
            entered = entered + self.scale * sines(passed, *entered.shape[1:], device=entered.device)
        mixed, after = self._mixed(Tokens(entered, mask), before)
        hidden = self.norm_out(self.final_norm(mixed), mask) + entered
        return hidden, (passed + entered.shape[1], after) if self.causal else None

    def head(self, hidden: Float[Tensor, "b s d"]) -> Float[Tensor, "b s k n"]:
        """The masks of each step; voices lie beside one another, so that no step is copied."""
        split = self.split(self.slope(hidden)).unflatten(-1, (self.voices, -1)).flatten(1, 2)
        gated = self.output(split).tanh() * self.gate(split).sigmoid()
        return self.expand(gated).relu().unflatten(1, (-1, self.voices))

    def after_step(self) -> None:
        """Folds the moments of the trunk's batch norms, where it has any."""
        fold = getattr(self.trunk, "after_step", None)
        if fold is not None:
            fold()

    def _mixed(self, tokens: Tokens, state: Any) -> tuple[Tensor, Any]:
        # One step goes through kernels that are made for it.
        one = self.causal and tokens.values.shape[1] == 1 and tokens.mask is None
        run = self.trunk.step if one else self.trunk
        mixed, after = run(tokens, state)  # pyright: ignore[reportCallIssue]
        return mixed.values, after


def sines(first: int, steps: int, width: int, device: torch.device | None = None) -> Float[Tensor, "s d"]:
    """sin(p / 10000^(2i/d)) in feature i and the cosine of the same in feature d/2 + i, for steps p = first, ..."""
    rates = 10000.0 ** (-torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
    angles = torch.arange(first, first + steps, device=device, dtype=torch.float32).unsqueeze(-1) * rates
    return torch.cat((angles.sin(), angles.cos()), -1)[:, :width]


def _check_trunk(trunk: nn.Module, width: int, causal: bool) -> None:
    given = getattr(trunk, "output_width", width)
    if given != width:
        raise ConfigError(
            f"model.trunk gives {given} features, expected {width}: its input is added to its output.\n"
            "  Let its last stage have the width that model.trunk.width tells."
        )
    can = getattr(trunk, "capabilities", None)
    if causal and can is not None and not can.streaming:
        raise ConfigError(
            'model.norm="step" makes a causal network, but its trunk sees later steps.\n'
            '  Choose causal mixers (mamba2 with bidirectional=false) without resampling, or model.norm="global".'
        )
