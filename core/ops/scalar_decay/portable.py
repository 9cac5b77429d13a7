"""The scalar-decay recurrence in plain torch: matrix products within chunks, a short recurrence between them.

Axis letters: b batch, c chunks, q (i, j) steps of a chunk, g groups, r heads of a group, p head width, n states;
z = bcg, the batch of the matrix products.
"""

from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from armillary.core.ops.precision import accumulation_dtype, full_precision
from armillary.core.ops.scalar_decay.runs import number_runs

CHUNK = 32  # on a CPU; longer chunks spend more on pairs than they save on states


def scalar_decay_portable(
    x: Float[Tensor, "b l h p"],
    log_decay: Float[Tensor, "b l h"],
    B: Float[Tensor, "b l g n"],
    C: Float[Tensor, "b l g n"],
    initial_state: Float[Tensor, "b h p n"] | None = None,
    segments: Int[Tensor, "b l"] | None = None,
    *,
    chunk: int | None = None,
) -> tuple[Float[Tensor, "b l h p"], Float[Tensor, "b h p n"]]:
    """Chunked form of the op; time and memory grow with length times `chunk`, 32 if not said.

    Kept for backward: the inputs and one state a chunk. The gradient is written out and once differentiable.

    References:
        Dao and Gu 2024, "Transformers are SSMs", section 6 (block decomposition).
    """
    dtype, length, groups = accumulation_dtype(x), x.shape[1], B.shape[2]
    if initial_state is None:
        initial_state = x.new_zeros(x.shape[0], *x.shape[2:], B.shape[-1], dtype=dtype)
    if 0 in x.shape[:2]:
        return x, initial_state.to(dtype)
    share, size = (groups, x.shape[2] // groups), min(chunk or CHUNK, length)
    grouped = torch.unflatten(x.to(dtype), 2, share), torch.unflatten(log_decay.to(dtype), 2, share)
    steps = [_split(tensor, size) for tensor in (*grouped, B.to(dtype), C.to(dtype))]
    run = None if segments is None else _split_runs(number_runs(segments), size)
    state = torch.unflatten(initial_state.to(dtype), 1, share)
    results = cast(tuple[Tensor, ...], _Chunked.apply(*steps, state, run))  # pyright: ignore[reportUnknownMemberType]
    y, last = results[0].flatten(1, 2)[:, :length], results[1]
    return y.flatten(2, 3).to(x.dtype), last.flatten(1, 2)


def _split(tensor: Tensor, size: int) -> Tensor:
    """Equal chunks (b c q ...) of a tensor (b l ...), padded with zeros at the end."""
    padding = -tensor.shape[1] % size
    padded = functional.pad(tensor, (0, 0) * (tensor.ndim - 2) + (0, padding)) if padding else tensor
    return torch.unflatten(padded, 1, (-1, size))


def _split_runs(run: Tensor, size: int) -> Tensor:
    """Chunks of run numbers; the padding belongs to the last run, so that it hands the state on."""
    padding = -run.shape[1] % size
    return torch.unflatten(torch.cat([run, run[:, -1:].expand(-1, padding)], dim=1), 1, (-1, size))


class _Chunked(torch.autograd.Function):
    """Outputs (b c q g r p), last state (b g r p n), and the states that enter the chunks (b c g rp n)."""

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, log_decay, B, C, state, run = inputs
        with full_precision(state):
            chunks = _prepared(x, log_decay, B, C, run)
            written = torch.bmm((chunks.x * chunks.exit).flatten(2).mT, chunks.B)
            entering, last = _accumulate(written, chunks.whole, state)
            read = torch.bmm(chunks.C, entering.mT).view(chunks.x.shape)
            within = torch.bmm((chunks.decay * _scores(chunks)).flatten(0, 1), _by_head(chunks.x))
            y = read.mul_(chunks.entry).add_(_to_rows(within, chunks.x.shape))
        return _ungrouped(y, x.shape), last, entering.view(*x.shape[:2], x.shape[3], *entering.shape[1:])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(output[2])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[:4], inputs[5], output[2])

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        # Out of place throughout: under vmap each tensor may or may not have the mapped axis.
        x, log_decay, B, C, run, entering = ctx.saved_tensors
        grad_y = torch.zeros_like(x) if grads[0] is None else grads[0]
        grad_last = x.new_zeros(x.shape[0], *x.shape[3:], B.shape[-1]) if grads[1] is None else grads[1]
        with full_precision(x):
            chunks, grad_y = _prepared(x, log_decay, B, C, run), _grouped(grad_y)
            across = _back_across(chunks, entering.flatten(0, 2), grad_y, grad_last)
            within = _back_within(chunks, grad_y)
            grad_x = across.x + _to_rows(within.x, across.x.shape)
            grad_log = torch.unflatten(across.log_decay + within.log_decay, 0, (*x.shape[:2], -1)).movedim(-1, 2)
            grad_B, grad_C = _ungrouped(across.B + within.B, B.shape), _ungrouped(across.C + within.C, B.shape)
        return _ungrouped(grad_x, x.shape), grad_log, grad_B, grad_C, across.state, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor | None) -> tuple[Any, Any]:
        """The mapped axis joins the batch."""

        def folded(tensor: Tensor | None, dim: int | None) -> Tensor | None:
            if tensor is None:
                return None
            wide = tensor.expand(info.batch_size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
            return wide.flatten(0, 1)

        merged = [folded(tensor, dim) for tensor, dim in zip(inputs, in_dims, strict=True)]
        results = cast(tuple[Tensor, ...], _Chunked.apply(*merged))  # pyright: ignore[reportUnknownMemberType]
        return tuple(torch.unflatten(result, 0, (info.batch_size, -1)) for result in results), (0, 0, 0)


class _Chunks(NamedTuple):
    """One call's inputs, chunk by chunk, and exponentials of summed log-decays, zero beyond a border of segments.

    x: (z q r p); B, C: (z q n). None of them is a copy where there is one group.
    decay: from step j to step i of a chunk (z r i j); above the diagonal one, where the scores are zero.
    entry: from the state that enters a chunk to each step (z q r 1).
    exit: from each step to the end of its chunk (z q r 1).
    whole: over a chunk (z r).
    """

    x: Tensor
    B: Tensor
    C: Tensor
    decay: Tensor
    entry: Tensor
    exit: Tensor
    whole: Tensor


def _prepared(x: Tensor, log_decay: Tensor, B: Tensor, C: Tensor, run: Tensor | None) -> _Chunks:
    """From tensors (b c q g ...) and run numbers (b c q)."""
    by_head = _grouped(log_decay).mT
    decay, entry = _summed_between(by_head), by_head.cumsum(-1)
    if run is not None:
        pairs, enters = _same_run(run, B.shape[3])
        decay, entry = decay.masked_fill(~pairs, -torch.inf), entry.masked_fill(~enters, -torch.inf)
    decay, entry = decay.exp(), entry.exp()
    ends = entry.mT[..., None], decay[..., -1, :].mT[..., None], entry[..., -1]
    return _Chunks(_grouped(x), _grouped(B), _grouped(C), decay, *ends)


def _scores(chunks: _Chunks) -> Tensor:
    """C_i·B_j for every head (z 1 i j), zero for a later j."""
    return torch.bmm(chunks.C, chunks.B.mT).tril()[:, None]


def _summed_between(log_decay: Tensor) -> Tensor:
    """Σ of the log-decays (... q) after step j up to step i (... i j), zero where i <= j.

    Differences of one running sum would be cheaper, but cancel: fast decays lose digits.
    """
    return log_decay[..., None].expand(*log_decay.shape, log_decay.shape[-1]).tril(-1).cumsum(-2)


def _same_run(run: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """Whether steps i and j of a chunk are of one run (z 1 i j), and whether a step is of the run before (z 1 q)."""
    before = torch.cat([run[:, :1, 0], run[:, :-1, -1]], dim=1)[..., None]
    run, enters = (
        tensor[:, :, None].expand(-1, -1, groups, -1).flatten(0, 2)[:, None] for tensor in (run, run == before)
    )
    return run[..., :, None] == run[..., None, :], enters


def _accumulate(written: Tensor, whole: Tensor, state: Tensor, *, backwards: bool = False) -> tuple[Tensor, Tensor]:
    """h -> whole h + written from chunk to chunk: each h before its step (z rp n), and the last one (b g r p n)."""
    shape, state = state.shape, state.flatten(3)
    additions = written.view(shape[0], -1, *state.shape[1:]).unbind(1)
    factors = torch.unflatten(whole, 0, (shape[0], -1, shape[1]))[..., None].unbind(1)
    states: list[Tensor] = []
    for addition, factor in list(zip(additions, factors, strict=True))[:: -1 if backwards else 1]:
        states.append(state)
        state = torch.addcmul(addition, factor, state)
    before = torch.stack(states[::-1] if backwards else states, 1)
    return before.view(written.shape), state.view(shape)


class _Gradients(NamedTuple):
    """Of x (z q r p), log_decay (z r q), B and C (z q n), and the initial state (b g r p n)."""

    x: Tensor
    log_decay: Tensor
    B: Tensor
    C: Tensor
    state: Tensor | None = None


def _back_across(chunks: _Chunks, entering: Tensor, grad_y: Tensor, grad_last: Tensor) -> _Gradients:
    """Of what each chunk reads from the state that enters it and writes into the one that leaves it."""
    shape = grad_y.shape
    grad_read = (grad_y * chunks.entry).flatten(2)
    leaving, grad_state = _accumulate(torch.bmm(grad_read.mT, chunks.C), chunks.whole, grad_last, backwards=True)
    grad_whole = (leaving * entering).view(*chunks.whole.shape, -1).sum(-1) * chunks.whole
    grad_entry = (torch.bmm(chunks.C, entering.mT) * grad_read).view(shape).sum(-1)
    grad_x = torch.bmm(chunks.B, leaving.mT).view(shape) * chunks.exit
    grad_exit = (grad_x * chunks.x).sum(-1)
    before = _before(chunks.decay)
    grad_log = grad_entry.mT @ (1 - before) + grad_exit.mT @ before + grad_whole[..., None]
    grad_B = torch.bmm((chunks.x * chunks.exit).flatten(2), leaving)
    return _Gradients(grad_x, grad_log, grad_B, torch.bmm(grad_read, entering), grad_state)


def _back_within(chunks: _Chunks, grad_y: Tensor) -> _Gradients:
    """Of what the steps of a chunk read from each other; x is (zr q p)."""
    scores, grad_y = _scores(chunks), _by_head(grad_y)
    grad_x = torch.bmm((chunks.decay * scores).flatten(0, 1).mT, grad_y)
    shared = torch.bmm(grad_y, _by_head(chunks.x).mT).view(chunks.decay.shape) * chunks.decay
    grad_scores = shared.sum(1).tril()
    # The log-decay of step t is in every pair of a later or equal i and an earlier j: a sum over j < t, then i >= t.
    earlier = (shared * scores) @ _before(shared)
    return _Gradients(
        grad_x, earlier.tril().sum(-2), torch.bmm(grad_scores.mT, chunks.C), torch.bmm(grad_scores, chunks.B)
    )


def _before(tensor: Tensor) -> Tensor:
    """One where a step comes before another (j t), of the last axis of a tensor."""
    steps = tensor.shape[-1]
    return torch.ones(steps, steps, dtype=tensor.dtype, device=tensor.device).triu(1)


def _grouped(tensor: Tensor) -> Tensor:
    """(b c q g ...) to (z q ...)."""
    return tensor.movedim(3, 2).flatten(0, 2)


def _ungrouped(tensor: Tensor, shape: torch.Size) -> Tensor:
    """(z q ...) to the given shape (b c q g ...)."""
    return torch.unflatten(tensor, 0, (shape[0], shape[1], shape[3])).movedim(2, 3)


def _by_head(tensor: Tensor) -> Tensor:
    """(z q r p) to (zr q p)."""
    return tensor.transpose(1, 2).flatten(0, 1)


def _to_rows(tensor: Tensor, shape: torch.Size) -> Tensor:
    """(zr q p) to the given shape (z q r p)."""
    return torch.unflatten(tensor, 0, (shape[0], shape[2])).transpose(1, 2)
