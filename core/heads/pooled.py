"""Pool tokens, then score classes with a linear map."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from armillary.core.config.heads import PooledSettings
from armillary.core.tokens import Tokens

_CAP = 10.0


class PooledClassifier(nn.Module):
    """Class scores w_k . pool(A) + b_k of a whole row, or at each token from that token and those before it.

    mean: average of the real tokens. last: the last real token. attention: average with weights exp(s(t)), s a
    learned linear score, softly capped at +-10 so that a running average needs no look ahead. A row without a real
    token pools to zero, so its scores are the biases.
    """

    def __init__(self, width: int, settings: PooledSettings) -> None:
        super().__init__()
        self.pooling = settings.pooling
        self.score = nn.Linear(width, 1, bias=False) if settings.pooling == "attention" else None
        self.dropout = nn.Dropout(settings.dropout)
        self.classify = nn.Linear(width, settings.classes)

    def forward(self, tokens: Tokens, each_token: bool = False) -> Float[Tensor, "..."]:
        """Scores (b, k) of whole rows, or (b, l, k) with each_token."""
        pooled = self.pool_each(tokens) if each_token else self.pool(tokens)
        return self.classify(self.dropout(pooled))

    def pool(self, tokens: Tokens) -> Float[Tensor, "b d"]:
        """One vector for each row."""
        values, weight = tokens.zeroed(), self._weights(tokens)
        if self.pooling == "last":
            return (values * _last(weight)).sum(1).to(values.dtype)
        return _ratio((values * weight).sum(1), weight.sum(1), values.dtype)

    def pool_each(self, tokens: Tokens) -> Float[Tensor, "b l d"]:
        """One vector for each token, from it and the real tokens before it; a masked token repeats the one before."""
        values, weight = tokens.zeroed(), self._weights(tokens)
        if self.pooling == "last":
            return values.gather(1, _latest(weight).expand_as(values))
        return _ratio((values * weight).cumsum(1), weight.cumsum(1), values.dtype)

    def activation_maps(self, tokens: Tokens) -> Float[Tensor, "b k l"]:
        """M_k(t) = sum_d w_kd A_d(t), what each token says for each class; zero where it is masked.

        With mean pooling the mean of a map over the real tokens, plus the bias, is the class's score (without dropout).

        References:
            Zhou et al. 2016, "Learning deep features for discriminative localization", eq. 2.
        """
        return (tokens.zeroed() @ self.classify.weight.mT).mT

    def _weights(self, tokens: Tokens) -> Float[Tensor, "b l 1"]:
        """Weight of each token, zero where it is masked, in float32 at least for the sums."""
        values = tokens.values
        weight = values.new_ones((*values.shape[:2], 1), dtype=torch.promote_types(values.dtype, torch.float32))
        if self.score is not None:
            weight = (_CAP * (self.score(values).to(weight.dtype) / _CAP).tanh()).exp()
        return weight if tokens.mask is None else weight * tokens.mask.unsqueeze(-1)


def _ratio(total: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    return (total / weight.where(weight > 0, 1.0)).to(dtype)


def _latest(weight: Float[Tensor, "b l 1"]) -> Tensor:
    """Index of the latest real token up to each one; 0 before the first."""
    index = torch.arange(weight.shape[1], device=weight.device).reshape(1, -1, 1)
    return index.where(weight > 0, 0).cummax(1).values


def _last(weight: Float[Tensor, "b l 1"]) -> Tensor:
    """1 at the last real token of each row, 0 elsewhere."""
    latest = _latest(weight)
    index = torch.arange(weight.shape[1], device=weight.device).reshape(1, -1, 1)
    return ((index == latest[:, -1:]) & (weight > 0)).to(weight.dtype)
