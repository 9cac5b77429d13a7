"""One token through a whole Mamba or Mamba-2 layer, one row, one thread."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from armillary.core.config.mixers import Mamba2Settings, MambaSettings
from armillary.core.mixers.mamba import Mamba
from armillary.core.mixers.mamba2 import Mamba2
from armillary.core.tokens import Tokens
from armillary.pipelines.bench_examples import EXAMPLES, Example
from op_cases.case import Case, Deadline

LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "mamba": lambda width: Mamba(width, MambaSettings()),
    "mamba2": lambda width: Mamba2(width, Mamba2Settings()),
}


def _layer_step(layer: str) -> Callable[..., Example]:
    def make(width: int) -> Example:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            mixer = LAYERS[layer](width)
            prompt, x = torch.randn(1, 32, width), torch.randn(1, 1, width)
        with torch.no_grad():
            state = mixer(Tokens(prompt))[1]

        def step(x: Tensor) -> Tensor:
            return mixer.step(Tokens(x), state)[0]

        return Example(step, {"x": x}, differentiable=False)

    return make


def _case(layer: str) -> Case:
    return Case(
        op=f"{layer}_step",
        title=f"streaming step of a {layer} layer",
        make=_layer_step(layer),
        sizes={"width": 256},
        judge=EXAMPLES[f"{layer}_step"].example,
        judged={},
        targets=(Deadline("under 100 microseconds a step", 100e-6),),
        backward=False,
        threads=1,
    )


CASES = {"step-mamba": _case("mamba"), "step-mamba2": _case("mamba2")}
