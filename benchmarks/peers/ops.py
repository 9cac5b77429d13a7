"""Run one op of a peer on given inputs, as often as asked.

Runs in an environment of its own (requirements in ops.txt beside this file); armillary is not imported.
Called as: python ops.py PEER INPUTS.npz OPTIONS_JSON THREADS RESULT.npz

Every line of standard input is a number of calls; each is answered by a line with the seconds of a call. The first
answer holds the versions. The values of the first call go to RESULT.npz, so that both sides can be compared.
"""

import json
import sys
import time
import warnings
from importlib.metadata import version

import numpy as np
import torch

BACKWARD = "upstream"  # the input that holds the gradient of the output; absent for a forward pass alone
WEIGHT = "weight:"  # prefix of inputs that are weights of a module


def mambapy(x, dt, A, B, C, D):
    """Selective scan by the parallel scan of mambapy."""
    from mambapy.mamba import MambaBlock

    return MambaBlock.selective_scan(None, x, dt, A, B, C, D)  # the method reads nothing of its block


def transformers(weights, *, chunk, **sizes):
    """The torch path of the Mamba-2 mixer at a chunk length, with given weights."""
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    mixer = Mamba2Mixer(Mamba2Config(chunk_size=chunk, num_hidden_layers=1, **sizes), 0)
    mixer.load_state_dict(weights)
    return mixer


def natten(q, k, v, *, window, dilation):
    """Neighbourhood attention in two dimensions, as NATTEN serves it on a CPU."""
    from natten import na2d

    return na2d(q, k, v, kernel_size=window, dilation=dilation)


def kat_rational(x, numerator, denominator, *, groups):
    """The fallback of the group rational function in plain torch."""
    from kat_rational.kat_1dgroup_torch import Rational_CUDA_A_1DGroup

    return Rational_CUDA_A_1DGroup(x, numerator, denominator, groups)


FUNCTIONS = {"mambapy": mambapy, "natten": natten, "kat_rational": kat_rational}
MODULES = {"transformers": transformers}


def build(peer, inputs, options):
    """A function without arguments that runs the peer once; its first result is the output."""
    upstream = inputs.pop(BACKWARD, None)
    weights = {name.removeprefix(WEIGHT): inputs.pop(name) for name in list(inputs) if name.startswith(WEIGHT)}
    leaves = [tensor.requires_grad_(upstream is not None) for tensor in inputs.values()]
    if peer in MODULES:
        module = MODULES[peer](weights, **options)
        leaves += module.parameters()

        def call():
            return module(*inputs.values())
    else:

        def call():
            return FUNCTIONS[peer](**inputs, **options)

    def once():
        with torch.set_grad_enabled(upstream is not None):
            output = call()
        if upstream is not None:
            torch.autograd.grad(output, leaves, upstream)
        return output

    return once


def main(peer, inputs, options, threads, result):
    warnings.simplefilter("ignore")
    torch.set_num_threads(int(threads))
    with np.load(inputs) as found:
        tensors = {name: torch.from_numpy(found[name]) for name in found.files}
    once = build(peer, tensors, json.loads(options))
    np.savez(result, output=once().detach().numpy())
    name = "kat_rational" if peer == "kat_rational" else peer
    print(json.dumps({name: found_version(name), "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        calls = int(line)
        began = time.perf_counter()
        for _ in range(calls):
            once()
        print((time.perf_counter() - began) / calls, flush=True)


def found_version(name):
    """Version of a distribution, or 'checkout' where it was not installed as one."""
    try:
        return version(name)
    except ModuleNotFoundError:
        return "checkout"


if __name__ == "__main__":
    main(*sys.argv[1:])
