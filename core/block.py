"""The block: a token mixer, a channel mixer, and the residual paths around them."""

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.utils.checkpoint
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.channels import MLPSettings
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
    """Adds a branch to the residual path: x + e(branch), with dropout, a learned scale per feature and drop path in e.

    With `residual_scalars` the sum is keep · x + gain · e(branch), two learned scalars that are one at first.

    References:
        Touvron et al. 2021, "Going deeper with image transformers", eq. 4 (layer scale).
        Shen et al. 2022, "Sliced recursive transformer" (learnable residual connections).
    """

    def __init__(self, width: int, settings: TrunkSettings, drop_path: float) -> None:
        super().__init__()
        dropout = SharedDropout if settings.dropout_shared else nn.Dropout
        self.dropout, self.drop_path = dropout(settings.dropout), DropPath(drop_path)
        scale = settings.residual_scale
        self.scale = None if scale is None else nn.Parameter(torch.full((width,), scale))
        self.keep = nn.Parameter(torch.ones(1)) if settings.residual_scalars else None
        self.gain = nn.Parameter(torch.ones(1)) if settings.residual_scalars else None

    def forward(self, values: Float[Tensor, "b l d"], branch: Float[Tensor, "b l d"]) -> Float[Tensor, "b l d"]:
        branch = self.dropout(branch)
        branch = self.drop_path(branch if self.scale is None else branch * self.scale)
        if self.keep is None or self.gain is None:
            return values + branch
        return values * self.keep + branch * self.gain


class Block(nn.Module):
    """Mixes tokens, then features, each on a residual path; one of the two mixers may be absent.

    A context goes to a mixer that reads one. With norm n, mixer m, channel mixer c and branch end e, a placement is
        pre:      x = x + e(m(n(x)));  x = x + e(c(n(x)))
        post:     x = n(x + e(m(x)));  x = n(x + e(c(x)))
        parallel: x = x + e(m(n(x))) + e(c(n(x))), with one norm for both
        single:   x = x + e(c(n(m(n(x))))), one residual path around both

    References:
        Patro et al. 2023, "SpectFormer" (single, in its spectral blocks).
    """

    def __init__(self, width: int, mixer: MixerSettings | None, settings: TrunkSettings, drop_path: float) -> None:
        super().__init__()
        self.placement, self.checkpoint = settings.placement, settings.checkpoint
        both = mixer is not None and settings.channel is not None
        self.mixer: Mixer | None = None
        if mixer is not None:
            self.mixer = build_part(MIXERS, mixer, width)
            self.mixer_norm = build_part(NORMS, settings.norm, width)
            if not (both and self.placement == "single"):
                self.mixer_branch = Branch(width, settings, drop_path)
        self.channel: Any = None
        if settings.channel is not None:
            self.channel = build_part(CHANNELS, settings.channel, width)
            self.channel_branch = Branch(width, settings, drop_path)
            if not (both and self.placement == "parallel"):
                self.channel_norm = build_part(NORMS, settings.norm, width)

    def forward(self, tokens: Tokens, state: State = None, context: Tokens | None = None) -> tuple[Tokens, State]:
        """The block's tokens and its mixer's state after the last one."""
        if self.checkpoint and self.training and torch.is_grad_enabled():

            def run(values: Tensor) -> tuple[Tokens, State]:
                return self._whole(tokens.with_values(values), state, context)

            return _recomputed(run, tokens.values, use_reentrant=False)
        return self._whole(tokens, state, context)

    @property
    def channel_reads_tokens(self) -> bool:
        """Whether the channel mixer sees a token's neighbours: it says so by `reads_tokens` and is called on Tokens."""
        return getattr(self.channel, "reads_tokens", False)

    def step(self, tokens: Tokens, state: State) -> tuple[Tokens, State]:
        """The same for one more token, going on from `state`."""
        mixer = self.mixer
        return self._apply_parts(tokens, None if mixer is None else lambda normed: mixer.step(normed, state))

    def _whole(self, tokens: Tokens, state: State, context: Tokens | None) -> tuple[Tokens, State]:
        mixer = self.mixer
        if mixer is None:
            return self._apply_parts(tokens, None)
        read = context if mixer.capabilities.cross else None
        return self._apply_parts(tokens, lambda normed: mixer(normed, state, read))

    def _apply_parts(self, tokens: Tokens, mix: Mix | None) -> tuple[Tokens, State]:
        if mix is None:
            return tokens.with_values(self._mix_features(tokens.values, tokens)), None
        x, mask = tokens.values, tokens.mask
        if self.placement == "post":
            mixed, state = mix(tokens)
            x = self.mixer_norm(self.mixer_branch(x, mixed), mask)
            return tokens.with_values(self._mix_features(x, tokens)), state
        normed = self.mixer_norm(x, mask)
        mixed, state = mix(tokens.with_values(normed))
        if self.channel is None:
            return tokens.with_values(self.mixer_branch(x, mixed)), state
        if self.placement == "single":
            x = self.channel_branch(x, self._map(self.channel_norm(mixed, mask), tokens))
        elif self.placement == "parallel":
            x = self.channel_branch(self.mixer_branch(x, mixed), self._map(normed, tokens))
        else:
            x = self._mix_features(self.mixer_branch(x, mixed), tokens)
        return tokens.with_values(x), state

    def _mix_features(self, values: Tensor, places: Tokens) -> Tensor:
        """The channel mixer with a norm and a residual path of its own; the values themselves when it is absent."""
        if self.channel is None:
            return values
        if self.placement == "post":
            return self.channel_norm(self.channel_branch(values, self._map(values, places)), places.mask)
        return self.channel_branch(values, self._map(self.channel_norm(values, places.mask), places))

    def _map(self, values: Tensor, places: Tokens) -> Tensor:
        """The channel mixer itself, on values that stand at `places`."""
        return self.channel(places.with_values(values) if self.channel_reads_tokens else values)


class Projection(nn.Module):
    """x + e(MLP(n(x))): what stands after one application of a block whose other weights are tied.

    References:
        Shen et al. 2022, "Sliced recursive transformer" (non-linear projection; as in the released code, one
        follows every application, the last too).
    """

    def __init__(self, width: int, ratio: float, settings: TrunkSettings) -> None:
        super().__init__()
        self.norm = build_part(NORMS, settings.norm, width)
        self.channel = build_part(CHANNELS, MLPSettings(ratio=ratio), width)
        self.branch = Branch(width, settings, 0.0)

    def forward(self, tokens: Tokens) -> Tokens:
        """The same places with other features."""
        mapped = self.channel(self.norm(tokens.values, tokens.mask))
        return tokens.with_values(self.branch(tokens.values, mapped))
