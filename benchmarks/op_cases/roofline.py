"""What a device could do at best, and the least work of an op on it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Device:
    """Peak rates a second: bytes of memory, matrix products in bfloat16, vector operations in float32, exponentials."""

    memory: float
    matrix: float
    vector: float
    exponential: float


# Data sheets; exponentials are 16 a clock and multiprocessor.
DEVICES = {
    "H200": Device(memory=4.8e12, matrix=990e12, vector=67e12, exponential=3.9e12),
    "H100": Device(memory=3.35e12, matrix=990e12, vector=67e12, exponential=3.9e12),
}


@dataclass(frozen=True)
class Work:
    """The least that a pass must do: bytes moved, floating-point operations of matrix products and of vectors, and
    exponentials."""

    moved: float
    matrix: float = 0.0
    vector: float = 0.0
    exponentials: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        parts = {name: value + asdict(other)[name] for name, value in asdict(self).items()}
        return Work(**parts)


def known(name: str) -> Device | None:
    """The rates of a device by the name that its driver gives."""
    return next((device for key, device in DEVICES.items() if key in name), None)


def share(work: Work, seconds: float, device: Device | None, *, half: bool) -> dict[str, Any]:
    """Achieved rates, and the share of the nearest ceiling of the device.

    half: products of matrices run in bfloat16; in float32 they count as vector operations.
    """
    achieved = {
        "bytes_per_s": work.moved / seconds,
        "flop_per_s": (work.matrix + work.vector) / seconds,
        "exponentials_per_s": work.exponentials / seconds,
    }
    if device is None:
        return achieved | {"bound": None, "share_of_roofline": None}
    floors = {
        "memory": work.moved / device.memory,
        "matrix": work.matrix / (device.matrix if half else device.vector),
        "vector": work.vector / device.vector,
        "exponential": work.exponentials / device.exponential,
    }
    bound = max(floors, key=lambda name: floors[name])
    return achieved | {"bound": bound, "share_of_roofline": floors[bound] / seconds}


Count = Callable[[Mapping[str, Any], int], tuple[Work, Work]]


def selective_scan(sizes: Mapping[str, Any], itemsize: int) -> tuple[Work, Work]:
    """Forward reads x and dt and writes y; backward reads those and the gradient of y and writes two.

    9 operations a state, 20 backward where the state is recomputed; an exponential a state in each.
    """
    elements = sizes["batch"] * sizes["length"] * sizes["width"]
    states = elements * sizes["state"]
    rows = 2 * sizes["batch"] * sizes["length"] * sizes["state"] * itemsize  # B and C
    forward = Work(moved=3 * elements * itemsize + rows, vector=9 * states, exponentials=states)
    return forward, Work(moved=5 * elements * itemsize + 2 * rows, vector=20 * states, exponentials=states)


def scalar_decay(sizes: Mapping[str, Any], itemsize: int, chunk: int = 64) -> tuple[Work, Work]:
    """The chunked form: 2QP + 4NP a token and head and 2QN a token; backward takes two and a half times that."""
    tokens = sizes["batch"] * sizes["length"]
    heads, width, state = sizes["heads"], sizes["head_width"], sizes["state"]
    products = tokens * (heads * (2 * chunk * width + 4 * state * width) + 2 * chunk * state)
    moved = tokens * (2 * heads * width + heads + 2 * state) * itemsize
    return Work(moved=moved, matrix=products), Work(moved=2 * moved, matrix=2.5 * products)


def neighbourhood(sizes: Mapping[str, Any], itemsize: int) -> tuple[Work, Work]:
    """4·K·e operations and K exponentials a query and head; backward makes five products instead of two."""
    queries, keys = sizes["batch"] * sizes["heads"], 1
    for extent in sizes["grid"]:
        queries, keys = queries * extent, keys * sizes["window"]
    tensor = queries * sizes["head_width"] * itemsize
    pairs = queries * keys
    products = 4 * pairs * sizes["head_width"]
    forward = Work(moved=4 * tensor, matrix=products, exponentials=pairs)
    return forward, Work(moved=8 * tensor, matrix=2.5 * products, exponentials=pairs)


def elementwise(forward: float, backward: float, exponentials: float = 0.0) -> Count:
    """So many operations an element; x and y are moved, and backward x and two gradients."""

    def count(sizes: Mapping[str, Any], itemsize: int) -> tuple[Work, Work]:
        elements = sizes["batch"] * sizes["length"] * sizes["width"]
        moved = elements * itemsize
        return (
            Work(moved=2 * moved, vector=forward * elements, exponentials=exponentials * elements),
            Work(moved=3 * moved, vector=backward * elements, exponentials=exponentials * elements),
        )

    return count
