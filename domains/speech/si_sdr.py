"""Scale-invariant signal-to-distortion ratio, of all pairs at once and of pairs, and the loss of an output too many."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from armillary.core.ops.precision import accumulation_dtype, full_precision
from armillary.domains.speech.lengths import real_places

FLOOR = 1e-8  # of a share of power: a ratio lies between -80 and 80 dB
_SILENT = 1e-12  # share of its power that a signal keeps without its mean, below which there is nothing but rounding
_TINY = 1e-30  # power below which single precision has no more digits
_BLOCK = 16384  # samples in one product of matrices
_LIMIT = 1e-3  # share of power (30 dB) below which less of what should not be there gains nothing


class Shape(NamedTuple):
    """Signals without mean, of length one (zero where silent), and which of them sound."""

    unit: Float[Tensor, "b k t"]
    sounds: Bool[Tensor, "b k"]


def si_sdr(
    estimates: Float[Tensor, "b k t"], sources: Float[Tensor, "b k t"], length: Int[Tensor, " b"] | None = None
) -> Float[Tensor, "b k"]:
    """10 log10(|a s|^2 / |a s - e|^2) [dB] with a = <e, s> / |s|^2, both signals without their means; of pairs.

    Only the first `length` samples count. Both powers are shares of |e|^2 and at least 1e-8, so that the answer is
    between -80 dB (nothing in common, or one of both silent) and 80 dB (alike but for scale, or both silent). A signal
    that is constant is silent, as any of one sample is. Silent signals have no gradient; NaN comes of NaN alone.

    References:
        Le Roux et al. 2019, "SDR - half-baked or well done?"; without mean, as in Luo and Mesgarani 2019,
        "Conv-TasNet".
    """
    ours, theirs = shape_of(estimates, length), shape_of(sources, length)
    cosine = (ours.unit * theirs.unit).sum(-1)
    # The rest itself: 1 - cos^2 would have no digits left from 60 dB on.
    rest = (ours.unit - cosine.unsqueeze(-1) * theirs.unit).square().sum(-1)
    return _defined(_decibel(cosine.square(), rest), ours.sounds, theirs.sounds)


def si_sdr_pairs(
    estimates: Float[Tensor, "b k t"], sources: Float[Tensor, "b j t"], length: Int[Tensor, " b"] | None = None
) -> Float[Tensor, "b k j"]:
    """`si_sdr` of every estimate with every source, by one product of matrices.

    Exact to 0.02 dB up to 40 dB; beyond, single precision cannot tell 1 - cos^2 from its rounding.
    """
    ours, theirs = shape_of(estimates, length), shape_of(sources, length)
    with full_precision(ours.unit):
        shared = _products(ours.unit, theirs.unit).square()
    return _defined(_decibel(shared, 1 - shared), ours.sounds.unsqueeze(2), theirs.sounds.unsqueeze(1))


def quietness(
    estimates: Float[Tensor, "b k t"], mixture: Float[Tensor, "b t"], length: Int[Tensor, " b"] | None = None
) -> Float[Tensor, "b k"]:
    """10 log10(|e|^2 / |m|^2 + 10^-3) [dB]: what to lower for an output that has no source, as -SI-SDR for others.

    Relative to the mixture, so that its level does not matter; below -30 dB nothing is gained. A silent mixture counts
    as one of power one.

    References:
        Wisdom et al. 2021, "What's all the FUSS about free universal sound separation data?" (zero sources; there
        beside a signal-to-noise ratio, here beside a scale-invariant one).
    """
    estimates, mixture = (signals.to(accumulation_dtype(signals)) for signals in (estimates, mixture))
    power = _kept(mixture, length).square().sum(-1, keepdim=True)
    power = torch.where(power > _TINY, power, 1.0)
    return 10 * (_kept(estimates, length).square().sum(-1) / power + _LIMIT).log10()


def limited(decibel: Float[Tensor, "*d"]) -> Float[Tensor, "*d"]:
    """-10 log10(10^(-SI-SDR / 10) + 10^-3) [dB]: SI-SDR below 20 dB, and never above 30.

    For a mixture of fewer voices than outputs. Handing on a mixture of one voice is perfect, and without a limit its
    last decibels would outweigh all that other mixtures have to gain.

    References:
        Wisdom et al. 2020, "Unsupervised sound separation using mixture invariant training" (its soft limit).
    """
    return -10 * (10 ** (-decibel / 10) + _LIMIT).log10()


def shape_of(signals: Float[Tensor, "b k t"], length: Int[Tensor, " b"] | None = None) -> Shape:
    """The first `length` samples of signals without their means, over the root of their power."""
    signals = _kept(signals.to(accumulation_dtype(signals)), length)
    number = signals.shape[-1] if length is None else length[:, None, None]
    mean = signals.sum(-1, keepdim=True) / torch.as_tensor(number).clamp(min=1)
    centred = _kept(signals - mean, length)
    power, whole = (x.square().sum(-1, keepdim=True) for x in (centred, signals.detach()))
    # Written so that NaN sounds: it must not pass for silence.
    silent = power <= _SILENT * whole + _TINY
    unit = centred * torch.where(silent, 1.0, power).rsqrt() * ~silent
    return Shape(unit, ~silent.squeeze(-1))


def _kept(signals: Tensor, length: Tensor | None) -> Tensor:
    """Zero beyond the length, whatever stands there."""
    if length is None:
        return signals
    valid = real_places(length, signals.shape[-1])
    return torch.where(valid if signals.ndim == 2 else valid.unsqueeze(1), signals, 0.0)


def _products(ours: Tensor, theirs: Tensor) -> Tensor:
    """<e_i, s_j>, in blocks: over millions of samples a product of matrices alone would wear out single precision."""
    blocks = zip(ours.split(_BLOCK, -1), theirs.split(_BLOCK, -1), strict=True)
    return torch.stack([one @ other.mT for one, other in blocks]).sum(0)


def _decibel(shared: Tensor, rest: Tensor) -> Tensor:
    return 10 * (shared.clamp(min=FLOOR) / rest.clamp(min=FLOOR)).log10()


def _defined(decibel: Tensor, ours: Tensor, theirs: Tensor) -> Tensor:
    """80 dB where both are silent, -80 dB where one is."""
    limit = -10 * torch.log10(torch.tensor(FLOOR, dtype=decibel.dtype, device=decibel.device))
    return torch.where(ours & theirs, decibel, torch.where(ours == theirs, limit, -limit))
