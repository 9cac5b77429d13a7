"""One learned vector per index."""

import torch
from torch import nn

from armillary.core.config.embeddings import LearnedPositionSettings
from armillary.core.tokens import Tokens


class LearnedPosition(nn.Module):
    """Adds row i of a learned table to token i. The table starts small and gets no weight decay."""

    def __init__(self, width: int, settings: LearnedPositionSettings) -> None:
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(settings.max_length, width))
        self.table.no_weight_decay = True  # pyright: ignore[reportAttributeAccessIssue]

    def forward(self, tokens: Tokens) -> Tokens:
        length, limit = tokens.values.shape[1], self.table.shape[0]
        if length > limit:
            raise ValueError(f"learned positions end at {limit} tokens, got {length}; raise max_length and train again")
        return tokens.with_values(tokens.values + self.table[:length])

    def cost(self, batch: int, length: int) -> float:
        """No multiply-adds: rows are added."""
        return 0.0
