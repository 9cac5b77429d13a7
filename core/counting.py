"""Attributes work and kept activations of one pass to the parts of a model; see cost.py."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils import _pytree as pytree

from armillary.core.block import Block
from armillary.core.mixers.protocol import Mixer
from armillary.core.tokens import Tokens

Formula = Callable[[Any, tuple[Any, ...], Any], float]  # (module, inputs, output) -> multiply-adds [MAC]


@dataclass
class Unit:
    """A part that is reported by itself, and what it has used so far."""

    module: nn.Module
    mac: float = 0.0
    activation_bytes: int = 0
    output: tuple[int, ...] = ()


class Counter:
    """Units of a model, by name, filled during a pass under `hooks()`.

    A unit is the model itself, each direct child, and each block wherever it is; work goes to the innermost one.
    """

    def __init__(self, model: nn.Module, given: Iterable[Any]) -> None:
        self.model = model
        self.units = {name: Unit(module) for name, module in (("(model)", model), *_parts(model))}
        self._running = [self.units["(model)"]]
        # Storages are held so that their identities stay unique while counting.
        self._storages: dict[int, Any] = {}
        for value in (*model.parameters(), *model.buffers(), *given):
            self._is_new(value)

    def hooks(self) -> ExitStack:
        """Hooks on every unit, every module with a formula, and everything kept for the backward pass."""
        stack = ExitStack()
        for unit in list(self.units.values())[1:]:
            enter, leave = self._scope(unit)
            stack.callback(unit.module.register_forward_pre_hook(enter).remove)
            stack.callback(unit.module.register_forward_hook(leave).remove)
        for module, formula in counted(self.model):
            # Prepended: a unit's own work is counted before its scope closes.
            hook = module.register_forward_hook(self._count(formula), prepend=True, with_kwargs=True)
            stack.callback(hook.remove)
        stack.enter_context(saved_tensors_hooks(self._keep, _unchanged))
        return stack

    def sizes(self) -> list[tuple[int, int]]:
        """Parameters and trainable ones of each unit, shared ones once, those of inner units left to them."""
        owners = {id(unit.module): index for index, unit in enumerate(self.units.values())}
        sizes = [(0, 0)] * len(self.units)
        seen: set[int] = set()

        def visit(module: nn.Module, index: int) -> None:
            index = owners.get(id(module), index)
            for parameter in module.parameters(recurse=False):
                if id(parameter) not in seen:
                    seen.add(id(parameter))
                    total, trainable = sizes[index]
                    size = parameter.numel()
                    sizes[index] = total + size, trainable + size * parameter.requires_grad
            for child in module.children():
                visit(child, index)

        visit(self.model, 0)
        return sizes

    def _scope(self, unit: Unit) -> tuple[Callable[..., None], Callable[..., None]]:
        def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self._running.append(unit)

        def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            # A module may give something of its own, which has no shape.
            unit.output = next((tuple(t.shape) for t in _tensors(output)), ())
            self._running.pop()

        return enter, leave

    def _count(self, formula: Formula) -> Callable[..., None]:
        def count(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            self._running[-1].mac += formula(module, (*inputs, *named.values()), output)

        return count

    def _keep(self, tensor: Tensor) -> Tensor:
        if self._is_new(tensor):
            self._running[-1].activation_bytes += tensor.untyped_storage().nbytes()
        return tensor

    def _is_new(self, value: Any) -> bool:
        if not isinstance(value, Tensor):
            return False
        storage = value.untyped_storage()
        known = id(storage) in self._storages
        self._storages[id(storage)] = storage
        return not known


def counted(module: nn.Module) -> Iterator[tuple[nn.Module, Formula]]:
    """Modules whose work has a formula, their own or a layer's of torch; nothing inside them is counted again."""
    formula = _formula(module)
    if formula is not None:
        yield module, formula
        return
    for child in module.children():
        yield from counted(child)


def uncounted(module: nn.Module, name: str = "(model)") -> Iterator[str]:
    """Modules that hold matrices of their own and have no formula; a table lookup needs none."""
    if _formula(module) is not None or isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return
    if any(parameter.ndim > 1 for parameter in module.parameters(recurse=False)):
        yield name
    for key, child in module.named_children():
        yield from uncounted(child, key if name == "(model)" else f"{name}.{key}")


def _formula(module: nn.Module) -> Formula | None:
    if callable(getattr(module, "cost", None)):
        return _own
    return next((formula for layer, formula in _FORMULAS.items() if isinstance(module, layer)), None)


def _parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    called = dict(_called_children(model))
    modules: Iterator[tuple[str, nn.Module]] = cast(Any, model).named_modules()
    for name, module in modules:
        if name in called or (name and isinstance(module, Block)):
            yield name, module


def _called_children(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if type(child).forward is nn.Module.forward:
            # A container such as ModuleList is never called, so its children stand for it.
            yield from _called_children(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", child


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor))


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


def _own(module: Any, inputs: tuple[Any, ...], output: Any) -> float:
    if isinstance(inputs[0], Tokens):
        batch, length = inputs[0].values.shape[:2]
        if isinstance(module, Mixer):
            return module.cost(batch, length, inputs[0].grid)
        return module.cost(batch, length)
    entry = next(_tensors(inputs))
    return module.cost(entry.numel() // max(entry.shape[-1], 1))


def _linear(module: nn.Linear, inputs: tuple[Any, ...], output: Any) -> float:
    return float(output.numel()) * module.in_features


def _convolution(module: Any, inputs: tuple[Any, ...], output: Any) -> float:
    return float(output.numel()) * module.weight[0].numel()


def _transposed(module: Any, inputs: tuple[Any, ...], output: Any) -> float:
    return float(inputs[0].numel()) * module.weight[0].numel()


def _recurrent(module: nn.RNNBase, inputs: tuple[Any, ...], output: Any) -> float:
    matrices = sum(weight.numel() for weight in module.parameters() if weight.ndim > 1)
    entry = inputs[0].data if isinstance(inputs[0], nn.utils.rnn.PackedSequence) else inputs[0]
    return float(entry.numel() // module.input_size) * matrices


_FORMULAS: Mapping[type[nn.Module], Formula] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.Conv3d: _convolution,
    nn.ConvTranspose1d: _transposed,
    nn.ConvTranspose2d: _transposed,
    nn.ConvTranspose3d: _transposed,
    nn.RNNBase: _recurrent,
}
