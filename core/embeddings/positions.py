"""Where tokens stand, as numbers; every position module takes tokens and gives them with its encoding added."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.embeddings import NoPositionSettings
from armillary.core.tokens import Tokens


class NoPosition(nn.Module):
    """Tokens as they are."""

    def __init__(self, width: int, settings: NoPositionSettings) -> None:
        super().__init__()

    def forward(self, tokens: Tokens) -> Tokens:
        return tokens


def coordinate(tokens: Tokens) -> Float[Tensor, "b l"]:
    """The one coordinate of each token: its physical position if it has one, else its index, from 0."""
    batch, length, _ = tokens.values.shape
    if tokens.positions is None:
        return torch.arange(length, device=tokens.values.device, dtype=torch.float32).expand(batch, length)
    if tokens.positions.shape[-1] != 1:
        raise ValueError(
            f"expected positions with one coordinate, got {tokens.positions.shape[-1]}; use continuous_time for several"
        )
    return tokens.positions[..., 0]
