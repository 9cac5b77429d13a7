"""Grouped attention in pieces: the state that a causal mixer carries along, and how it goes on from it."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from armillary.core.mixers.dropout import Dropout
from armillary.core.mixers.grouped import Keys, grouped_attention


class GroupState(NamedTuple):
    """The tokens of the group that is not full yet, and the sums of earlier groups.

    near_keys, far_keys, values: those tokens first; a row has as many as its count exceeds full groups.
    counts: real tokens that have passed.
    """

    near_keys: Float[Tensor, "b m n"]
    far_keys: Float[Tensor, "b m n"]
    values: Float[Tensor, "b m e"]
    sums: Float[Tensor, "b n e"]
    counts: Int[Tensor, " b"]


class Settled(NamedTuple):
    """What stays the same from piece to piece."""

    group: int
    dropout: float


def attend_onwards(
    keys: Keys,
    values: Float[Tensor, "b l e"],
    mask: Bool[Tensor, "b l"] | None,
    state: GroupState | None,
    settled: Settled,
) -> tuple[Float[Tensor, "b l e"], GroupState]:
    """Causal `grouped_attention` of tokens that come after those of the state; a mask is True up to a row's length."""
    if state is None:
        return _aligned(keys, values, mask, None, settled)
    filled = [count % settled.group for count in state.counts.tolist()]
    if mask is None and len(set(filled)) <= 1:
        return _together(keys, values, state, filled[0] if filled else 0, settled)
    return _row_by_row(keys, values, mask, state, filled, settled)


def _aligned(
    keys: Keys, values: Tensor, mask: Tensor | None, state: GroupState | None, settled: Settled
) -> tuple[Tensor, GroupState]:
    """From the beginning of a group in every row."""
    length = values.shape[1]
    if mask is None:
        lengths = torch.full((len(values),), length, device=values.device)
        open_keys, far_keys = length - length % settled.group, keys.far_keys
        near, far, held = (part[:, open_keys:].clone() for part in (keys.near_keys, far_keys, values))
    else:
        lengths = mask.sum(1)
        closed = lengths - lengths % settled.group
        places = torch.arange(length, device=values.device)
        far_keys = keys.far_keys * (places < closed[:, None])[..., None].to(values.dtype)
        last = (closed[:, None] + places[: settled.group]).clamp(max=max(length - 1, 0))
        near, far, held = (_taken(part, last) for part in (keys.near_keys, keys.far_keys, values))
    mixed, sums = grouped_attention(
        keys._replace(far_keys=far_keys),
        values,
        None if state is None else state.sums,
        group=settled.group,
        causal=True,
        dropout=settled.dropout,
    )
    return mixed, GroupState(near, far, held, sums, lengths if state is None else state.counts + lengths)


def _taken(part: Tensor, places: Tensor) -> Tensor:
    return part.gather(1, places[..., None].expand(-1, -1, part.shape[2]))


def _together(
    keys: Keys, values: Tensor, state: GroupState, filled: int, settled: Settled
) -> tuple[Tensor, GroupState]:
    """From the same place in a group in all rows: first what the open group still takes, then what follows it."""
    taken = min(settled.group - filled, values.shape[1]) if filled else 0
    head, rest = Keys(*(part[:, :taken] for part in keys)), Keys(*(part[:, taken:] for part in keys))
    if taken == 0:
        return _aligned(keys, values, None, state, settled) if values.shape[1] else (values, state)
    near_keys, far_keys, held = (
        torch.cat([before[:, :filled], part], 1)
        for before, part in zip(state[:3], (head.near_keys, head.far_keys, values[:, :taken]), strict=True)
    )
    weights = (head.near_queries @ near_keys.mT).relu().square()
    weights = Dropout(settled.dropout)(weights).tril(filled)
    mixed = weights @ held + head.far_queries @ state.sums
    if filled + taken < settled.group:
        return mixed, GroupState(near_keys, far_keys, held, state.sums, state.counts + taken)
    sums = state.sums + far_keys.mT @ held
    full = state._replace(sums=sums, counts=state.counts + taken)
    following, state = _aligned(rest, values[:, taken:], None, full, settled)
    return torch.cat([mixed, following], 1), state


def _row_by_row(
    keys: Keys, values: Tensor, mask: Tensor | None, state: GroupState, filled: list[int], settled: Settled
) -> tuple[Tensor, GroupState]:
    """Every row from its own place in a group, with its own number of tokens."""
    length = values.shape[1]
    lengths = [length] * len(values) if mask is None else mask.sum(1).tolist()
    mixed: list[Tensor] = []
    states: list[GroupState] = []
    for row, (taken, inside) in enumerate(zip(lengths, filled, strict=True)):
        mine, before = Keys(*(part[row : row + 1, :taken] for part in keys)), _row(state, row)
        output, after = _together(mine, values[row : row + 1, :taken], before, inside, settled)
        mixed.append(functional.pad(output, (0, 0, 0, length - taken)))
        states.append(after)
    return torch.cat(mixed), _stacked(states)


def _row(state: GroupState, row: int) -> GroupState:
    return GroupState(*(part[row : row + 1] for part in state))


def _stacked(states: list[GroupState]) -> GroupState:
    most = max(state.values.shape[1] for state in states)
    near, far, held = (
        torch.cat([functional.pad(part, (0, 0, 0, most - part.shape[1])) for part in parts])
        for parts in zip(*(state[:3] for state in states), strict=True)
    )
    sums, counts = (torch.cat(parts) for parts in zip(*(state[3:] for state in states), strict=True))
    return GroupState(near, far, held, sums, counts)
