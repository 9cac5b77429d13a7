"""What every token mixer must keep to, as checks that a plugin author runs on a mixer of their own.

A check takes a function that builds the mixer anew, and its width; it raises AssertionError saying what was
expected and got. `check_mixer(settings, width)` runs them all. A check that is marked `everywhere` runs on a sequence
and on grids of every rank that the mixer declares; the others are about sequences, or are in mixer_grids.py.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map_only

from armillary.core.config.parts import MIXERS, build_part
from armillary.core.config.settings import Settings
from armillary.core.mixers.protocol import Mixer
from armillary.core.testing.mixer_grids import (
    Build,
    Check,
    check_cost,
    check_grid,
    check_odd_grids,
    check_work,
    everywhere,
    placements,
)
from armillary.core.testing.sequences import (
    assert_close,
    assert_refused,
    assert_same,
    in_pieces,
    input_gradient,
    joined,
    loss_of,
    made,
    placings,
    random_like,
    random_tokens,
    reseed,
    span,
)
from armillary.core.tokens import Tokens

LENGTHS = (0, 1, 2, 3, 7, 65)
EXACT = 1e-10  # float64, where two ways of the same sum may differ in their order


def check_mixer(settings: Settings, width: int, factory: Callable[[int, Settings], nn.Module] | None = None) -> None:
    """Run every check on the mixer that `factory(width, settings)` builds; by default the core's table does."""

    def build() -> nn.Module:
        return build_part(MIXERS, settings, width) if factory is None else factory(width, settings)

    for check in MIXER_CHECKS:
        check(build, width)


def check_protocol(build: Build, width: int) -> None:
    """It is a mixer by the protocol, and streams only if it is causal."""
    module, can = made(build)
    assert isinstance(module, Mixer), "expected a mixer with capabilities, step and cost"
    assert can.causal or not can.streaming, "declares streaming without being causal"


@everywhere(batch=2, length=7)
def check_shape(build: Build, tokens: Tokens) -> None:
    """Output has the shape and dtype of the input, on the meta device too; a state comes where it can stream."""
    for device in ("cpu", "meta"):
        with torch.device(device):
            module, can = made(build)
        values, state = module(tree_map_only(Tensor, partial(_moved, device=device), tokens))
        expected, dtype = tokens.values.shape, tokens.values.dtype
        assert values.shape == expected, f"expected shape {tuple(expected)}, got {tuple(values.shape)}"
        assert values.dtype == dtype, f"expected {dtype}, got {values.dtype}"
        if tokens.grid is None:
            assert (state is not None) == can.streaming, f"streaming is {can.streaming}, the state {type(state)}"
        elif len(tokens.grid.extents) > 1:
            assert state is None, f"a grid is taken whole, but the state is {type(state)}"


@everywhere(batch=2)
def check_gradient(build: Build, tokens: Tokens) -> None:
    """Input and all parameters get a finite gradient, and it is the slope of the output in a random direction."""
    module, _ = made(build)
    gradient = input_gradient(module, tokens)
    assert torch.isfinite(gradient).all(), "gradient of the input is not finite"
    slope = float((gradient * random_like(gradient, 11)).sum())
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, f"parameter {name} gets no gradient"
        assert torch.isfinite(parameter.grad).all(), f"gradient of parameter {name} is not finite"
        slope += float((parameter.grad * random_like(parameter, 11)).sum())
    measured = (_loss_along(module, tokens, 1e-6) - _loss_along(module, tokens, -1e-6)) / 2e-6
    allowed = 1e-6 * max(abs(slope), 1)
    assert abs(measured - slope) <= allowed, f"gradients say a slope of {slope:.9g}, measured {measured:.9g}"


@everywhere(batch=4)
def check_mask(build: Build, tokens: Tokens) -> None:
    """Masked tokens change no valid output or gradient, and padded rows give what they give alone."""
    module, can = made(build)
    length = tokens.values.shape[1]
    lengths = (length, length // 2 + 1, 1, 0)
    mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    _check_masked(module, tokens, mask)
    if not can.causal:
        _check_masked(module, tokens, mask & (torch.arange(length) % 3 != 1))
    if tokens.grid is not None:
        return
    tokens = replace(tokens, mask=mask)
    padded = module(tokens)[0]
    for row, length in enumerate(lengths):
        alone = module(replace(span(tokens, 0, length, row), mask=None))[0]
        assert_close(padded[row : row + 1, :length], alone, f"row of {length} tokens, padded and alone", EXACT)


@everywhere(batch=2)
def check_causality(build: Build, tokens: Tokens) -> None:
    """Causal: no output depends on a later token. Not causal: some output depends on a later token."""
    module, can = made(build)
    length = tokens.values.shape[1]
    gradients = {first: input_gradient(module, tokens, kept=slice(0, first)) for first in (1, 4, length - 1)}
    later = {first: float(gradient[:, first:].abs().max()) for first, gradient in gradients.items()}
    if not can.causal:
        assert max(later.values()) > 0, "declared not causal, yet no output depends on a later token"
        return
    for first, most in later.items():
        assert most == 0, f"outputs before token {first} depend on later tokens (gradient {most:.2e})"


def check_streaming(build: Build, width: int) -> None:
    """Steps, pieces, and a prompt with steps after it give the values and gradients of the whole sequence."""
    module, can = made(build)
    if not can.streaming:
        return
    values = random_tokens(2, 9, width, can).values.requires_grad_()
    for tokens in placings(replace(random_tokens(2, 9, width, can), values=values)):
        expected = module(tokens)[0]
        slopes = torch.autograd.grad(loss_of(expected), values)[0]
        for cuts in ((1,) * 9, (4, 1, 1, 1, 1, 1), (3, 5, 1), (1, 8), (0, 2, 7)):
            actual = in_pieces(module, tokens, cuts)
            assert_close(actual, expected, f"pieces of {cuts} tokens and the whole", EXACT)
            gradient = torch.autograd.grad(loss_of(actual), values)[0]
            assert_close(gradient, slopes, f"gradients in pieces of {cuts} tokens and of the whole", EXACT)


def check_ragged_prompt(build: Build, width: int) -> None:
    """After a padded prompt, each row goes on from its own last real token."""
    module, can = made(build)
    if not can.streaming:
        return
    lengths = (5, 2, 0)
    mask = torch.arange(9) < torch.tensor(lengths)[:, None]
    mask[:, 5:] = True
    for tokens in placings(random_tokens(3, 9, width, can)):
        continued = in_pieces(module, replace(tokens, mask=mask), (5, 1, 1, 2))[:, 5:]
        for row, length in enumerate(lengths):
            alone = joined([span(tokens, 0, length, row), span(tokens, 5, 9, row)])
            expected = module(alone)[0][:, length:]
            assert_close(continued[row : row + 1], expected, f"steps after a prompt of {length} in 5", EXACT)


def check_lengths(build: Build, width: int) -> None:
    """Empty, single, odd and long sequences, and an empty batch, forward and backward."""
    module, can = made(build)
    if not can.sequences:
        return
    for batch, length in [*((2, length) for length in LENGTHS), (0, 5), (0, 0)]:
        tokens = random_tokens(batch, length, width, can)
        gradient = input_gradient(module, tokens)
        assert gradient.shape == (batch, length, width), f"batch {batch}, length {length}: {tuple(gradient.shape)}"
        assert torch.isfinite(gradient).all(), f"batch {batch}, length {length}: gradient is not finite"
    if can.causal:
        tokens = random_tokens(2, LENGTHS[-1], width, can)
        whole = module(tokens)[0]
        for length in LENGTHS[:-1]:
            part = module(span(tokens, 0, length))[0]
            assert_close(part, whole[:, :length], f"the first {length} of {LENGTHS[-1]} tokens", EXACT)


@everywhere(batch=2, length=33)
def check_dtype(build: Build, tokens: Tokens) -> None:
    """float32 and bfloat16 give their own dtype, close to float64; autocast gives finite values and gradients."""
    module, _ = made(build)
    expected = module(tokens)[0]
    for dtype, limit in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        values = module.to(dtype)(replace(tokens, values=tokens.values.to(dtype)))[0]
        assert values.dtype == dtype, f"expected {dtype}, got {values.dtype}"
        assert_close(values.double(), expected, f"{dtype} and float64", limit)
    single = replace(tokens, values=tokens.values.float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = made(build)[0].float()(single)[0]
    assert_close(values.double(), expected, "autocast to bfloat16 and float64", 0.1)


@everywhere(batch=2)
def check_determinism(build: Build, tokens: Tokens) -> None:
    """The same seed gives the same values and gradients, bit for bit, also while training."""
    results: list[tuple[Tensor, Tensor]] = []
    for _ in range(2):
        module, _ = made(build)
        reseed(1)
        results.append((module.train()(tokens)[0], input_gradient(module, tokens)))
    for name, first, second in zip(("values", "gradients"), *results, strict=True):
        assert_same(first, second, f"{name} of two equal runs")


@everywhere(batch=2)
def check_state_dict(build: Build, tokens: Tokens) -> None:
    """Loading a state dict into a differently initialised mixer gives the same outputs."""
    module, _ = made(build)
    other, _ = made(build, seed=1)
    other.load_state_dict(module.state_dict(), strict=True)
    assert_same(other(tokens)[0], module(tokens)[0], "outputs before and after loading")


def check_segments(build: Build, width: int) -> None:
    """Packed sequences give what they give in rows of their own; a mixer that cannot pack refuses."""
    module, can = made(build)
    if not can.packed_segments:
        tokens = random_tokens(2, 9, width, can, grid=next(placements(can)))
        packed = replace(tokens, segments=torch.zeros(tokens.values.shape[:2], dtype=torch.int64))
        assert_refused(lambda: module(packed), "packed segments")
        return
    lengths = (4, 1, 6, 3)
    tokens = random_tokens(2, sum(lengths), width, can)
    numbers = torch.repeat_interleave(torch.tensor([5, 7, 5, 6]), torch.tensor(lengths)).expand(2, -1)
    packed = replace(tokens, segments=numbers)
    borders = tuple(accumulate(lengths, initial=0))
    alone = [module(span(tokens, first, last))[0] for first, last in pairwise(borders)]
    assert_close(module(packed)[0], torch.cat(alone, 1), "packed sequences and each alone", EXACT)
    mask = (torch.arange(sum(lengths)) < borders[3]).expand(2, -1)
    padded = module(replace(packed, mask=mask, segments=numbers.masked_fill(~mask, 0)))[0]
    assert_close(padded[:, : borders[3]], torch.cat(alone[:3], 1), "packed and padded sequences and each alone", EXACT)
    if can.streaming:
        state = module(span(packed, 0, borders[3] - 2))[1]
        after = module(span(packed, borders[3] - 2, borders[4]), state)[0]
        assert_close(after, torch.cat(alone, 1)[:, borders[3] - 2 :], "packed sequences in two pieces", EXACT)


def check_context(build: Build, width: int) -> None:
    """A context of any length is read, masked tokens of it are not; a mixer that cannot cross refuses."""
    module, can = made(build)
    tokens = random_tokens(3, 5, width, can, grid=next(placements(can)))
    context = random_tokens(3, 7, width, can, seed=3)
    if not can.cross:
        assert_refused(lambda: module(tokens, context=context), "a context")
        return
    mask = torch.arange(7) < torch.tensor([7, 4, 0])[:, None]
    values = context.values.clone().requires_grad_()
    mixed = module(tokens, context=replace(context, values=values, mask=mask))[0]
    assert mixed.shape == tokens.values.shape, f"expected {tuple(tokens.values.shape)}, got {tuple(mixed.shape)}"
    gradient = torch.autograd.grad(loss_of(mixed), values)[0]
    assert torch.isfinite(mixed).all(), "values are not finite where all of a context is masked"
    assert float(gradient[~mask].abs().max()) == 0, "masked context changes the output"
    assert bool((gradient[mask].abs().amax(-1) > 0).all()), "some real context does not change the output"
    short = module(span(tokens, 0, 5, 1), context=span(context, 0, 4, 1))[0]
    assert_close(mixed[1:2], short, "a padded context and the same unpadded", EXACT)


@everywhere(batch=3)
def check_layout(build: Build, tokens: Tokens) -> None:
    """Values that are not contiguous give the same output and are left as they were."""
    module, _ = made(build)
    strided = torch.stack([tokens.values, tokens.values], -1).transpose(0, 1)[..., 0].transpose(0, 1)
    before = strided.clone()
    actual = module(replace(tokens, values=strided))[0]
    assert_close(actual, module(tokens)[0], "strided and contiguous input", EXACT)
    assert_same(strided, before, "the input before and after")


def _moved(tensor: Tensor, device: str) -> Tensor:
    return tensor.to(device)


def _loss_along(module: nn.Module, tokens: Tokens, step: float) -> float:
    """The loss with input and parameters moved along the random direction of `random_like(..., 11)`."""
    parameters = {name: value + step * random_like(value, 11) for name, value in module.named_parameters()}
    moved = replace(tokens, values=tokens.values + step * random_like(tokens.values, 11))
    with torch.no_grad():
        return float(loss_of(functional_call(module, parameters, (moved,))[0]))


def _check_masked(module: nn.Module, tokens: Tokens, mask: Tensor) -> None:
    """Other values under the mask leave valid outputs and all gradients as they are."""
    other = tokens.values + 3 * random_like(tokens.values, 5) * ~mask[..., None]
    runs: list[tuple[Tensor, list[Tensor | None]]] = []
    for contents in (tokens.values, other):
        leaf = contents.clone().requires_grad_()
        values = module(replace(tokens, values=leaf, mask=mask))[0]
        assert torch.isfinite(values).all(), "values are not finite where a row is masked"
        module.zero_grad()
        torch.autograd.backward([loss_of(values * mask[..., None])])
        runs.append((values[mask], [leaf.grad, *(parameter.grad for parameter in module.parameters())]))
        under = float(cast(Tensor, leaf.grad)[~mask].abs().max())
        assert under == 0, f"valid outputs depend on masked tokens (gradient {under:.2e})"
    assert_close(runs[1][0], runs[0][0], "valid outputs for other masked tokens", EXACT)
    for first, second in zip(runs[0][1], runs[1][1], strict=True):
        assert_close(cast(Tensor, second), cast(Tensor, first), "gradients for other masked tokens", EXACT)


MIXER_CHECKS: tuple[Check, ...] = (
    check_protocol,
    check_shape,
    check_gradient,
    check_mask,
    check_causality,
    check_streaming,
    check_ragged_prompt,
    check_lengths,
    check_dtype,
    check_determinism,
    check_state_dict,
    check_segments,
    check_context,
    check_layout,
    check_grid,
    check_odd_grids,
    check_cost,
    check_work,
)
