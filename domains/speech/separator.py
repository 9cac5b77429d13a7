"""What every network of this domain has in common: level, loss, scores of the best permutation, calibrated gains."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from armillary.core.domain import Batch, Interface, Items, Port
from armillary.core.objectives.permutation import best_order, in_order
from armillary.domains.speech.lengths import known_lengths, real_places
from armillary.domains.speech.settings import SpeechPredict
from armillary.domains.speech.si_sdr import limited, quietness, shape_of, si_sdr, si_sdr_pairs


class Separator(nn.Module):
    """A network on mixtures (b, t), of any level and length, -> the voices (b, k, t), in an order of its own.

    Mixtures are brought to a root mean square of one and voices back to the mixture's level, so that level changes
    nothing and silence gives silence. A causal network gets samples as they are: it may not know how loud the rest will
    be. Its own norms make level matter little above -80 dB of full scale (see systems/norms.py).
    """

    def __init__(self, network: nn.Module, sample_rate_hz: int) -> None:
        super().__init__()
        self.network, self.sample_rate_hz = network, sample_rate_hz

    def fit(self, items: Items) -> None:
        """Nothing: each mixture is scaled by itself."""

    def forward(self, mixture: Float[Tensor, "b t"], length: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b k t"]:
        """The voices; `length` tells how many samples of each mixture count, None: all."""
        length = known_lengths(length, mixture.shape[1])
        if self.network.causal:
            return self.network(mixture, length)
        level = root_mean_square(mixture, length)
        return self.network(mixture / level, length) * level.unsqueeze(1)

    def loss(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Mean over voices and items of -SI-SDR [dB] in the best order; of `quietness` for a voice that is silent.

        Beside a silent voice, the SI-SDR of the others is `limited`.
        """
        mixture, sources, length = batch["mixture"], batch["sources"], batch["length"]
        estimates = self(mixture, length)
        length = known_lengths(length, mixture.shape[1])
        sounds = shape_of(sources, length).sounds
        quiet = quietness(estimates, mixture, length)
        with torch.no_grad():
            score = torch.where(sounds.unsqueeze(1), si_sdr_pairs(estimates, sources, length), -quiet.unsqueeze(2))
            order = best_order(score)
        found = si_sdr(in_order(estimates, order), sources, length)
        found = torch.where(sounds.all(1, keepdim=True), found, limited(found))
        return {"total": torch.where(sounds, -found, in_order(quiet, order)).mean()}

    def predict(self, batch: Batch, options: SpeechPredict) -> Iterator[dict[str, Tensor]]:
        """Scores of each voice in the best order, and its level, where the voices are known; else the estimates.

        With `scores` empty, known voices give "estimate" in their own order.
        """
        mixture, length = batch["mixture"], batch.get("length")
        estimates = self(mixture, length)
        if "sources" not in batch:
            yield {"estimate": estimates}
            return
        sources = batch["sources"]
        if not options.scores:
            yield {"estimate": in_order(estimates, best_order(si_sdr_pairs(estimates, sources, length)))}
            return
        from armillary.domains.speech.metrics.scores import scores

        found = scores(estimates, sources, mixture, length, self.sample_rate_hz, options.scores)
        yield {**found, "level_db": level_db(sources, mixture)}

    @torch.no_grad()
    def calibrate(self, batches: Callable[[], Iterator[Batch]]) -> None:
        """Sets the network's gain of each voice to Σ <e, s> / Σ |e|^2 over validation: SI-SDR leaves scale open."""
        gain: Tensor = self.network.gain  # pyright: ignore[reportAssignmentType]
        gain.fill_(1.0)
        shared, power = torch.zeros(2, len(gain), dtype=torch.float64, device=gain.device)
        for batch in batches():
            estimates, sources, length = self(batch["mixture"], batch["length"]), batch["sources"], batch["length"]
            order = best_order(si_sdr_pairs(estimates, sources, length))
            # The source of each output: the inverse of the output of each source.
            sources = in_order(sources, order.argsort(1))
            shared += (estimates * sources).sum((0, 2)).double()
            power += estimates.square().sum((0, 2)).double()
        found = shared / power
        gain.copy_(torch.where(found.isfinite() & (found > 0), found, 1.0))

    def interface(self) -> Interface:
        """Mixtures at data.sample_rate_hz, of any level and length, to voices of the same length."""
        full_scale = "full scale"
        return Interface(
            inputs={
                "mixture": Port(("item", "sample"), full_scale, "one channel; zeros beyond an item's end"),
                "length": Port(("item",), "sample", "how many samples of each mixture count"),
            },
            outputs={"estimate": Port(("item", "source", "sample"), full_scale, "voices, in no order of their own")},
            ragged=("sample",),
        )

    def after_step(self) -> None:
        """Lets the network fold what it gathered (batch norms)."""
        step = getattr(self.network, "after_step", None)
        if step is not None:
            step()


def root_mean_square(mixture: Float[Tensor, "b t"], length: Int[Tensor, " b"] | None = None) -> Float[Tensor, "b 1"]:
    """sqrt(mean m^2) of the first `length` samples; one for silence."""
    number = torch.as_tensor(mixture.shape[1]) if length is None else length.unsqueeze(1)
    if length is not None:
        mixture = torch.where(real_places(length, mixture.shape[1]), mixture, 0.0)
    level = (mixture.square().sum(1, keepdim=True) / number.clamp(min=1)).sqrt()
    return torch.where(level > 0, level, 1.0)


def level_db(sources: Float[Tensor, "b k t"], mixture: Float[Tensor, "b t"]) -> Float[Tensor, "b k"]:
    """10 log10(|s|^2 / |m|^2) [dB] of each voice, between -120 and 120."""
    power, whole = sources.square().sum(-1), mixture.square().sum(-1, keepdim=True)
    return 10 * (power / whole.clamp(min=1e-30)).clamp(1e-12, 1e12).log10()
