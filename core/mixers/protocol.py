"""What every token mixer promises."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from armillary.core.tokens import Tokens

State = Any  # a pytree of tensors that belongs to the mixer that made it; None before the first token


@dataclass(frozen=True)
class Capabilities:
    """What a mixer can do, so that a pipeline can refuse a wrong pairing before it builds anything.

    cost_order: growth of cost with length l: "l" or "l^2" (the kit checks it against counted cost).
    grid_ranks: spatial ranks it reads as a grid; empty for a mixer of plain sequences.
    """

    causal: bool
    streaming: bool
    cost_order: Literal["l", "l^2"]
    grid_ranks: tuple[int, ...] = ()
    irregular_positions: bool = False
    packed_segments: bool = False
    cross: bool = False


@runtime_checkable
class Mixer(Protocol):
    """Moves information between tokens.

    Calling it gives values of the input's shape and the state after the last token (None when not causal).
    A prompt may be absorbed in one call and `step` go on from its state; step by step equals the whole.
    A masked token changes no valid output. A causal mixer supports masks that are True up to a row's length.
    """

    capabilities: Capabilities

    def __call__(
        self, tokens: Tokens, state: State = None, context: Tokens | None = None
    ) -> tuple[Float[Tensor, "b l d"], State]: ...

    def step(self, tokens: Tokens, state: State) -> tuple[Float[Tensor, "b 1 d"], State]: ...

    def cost(self, batch: int, length: int) -> float:
        """Multiply-adds [MAC] of one forward pass on `batch` rows of `length` tokens."""
        ...
