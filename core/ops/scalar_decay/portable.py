"""The scalar-decay recurrence in plain torch: matrix products within chunks, a short recurrence between them.

Axis letters: b batch, c chunks, q (i, j) steps of a chunk, g groups, r heads of a group, p head width, n states.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from armillary.core.ops.precision import accumulation_dtype, full_precision


def scalar_decay(
    x: Float[Tensor, "b l h p"],
    log_decay: Float[Tensor, "b l h"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    initial_state: Float[Tensor, "b h p n"] | None = None,
    segments: Int[Tensor, "b l"] | None = None,
    *,
    chunk: int = 32,
) -> tuple[Float[Tensor, "b l h p"], Float[Tensor, "b h p n"]]:
    """h_t = exp(g_t) h_{t-1} + x_t ⊗ B_t; y_t = h_t C_t. Returns y and the last h.

    `log_decay` g is at most zero; zero with x = 0 leaves the state as it is. Mamba-2 is x = dt·u and g = dt·A,
    retention g = log γ. Heads share rows of B and C in g groups of h / g neighbours. Where `segments` changes
    along a row the state starts from zero; `initial_state` belongs to a row's first segment. The state
    is float32, or float64 if x is; y has the dtype of x. Both results carry gradients.
    Cost and memory grow with length times `chunk`: 32 to 64 suits a CPU, 256 a GPU.

    References:
        Dao and Gu 2024, "Transformers are SSMs", section 6 (block decomposition).
    """
    dtype, length, groups = accumulation_dtype(x), x.shape[1], B.shape[2]
    if initial_state is None:
        initial_state = torch.zeros(x.shape[0], *x.shape[2:], B.shape[-1], dtype=dtype, device=x.device)
    if length == 0:
        return x, initial_state.to(dtype)
    share = (groups, x.shape[2] // groups)
    blocks = _Blocks(length, min(chunk, length))
    visible = None if segments is None else blocks.visibility(segments)
    with full_precision(x):
        y, state = _chunked(
            torch.unflatten(blocks.split(x.to(dtype)), 3, share),
            torch.unflatten(blocks.split(log_decay.to(dtype)), 3, share),
            blocks.split(B.to(dtype)),
            blocks.split(C.to(dtype)),
            torch.unflatten(initial_state.to(dtype), 1, share),
            visible,
        )
    return blocks.join(y.flatten(3, 4)).to(x.dtype), state.flatten(1, 2)


class _Visibility:
    """Steps of a chunk in one segment: with each other, with the state that enters, with the last step."""

    def __init__(self, run: Tensor) -> None:
        entering = torch.cat([run[:, :1, 0], run[:, :-1, -1]], dim=1)
        self.pairs = run[:, :, None, :] == run[:, :, :, None]
        self.entry = run == entering[..., None]
        self.exit = run == run[..., -1:]


class _Blocks:
    """Cuts the time axis into equal chunks, padded at the end with zeros, and joins them again."""

    def __init__(self, length: int, size: int) -> None:
        self.length, self.size, self.padding = length, size, -length % size

    def split(self, tensor: Tensor) -> Tensor:
        padded = functional.pad(tensor, (0, 0) * (tensor.ndim - 2) + (0, self.padding))
        return torch.unflatten(padded, 1, (-1, self.size))

    def join(self, tensor: Tensor) -> Tensor:
        return tensor.flatten(1, 2)[:, : self.length]

    def visibility(self, segments: Tensor) -> _Visibility:
        changes = (segments[:, 1:] != segments[:, :-1]).long()
        # A run's number, not the segment's: a number that comes back later is another sequence.
        run = functional.pad(changes.cumsum(1), (1, 0))
        run = torch.cat([run, run[:, -1:].expand(-1, self.padding)], dim=1)
        return _Visibility(torch.unflatten(run, 1, (-1, self.size)))


def _chunked(
    x: Tensor, log_decay: Tensor, B: Tensor, C: Tensor, state: Tensor, visible: _Visibility | None
) -> tuple[Tensor, Tensor]:
    """Outputs (b c q g r p) and last state (b g r p n), all inputs cut into chunks (b c q ...)."""
    between = _summed_between(log_decay)
    to_exit, from_entry = between[..., -1, :].movedim(-1, 2), log_decay.cumsum(2)
    allowed = torch.ones(between.shape[-2:], dtype=torch.bool, device=x.device).tril()
    if visible is not None:
        allowed = (allowed & visible.pairs)[:, :, None, None]
        to_exit = to_exit.masked_fill(~visible.exit[..., None, None], -torch.inf)
        from_entry = from_entry.masked_fill(~visible.entry[..., None, None], -torch.inf)
    # Masked before the exponential: exp of what is not a decay may overflow, and 0 · inf is NaN in backward.
    weights = between.masked_fill(~allowed, -torch.inf).exp()
    weights = torch.einsum("bcign,bcjgn->bcgij", C, B)[:, :, :, None] * weights
    y = torch.einsum("bcgrij,bcjgrp->bcigrp", weights, x)
    written = torch.einsum("bcqgrp,bcqgn->bcgrpn", x * to_exit.exp()[..., None], B)
    entering: list[Tensor] = []
    for decay, new in zip(from_entry[:, :, -1].exp().unbind(1), written.unbind(1), strict=True):
        entering.append(state)
        state = decay[..., None, None] * state + new
    read = torch.einsum("bcqgn,bcgrpn->bcqgrp", C, torch.stack(entering, 1))
    return y + from_entry.exp()[..., None] * read, state


def _summed_between(log_decay: Tensor) -> Tensor:
    """Σ of the log-decays after step j up to step i (b c g r i j), zero where i <= j.

    Differences of one running sum would be cheaper, but cancel: fast decays lose digits.
    """
    steps = log_decay.shape[2]
    later = torch.ones(steps, steps, dtype=torch.bool, device=log_decay.device).tril(-1)
    rows = log_decay.movedim(2, -1)[..., None].expand(*(-1,) * log_decay.ndim, steps)
    return rows.masked_fill(~later, 0).cumsum(-2)
