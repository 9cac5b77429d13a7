"""Signal-to-distortion ratio by BSS-eval."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics.functional.audio.sdr import signal_distortion_ratio

TAPS = 512
LIMIT_DB = 80.0  # as of SI-SDR
# Of the source's power. It keeps the filter of a pure tone defined, and changes an SDR of 80 dB by 0.001 dB.
_RIDGE = 1e-12


def sdr(
    estimates: Float[Tensor, "b k t"],
    sources: Float[Tensor, "b k t"],
    length: Int[Tensor, " b"] | None,
    sample_rate_hz: int,
) -> Float[Tensor, "b k"]:
    """10 log10(|h * s|^2 / |e - h * s|^2) [dB], h the filter of 512 taps for which h * s is nearest to the estimate.

    The ratio of version 3: whatever a filter of the source cannot make is distortion, interference and artefacts alike.
    The length of the filter is 512 samples at every rate. Between -80 dB (nothing in common, or a silent estimate) and
    80 dB (the source, filtered). O(t log t + 512^3) a voice.

    References:
        Vincent, Gribonval and Fevotte 2006, "Performance measurement in blind audio source separation", section III-B.
    """
    lengths = [estimates.shape[-1]] * len(estimates) if length is None else length.tolist()
    # One item at a time: items of a batch differ in length, and zeros beyond it are no part of the estimate.
    rows = [
        _of_item(ours[:, :samples], theirs[:, :samples])
        for ours, theirs, samples in zip(estimates, sources, lengths, strict=True)
    ]
    return torch.stack(rows) if rows else estimates.new_zeros(estimates.shape[:2])


def _of_item(estimates: Float[Tensor, "k t"], sources: Float[Tensor, "k t"]) -> Float[Tensor, " k"]:
    # Correlations are circular: all lags of the filter need room behind the signals.
    room = max(0, TAPS - estimates.shape[-1])
    ours, theirs = (torch.nn.functional.pad(signals, (0, room)).double() for signals in (estimates, sources))
    ratio = signal_distortion_ratio(ours, theirs, filter_length=TAPS, load_diag=_RIDGE)
    # Rounding may make an estimate nearer than itself, whose logarithm is NaN.
    ratio = ratio.nan_to_num(nan=LIMIT_DB).clamp(-LIMIT_DB, LIMIT_DB)
    finite = ours.isfinite().all(-1) & theirs.isfinite().all(-1)
    return torch.where(finite, ratio, torch.nan).to(estimates.dtype)
