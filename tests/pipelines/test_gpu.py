"""The same numbers on a GPU. Run on a machine that has one: pytest -m gpu."""

from pathlib import Path

import pytest
import torch

from armillary.core.domain import Domain
from armillary.core.testing.domains import Subject
from armillary.pipelines import train
from armillary.pipelines.inference import predict_items, to_device
from armillary.pipelines.plugins import load_domain, load_domains

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here"),
]


@pytest.fixture(params=list(load_domains()))
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """Each domain with its twin data."""
    return Subject(load_domain(request.param), tmp_path)


def test_loss_and_gradients_agree_with_the_cpu(subject: Subject):
    torch.backends.cuda.matmul.allow_tf32 = False
    gradients = {}
    for device in (torch.device("cpu"), torch.device("cuda")):
        model = subject.model().eval().to(device)
        loss = model.loss(to_device(subject.batch, device), torch.Generator())["total"]
        loss.backward()
        gradients[device.type] = {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}
    for name, expected in gradients["cpu"].items():
        # Sums over thousands of observations run in another order.
        torch.testing.assert_close(gradients["cuda"][name], expected, rtol=1e-3, atol=1e-5)


def test_predictions_agree_with_the_cpu(subject: Subject):
    items, model = subject.items("test"), subject.model()
    domain: Domain = subject.domain
    cpu, gpu = (
        predict_items(domain, subject.config, model, items, device=torch.device(name)) for name in ("cpu", "cuda")
    )
    torch.testing.assert_close(
        torch.from_numpy(gpu["probability"].values), torch.from_numpy(cpu["probability"].values), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_training_in_mixed_precision_lowers_the_loss(toy: Path, precision: str):
    import json

    train("toy/simulated", out=toy / "run", epochs=20, quiet=True, set={"train.precision": precision})
    rows = [json.loads(line) for line in (toy / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["train loss"] < rows[0]["train loss"] - 0.05
