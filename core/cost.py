"""What a model costs before it runs: parameters, multiply-adds and kept activations, counted on the meta device."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from armillary.core.counting import Counter, uncounted

Batch = Mapping[str, Any]


@dataclass(frozen=True)
class PartCost:
    """One row: a block, or what a direct child of the model holds outside its blocks.

    mac: multiply-adds of one forward pass over the batch [MAC].
    activation_bytes: kept for the backward pass, beside parameters and the batch itself [byte].
    output: shape of what the part gave last.
    """

    name: str
    kind: str
    parameters: int
    trainable: int
    mac: float
    activation_bytes: int
    output: tuple[int, ...]


@dataclass(frozen=True)
class Description:
    """Costs of a model on one example batch, part by part.

    uncounted: modules that hold matrices but own no formula, so that `mac` lacks their work.
    """

    parts: tuple[PartCost, ...]
    batch_size: int
    uncounted: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Numbers in all parameters, shared ones once."""
        return sum(part.parameters for part in self.parts)

    @property
    def trainable(self) -> int:
        """Numbers that the optimiser may change."""
        return sum(part.trainable for part in self.parts)

    @property
    def mac(self) -> float:
        """Multiply-adds of one forward pass over the batch [MAC]."""
        return sum(part.mac for part in self.parts)

    @property
    def activation_bytes(self) -> int:
        """Activations kept for the backward pass of the batch [byte]."""
        return sum(part.activation_bytes for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Totals and parts as plain numbers, lists and strings."""
        return {
            "parameters": self.parameters,
            "trainable": self.trainable,
            "mac": self.mac,
            "mac_per_item": self.mac / max(self.batch_size, 1),
            "activation_bytes": self.activation_bytes,
            "batch_size": self.batch_size,
            "uncounted": list(self.uncounted),
            "parts": [asdict(part) | {"output": list(part.output)} for part in self.parts],
        }

    def table(self) -> Table:
        """Parts and totals for a terminal."""
        without = f"; no formula: {', '.join(self.uncounted)}" if self.uncounted else ""
        table = Table(title=f"cost of one batch of {self.batch_size}", caption=f"MAC: multiply-adds{without}")
        table.add_column("part")
        for column in ("parameters", "MAC", "activations [MiB]", "output"):
            table.add_column(column, justify="right")
        for part in self.parts:
            shape = "x".join(str(size) for size in part.output)
            table.add_row(f"{part.name} ({part.kind})", *_numbers(part), shape)
        table.add_section()
        table.add_row("total", *_numbers(self), "")
        return table

    def __str__(self) -> str:
        text = StringIO()
        Console(file=text, width=120).print(self.table())
        return text.getvalue().rstrip()


def describe(
    model: nn.Module | Callable[[], nn.Module],
    batch: Batch,
    run: Callable[[Any, Batch], Any] = lambda model, batch: model.loss(batch, torch.Generator()),
) -> Description:
    """Run the model once on the meta device, in training mode, and count.

    A builder is called on the meta device, so that a model of any size costs nothing; a module is copied there. `run`
    is the pass that is counted, the loss if not said. Linear maps, convolutions and recurrent layers are counted by
    formula; a module with a method `cost` owns its formula: cost(batch, length, grid) if it is a mixer, cost(batch,
    length) if it takes Tokens otherwise, else cost(tokens) for a pointwise one. Elementwise work (norms, activations,
    residuals) is bound by memory and not counted. Kept activations are those of torch's plain kernels; a fused one may
    keep less. An operation without a meta form, such as bincount, stops with torch's own error.
    """
    with torch.device("meta"):
        model = _on_meta(model if isinstance(model, nn.Module) else model())
        batch = {key: value.to("meta") if isinstance(value, Tensor) else value for key, value in batch.items()}
        counter = Counter(model, batch.values())
        with counter.hooks():
            run(model.train(), batch)
    return Description(_parts(counter), _batch_size(batch), tuple(uncounted(model)))


def _on_meta(model: nn.Module) -> nn.Module:
    # Module.to would give every owner of a shared parameter one of its own; a copy with a memo keeps them shared.
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(tensor): _meta_like(tensor) for tensor in tensors})


def _meta_like(tensor: Tensor) -> Tensor:
    moved = tensor.detach().to("meta")
    return nn.Parameter(moved, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else moved


def _parts(counter: Counter) -> tuple[PartCost, ...]:
    costs = [
        PartCost(name, type(unit.module).__name__, *size, unit.mac, unit.activation_bytes, unit.output)
        for (name, unit), size in zip(counter.units.items(), counter.sizes(), strict=True)
    ]
    return tuple(part for part in costs if part.parameters or part.mac or part.activation_bytes)


def _batch_size(batch: Batch) -> int:
    return next((len(value) for value in batch.values() if isinstance(value, Tensor) and value.ndim), 1)


def _numbers(costs: PartCost | Description) -> tuple[str, str, str]:
    return f"{costs.parameters:,}", f"{costs.mac:,.0f}", f"{costs.activation_bytes / 2**20:,.3g}"
