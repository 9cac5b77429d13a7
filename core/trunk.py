"""The trunk: stages of blocks with resampling between them. One stage is the plain transformer."""

from collections.abc import Iterator
from typing import cast

from torch import nn

from armillary.core.block import Block
from armillary.core.config.parts import NORMS, build_part
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.mixers.protocol import Capabilities, State
from armillary.core.norms import BatchNorm
from armillary.core.resample import Merge, Split, Widen
from armillary.core.tokens import Tokens

TrunkState = tuple[State, ...]  # the mixers' states, one for each application of each block, in order


class Stage(nn.Module):
    """Resampling, or a change of width, then blocks at one resolution."""

    def __init__(self, in_width: int, stage: StageSettings, settings: TrunkSettings, drop_paths: list[float]) -> None:
        super().__init__()
        self.width = stage.width or in_width
        self.resample = _resampler(stage, in_width, self.width, settings.grid_rank)
        self.blocks = nn.ModuleList(
            Block(self.width, stage.pattern[index % len(stage.pattern)], settings, rate)
            for index, rate in enumerate(drop_paths)
        )

    def enter(self, tokens: Tokens, finer: list[Tokens]) -> Tokens:
        """Tokens at this stage's resolution; `finer` is the stack of tokens that earlier stages have merged."""
        if isinstance(self.resample, Merge):
            finer.append(tokens)
        if isinstance(self.resample, Split):
            return self.resample(tokens, finer.pop() if finer else None)
        return tokens if self.resample is None else self.resample(tokens)


class Trunk(nn.Module):
    """Embedded tokens to mixed tokens, through every block of every stage.

    width: features of the tokens it takes; output_width: of those it gives.
    capabilities: what all mixers together can do; resampling ends causality and streaming.
    """

    def __init__(self, settings: TrunkSettings) -> None:
        super().__init__()
        self.tied, self.width = settings.tied, settings.width
        self.stages = nn.ModuleList(_stages(settings))
        self.output_width = cast(Stage, self.stages[-1]).width
        self.final_norm = build_part(NORMS, settings.norm, self.output_width) if settings.final_norm else None
        self.capabilities = _capabilities(self)

    def forward(
        self, tokens: Tokens, state: TrunkState | None = None, context: Tokens | None = None
    ) -> tuple[Tokens, TrunkState]:
        """The last stage's tokens, and the state from which another call or `step` goes on."""
        stages, state = self._run(tokens, state, context)
        return stages[-1], state

    def encode(self, tokens: Tokens, context: Tokens | None = None) -> tuple[Tokens, ...]:
        """The tokens after every stage, first to last; the final norm acts on the last one only."""
        return self._run(tokens, None, context)[0]

    def step(self, tokens: Tokens, state: TrunkState | None) -> tuple[Tokens, TrunkState]:
        """One more token a row, (b, 1, d), through all blocks; step by step equals the whole sequence."""
        if not self.capabilities.streaming:
            raise ValueError(
                "this trunk cannot run token by token, expected streaming mixers without resampling; "
                "call it on whole sequences instead"
            )
        states: list[State] = []
        old = iter(self._states(state))
        for stage in self._stages():
            tokens = stage.enter(tokens, [])
            for block in self._applications(stage):
                tokens, new = block.step(tokens, next(old))
                states.append(new)
        return self._finish(tokens), tuple(states)

    def after_step(self) -> None:
        """Fold the moments of batch norms, when there are any, after the optimiser's step."""
        for module in self.modules():
            if isinstance(module, BatchNorm):
                module.after_step()

    def blocks(self) -> Iterator[Block]:
        """Every block once, in order."""
        for stage in self._stages():
            yield from cast("Iterator[Block]", iter(stage.blocks))

    def _run(
        self, tokens: Tokens, state: TrunkState | None, context: Tokens | None
    ) -> tuple[tuple[Tokens, ...], TrunkState]:
        if tokens.values.shape[-1] != self.width:
            raise ValueError(f"this trunk takes tokens of width {self.width}, got {tokens.values.shape[-1]}")
        if context is not None and not self.capabilities.cross:
            raise ValueError("this trunk got a context, but none of its mixers reads one; put attention in its pattern")
        finer: list[Tokens] = []
        outputs: list[Tokens] = []
        states: list[State] = []
        old = iter(self._states(state))
        for stage in self._stages():
            tokens = stage.enter(tokens, finer)
            for block in self._applications(stage):
                tokens, new = block(tokens, next(old), context)
                states.append(new)
            outputs.append(tokens)
        return (*outputs[:-1], self._finish(tokens)), tuple(states)

    def _finish(self, tokens: Tokens) -> Tokens:
        return tokens if self.final_norm is None else tokens.with_values(self.final_norm(tokens.values, tokens.mask))

    def _stages(self) -> Iterator[Stage]:
        return cast("Iterator[Stage]", iter(self.stages))

    def _applications(self, stage: Stage) -> Iterator[Block]:
        for block in cast("Iterator[Block]", iter(stage.blocks)):
            for _ in range(self.tied):
                yield block

    def _states(self, state: TrunkState | None) -> TrunkState:
        return state if state is not None else (None,) * (self.tied * sum(1 for _ in self.blocks()))


def _stages(settings: TrunkSettings) -> Iterator[Stage]:
    depth = sum(stage.depth for stage in settings.all_stages)
    rates = iter([settings.drop_path * index / max(depth - 1, 1) for index in range(depth)])
    width = settings.width
    for stage in settings.all_stages:
        built = Stage(width, stage, settings, [next(rates) for _ in range(stage.depth)])
        width = built.width
        yield built


def _resampler(stage: StageSettings, in_width: int, width: int, rank: int) -> Merge | Split | Widen | None:
    if stage.resample == "down2":
        return Merge(in_width, width, rank)
    if stage.resample == "up2":
        return Split(in_width, width, rank)
    return None if width == in_width else Widen(in_width, width)


def _capabilities(trunk: Trunk) -> Capabilities:
    parts = [block.mixer.capabilities for block in trunk.blocks()]
    resampled = any(isinstance(module, Merge | Split) for module in trunk.modules())
    grids = [part.grid_ranks for part in parts if part.grid_ranks]
    return Capabilities(
        causal=all(part.causal for part in parts) and not resampled,
        streaming=all(part.streaming for part in parts) and not resampled,
        cost_order="l^2" if any(part.cost_order == "l^2" for part in parts) else "l",
        grid_ranks=tuple(rank for rank in (1, 2, 3) if grids and all(rank in ranks for ranks in grids)),
        irregular_positions=any(part.irregular_positions for part in parts),
        packed_segments=all(part.packed_segments for part in parts) and not resampled,
        cross=any(part.cross for part in parts),
    )
