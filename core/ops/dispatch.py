"""Which implementation of an op runs: one dispatcher for all ops, visible and overridable."""

import importlib
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from armillary.core.errors import ConfigError, near_miss
from armillary.core.ops.library import library_problem
from armillary.core.ops.tuned import interpreting, triton_problem

Tier = Literal["reference", "portable", "native", "triton"]
TIERS: tuple[Tier, ...] = get_args(Tier)
_BY_NAME: Mapping[str, Tier] = dict(zip(TIERS, TIERS, strict=True))
OVERRIDE = "ARMILLARY_OPS"
_NOTHING: Mapping[Tier, str] = MappingProxyType({})


class SlowOpWarning(UserWarning):
    """An op runs in its portable form although a faster one exists for the device."""


@dataclass(frozen=True)
class Choice:
    """The tier that serves a device and dtype, and why; `slow` where a faster one exists but cannot run."""

    tier: Tier
    reason: str
    slow: bool = False


@dataclass(frozen=True)
class Op:
    """One numeric op: its name, and each tier as 'module:function', imported on first use.

    All tiers take the same positional arguments and give the same values and gradients. Keyword hints, such as a
    chunk length, change speed alone; the reference takes none.
    """

    name: str
    reference: str
    portable: str
    native: str | None = None
    triton: str | None = None
    _chosen: Callable[..., Tier] = field(init=False, repr=False, compare=False)
    _loaded: dict[Tier, Callable[..., Any]] = field(init=False, repr=False, compare=False)

    def __call__(self, *arguments: Any, unless: Mapping[Tier, str] = _NOTHING, **hints: Any) -> Any:
        """Run the tier that suits the first argument's device and dtype.

        unless: tiers that cannot serve this call, each with the reason.
        """
        first: Tensor = arguments[0]
        tier = self._chosen(first.device.type, first.dtype, tuple(unless.items()))
        return self._loaded[tier](*arguments, **({} if tier == "reference" else hints))

    def __post_init__(self) -> None:
        def chosen(device: str, dtype: torch.dtype, unless: tuple[tuple[Tier, str], ...]) -> Tier:
            choice = self.choose(device, dtype, dict(unless))
            if choice.slow:
                _warn_once(self.name, choice.tier, choice.reason)
            self._loaded[choice.tier] = self.load(choice.tier)
            return choice.tier

        # Under torch.compile the choice is made once, while tracing, and stays out of the graph. The mark is what
        # torch.compiler.assume_constant_result sets; calling that would import the compiler, which takes a second.
        setattr(chosen, "_dynamo_marked_constant", True)  # noqa: B010
        object.__setattr__(self, "_chosen", chosen)
        object.__setattr__(self, "_loaded", {})

    def __reduce__(self) -> tuple[type["Op"], tuple[str | None, ...]]:
        # What is chosen and loaded belongs to a process.
        return Op, (self.name, self.reference, self.portable, self.native, self.triton)

    def choose(self, device: str, dtype: torch.dtype = torch.float32, unless: Mapping[Tier, str] = _NOTHING) -> Choice:
        """The tier for a device type and dtype, with the reason.

        Raises:
            ConfigError: ARMILLARY_OPS asks for a tier that does not exist or cannot run here.
        """
        wanted = _wanted(os.environ.get(OVERRIDE, ""), self.name)
        if wanted is not None:
            problem = self.problem(wanted, device, dtype) or unless.get(wanted)
            if problem:
                raise ConfigError(
                    f"{OVERRIDE} asks for the {wanted} tier of {self.name}, which cannot serve this call: {problem}.\n"
                    f"  Choose another of its tiers ({', '.join(self.tiers)}), or unset {OVERRIDE}."
                )
            return Choice(wanted, f"{OVERRIDE} says so")
        best: Tier = "triton" if device == "cuda" else "native"
        if device not in ("cpu", "cuda") or getattr(self, best) is None:
            return Choice("portable", f"no {best} tier" if device in ("cpu", "cuda") else f"device {device}")
        problem = self.problem(best, device, dtype) or unless.get(best)
        if problem is None:
            return Choice(best, "fastest for this device")
        return Choice("portable", problem, slow=dtype != torch.float64)

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The tiers that are written for this op."""
        return tuple(tier for tier in TIERS if getattr(self, tier) is not None)

    def problem(self, tier: Tier, device: str, dtype: torch.dtype) -> str | None:
        """Why a tier cannot serve a device and dtype; None if it can."""
        if tier not in self.tiers:
            return f"{self.name} has no {tier} tier"
        if tier in ("native", "triton") and dtype == torch.float64:
            return f"the {tier} tier computes in float32, and the input is float64"
        if tier == "native":
            return library_problem() if device == "cpu" else f"the native tier runs on the CPU, not on {device}"
        if tier == "triton":
            if device == "cpu" and not interpreting():
                return "the triton tier needs an NVIDIA GPU (or TRITON_INTERPRET=1, to test it)"
            return triton_problem()
        return None

    def load(self, tier: Tier) -> Callable[..., Any]:
        """The function of a tier."""
        return _load(getattr(self, tier))


@cache
def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return cast(Callable[..., Any], getattr(importlib.import_module(module), name))


@cache
def _warn_once(name: str, tier: str, reason: str) -> None:
    warnings.warn(
        f"{name} runs in its slower {tier} form: {reason}. `armillary ops` lists what is active.",
        SlowOpWarning,
        stacklevel=4,
    )


@cache
def _wanted(text: str, op: str) -> Tier | None:
    """The tier that the override asks of an op: 'portable' is for all, 'selective_scan=reference,...' for some."""
    if "=" not in text:
        return _tier(text) if text else None
    pairs = (part.partition("=") for part in text.split(","))
    asked: dict[str, Tier] = {_op_name(name.strip()): _tier(tier) for name, _, tier in pairs}
    return asked.get(op)


def _tier(text: str) -> Tier:
    found = _BY_NAME.get(text.strip())
    if found is None:
        raise ConfigError(
            f"{OVERRIDE}: '{text.strip()}' is no tier{near_miss(text.strip(), TIERS)}\n"
            "  Give one tier for every op, or op=tier pairs joined by commas."
        )
    return found


def _op_name(name: str) -> str:
    from armillary.core.ops.table import OPS  # the table names every op, and each op imports this module

    if name not in OPS:
        raise ConfigError(f"{OVERRIDE}: '{name}' is no op{near_miss(name, OPS)}")
    return name
