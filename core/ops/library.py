"""The native library: found, opened and called through ctypes."""

import ctypes
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch  # before the library is opened: torch brings the OpenMP runtime that both use
from torch import Tensor

from armillary.core.errors import ConfigError

LEVELS = ("generic", "avx2", "avx512")  # instruction sets, each containing the ones before it
LEVEL_OVERRIDE = "ARMILLARY_CPU_LEVEL"
INTERFACE = 1  # raised when the signature of an exported function changes
_FOLDER = Path(__file__).parent / "native"
_NAME = "libarmillary.so"


@cache
def library_problem() -> str | None:
    """Why the native library cannot be used; None if it can."""
    path = _FOLDER / _NAME
    if not path.exists():
        return "the native library is not built (no C++ compiler was there when armillary was installed)"
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        return f"the native library does not open here: {error}"
    try:
        built = loaded.armillary_interface()
    except AttributeError:
        return f"{path} is another library: it does not tell its interface"
    if built != INTERFACE:
        return f"the native library has interface {built}, this version needs {INTERFACE}; reinstall armillary"
    return None


@cache
def cpu_level() -> str:
    """The instruction set the kernels use: the best this processor has, or what ARMILLARY_CPU_LEVEL asks for.

    Raises:
        ConfigError: an unknown level, or one that the processor or the library lacks.
    """
    best = LEVELS[_library().armillary_cpu_level()]
    wanted = os.environ.get(LEVEL_OVERRIDE) or best
    if wanted not in LEVELS[: LEVELS.index(best) + 1]:
        raise ConfigError(
            f"{LEVEL_OVERRIDE}={wanted}: expected one of {', '.join(LEVELS[: LEVELS.index(best) + 1])}, "
            f"which this processor and library have. Unset it for the best, {best}."
        )
    return wanted


@cache
def kernel(name: str) -> Callable[..., None]:
    """A function of the library that takes contiguous float32 tensors, None, integers and floats.

    Tensors and None go as pointers, Python integers as int64, floats as float. The number of torch's threads is
    appended: with OpenMP's own count a loader worker forked after a threaded call would wait for ever.
    """
    function = getattr(_library(), f"{name}_{cpu_level()}")
    function.restype = None

    def call(*arguments: Any) -> None:
        function(*map(_passed, arguments), ctypes.c_int64(torch.get_num_threads()))

    return call


def _passed(argument: Any) -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    if argument is None:
        return ctypes.c_void_p(0)
    return ctypes.c_float(argument) if isinstance(argument, float) else ctypes.c_int64(argument)


@cache
def _library() -> Any:
    return ctypes.CDLL(str(_FOLDER / _NAME))
