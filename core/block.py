"""The block: a token mixer, a channel mixer, and the residual paths around them."""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.utils.checkpoint
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.mixers import MixerSettings
from armillary.core.config.parts import CHANNELS, MIXERS, NORMS, build_part
from armillary.core.config.trunk import TrunkSettings
from armillary.core.mixers.protocol import Mixer, State
from armillary.core.tokens import Tokens

Mix = Callable[[Tokens], tuple[Tensor, State]]
_recomputed: Callable[..., tuple[Tokens, State]] = cast(Any, torch.utils.checkpoint).checkpoint


class DropPath(nn.Module):
    """While training, zero an item's whole branch with probability `rate`, else scale it by 1 / (1 - rate).

    References:
        Huang et al. 2016, "Deep networks with stochastic depth", eq. 2, with the scale moved to training.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        if not self.training or self.rate == 0:
            return branch
        kept = torch.rand(branch.shape[0], 1, 1, device=branch.device) >= self.rate
        return branch * (kept.to(branch.dtype) / (1 - self.rate))


class SharedDropout(nn.Module):
    """While training, zero a feature at all tokens of an item with probability `rate`, else scale by 1 / (1 - rate).

    One random number an item and feature instead of one an element: on a CPU drawing them costs as much as a layer.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, values: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        if not self.training or self.rate == 0:
            return values
        kept = torch.rand(values.shape[0], 1, values.shape[2], device=values.device) >= self.rate
        return values * (kept.to(values.dtype) / (1 - self.rate))


class Branch(nn.Module):
    """What happens to a branch's output before it is added: dropout, a learned scale per feature, drop path.

    References:
        Touvron et al. 2021, "Going deeper with image transformers", eq. 4 (layer scale).
    """

    def __init__(self, width: int, settings: TrunkSettings, drop_path: float) -> None:
        super().__init__()
        dropout = SharedDropout if settings.dropout_shared else nn.Dropout
        self.dropout, self.drop_path = dropout(settings.dropout), DropPath(drop_path)
        scale = settings.residual_scale
        self.scale = None if scale is None else nn.Parameter(torch.full((width,), scale))

    def forward(self, branch: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        branch = self.dropout(branch)
        return self.drop_path(branch if self.scale is None else branch * self.scale)


class Block(nn.Module):
    """Mixes tokens, then features, each on a residual path; the channel mixer may be absent.

    A context goes to a mixer that reads one. With norm n, mixer m, channel mixer c and branch end e, a placement is
        pre:      x = x + e(m(n(x)));  x = x + e(c(n(x)))
        post:     x = n(x + e(m(x)));  x = n(x + e(c(x)))
        parallel: x = x + e(m(n(x))) + e(c(n(x))), with one norm for both
    """

    def __init__(self, width: int, mixer: MixerSettings, settings: TrunkSettings, drop_path: float) -> None:
        super().__init__()
        self.placement, self.checkpoint = settings.placement, settings.checkpoint
        self.mixer: Mixer = build_part(MIXERS, mixer, width)
        self.mixer_norm = build_part(NORMS, settings.norm, width)
        self.mixer_branch = Branch(width, settings, drop_path)
        self.channel = None
        if settings.channel is not None:
            self.channel = build_part(CHANNELS, settings.channel, width)
            self.channel_branch = Branch(width, settings, drop_path)
        if self.channel is not None and self.placement != "parallel":
            self.channel_norm = build_part(NORMS, settings.norm, width)

    def forward(self, tokens: Tokens, state: State = None, context: Tokens | None = None) -> tuple[Tokens, State]:
        """The block's tokens and its mixer's state after the last one."""
        if self.checkpoint and self.training and torch.is_grad_enabled():

            def run(values: Tensor) -> tuple[Tokens, State]:
                return self._whole(tokens.with_values(values), state, context)

            return _recomputed(run, tokens.values, use_reentrant=False)
        return self._whole(tokens, state, context)

    def step(self, tokens: Tokens, state: State) -> tuple[Tokens, State]:
        """The same for one more token, going on from `state`."""
        return self._apply_parts(tokens, lambda normed: self.mixer.step(normed, state))

    def _whole(self, tokens: Tokens, state: State, context: Tokens | None) -> tuple[Tokens, State]:
        read = context if self.mixer.capabilities.cross else None
        return self._apply_parts(tokens, lambda normed: self.mixer(normed, state, read))

    def _apply_parts(self, tokens: Tokens, mix: Mix) -> tuple[Tokens, State]:
        x, mask = tokens.values, tokens.mask
        if self.placement == "post":
            mixed, state = mix(tokens)
            x = self.mixer_norm(x + self.mixer_branch(mixed), mask)
            if self.channel is not None:
                x = self.channel_norm(x + self._feature_branch(x), mask)
            return tokens.with_values(x), state
        normed = self.mixer_norm(x, mask)
        mixed, state = mix(tokens.with_values(normed))
        x = x + self.mixer_branch(mixed)
        if self.channel is not None:
            x = x + self._feature_branch(normed if self.placement == "parallel" else self.channel_norm(x, mask))
        return tokens.with_values(x), state

    def _feature_branch(self, values: Tensor) -> Tensor:
        channel = cast(nn.Module, self.channel)
        return self.channel_branch(channel(values))
