"""Triton kernels with several launch configurations: tuned on a device, a fixed one under the interpreter."""

import importlib.util
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

import torch

Config = Mapping[str, int]  # block sizes by parameter name; num_warps and num_stages are the launcher's
_LAUNCH = ("num_warps", "num_stages")


def triton_problem() -> str | None:
    """Why Triton kernels cannot run here; None if they can. Asks for no driver."""
    if importlib.util.find_spec("triton") is None:
        return "the package 'triton' is not installed"
    return None


def interpreting() -> bool:
    """Whether Triton runs kernels in its interpreter, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


class Tuned:
    """A kernel and the configurations it may be launched with; `tuned[grid](...)` launches it.

    On a device the fastest configuration for each value of the `key` arguments is found on first use. Without a
    driver, or under the interpreter, the first one is taken: the autotuner would ask for a driver.
    `grid` may be a function of the chosen configuration.
    """

    def __init__(self, kernel: Any, configs: Sequence[Config], key: Sequence[str] = ()) -> None:
        self.kernel, self.configs, self.key = kernel, tuple(configs), tuple(key)
        self._pinned: int | None = None

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        if self._pinned is None and not interpreting() and torch.cuda.is_available():
            return cast(Callable[..., None], self._autotuned[grid])
        config = self.configs[self._pinned or 0]

        def launch(*arguments: Any, **named: Any) -> None:
            self.kernel[grid](*arguments, **named, **config)

        return launch

    @contextmanager
    def pinned(self, index: int) -> Generator[Config]:
        """Launch with one configuration only, to test each by itself."""
        before, self._pinned = self._pinned, index
        try:
            yield self.configs[index]
        finally:
            self._pinned = before

    @cached_property
    def _autotuned(self) -> Any:
        import triton

        configs = [
            triton.Config(
                {name: value for name, value in config.items() if name not in _LAUNCH},
                **{name: config[name] for name in _LAUNCH if name in config},
            )
            for config in self.configs
        ]
        return triton.autotune(configs=configs, key=list(self.key))(self.kernel)
