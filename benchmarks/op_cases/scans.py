"""The selective scan beside mambapy, and the Mamba-2 mixer beside the torch path of transformers."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from armillary.core.config.mixers import Mamba2Settings
from armillary.core.mixers.mamba2 import Mamba2
from armillary.core.tokens import Tokens
from armillary.pipelines.bench_examples import EXAMPLES, Example
from op_cases.case import Case, Memory, Speed, There

_SCAN = {"batch": 4, "width": 256, "state": 16}
_CHUNKS = (256, 128, 64, 32, 16)
_MIXER = {"width": 128, "heads": 4, "head_width": 64, "state": 64}


def _rows_of_one_group(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.squeeze(2) if name in ("B", "C") else tensor for name, tensor in inputs.items()}


def _scan(length: int, times: float) -> Case:
    return Case(
        op="selective_scan",
        title="selective scan",
        make=EXAMPLES["selective_scan"].example,
        sizes={**_SCAN, "length": length},
        judged={"batch": 1, "width": 8},
        peers={"mambapy": There("mambapy", adapt=_rows_of_one_group)},
        targets=(
            Speed(f"at least {times} times mambapy", times, ("mambapy",)),
            Memory("peak under 3 times inputs plus outputs", 3),
        ),
    )


def mamba2_mixer(batch: int, length: int, width: int, heads: int, head_width: int, state: int) -> Example:
    """A whole Mamba-2 mixer with its weights among the inputs."""
    settings = Mamba2Settings(expand=heads * head_width // width, head_width=head_width, state=state)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixer = Mamba2(width, settings)
        x = torch.randn(batch, length, width)
    weights = {name: parameter.detach() for name, parameter in mixer.named_parameters()}

    def function(x: Tensor, **named: Tensor) -> Tensor:
        return functional_call(mixer, named, (Tokens(x),))[0]

    return Example(function, {"x": x, **weights})


_THEIR_NAMES = {
    "in_proj.weight": "in_proj.weight",
    "scan.conv.weight": "conv1d.weight",
    "scan.conv.bias": "conv1d.bias",
    "scan.dt_bias": "dt_bias",
    "scan.A_log": "A_log",
    "scan.D": "D",
    "norm_weight": "norm.weight",
    "out_proj.weight": "out_proj.weight",
}


def _their_weights(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names of transformers, marked as such."""
    renamed = {f"weight:{theirs}": inputs[ours] for ours, theirs in _THEIR_NAMES.items()}
    renamed["weight:conv1d.weight"] = renamed["weight:conv1d.weight"].unsqueeze(1)
    return {"hidden_states": inputs["x"], **renamed}


def _transformers(chunk: int) -> There:
    options = {
        "chunk": chunk,
        "hidden_size": _MIXER["width"],
        "num_heads": _MIXER["heads"],
        "head_dim": _MIXER["head_width"],
        "state_size": _MIXER["state"],
        "n_groups": 1,
    }
    return There("transformers", options, _their_weights)


_TRANSFORMERS = {f"transformers, chunk {chunk}": _transformers(chunk) for chunk in _CHUNKS}

CASES = {
    "selective-scan-1024": _scan(1024, 40),
    "selective-scan-8192": _scan(8192, 60),
    "mamba2-mixer": Case(
        op="scalar_decay",
        title="Mamba-2 mixer",
        make=mamba2_mixer,
        sizes={"batch": 4, "length": 1024, **_MIXER},
        judged={"batch": 1, "length": 300},
        peers=_TRANSFORMERS,
        targets=(
            Speed("at least 3 times transformers at its default chunk of 256", 3, ("transformers, chunk 256",)),
            Speed("at least 1.5 times transformers at its best chunk", 1.5, tuple(_TRANSFORMERS)),
        ),
    ),
}
