"""Run MossFormer's released code: values and gradients for a comparison, or the cost of one pass, ours likewise.

For the peer it runs in an environment of its own (requirements in speech.txt beside this file), where armillary is not
imported; with the side "armillary" it runs in ours, so that both are measured by the same lines.

    python speech.py compare CHECKOUT MODEL SIZE DTYPE RESULT.pt
    python speech.py cost SIDE CHECKOUT MODEL PASS SECONDS CALLS LIMIT_GIB

The last one answers with a line of JSON.
"""

import ctypes
import json
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

RATE = 8000  # [Hz]
WIDTH = 512
LAYERS = 24
CLIP = 10.0  # largest norm of the gradient in the released recipe
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc", "Cannot allocate memory")


def peer(checkout, model):
    """A block of the released code, or a network in the sizes that are published as L."""
    sys.path.insert(0, str(Path(checkout) / "clearvoice" / "models"))
    from mossformer2_ss import mossformer2, mossformer2_block
    from rotary_embedding_torch import RotaryEmbedding

    if model == "gated_attention":
        return mossformer2_block.FLASH_ShareA_FFConvM(
            dim=WIDTH,
            expansion_factor=4.0,
            rotary_pos_emb=RotaryEmbedding(dim=32),
            norm_klass=mossformer2_block.ScaleNorm,
        )
    if model == "fsmn":
        return mossformer2_block.Gated_FSMN_Block_Dilated(WIDTH)
    network = mossformer2.MossFormer(num_blocks=LAYERS)
    if model == "mossformer-l":
        network.mask_net.mdl.intra_mdl = mossformer2.MossFormerM2(num_blocks=LAYERS, d_model=WIDTH)
    return network


def ours(model):
    """The same network of ours; 'recomputed' keeps the input of each block alone for the backward pass."""
    from armillary.domains.speech import recipes
    from armillary.domains.speech.build import build

    name, _, recomputed = model.partition(" ")
    config = getattr(recipes, name.replace("-", "_"))()
    if recomputed:
        trunk = config.model.trunk.model_copy(update={"checkpoint": True})
        config = config.model_copy(update={"model": config.model.model_copy(update={"trunk": trunk})})
    return build(config).network


def stirred(module):
    """Every trained parameter moved a little, so that none stands at the zero or one it starts from."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (one for one in module.parameters() if one.requires_grad):
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * (0.02 if parameter.ndim < 2 else 0.2 * parameter.std().nan_to_num(0.1)))
    return module


def compare(checkout, model, size, dtype, result):
    """Weights, input, upstream gradient, output and all gradients of one evaluation to a file.

    A block gets `size` tokens in each of two rows, and its output is without the sum with its input; a network gets
    `size` samples, one mixture. Weights and inputs are float32 numbers in either precision; in double precision the
    angles of positions are as well, which the released code takes in single precision.
    """
    torch.manual_seed(0)
    dtype = getattr(torch, dtype)
    module = stirred(peer(checkout, model)).eval().to(dtype)
    if dtype == torch.float64:
        with_exact_positions(module)
    generator = torch.Generator().manual_seed(2)
    block = model in ("gated_attention", "fsmn")
    shape = (2, int(size), WIDTH) if block else (1, int(size))
    given = torch.randn(shape, generator=generator).to(dtype).requires_grad_()
    output = module(given) - given if block else torch.stack(module(given), 1)
    upstream = torch.randn(output.shape, generator=generator).to(dtype)
    output.backward(upstream)
    frozen = {name for name, parameter in module.named_parameters() if parameter.grad is None}
    torch.save(
        {
            "parameters": sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad),
            "weights": {name: value for name, value in module.state_dict().items() if name not in frozen},
            "gradients": {name: value.grad for name, value in module.named_parameters() if name not in frozen},
            "given": given.detach(),
            "given_gradient": given.grad,
            "upstream": upstream,
            "output": output.detach(),
            "versions": versions(),
        },
        result,
    )


def with_exact_positions(module):
    """The rates of all positions in double precision."""
    for part in module.modules():
        if type(part).__name__ == "RotaryEmbedding":
            part.freqs = nn.Parameter(rates(part.freqs.numel()), requires_grad=False)
        if type(part).__name__ == "ScaledSinuEmbedding":
            part.inv_freq = rates(part.inv_freq.numel())


def rates(count):
    return 10000.0 ** (-torch.arange(count, dtype=torch.float64) / count)


def versions():
    return {name: version(name) for name in ("torch", "einops", "rotary-embedding-torch")}


class Network(nn.Module):
    """Mixture (1, t) to voices (1, 2, t)."""

    def __init__(self, side, checkout, model):
        super().__init__()
        self.side = side
        self.inner = ours(model) if side == "armillary" else peer(checkout, model)

    def forward(self, mixture):
        voices = self.inner(mixture)
        return voices if self.side == "armillary" else torch.stack(voices, 1)


def loss_of(estimates, sources):
    """Negative SI-SNR [dB] of the better order of two voices, as both sides train."""
    estimates, sources = (part - part.mean(-1, keepdim=True) for part in (estimates, sources))
    dot = torch.einsum("bkt,bjt->bkj", estimates, sources)
    energy, own = sources.square().sum(-1), estimates.square().sum(-1)
    target = dot.square() / (energy[:, None] + 1e-8)
    ratio = 10 * torch.log10(target / (own[..., None] - target + 1e-8) + 1e-8)
    return -torch.maximum(ratio[:, 0, 0] + ratio[:, 1, 1], ratio[:, 0, 1] + ratio[:, 1, 0]).mean() / 2


def one_pass(network, kind, samples):
    """A function without arguments: a forward pass without gradients, or a step of training."""
    torch.manual_seed(0)
    sources = torch.randn(1, 2, samples) * 0.1
    mixture = sources.sum(1)
    if kind == "forward":
        network.eval()

        def call():
            with torch.inference_mode():
                network(mixture)

        return call
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=1.5e-4)

    def step():
        optimiser.zero_grad()
        loss_of(network(mixture), sources).backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()

    return step


def status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def cost(side, checkout, model, kind, seconds, calls, limit):
    """CPU seconds of each call after the first, and the peak of memory above what was there before the network."""
    torch.set_num_threads(1)
    bytes_ = int(float(limit) * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (bytes_, bytes_))
    told = {"side": side, "model": model, "pass": kind, "seconds": float(seconds), "limit_gib": float(limit)}
    try:
        told |= measured(Network(side, checkout, model), kind, round(float(seconds) * RATE), int(calls))
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(text in str(error) for text in OUT_OF_MEMORY):
            raise
        told["out_of_memory"] = True
    if side != "armillary":
        told["versions"] = versions()
    print(json.dumps(told), flush=True)


def measured(network, kind, samples, calls):
    parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    call = one_pass(network, kind, samples)
    ctypes.CDLL(None).malloc_trim(0)
    before = status("VmRSS")
    times, whole = [], []
    for _ in range(calls):
        began, wall = time.process_time(), time.perf_counter()
        call()
        times.append(time.process_time() - began)
        whole.append(time.perf_counter() - wall)
    return {
        "parameters": parameters,
        "cpu_s": times,
        "wall_s": whole,
        "resident_before_bytes": before,
        "peak_bytes": status("VmHWM"),
    }


if __name__ == "__main__":
    {"compare": compare, "cost": cost}[sys.argv[1]](*sys.argv[2:])
