"""Programs of torch as files that load with torch alone."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from armillary.pipelines.export_program import Named, Program, quiet_torch

Runner = Callable[[Named], Named]


def write_torch(program: Program, path: Path, about: Mapping[str, Any]) -> None:
    """Writes the program, with what is known about it inside, so that a lone file still tells."""
    with quiet_torch():
        torch.export.save(program.exported, path, extra_files={"model_card.json": json.dumps(about)})


def torch_runner(path: Path) -> Runner:
    """The file as a function of named tensors."""
    with quiet_torch():
        module = cast(nn.Module, torch.export.load(path).module())

    def run(batch: Named) -> Named:
        with torch.no_grad():
            return module(batch)

    return run
