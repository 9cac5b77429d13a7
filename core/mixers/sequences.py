"""What mixers of plain sequences share: refusals, runs of packed segments, and windows that reach back in time."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from armillary.core.mixers.protocol import Capabilities, State
from armillary.core.tokens import Tokens


def refuse_unsupported(
    name: str, can: Capabilities, tokens: Tokens, state: State = None, context: Tokens | None = None
) -> None:
    """Raise where the call asks for something the mixer has not declared."""
    if context is not None and not can.cross:
        raise ValueError(f"{name} got a context, but it mixes one set of tokens only; use attention to read a context")
    if state is not None and not can.streaming:
        raise ValueError(f"{name} got a state, but as set it is not causal; make it causal to go on from a state")
    if tokens.segments is not None and not can.packed_segments:
        raise ValueError(f"{name} got packed segments, which it would mix; give one sequence a row, padded and masked")


def number_runs(tokens: Tokens) -> Int[Tensor, "b l"] | None:
    """Number of the packed sequence each token belongs to, from 0 in every row; None when nothing is packed.

    A segment number that comes back later is another sequence. Masked tokens count to the sequence before them.
    A state given along belongs to run 0, and the state given back to the last run.
    """
    segments = tokens.segments
    if segments is None or segments.shape[1] == 0:
        return None
    if tokens.mask is not None:
        places = torch.arange(segments.shape[1], device=segments.device)
        latest = torch.where(tokens.mask, places, 0).cummax(1).values
        segments = segments.gather(1, latest)
    changes = torch.cat([segments[:, :1] != segments[:, :1], segments[:, 1:] != segments[:, :-1]], dim=1)
    return changes.cumsum(1)


def extend_back(values: Float[Tensor, "b l d"], history: Float[Tensor, "b k d"] | None, reach: int) -> Tensor:
    """The values with the `reach` tokens before them in front: the history, or zeros at the beginning."""
    if history is None:
        history = values.new_zeros(values.shape[0], reach, values.shape[2])
    return torch.cat([history.to(values.dtype), values], dim=1)


def latest(extended: Float[Tensor, "b m d"], mask: Bool[Tensor, "b l"] | None, reach: int) -> Float[Tensor, "b k d"]:
    """The last `reach` real tokens of values extended back by as many; real ones come first in every row."""
    if mask is None:
        return extended[:, extended.shape[1] - reach :]
    places = mask.sum(1)[:, None] + torch.arange(reach, device=mask.device)
    return extended.gather(1, places[..., None].expand(-1, -1, extended.shape[2]))
