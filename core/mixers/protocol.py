"""What every token mixer promises."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from armillary.core.tokens import Grid, Tokens

State = Any  # a pytree of tensors that belongs to the mixer that made it; None before the first token
CostOrder = Literal["l", "l log l", "l axis", "l^2"]


@dataclass(frozen=True)
class Capabilities:
    """What a mixer can do, so that a pipeline can refuse a wrong pairing before it builds anything.

    causal: no output depends on a later token; on a grid, later in row-major order.
    streaming: a sequence may be given in pieces; a grid of two axes or more is always taken whole.
    cost_order: growth of cost with length l (the kit checks it against counted cost); "l axis" is tokens times the
        extent of an axis, which on a sequence is "l^2".
    grid_ranks: numbers of axes it reads as a grid; empty for a mixer of plain sequences, which ignores the grid. With
        1 among them it serves tokens without a grid too, as a grid of one axis that does not wrap.
    """

    causal: bool
    streaming: bool
    cost_order: CostOrder
    grid_ranks: tuple[int, ...] = ()
    irregular_positions: bool = False
    packed_segments: bool = False
    cross: bool = False

    @property
    def sequences(self) -> bool:
        """Whether it serves tokens without a grid."""
        return not self.grid_ranks or 1 in self.grid_ranks


@runtime_checkable
class Mixer(Protocol):
    """Moves information between tokens.

    Calling it gives values of the input's shape and the state after the last token (None where it cannot stream).
    A prompt may be absorbed in one call and `step` go on from its state; step by step equals the whole.
    A masked token changes no valid output. A causal mixer supports masks that are True up to a row's length.
    """

    capabilities: Capabilities

    def __call__(
        self, tokens: Tokens, state: State = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], State]: ...

    def step(self, tokens: Tokens, state: State) -> tuple[Float[Tensor, "b 1 d"], State]: ...

    def cost(self, batch: int, length: int, grid: Grid | None = None) -> float:
        """Multiply-adds [MAC] of one forward pass on `batch` rows of `length` tokens.

        Without a grid: on a sequence, or on the most cubic grid when the mixer serves no sequences.
        """
        ...
