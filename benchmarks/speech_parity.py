"""Are MossFormer and MossFormer2 here the published networks, and what do they cost beside the released code?

Both get the same weights and inputs and must give the same values and gradients (cells of exactness). Then each side
runs in fresh processes on one thread, taking turns; the median of CPU seconds counts, and the peak of memory. A pass
that does not fit is recorded as such. Every cell is written when it ends, and finished ones are skipped. The released
code lives in an environment of its own, see benchmarks/peers/speech.txt:

    python benchmarks/speech_parity.py --peers PEERS/bin/python --checkout CHECKOUT [CELL ...]
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from armillary.core.config.mixers import FSMNSettings, GatedAttentionSettings

QUESTION = "Are MossFormer and MossFormer2 the published networks, and what do they cost beside the released code?"
WORKER = Path(__file__).parent / "peers" / "speech.py"
RESULT = Path(__file__).parent / "results" / "speech_parity.json"
WIDTH = 512
LIMIT = 1e-4  # relative RMS of values and gradients: float32 sums in another order, through 48 blocks

Weights = Mapping[str, Tensor]


def conv_map(theirs: Weights, there: str, here: str) -> dict[str, Tensor]:
    """A projection with a convolution; theirs is a sequence of norm, linear map, SiLU, convolution and dropout."""
    norm = "0.g" if f"{there}.mdl.0.g" in theirs else "0.weight"
    found = {
        f"{here}.norm_scale": theirs[f"{there}.mdl.{norm}"],
        f"{here}.linear.weight": theirs[f"{there}.mdl.1.weight"],
        f"{here}.linear.bias": theirs[f"{there}.mdl.1.bias"],
        f"{here}.weight": theirs[f"{there}.mdl.3.sequential.1.conv.weight"].squeeze(1),
    }
    return found if norm == "0.g" else found | {f"{here}.norm_bias": theirs[f"{there}.mdl.0.bias"]}


def gated_attention(theirs: Weights, there: str = "", here: str = "") -> dict[str, Tensor]:
    """Weights, or gradients, of the released attention layer by the names of ours."""
    parts = {"to_hidden": "hidden", "to_qk": "query", "to_out": "out"}
    found = {
        f"{here}scales": theirs[f"{there}qk_offset_scale.gamma"],
        f"{here}shifts": theirs[f"{there}qk_offset_scale.beta"],
    }
    for name, own in parts.items():
        found |= conv_map(theirs, f"{there}{name}", f"{here}{own}")
    return found


def fsmn(theirs: Weights, there: str = "", here: str = "") -> dict[str, Tensor]:
    """Weights, or gradients, of the released memory module by the names of ours."""
    plain = {
        "conv1.0": "enter", "norm1": "enter_norm", "norm2": "leave_norm", "conv2": "leave",
        "gated_fsmn.fsmn.linear": "memory.read",
    }  # fmt: skip
    found = {
        f"{here}slope": theirs[f"{there}conv1.1.weight"],
        f"{here}memory.project.weight": theirs[f"{there}gated_fsmn.fsmn.project.weight"],
    }
    for name, own in plain.items():
        weight = theirs[f"{there}{name}.weight"]
        found[f"{here}{own}.weight"] = weight.squeeze(-1) if weight.ndim == 3 else weight
        found[f"{here}{own}.bias"] = theirs[f"{there}{name}.bias"]
    for name, own in {"to_u": "written", "to_v": "gate"}.items():
        found |= conv_map(theirs, f"{there}gated_fsmn.{name}", f"{here}{own}")
    place = 0
    while f"{there}gated_fsmn.fsmn.conv.conv{place + 1}.weight" in theirs:
        stack, layer = f"{there}gated_fsmn.fsmn.conv", f"{here}memory.layers.{place}"
        # Their groups read neighbouring channels, so each of these has its taps.
        found[f"{layer}.weight"] = theirs[f"{stack}.conv{place + 1}.weight"].flatten(0, 1).squeeze(-1)
        found[f"{layer}.norm.weight"] = theirs[f"{stack}.norm{place + 1}.weight"]
        found[f"{layer}.norm.bias"] = theirs[f"{stack}.norm{place + 1}.bias"]
        found[f"{layer}.norm.slopes"] = theirs[f"{stack}.prelu{place + 1}.weight"]
        place += 1
    return found


def network(theirs: Weights) -> dict[str, Tensor]:
    """Weights, or gradients, of a released network by the names of ours."""
    same = {
        "mask_net.norm.weight": "masker.norm_in.weight",
        "mask_net.norm.bias": "masker.norm_in.bias",
        "mask_net.pos_enc.scale": "masker.scale",
        "mask_net.mdl.intra_mdl.norm.weight": "masker.final_norm.weight",
        "mask_net.mdl.intra_mdl.norm.bias": "masker.final_norm.bias",
        "mask_net.mdl.intra_norm.weight": "masker.norm_out.weight",
        "mask_net.mdl.intra_norm.bias": "masker.norm_out.bias",
        "mask_net.prelu.weight": "masker.slope.weight",
    }
    points = {
        "conv1d_encoder": "project", "conv1d_out": "split", "output.0": "output", "output_gate.0": "gate",
        "conv1_decoder": "expand",
    }  # fmt: skip
    found = {own: theirs[name] for name, own in same.items()}
    for name, own in points.items():
        found[f"masker.{own}.weight"] = theirs[f"mask_net.{name}.weight"].squeeze(-1)
        if f"mask_net.{name}.bias" in theirs:
            found[f"masker.{own}.bias"] = theirs[f"mask_net.{name}.bias"]
    found["filterbank.analysis.weight"] = theirs["enc.conv1d.weight"].squeeze(1)
    found["filterbank.synthesis.weight"] = theirs["dec.weight"].squeeze(1).T
    stack, place = "mask_net.mdl.intra_mdl.mossformerM", 0
    with_memory = f"{stack}.fsmn.0.conv1.0.weight" in theirs
    while f"{stack}.layers.{place}.qk_offset_scale.gamma" in theirs:
        block = place * (2 if with_memory else 1)
        here = "masker.trunk.stages.0.blocks"
        found |= gated_attention(theirs, f"{stack}.layers.{place}.", f"{here}.{block}.mixer.")
        if with_memory:
            found |= fsmn(theirs, f"{stack}.fsmn.{place}.", f"{here}.{block + 1}.mixer.")
        place += 1
    return found


BLOCKS = {"gated_attention": (GatedAttentionSettings(), gated_attention), "fsmn": (FSMNSettings(), fsmn)}
