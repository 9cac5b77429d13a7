"""Run MedMamba's released module, or ours: one training pass for a comparison, or what it costs.

Both sides run in our environment, on the same torch. The released file imports compiled scans, timm and einops, which
it is given here as plain stand-ins, and ends with three networks on a GPU, which are left out. Its scan is called by
its published interface and answered by the recurrence as it is written, one token after the other.

    python medical.py compare CHECKOUT RESULT.pt
    python medical.py cost SIDE CHECKOUT CALLS

The last one answers with a line of JSON. SIDE is armillary, peer, or peer-indexed: the same with slices of the scan's
inputs by index, as one would write them at first.
"""

import ast
import ctypes
import json
import sys
import time
import types
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

BATCH = 8
SIZE = 224
CLASSES = 6
COMPARED = (2, 96)  # images and their side in a comparison


def scan(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False):
    """h_t = exp(dt_t A) h_t-1 + dt_t u_t B_t, y_t = C_t h_t + D u_t, from (b, e, l) to (b, e, l), token by token.

    B and C are (b, g, n, l), shared by e / g channels each.
    """
    return recurrence(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state, unbound)


def indexed_scan(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False, return_last_state=False):
    """The same with slices by index, as the reference of the released interface takes them."""
    return recurrence(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state, by_index)


def unbound(values):
    """All slices at once, whose gradient is one stack: the cost grows with the length."""
    return values.unbind(-1)


def by_index(values):
    """One slice after the other: each gives a gradient of the whole length, so the cost grows with its square."""
    return [values[..., place] for place in range(values.shape[-1])]


def recurrence(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state, slices):
    """The scan, with this way to take apart the tokens."""
    assert z is None
    assert not return_last_state
    batch, channels, _ = u.shape
    groups, states = B.shape[1], A.shape[1]
    delta = delta if delta_bias is None else delta + delta_bias[:, None]
    delta = functional.softplus(delta) if delta_softplus else delta
    rates = A.view(groups, -1, states)
    shape = (batch, groups, channels // groups, 1)
    state = u.new_zeros(batch, groups, channels // groups, states)
    outputs = []
    for x, dt, b, c in zip(*(slices(part) for part in (u, delta, B, C)), strict=True):
        step = dt.view(shape)
        state = torch.exp(step * rates) * state + (step * x.view(shape)) * b.unsqueeze(2)
        outputs.append((state * c.unsqueeze(2)).sum(-1).flatten(1))
    y = torch.stack(outputs, -1)
    return y if D is None else y + u * D[:, None]


class DropPath(nn.Module):
    """Leaves out a branch of an item with this probability while training."""

    def __init__(self, drop_prob=0.0):
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, branch):
        if not self.training or not self.drop_prob:
            return branch
        kept = torch.rand(len(branch), *(1,) * (branch.ndim - 1)) >= self.drop_prob
        return branch * kept / (1 - self.drop_prob)


def repeat(values, pattern, **sizes):
    """A new first axis of the size given: the only patterns that the networks use."""
    ((name, size),) = sizes.items()
    assert pattern.split("->")[1].split()[0] == name
    return values.unsqueeze(0).expand(size, *values.shape)


def released(checkout, selective_scan):
    """The released file's definitions, with this scan."""
    parts = {
        "einops": {"rearrange": None, "repeat": repeat},
        "timm": {},
        "timm.models": {},
        "timm.models.layers": {
            "DropPath": DropPath, "to_2tuple": None, "trunc_normal_": nn.init.trunc_normal_,
        },
        "mamba_ssm": {},
        "mamba_ssm.ops": {},
        "mamba_ssm.ops.selective_scan_interface": {
            "selective_scan_fn": selective_scan, "selective_scan_ref": selective_scan,
        },
    }  # fmt: skip
    for name, values in parts.items():
        module = types.ModuleType(name)
        vars(module).update(values)
        sys.modules[name] = module
    path = Path(checkout) / "MedMamba.py"
    tree = ast.parse(path.read_text())
    kept = ast.Import | ast.ImportFrom | ast.Try | ast.ClassDef | ast.FunctionDef
    tree.body = [part for part in tree.body if isinstance(part, kept)]
    module = types.ModuleType("released")
    exec(compile(tree, str(path), "exec"), vars(module))
    return module


def peer(checkout, drop_path, selective_scan=scan):
    """MedMamba-T of the released code with this scan."""
    return released(checkout, selective_scan).VSSM(
        depths=[2, 2, 4, 2], dims=[96, 192, 384, 768], num_classes=CLASSES, drop_path_rate=drop_path
    )


def ours(drop_path):
    """MedMamba-T of this package."""
    from armillary.domains.medical.systems.medmamba import MedMamba
    from armillary.domains.medical.systems.settings import MedMambaSettings

    return MedMamba(MedMambaSettings(drop_path=drop_path), CLASSES, 3, (SIZE, SIZE))


def stirred(module):
    """Every parameter moved a little, so that none stands at the zero or one it starts from."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * (0.02 if parameter.ndim < 2 else 0.2 * parameter.std()))
    return module


def compare(checkout, result):
    """Weights, images, upstream gradient, scores and all gradients of one training pass without drop path."""
    torch.manual_seed(0)
    network = stirred(peer(checkout, 0.0)).train()
    generator = torch.Generator().manual_seed(2)
    count, side = COMPARED
    image = torch.randn(count, 3, side, side, generator=generator).requires_grad_()
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    scores = network(image)
    upstream = torch.randn(scores.shape, generator=generator)
    scores.backward(upstream)
    told = {
        "weights": weights,
        "gradients": {name: value.grad for name, value in network.named_parameters()},
        "image": image.detach(),
        "image_gradient": image.grad,
        "upstream": upstream,
        "scores": scores.detach(),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
    torch.save(told, result)


def cost(side, checkout, calls):
    """CPU and wall seconds of each forward and backward pass, and the peak of memory of this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    scans = {"peer": scan, "peer-indexed": indexed_scan}
    network = (ours(0.1) if side == "armillary" else peer(checkout, 0.1, scans[side])).train()
    image, target = torch.randn(BATCH, 3, SIZE, SIZE), torch.arange(BATCH) % CLASSES
    ctypes.CDLL(None).malloc_trim(0)
    before = status("VmRSS")
    times, whole = [], []
    for _ in range(int(calls)):
        network.zero_grad(set_to_none=True)
        began, wall = time.process_time(), time.perf_counter()
        functional.cross_entropy(network(image), target).backward()
        times.append(time.process_time() - began)
        whole.append(time.perf_counter() - wall)
    told = {
        "cpu_s": times,
        "wall_s": whole,
        "resident_before_bytes": before,
        "peak_bytes": status("VmHWM"),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
    print(json.dumps(told), flush=True)


def status(key):
    """A line of this process's status [byte]."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


if __name__ == "__main__":
    {"compare": compare, "cost": cost}[sys.argv[1]](*sys.argv[2:])
