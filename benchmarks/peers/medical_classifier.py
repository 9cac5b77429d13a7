"""timm's ResNet-18 on images that a benchmark hands over; runs in an environment of its own, without armillary.

python medical_classifier.py GIVEN.npz ANSWERS.npz CPU_SECONDS
GIVEN: train (epochs, n, c, h, w) uint8 with train_target (n,), validation with validation_target, test. One thread; the
checkpoint with the best validation loss answers.
"""

import copy
import json
import sys
import time
import types
from importlib.metadata import version

import numpy as np
import torch
from torch.nn import functional


class _StandIn(types.ModuleType):
    """What timm's readers of images import of torchvision; its ResNet uses none of it."""

    __path__ = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


class _Anything(type):
    """A class whose every attribute is its name."""

    def __getattr__(cls, name: str) -> str:
        return name


for _name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional", "torchvision.ops",
              "torchvision.ops.misc", "torchvision.datasets"):  # fmt: skip
    sys.modules[_name] = _StandIn(_name)
    _parent, _, _child = _name.rpartition(".")
    if _parent:
        setattr(sys.modules[_parent], _child, sys.modules[_name])
import timm  # noqa: E402  behind its stand-ins


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    given = np.load(sys.argv[1])
    mean, std = given["train"][0].mean(), given["train"][0].std()
    train, validation, test = (
        (torch.from_numpy(given[name]).float() - mean) / std for name in ("train", "validation", "test")
    )
    target, judged = (torch.from_numpy(given[f"{name}_target"]) for name in ("train", "validation"))
    network = timm.create_model("resnet18", num_classes=int(target.max()) + 1, in_chans=train.shape[2])
    optimiser = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    budget, start, best, epoch = float(sys.argv[3]), time.process_time(), (float("inf"), None), 0
    while time.process_time() - start < budget:
        network.train()
        for part in torch.randperm(len(target)).split(64):
            share = (time.process_time() - start) / budget
            for group in optimiser.param_groups:
                group["lr"] = 1e-3 * max(0.01, 0.5 * (1 + np.cos(np.pi * min(share, 1.0))))
            optimiser.zero_grad()
            functional.cross_entropy(network(train[epoch % len(train)][part]), target[part]).backward()
            optimiser.step()
        epoch += 1
        loss = functional.cross_entropy(answers(network, validation), judged).item()
        if loss < best[0]:
            best = (loss, copy.deepcopy(network.state_dict()))
    network.load_state_dict(best[1])
    np.savez(sys.argv[2], probability=answers(network, test).softmax(1).numpy())
    told = {
        "cpu_seconds": time.process_time() - start, "epochs": epoch, "validation log_loss": best[0],
        "parameters": sum(one.numel() for one in network.parameters()),
        "versions": {name: version(name) for name in ("torch", "timm")},
    }  # fmt: skip
    print(json.dumps(told))


@torch.no_grad()
def answers(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Scores of all images."""
    network.eval()
    return torch.cat([network(part) for part in images.split(256)])


if __name__ == "__main__":
    main()
