"""What every network of this domain has in common: power, loss, calibrated probabilities, rejection."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from armillary.core.calibration import fit_temperature
from armillary.core.domain import Batch, Interface, Items, Port
from armillary.domains.modulation.settings import ModulationPredict

_QUANTILES = 1000  # steps of the novelty scores' distribution on the validation split


class FrameClassifier(nn.Module):
    """A network on frames of unit mean power, (b, 2, l) -> scores (b, k), with a temperature fitted on validation.

    A frame of zeros stays one. Deep recurrent networks fall to chance on the sets' own amplitudes of 0.01, so power is
    made one for all systems alike.
    """

    temperature: Tensor
    novelty: Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("novelty", torch.full((_QUANTILES + 1,), float("inf")))

    def fit(self, items: Items) -> None:
        """Nothing: each frame is scaled by itself."""

    def forward(self, iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b k"]:
        """Class scores before the temperature."""
        return self.network(unit_power(iq))

    def logits(self, batch: Batch) -> Float[Tensor, "b k"]:
        """Class scores of a batch, as distillation and export ask for them."""
        return self(batch["iq"])

    def features(self, batch: Batch) -> Float[Tensor, "b f"]:
        """What the last linear map reads."""
        return self.network.features(unit_power(batch["iq"]))  # pyright: ignore[reportCallIssue]

    def loss(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean cross entropy [nat]."""
        return {"total": functional.cross_entropy(self.logits(batch).float(), batch["target"])}

    def predict(self, batch: Batch, options: ModulationPredict) -> Iterator[dict[str, Tensor]]:
        """Probabilities; a score of novelty and the share of known validation frames with a higher one."""
        scores = self.logits(batch).float()
        novelty = -scores.logsumexp(-1)
        beyond = 1 - torch.searchsorted(self.novelty, novelty.contiguous()) / (_QUANTILES + 1)
        yield {
            "probability": (scores * self.temperature).softmax(-1),
            "open_set_score": novelty,
            "typicality": beyond.clamp(0, 1),
        }

    @torch.no_grad()
    def calibrate(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Temperature that minimises the validation log loss, and the distribution of the novelty score there."""
        parts = [(self.logits(batch).float(), batch["target"]) for batch in batches()]
        scores, target = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        known = target >= 0
        self.temperature.copy_(fit_temperature(scores[known], target[known]))
        levels = torch.linspace(0, 1, _QUANTILES + 1, device=scores.device)
        self.novelty.copy_(torch.quantile(-scores[known].logsumexp(-1), levels))

    def interface(self) -> Interface:
        """Frames of data.length samples at data.sample_rate_hz, of any power, to probabilities."""
        return Interface(
            inputs={"iq": Port(("item", "iq", "sample"), about="in-phase and quadrature samples, of any scale")},
            outputs={
                "probability": Port(("item", "class"), about="of each class"),
                "open_set_score": Port(("item",), "nat", "higher for what resembles no class"),
                "typicality": Port(
                    ("item",),
                    about="share of known validation frames with a higher open_set_score",
                    counts=True,
                ),
            },
        )

    def after_step(self) -> None:
        """Lets the network fold what it gathered (batch norms)."""
        step = getattr(self.network, "after_step", None)
        if step is not None:
            step()


def unit_power(iq: Float[Tensor, "b 2 l"]) -> Float[Tensor, "b 2 l"]:
    """The frame over the root of its mean |z|^2; zeros stay zeros."""
    power = iq.square().sum(1, keepdim=True).mean(-1, keepdim=True)
    return iq * torch.where(power > 0, power, 1.0).rsqrt()
