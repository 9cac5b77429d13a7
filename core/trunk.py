"""The trunk: stages of blocks with resampling between them. One stage is the plain transformer."""

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from typing import cast, get_args

from torch import nn

from armillary.core.block import Block, Projection
from armillary.core.config.parts import NORMS, build_part
from armillary.core.config.trunk import StageSettings, TrunkSettings
from armillary.core.conv_merge import ConvMerge
from armillary.core.mixers.protocol import Capabilities, CostOrder, State
from armillary.core.norms import BatchNorm
from armillary.core.resample import Merge, Split, Widen
from armillary.core.strided import ConvNormMerge
from armillary.core.tokens import Tokens

TrunkState = tuple[State, ...]  # the mixers' states, one for each application of each block, in order
Call = Callable[[Block, Tokens, State], tuple[Tokens, State]]
_Fewer = Merge | ConvMerge | ConvNormMerge


class Pass:
    """One way through the blocks: every application takes its old state and leaves its new one."""

    def __init__(self, call: Call, states: Iterable[State]) -> None:
        self.call, self.old = call, iter(states)
        self.new: list[State] = []

    def __call__(self, block: Block, tokens: Tokens) -> Tokens:
        tokens, state = self.call(block, tokens, next(self.old))
        self.new.append(state)
        return tokens


class Stage(nn.Module):
    """Resampling, or a change of width, then blocks at one resolution, run once or in loops."""

    def __init__(self, in_width: int, stage: StageSettings, settings: TrunkSettings, drop_paths: list[float]) -> None:
        super().__init__()
        self.width = stage.width or in_width
        self.loops, self.inject, self.tied = stage.loops, stage.inject, settings.tied
        self.resample = _resampler(stage, in_width, self.width, settings.grid_rank)
        placement = stage.placement or settings.placement
        self.blocks = nn.ModuleList(
            Block(self.width, mixer, settings.model_copy(update={"channel": channel, "placement": placement}), rate)
            for (mixer, channel), rate in zip(stage.parts(settings.channel), drop_paths, strict=True)
        )
        self.projections = nn.ModuleList()
        if settings.projection is not None:
            for _ in range(self.applications):
                self.projections.append(Projection(self.width, settings.projection, settings))

    @property
    def applications(self) -> int:
        """How often a block is applied in this stage, all blocks together."""
        return self.loops * self.tied * len(self.blocks)

    def enter(self, tokens: Tokens, finer: list[Tokens]) -> Tokens:
        """Tokens at this stage's resolution; `finer` is the stack of tokens that earlier stages have merged."""
        if isinstance(self.resample, _Fewer):
            finer.append(tokens)
        if isinstance(self.resample, Split):
            return self.resample(tokens, finer.pop() if finer else None)
        return tokens if self.resample is None else self.resample(tokens)

    def iterates(self, tokens: Tokens, run: Pass) -> Iterator[Tokens]:
        """The tokens after each loop over the blocks."""
        entered = tokens
        projections = iter(self.projections)
        for loop in range(self.loops):
            if loop > 0 and self.inject:
                tokens = tokens.with_values(tokens.values + entered.values)
            for block in cast("Iterator[Block]", iter(self.blocks)):
                for _ in range(self.tied):
                    tokens = run(block, tokens)
                    projection = next(projections, None)
                    tokens = tokens if projection is None else projection(tokens)
            yield tokens

    def mix(self, tokens: Tokens, run: Pass) -> Tokens:
        """The tokens after the last loop."""
        *_, last = self.iterates(tokens, run)
        return last


class Trunk(nn.Module):
    """Embedded tokens to mixed tokens, through every block of every stage.

    width: features of the tokens it takes; output_width: of those it gives.
    capabilities: what all mixers together can do; resampling and channel mixers that read tokens look ahead.

    References:
        Gao et al. 2024, "On the expressive power of a variant of the looped transformer" (AlgoFormer: stages before
        and after one that loops).
        Shen et al. 2022, "Sliced recursive transformer" (SReT: tied blocks, untied projections, residual scalars).
    """

    def __init__(self, settings: TrunkSettings) -> None:
        super().__init__()
        self.width = settings.width
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

    def iterates(self, tokens: Tokens, count: int, context: Tokens | None = None) -> tuple[Tokens, ...]:
        """The output had the looping stage stopped `count` - 1, ..., 1, 0 loops earlier; the last is that of `forward`.

        With several stages that loop, the last of them. What follows it runs once for each iterate. Meant for a loss
        over the last few iterations.

        Raises ValueError where no stage loops, or `count` is not between one and its loops.

        References:
            Gao et al. 2024, "On the expressive power of a variant of the looped transformer".
        """
        stages = list(self._stages())
        place = max((index for index, stage in enumerate(stages) if stage.loops > 1), default=0)
        if not 1 <= count <= stages[place].loops:
            raise ValueError(
                f"this trunk gives 1 to {stages[place].loops} iterates, as many as a stage has loops, got count={count}"
            )
        finer: list[Tokens] = []
        run = self._pass(tokens, None, context)
        for stage in stages[:place]:
            tokens = stage.mix(stage.enter(tokens, finer), run)
        iterates = list(stages[place].iterates(stages[place].enter(tokens, finer), run))[-count:]
        return tuple(self._after(stages[place + 1 :], iterate, list(finer), context) for iterate in iterates)

    def step(self, tokens: Tokens, state: TrunkState | None) -> tuple[Tokens, TrunkState]:
        """One more token a row, (b, 1, d), through all blocks; step by step equals the whole sequence."""
        if not self.capabilities.streaming:
            raise ValueError(
                "this trunk cannot run token by token, expected streaming mixers, pointwise channel mixers and no "
                "resampling; call it on whole sequences instead"
            )
        run = Pass(lambda block, tokens, old: block.step(tokens, old), self._states(state))
        for stage in self._stages():
            tokens = stage.mix(stage.enter(tokens, []), run)
        return self._finish(tokens), tuple(run.new)

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
        """The tokens after every stage, and the new state."""
        run = self._pass(tokens, state, context)
        finer: list[Tokens] = []
        outputs: list[Tokens] = []
        for stage in self._stages():
            tokens = stage.mix(stage.enter(tokens, finer), run)
            outputs.append(tokens)
        return (*outputs[:-1], self._finish(tokens)), tuple(run.new)

    def _after(self, stages: list[Stage], tokens: Tokens, finer: list[Tokens], context: Tokens | None) -> Tokens:
        """The output of tokens that enter the first of these last stages."""
        run = Pass(_whole(context), repeat(None))
        for stage in stages:
            tokens = stage.mix(stage.enter(tokens, finer), run)
        return self._finish(tokens)

    def _pass(self, tokens: Tokens, state: TrunkState | None, context: Tokens | None) -> Pass:
        if tokens.values.shape[-1] != self.width:
            raise ValueError(f"this trunk takes tokens of width {self.width}, got {tokens.values.shape[-1]}")
        if context is not None and not self.capabilities.cross:
            raise ValueError("this trunk got a context, but none of its mixers reads one; put attention in its pattern")
        return Pass(_whole(context), self._states(state))

    def _finish(self, tokens: Tokens) -> Tokens:
        return tokens if self.final_norm is None else tokens.with_values(self.final_norm(tokens.values, tokens.mask))

    def _stages(self) -> Iterator[Stage]:
        return cast("Iterator[Stage]", iter(self.stages))

    def _states(self, state: TrunkState | None) -> Iterable[State]:
        applications = sum(stage.applications for stage in self._stages())
        if state is not None and len(state) != applications:
            raise ValueError(
                f"this trunk got {len(state)} states, expected {applications}, one for each application of a block; "
                "give the state that it returned itself"
            )
        return repeat(None) if state is None else state


def _whole(context: Tokens | None) -> Call:
    return lambda block, tokens, state: block(tokens, state, context)


def _stages(settings: TrunkSettings) -> Iterator[Stage]:
    depth = sum(stage.depth for stage in settings.all_stages)
    rates = iter([settings.drop_path * index / max(depth - 1, 1) for index in range(depth)])
    width = settings.width
    for stage in settings.all_stages:
        built = Stage(width, stage, settings, [next(rates) for _ in range(stage.depth)])
        width = built.width
        yield built


def _resampler(stage: StageSettings, in_width: int, width: int, rank: int) -> _Fewer | Split | Widen | None:
    if stage.resample in ("down2", "norm_down2"):
        return Merge(in_width, width, rank, norm=stage.resample == "norm_down2")
    if stage.resample == "conv_norm2":
        return ConvNormMerge(in_width, width, rank, stage.kernel)
    if stage.resample == "conv2":
        return ConvMerge(in_width, width, rank, stage.kernel)
    if stage.resample == "up2":
        return Split(in_width, width, rank)
    return None if width == in_width else Widen(in_width, width)


def _capabilities(trunk: Trunk) -> Capabilities:
    parts = [block.mixer.capabilities for block in trunk.blocks() if block.mixer is not None]
    # What moves information between tokens outside of the mixers, and looks ahead.
    ahead = any(isinstance(module, _Fewer | Split) for module in trunk.modules())
    ahead = ahead or any(block.channel_reads_tokens for block in trunk.blocks())
    orders: list[CostOrder] = ["l", *(part.cost_order for part in parts)]
    grids = [part.grid_ranks for part in parts if part.grid_ranks]
    return Capabilities(
        causal=all(part.causal for part in parts) and not ahead,
        streaming=all(part.streaming for part in parts) and not ahead,
        cost_order=max(orders, key=get_args(CostOrder).index),
        grid_ranks=tuple(rank for rank in (1, 2, 3) if grids and all(rank in ranks for ranks in grids)),
        irregular_positions=any(part.irregular_positions for part in parts),
        packed_segments=all(part.packed_segments for part in parts) and not ahead,
        cross=any(part.cross for part in parts),
    )
