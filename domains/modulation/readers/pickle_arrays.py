"""Dicts of NumPy arrays from pickles, read by a machine that knows containers, numbers, text and arrays, nothing else.

Python's own unpickler looks up and calls whatever a file names. This one holds no reference to any importable thing:
the few names it knows are marks that lead to the functions below. Lengths that a file claims are only believed as its
bytes arrive, arrays together may not be larger than the bytes that were read, and the number of instructions is
limited, so that a hostile file can waste its own size in memory and no more.
"""

import codecs
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

_PIECE = 1 << 20
_LINE_BYTES = 1 << 28  # a text pickle holds an array in one line
_STEPS = 200_000  # a set of 220 keys needs about 10,000
_PLAIN_DTYPES = {f"{kind}{size}" for kind in "iuf" for size in (1, 2, 4, 8)} - {"f1"} | {"c8", "c16", "b1"}


class PickleRefusedError(Exception):
    """The pickle is damaged, or holds something else than arrays and plain values."""


@dataclass(frozen=True)
class _Name:
    """A name that a pickle may use; it stands for nothing that could be called."""

    kind: str


_NAMES = {
    f"{module}.{name}": _Name(kind)
    for kind, modules, name in (
        ("array", ("numpy.core.multiarray", "numpy._core.multiarray"), "_reconstruct"),
        ("scalar", ("numpy.core.multiarray", "numpy._core.multiarray"), "scalar"),
        ("buffer", ("numpy.core.numeric", "numpy._core.numeric"), "_frombuffer"),
        ("ndarray", ("numpy",), "ndarray"),
        ("dtype", ("numpy",), "dtype"),
        ("encode", ("_codecs",), "encode"),
        ("bytes", ("__builtin__", "builtins"), "bytes"),
    )
    for module in modules
}


class _Dtype:
    """A dtype under construction: its code, and the byte order that its state tells."""

    def __init__(self, code: object) -> None:
        text = code.decode("ascii", "replace") if isinstance(code, bytes) else code
        if not isinstance(text, str) or text not in _PLAIN_DTYPES:
            raise PickleRefusedError(f"holds an array of dtype {str(text)[:20]!r}; expected plain numbers")
        self.dtype = np.dtype(text)

    def set_state(self, state: object) -> None:
        """Takes the byte order; names, fields and sub-arrays make records, which no set of frames has."""
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise PickleRefusedError("holds an array of records; expected plain numbers")
        order = state[1].decode("ascii", "replace") if isinstance(state[1], bytes) else state[1]
        if not isinstance(order, str) or order not in ("<", ">", "|", "="):
            raise PickleRefusedError("holds an array without a byte order")
        self.dtype = self.dtype.newbyteorder("=" if order == "|" else order)


class _Array:
    """An array under construction; None until its state has come."""

    value: np.ndarray | None = None


class _Machine:
    """A stack machine for the opcodes that arrays and plain values are made of."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._bytes_read = self._bytes_made = 0

    def run(self) -> object:
        """The pickled value."""
        for _ in range(_STEPS):
            code = self.take(1)
            if code == b".":
                return self.pop()
            action = _ACTIONS.get(code)
            if action is None:
                raise PickleRefusedError(f"uses the pickle instruction {code!r}, which no set of frames needs")
            action(self)
        raise PickleRefusedError(f"has more than {_STEPS} pickle instructions, which no set of frames needs")

    def take(self, count: int) -> bytes:
        """The next bytes; memory grows with what arrives, not with what is claimed."""
        pieces: list[bytes] = []
        left = count
        while left > 0:
            piece = self._stream.read(min(left, _PIECE))
            if not piece:
                raise PickleRefusedError(f"ends early: {count} bytes were announced, {count - left} came")
            pieces.append(piece)
            left -= len(piece)
        self._bytes_read += count
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def number(self, form: str) -> int:
        """A little-endian number in the form of `struct`."""
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))[0]

    def line(self) -> bytes:
        """The text up to the end of the line."""
        line = self._stream.readline(_LINE_BYTES)
        self._bytes_read += len(line)
        if not line.endswith(b"\n"):
            raise PickleRefusedError("ends early, or has a line of more bytes than any array of frames")
        return line[:-1]

    def push(self, value: object) -> None:
        """Puts a value on top."""
        self._stack.append(value)

    def pop(self) -> Any:
        """Takes the top value off; what lies below the last mark is not its own."""
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise PickleRefusedError("is malformed: it takes a value that is not there")
        return self._stack.pop()

    def mark(self) -> None:
        """Remembers the height of the stack."""
        self._marks.append(len(self._stack))

    def since_mark(self) -> list[Any]:
        """Takes off what was put since the last mark."""
        if not self._marks:
            raise PickleRefusedError("is malformed: a mark is missing")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def remember(self, key: int) -> None:
        """Files the top value under a number."""
        value = self.pop()
        self.push(value)
        self._memo[key] = value

    def recall(self, key: int) -> None:
        """Puts a filed value on top."""
        if key not in self._memo:
            raise PickleRefusedError("is malformed: it refers to a value that was never made")
        self.push(self._memo[key])

    @property
    def num_remembered(self) -> int:
        return len(self._memo)

    def name(self, module: str, name: str) -> None:
        """A mark for an admitted name."""
        known = _NAMES.get(f"{module}.{name}")
        if known is None:
            raise PickleRefusedError(
                f"names {module}.{name}"[:200] + ", which is no NumPy array; nothing of it was run"
            )
        self.push(known)

    def reduce(self) -> None:
        """Makes what an admitted name and its arguments stand for."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise PickleRefusedError("is malformed: it calls something that is no name")
        maker = _MAKERS.get(name.kind)
        if maker is None:
            raise PickleRefusedError(f"is malformed: it calls {name.kind}")
        self.push(maker(self, arguments))

    def build(self) -> None:
        """Gives an array or a dtype under construction its state."""
        state, target = self.pop(), self.pop()
        self.push(target)
        if isinstance(target, _Dtype):
            target.set_state(state)
        elif isinstance(target, _Array) and isinstance(state, tuple) and len(state) >= 4:
            shape, dtype, by_columns, data = state[-4:]
            target.value = self.array(data, dtype, shape, "F" if by_columns else "C")
        else:
            raise PickleRefusedError("is malformed: it gives a state to something that is no array")

    def array(self, data: object, dtype: object, shape: object, order: str) -> np.ndarray:
        """The bytes as an array."""
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or not isinstance(shape, tuple):
            raise PickleRefusedError("holds an array without a dtype, a shape or bytes; expected plain numbers")
        if len(shape) > 4 or any(type(size) is not int or size < 0 for size in shape):
            raise PickleRefusedError("holds an array of a shape that is none")
        wanted = dtype.dtype.itemsize
        for size in shape:
            wanted *= size
        self._bytes_made += wanted
        if wanted != len(data) or self._bytes_made > self._bytes_read:
            raise PickleRefusedError(f"holds an array of {wanted} bytes by its shape, but {len(data)} bytes of data")
        return np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def load_dict(stream: io.BufferedIOBase) -> dict[object, object]:
    """The pickled dict; values that are arrays come as arrays, all others as None.

    Raises:
        PickleRefusedError: the pickle is damaged, names anything but arrays, or is no dict.
    """
    try:
        value = _Machine(stream).run()
    except (struct.error, ValueError, IndexError, TypeError, MemoryError) as error:
        raise PickleRefusedError(f"is a damaged pickle: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise PickleRefusedError(f"holds a {type(value).__name__}; expected a dict of arrays")
    return {key: item.value if isinstance(item, _Array) else None for key, item in value.items()}


def _array(machine: _Machine, arguments: tuple[Any, ...]) -> _Array:
    if not arguments or arguments[0] != _Name("ndarray"):
        raise PickleRefusedError("makes an array of a class that is not numpy.ndarray")
    return _Array()


def _buffer(machine: _Machine, arguments: tuple[Any, ...]) -> _Array:
    data, dtype, shape, order = arguments
    array = _Array()
    array.value = machine.array(data, dtype, shape, str(order))
    return array


def _scalar(machine: _Machine, arguments: tuple[Any, ...]) -> int | float:
    dtype, data = arguments
    value = machine.array(data, dtype, (1,), "C")[0].item()
    if not isinstance(value, int | float):
        raise PickleRefusedError("holds a number that is neither whole nor real")
    return value


def _dtype(machine: _Machine, arguments: tuple[Any, ...]) -> _Dtype:
    return _Dtype(arguments[0])


def _encode(machine: _Machine, arguments: tuple[Any, ...]) -> bytes:
    text, encoding = arguments
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", b"latin1"):
        raise PickleRefusedError("encodes text otherwise than as latin1")
    return text.encode("latin1")


def _no_bytes(machine: _Machine, arguments: tuple[Any, ...]) -> bytes:
    if arguments:
        raise PickleRefusedError("is malformed: it calls bytes with arguments")
    return b""


_MAKERS: dict[str, Callable[[_Machine, tuple[Any, ...]], object]] = {
    "array": _array, "buffer": _buffer, "scalar": _scalar, "dtype": _dtype, "encode": _encode, "bytes": _no_bytes,
}  # fmt: skip


def _key(value: object) -> object:
    """A dict's key: a number, text, or a flat tuple of these. (A deep tuple would exhaust the stack when hashed.)"""
    parts = value if isinstance(value, tuple) else (value,)
    if all(type(part) in (int, float, bool, str, bytes) for part in parts):
        return value
    raise PickleRefusedError("has a dict with keys that are neither text and numbers nor pairs of them")


def _fill_dict(machine: _Machine, values: list[Any]) -> None:
    target = machine.pop()
    if not isinstance(target, dict) or len(values) % 2:
        raise PickleRefusedError("is malformed: it fills something that is no dict")
    target.update(zip(map(_key, values[::2]), values[1::2], strict=True))
    machine.push(target)


def _fill_list(machine: _Machine, values: list[Any]) -> None:
    target = machine.pop()
    if not isinstance(target, list):
        raise PickleRefusedError("is malformed: it fills something that is no list")
    target.extend(values)
    machine.push(target)


def _make_dict(machine: _Machine) -> None:
    values = machine.since_mark()
    machine.push(dict[object, object]())
    _fill_dict(machine, values)


def _two(machine: _Machine) -> list[Any]:
    second = machine.pop()
    return [machine.pop(), second]


def _tuple(machine: _Machine, count: int) -> None:
    values = [machine.pop() for _ in range(count)]
    machine.push(tuple(reversed(values)))


def _quoted(machine: _Machine) -> None:
    line = machine.line()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise PickleRefusedError("is malformed: text without quotes")
    machine.push(codecs.escape_decode(line[1:-1])[0])


def _whole(machine: _Machine) -> None:
    line = machine.line()
    machine.push({b"00": False, b"01": True}.get(line, int(line.rstrip(b"L"))))


def _stack_name(machine: _Machine) -> None:
    module, name = _two(machine)
    if not isinstance(module, str) or not isinstance(name, str):
        raise PickleRefusedError("is malformed: a name that is no text")
    machine.name(module, name)


def _line_name(machine: _Machine) -> None:
    module, name = (machine.line().decode("utf-8", "replace") for _ in range(2))
    machine.name(module, name)


def _signed(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


# The instructions of all pickle protocols but those that make objects; see the module `pickletools`.
_ACTIONS: dict[bytes, Callable[[_Machine], object]] = {
    b"\x80": lambda m: m.take(1),
    b"\x95": lambda m: m.take(8),
    b"(": _Machine.mark,
    b"0": _Machine.pop,
    b"1": _Machine.since_mark,
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": _whole,
    b"L": _whole,
    b"J": lambda m: m.push(m.number("i")),
    b"K": lambda m: m.push(m.number("B")),
    b"M": lambda m: m.push(m.number("H")),
    b"\x8a": lambda m: m.push(_signed(m.take(m.number("B")))),
    b"F": lambda m: m.push(float(m.line())),
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    b"S": _quoted,
    b"T": lambda m: m.push(m.take(m.number("I"))),
    b"U": lambda m: m.push(m.take(m.number("B"))),
    b"B": lambda m: m.push(m.take(m.number("I"))),
    b"C": lambda m: m.push(m.take(m.number("B"))),
    b"\x8e": lambda m: m.push(m.take(m.number("Q"))),
    b"\x96": lambda m: m.push(m.take(m.number("Q"))),
    b"V": lambda m: m.push(m.line().decode("raw-unicode-escape")),
    b"X": lambda m: m.push(m.take(m.number("I")).decode("utf-8", "surrogatepass")),
    b"\x8c": lambda m: m.push(m.take(m.number("B")).decode("utf-8", "surrogatepass")),
    b"\x8d": lambda m: m.push(m.take(m.number("Q")).decode("utf-8", "surrogatepass")),
    b"]": lambda m: m.push(list[object]()),
    b"l": lambda m: m.push(m.since_mark()),
    b"a": lambda m: _fill_list(m, [m.pop()]),
    b"e": lambda m: _fill_list(m, m.since_mark()),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: _tuple(m, 1),
    b"\x86": lambda m: _tuple(m, 2),
    b"\x87": lambda m: _tuple(m, 3),
    b"}": lambda m: m.push(dict[object, object]()),
    b"d": _make_dict,
    b"s": lambda m: _fill_dict(m, _two(m)),
    b"u": lambda m: _fill_dict(m, m.since_mark()),
    b"p": lambda m: m.remember(int(m.line())),
    b"q": lambda m: m.remember(m.number("B")),
    b"r": lambda m: m.remember(m.number("I")),
    b"\x94": lambda m: m.remember(m.num_remembered),
    b"g": lambda m: m.recall(int(m.line())),
    b"h": lambda m: m.recall(m.number("B")),
    b"j": lambda m: m.recall(m.number("I")),
    b"c": _line_name,
    b"\x93": _stack_name,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
}
