"""The conformance kit finds what it is there to find."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from armillary.core.config.mixers import AttentionSettings, PoolingSettings
from armillary.core.config.settings import Settings
from armillary.core.mixers import Attention, Capabilities, Pooling
from armillary.core.mixers.grids import from_grid, grid_of, to_grid
from armillary.core.testing import check_mixer
from armillary.core.testing import mixers as kit
from armillary.core.tokens import Grid, Tokens

WIDTH = 8


class Flawed(nn.Module):
    """A causal running sum of a projection, right unless a flaw is asked for."""

    def __init__(self, flaw: str = "") -> None:
        super().__init__()
        self.flaw, self.project = flaw, nn.Linear(WIDTH, WIDTH, bias=False)
        self.unused = nn.Parameter(torch.zeros(1)) if flaw == "unused parameter" else None
        self.capabilities = Capabilities(causal=True, streaming=True, cost_order="l")

    def forward(self, tokens: Tokens, state: Any = None, context: Tokens | None = None) -> tuple[Tensor, Any]:
        if (tokens.segments is not None and self.flaw != "mixes segments") or context is not None:
            raise ValueError("a running sum knows neither segments nor a context")
        signal = self.project(tokens.values if self.flaw == "reads masked tokens" else tokens.zeroed())
        total = self._sum(signal) + (0 if state is None or self.flaw == "forgets the state" else state[:, None])
        last = (
            total[:, -1]
            if tokens.values.shape[1]
            else torch.zeros_like(signal.sum(1)) + (0 if state is None else state)
        )
        return (total.float() if self.flaw == "other dtype" else total), last

    def step(self, tokens: Tokens, state: Any) -> tuple[Tensor, Any]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        return batch * length * (length if self.flaw == "cost grows faster" else 1.0)

    def _sum(self, signal: Tensor) -> Tensor:
        if self.flaw == "looks ahead":
            return signal.sum(1, keepdim=True).expand_as(signal)
        if self.flaw == "work grows faster" and signal.shape[1]:
            return torch.stack([signal[:, : t + 1].sum(1) for t in range(signal.shape[1])], 1)
        return signal.cumsum(1)


def test_a_sound_mixer_of_a_plugin_passes() -> None:
    check_mixer(Settings(), WIDTH, factory=lambda width, settings: Flawed())


def test_the_table_builds_the_mixer_when_no_factory_is_given() -> None:
    check_mixer(PoolingSettings(causal=True), WIDTH)


@pytest.mark.parametrize(
    ("flaw", "check", "message"),
    [
        ("unused parameter", kit.check_gradient, "unused gets no gradient"),
        ("reads masked tokens", kit.check_ragged_prompt, "steps after a prompt of 2 in 5"),
        ("looks ahead", kit.check_causality, "depend on later tokens"),
        ("forgets the state", kit.check_streaming, "pieces of"),
        ("other dtype", kit.check_shape, "expected torch.float64"),
        ("mixes segments", kit.check_segments, "declared unable to take packed segments"),
        ("cost grows faster", kit.check_cost, "declared l, but"),
        ("work grows faster", kit.check_work, "declared l, but"),
    ],
)
def test_a_flaw_is_found_and_named(flaw: str, check: kit.Check, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(lambda: Flawed(flaw), WIDTH)


class FlawedOnGrids(nn.Module):
    """Each token plus the mean over its row of a grid, right unless a flaw is asked for."""

    def __init__(self, flaw: str = "") -> None:
        super().__init__()
        self.flaw, self.project = flaw, nn.Linear(WIDTH, WIDTH, bias=False)
        order = "l axis" if flaw == "declares too much" else "l"
        self.capabilities = Capabilities(causal=False, streaming=False, cost_order=order, grid_ranks=(2,))

    def forward(self, tokens: Tokens, state: Any = None, context: Tokens | None = None) -> tuple[Tensor, Any]:
        if state is not None or context is not None or tokens.segments is not None:
            raise ValueError("a mean over rows knows one grid of tokens only")
        grid = tokens.grid if self.flaw == "takes any rank" and tokens.grid else grid_of(tokens, "mean", (2,))
        signal = self.project(tokens.values if self.flaw == "reads masked tokens" else tokens.zeroed())
        if self.flaw == "ignores the grid":
            return signal + signal.sum(1, keepdim=True), None
        if self.flaw == "not finite on a line" and grid.extents[0] == 1:
            return signal / 0, None
        if self.flaw == "all pairs":
            return signal + (signal @ signal.mT) @ signal, None
        laid = to_grid(signal, grid)
        return signal + from_grid(laid.sum(-2, keepdim=True).expand_as(laid), grid), None

    def step(self, tokens: Tokens, state: Any) -> tuple[Tensor, Any]:
        return self(tokens, state)

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        return batch * length * (1.0 + (grid.extents[1] if grid and self.flaw == "cost grows along an axis" else 0))


def test_a_sound_mixer_of_grids_passes() -> None:
    check_mixer(Settings(), WIDTH, factory=lambda width, settings: FlawedOnGrids())


@pytest.mark.parametrize(
    ("flaw", "check", "message"),
    [
        ("takes any rank", kit.check_grid, "declared unable to take a grid of 1 axes"),
        ("ignores the grid", kit.check_grid, r"extents \(3, 5\) and \(5, 3\) give the same output"),
        ("reads masked tokens", kit.check_mask, r"(?s)depend on masked tokens.*on a grid of extents \(3, 5\)"),
        ("not finite on a line", kit.check_odd_grids, r"(?s)not finite.*on a grid of extents \(1, 1\)"),
        ("cost grows along an axis", kit.check_cost, "declared l, but twice the extent of each of 2 axes costs"),
        ("declares too much", kit.check_cost, "declared l axis, but twice the extent of each of 2 axes costs 4.000"),
        ("all pairs", kit.check_work, "declared l, but twice the extent of one of 2 axes writes"),
    ],
)
def test_a_flaw_on_grids_is_found_and_named(flaw: str, check: kit.Check, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(lambda: FlawedOnGrids(flaw), WIDTH)


def test_a_mixer_may_refuse_periodic_axes_but_no_others() -> None:
    class Flat(FlawedOnGrids):
        def forward(self, tokens: Tokens, state: Any = None, context: Tokens | None = None) -> tuple[Tensor, Any]:
            if tokens.grid and (any(tokens.grid.periodic) or self.flaw == "refuses all"):
                raise ValueError("no rings, please")
            return super().forward(tokens, state, context)

    kit.check_gradient(Flat, WIDTH)
    with pytest.raises(ValueError, match="no rings"):
        kit.check_gradient(lambda: Flat("refuses all"), WIDTH)


def test_a_mean_over_masked_tokens_is_found() -> None:
    class Mean(Flawed):
        def __init__(self) -> None:
            super().__init__()
            self.capabilities = Capabilities(causal=False, streaming=False, cost_order="l")

        def _sum(self, signal: Tensor) -> Tensor:
            return signal.mean(1, keepdim=True).expand_as(signal)

        def forward(self, tokens: Tokens, state: Any = None, context: Tokens | None = None) -> tuple[Tensor, Any]:
            return self._sum(self.project(tokens.values)), None

    with pytest.raises(AssertionError, match="valid outputs depend on masked tokens"):
        kit.check_mask(Mean, WIDTH)


def test_a_mixer_that_hides_its_causality_is_found() -> None:
    class Hidden(Pooling):
        def __init__(self) -> None:
            super().__init__(WIDTH, PoolingSettings(causal=True))
            self.capabilities = Capabilities(causal=False, streaming=False, cost_order="l", packed_segments=True)

    with pytest.raises(AssertionError, match="declared not causal"):
        kit.check_causality(Hidden, WIDTH)


def test_a_declared_order_below_the_true_one_is_found() -> None:
    class Cheap(Attention):
        def __init__(self) -> None:
            super().__init__(WIDTH, AttentionSettings())
            self.capabilities = Capabilities(causal=False, streaming=False, cost_order="l", cross=True)

    with pytest.raises(AssertionError, match="declared l, but"):
        kit.check_cost(Cheap, WIDTH)
