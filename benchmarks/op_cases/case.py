"""What a case of benchmarks/ops.py is: our call, the peers' calls on the same inputs, and the targets."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from armillary.pipelines.bench_examples import Example


@dataclass(frozen=True)
class Here:
    """A peer that runs in this environment: `function` on the inputs that `adapt` makes of ours.

    same: whether it computes our function, so that the values can be compared.
    """

    function: Callable[..., Tensor]
    adapt: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict
    same: bool = True


@dataclass(frozen=True)
class There:
    """A peer that runs in the peers' environment, by the name and options that benchmarks/peers/ops.py knows.

    same: whether it computes our function, so that the values can be compared.
    """

    peer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    adapt: Callable[[Mapping[str, Tensor]], dict[str, Tensor]] = dict
    same: bool = True


@dataclass(frozen=True)
class Speed:
    """The fastest of some peers takes at least so many times as long as ours. Below one, ours may take longer."""

    text: str
    at_least: float
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Deadline:
    """One call of ours takes at most so long [s]."""

    text: str
    seconds: float


@dataclass(frozen=True)
class Memory:
    """Peak memory above the inputs, at most so many times inputs plus outputs."""

    text: str
    at_most: float


@dataclass(frozen=True)
class Growth:
    """Peak memory above the inputs, at most so many times that at other sizes."""

    text: str
    at_most: float
    sizes: Mapping[str, Any]


Target = Speed | Deadline | Memory | Growth


@dataclass(frozen=True)
class Case:
    """One row of the table. `make(**sizes)` gives the same example for the same sizes.

    judged: sizes other than those of the timed example at which the oracle is asked, of `make`, or of `judge` alone.
    threads: other than what the command line says.
    """

    op: str
    title: str
    make: Callable[..., Example]
    sizes: Mapping[str, Any]
    judged: Mapping[str, Any]
    targets: tuple[Target, ...]
    peers: Mapping[str, Here | There] = field(default_factory=dict)
    backward: bool = True
    threads: int | None = None
    judge: Callable[..., Example] | None = None

    def example(self) -> Example:
        """What is timed."""
        return self.make(**self.sizes)

    def judged_example(self) -> Example:
        """What is compared with the oracle: smaller, since that runs step by step in float64."""
        return self.make(**{**self.sizes, **self.judged}) if self.judge is None else self.judge(**self.judged)
