"""Attention rollout: how much of each input token is in each output token of a stack of attention."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.tokens import Tokens


@torch.no_grad()
def attention_rollout(trunk: nn.Module, tokens: Tokens) -> Float[Tensor, "b q k"]:
    """(1 + A_n)/2 ... (1 + A_2)/2 (1 + A_1)/2, A_i the weights of block i, mean over its heads; rows sum to one.

    The blocks run on their fast path once, and their weights are computed beside it. Cost O(blocks b l^3).

    Raises ValueError where a block mixes tokens by something else, or the trunk changes their number.

    References:
        Abnar and Zuidema 2020, "Quantifying attention flow in transformers", section 3.
    """
    mixers = _mixers(trunk)
    rolled: list[Tensor] = []

    def see(mixer: Any, arguments: tuple[Any, ...]) -> None:
        weights = mixer.attention_map(arguments[0]).float().mean(1)
        if rolled and rolled[-1].shape[1] != weights.shape[2]:
            raise ValueError(
                "attention rollout needs as many tokens in every block; this trunk merges them. Use gradient maps"
            )
        step = (weights + torch.eye(weights.shape[-1], device=weights.device)) / 2
        rolled[:] = [step @ rolled[-1] if rolled else step]

    hooks = [mixer.register_forward_pre_hook(see) for mixer in mixers]
    try:
        trunk(tokens)
    finally:
        for hook in hooks:
            hook.remove()
    return rolled[0]


def _mixers(trunk: nn.Module) -> list[nn.Module]:
    blocks: list[Any] = list(trunk.blocks()) if hasattr(trunk, "blocks") else []  # pyright: ignore[reportCallIssue]
    mixers = [block.mixer for block in blocks if block.mixer is not None]
    other = [type(mixer).__name__ for mixer in mixers if not hasattr(mixer, "attention_map")]
    if other or not mixers:
        found = other[0] if other else "none"
        raise ValueError(
            f"attention rollout needs attention in every block, got {found}; use gradient maps (predict.maps=gradient)"
        )
    return mixers
