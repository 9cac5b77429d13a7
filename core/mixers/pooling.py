"""Pooling: the mean of three neighbours less the token itself."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.config.mixers import PoolingSettings
from armillary.core.mixers.protocol import Capabilities
from armillary.core.mixers.sequences import extend_back, latest, number_runs, refuse_unsupported
from armillary.core.tokens import Grid, Tokens

WINDOW = 3


class PoolingState(NamedTuple):
    """The last two real tokens, and as their last feature whether they exist."""

    window: Float[Tensor, "b 2 e"]


class Pooling(nn.Module):
    """y_t = mean of the window around t - x_t; the window is t-1, t, t+1, or t-2, t-1, t when causal.

    Padding, masked tokens and other packed sequences are not counted. Without parameters, it is the null
    mixer of an ablation.

    References:
        Yu et al. 2022, "MetaFormer is actually what you need for vision", algorithm 1.
    """

    def __init__(self, width: int, settings: PoolingSettings) -> None:
        super().__init__()
        self.width, self.causal = width, settings.causal
        self.capabilities = Capabilities(
            causal=settings.causal, streaming=settings.causal, cost_order="l", packed_segments=True
        )

    def forward(
        self, tokens: Tokens, state: PoolingState | None = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], PoolingState | None]:
        refuse_unsupported("pooling", self.capabilities, tokens, state, context)
        reach = WINDOW - 1
        counted = extend_back(_with_count(tokens), None if state is None else state.window, reach)
        runs = number_runs(tokens)
        places = None if runs is None else functional.pad(runs, (reach, 0))
        if not self.causal:
            # One token back and one ahead: shift the causal window of three by one.
            counted = functional.pad(counted[:, 1:], (0, 0, 0, 1))
            places = None if places is None else functional.pad(places[:, 1:], (0, 1), value=-1)
        total = _window_sum(counted, places, runs)
        mean = total[..., :-1] / total[..., -1:].clamp(min=1)
        mixed = (mean - tokens.values).to(tokens.values.dtype)
        if not self.causal:
            return mixed, None
        if runs is not None and places is not None:
            counted = counted * (places == runs[:, -1:])[..., None]
        return mixed, PoolingState(latest(counted, tokens.mask, reach))

    def step(self, tokens: Tokens, state: PoolingState | None) -> tuple[Float[Tensor, "b l d"], PoolingState | None]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC]: a window of three and one division a feature."""
        return float(batch) * length * self.width * (WINDOW + 1)


def _with_count(tokens: Tokens) -> Tensor:
    """Values of real tokens, with a last feature that is 1 for a real token and 0 else."""
    values = tokens.zeroed()
    ones = torch.ones_like(values[..., :1]) if tokens.mask is None else tokens.mask[..., None].to(values.dtype)
    return torch.cat([values, ones], dim=-1)


def _window_sum(counted: Tensor, places: Tensor | None, runs: Tensor | None) -> Tensor:
    """Sum over the three places that begin at each token's own index, of its own run only."""
    length = counted.shape[1] - WINDOW + 1
    shifted = [counted[:, offset : offset + length] for offset in range(WINDOW)]
    if places is not None and runs is not None:
        same = [places[:, offset : offset + length] == runs for offset in range(WINDOW)]
        shifted = [part * keep[..., None] for part, keep in zip(shifted, same, strict=True)]
    return shifted[0] + shifted[1] + shifted[2]
