"""Shoebox rooms: how a voice gets from where it is spoken to the microphone, straight and with reflections."""

import math
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Float, Float32, Float64
from scipy.signal import fftconvolve

from armillary.core.errors import MissingExtraError
from armillary.core.random import derive_rng

SOUND_M_S = 343.0
MAX_ORDER = 12  # reflections traced one by one; time and memory grow with its cube
# Smallest and largest room [m], and how far everything stays from a wall.
_SMALLEST_M, _LARGEST_M, _WALL_M = (3.0, 3.0, 2.5), (8.0, 7.0, 3.5), 0.5
_NEAREST_M, _FARTHEST_M = 0.4, 2.0  # between a voice and the microphone
_LEAD = 40  # samples before the direct sound: half of the filter that delays it by a fraction of a sample
_ABSORPTION = 0.99  # the most that walls can do


@dataclass(frozen=True)
class Room:
    """Responses from k places to one microphone, all at one sample rate.

    direct: the sound that comes straight; whole: with all reflections. Both begin `lead` samples before the straight
    sound arrives, which has gain 1, so that a voice keeps its level and stays aligned with what it is compared to.
    rt60_s: reverberation time that the walls were made for [s].
    """

    direct: Float32[np.ndarray, "k n"]
    whole: Float32[np.ndarray, "k n"]
    rt60_s: float
    lead: int = _LEAD


def draw_room(seed: int, rt60_s: tuple[float, float], num_voices: int, sample_rate_hz: int) -> Room:
    """A room with `num_voices` places in it, a function of the arguments alone.

    Size, places and reverberation time are drawn evenly. Walls are equal, with the absorption that Sabine's formula
    asks for. Reflections are images up to order 12; behind the time where that list is no longer complete, noise
    goes on with the same power and fades by 60 dB in `rt60_s`. So the cost is bounded whatever the time asked for.

    Raises MissingExtraError without the package pyroomacoustics.

    References:
        Allen and Berkley 1979, "Image method for efficiently simulating small-room acoustics".
    """
    acoustics = _acoustics()
    rng = derive_rng(seed, "room")
    size_m = rng.uniform(_SMALLEST_M, _LARGEST_M)
    wanted_s = float(rng.uniform(*rt60_s))
    microphone_m = rng.uniform(_WALL_M, size_m - _WALL_M)
    places_m = np.stack([_place(rng, size_m, microphone_m) for _ in range(num_voices)])
    absorption, order = _walls(wanted_s, size_m)
    room = acoustics.ShoeBox(
        size_m, fs=sample_rate_hz, materials=acoustics.Material(absorption), max_order=min(order, MAX_ORDER)
    )
    for place_m in places_m:
        room.add_source(place_m)
    room.add_microphone(microphone_m)
    room.compute_rir()
    traced = [np.asarray(response, np.float64) for response in room.rir[0]]
    distance_m = np.linalg.norm(places_m - microphone_m, axis=1)
    if order > MAX_ORDER:
        complete_s = (MAX_ORDER + 1) * _slant_m(size_m) / SOUND_M_S
        traced = [_with_tail(rng, response, complete_s, wanted_s, sample_rate_hz) for response in traced]
    return _aligned(traced, distance_m, wanted_s, sample_rate_hz)


def in_room(
    voice: Float32[np.ndarray, " t"], response: Float32[np.ndarray, " n"], lead: int
) -> Float32[np.ndarray, " t"]:
    """The voice through a response that begins `lead` samples early; as long as the voice, its end is cut."""
    return fftconvolve(voice, response)[lead : lead + len(voice)].astype(np.float32)


def _acoustics() -> ModuleType:
    try:
        import pyroomacoustics
    except ImportError as error:
        raise MissingExtraError("pyroomacoustics", "rooms", "A simulated room") from error
    return pyroomacoustics


def _place(
    rng: np.random.Generator, size_m: Float64[np.ndarray, "3"], microphone_m: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, "3"]:
    while True:
        place_m = rng.uniform(_WALL_M, size_m - _WALL_M)
        if _NEAREST_M <= np.linalg.norm(place_m - microphone_m) <= _FARTHEST_M:
            return place_m


def _walls(rt60_s: float, size_m: Float64[np.ndarray, "3"]) -> tuple[float, int]:
    """Energy that walls absorb, and up to which order images reach as far as sound gets in `rt60_s`."""
    x, y, z = size_m.tolist()
    surface_m2 = 2 * (x * y + y * z + z * x)
    absorption = 24 * math.log(10) * x * y * z / (SOUND_M_S * surface_m2 * rt60_s)
    order = math.ceil(SOUND_M_S * rt60_s / _slant_m(size_m)) - 1
    return min(absorption, _ABSORPTION), max(order, 1)


def _slant_m(size_m: Float64[np.ndarray, "3"]) -> float:
    """Radius of the largest sphere in which all images of order n lie within n + 1 of it [m]."""
    x, y, z = size_m.tolist()
    return min(a * b / math.hypot(a, b) for a, b in ((x, y), (y, z), (z, x)))


def _with_tail(
    rng: np.random.Generator,
    response: Float64[np.ndarray, " n"],
    complete_s: float,
    rt60_s: float,
    sample_rate_hz: int,
) -> Float64[np.ndarray, " m"]:
    """The response up to `complete_s`, then noise of the power it had just before, fading by 60 dB in `rt60_s`."""
    end = _LEAD + round(complete_s * sample_rate_hz)
    last = response[max(end - round(0.02 * sample_rate_hz), _LEAD) : end]
    time_s = np.arange(round(rt60_s * sample_rate_hz)) / sample_rate_hz
    fading = 10 ** (-3 * (time_s + 0.01) / rt60_s)
    tail = rng.standard_normal(len(time_s)) * fading * math.sqrt(float(np.mean(np.square(last))))
    return np.concatenate((response[:end], tail))


def _aligned(
    responses: list[Float64[np.ndarray, "_"]],
    distance_m: Float64[np.ndarray, " k"],
    rt60_s: float,
    sample_rate_hz: int,
) -> Room:
    """Each response from just before its direct sound on, that sound having gain 1; cut at the reverberation time."""
    length = 2 * _LEAD + 1 + round(rt60_s * sample_rate_hz)
    whole = np.zeros((len(responses), length), np.float32)
    direct = np.zeros_like(whole)
    for row, (response, metres) in enumerate(zip(responses, distance_m.tolist(), strict=True)):
        delay = metres / SOUND_M_S * sample_rate_hz
        cut = response[math.floor(delay) :][:length]
        whole[row, : len(cut)] = cut * metres
        direct[row, : 2 * _LEAD + 1] = _fractional_delay(delay - math.floor(delay))
    return Room(direct, whole, rt60_s)


def _fractional_delay(fraction: float) -> Float[np.ndarray, " n"]:
    """A windowed sinc that delays by 40 samples and a fraction, as the image method places each reflection."""
    time = np.arange(-_LEAD, _LEAD + 1) - fraction
    return np.hanning(2 * _LEAD + 1) * np.sinc(time)
