"""One mixture: waveforms and spectrograms of the mixture, of each voice, and of what was found of it."""

import numpy as np
from jaxtyping import Float32, Float64
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from armillary.core.plotting import BLUE, GREY, SHADES, VERMILLION, new_figure
from armillary.domains.speech.figures.examples import Example
from armillary.domains.speech.stft import hop_samples, stft

MOST_SECONDS = 10.0  # of a mixture that are drawn
FLOOR_DB = -70.0  # below the loudest place of the mixture
# Few enough that a report with several such figures can be sent around.
_STEPS = 400  # along a waveform
_COLUMNS = 320  # of a spectrogram


def signals_figure(example: Example, sample_rate_hz: int) -> Figure:
    """A row for the mixture, then one for each voice and one for its estimate; all rows have the same scales.

    Spectrograms are in dB below the loudest place of the mixture's; of a long mixture the first seconds are drawn.
    """
    rows = _rows(example)
    samples = min(example.mixture.shape[-1], round(MOST_SECONDS * sample_rate_hz))
    reach = 1.05 * max(max(float(np.abs(signal[:samples]).max(initial=0.0)) for _, signal, _ in rows), 1e-6)
    reference = float(np.abs(stft(example.mixture[:samples], sample_rate_hz)).max(initial=0.0)) or 1.0
    figure = new_figure(8.6, 0.9 + 1.15 * len(rows))
    grid = figure.subplots(len(rows), 2, sharex=True, sharey="col", squeeze=False, width_ratios=(1, 1.25))
    for (left, right), (title, signal, colour) in zip(grid, rows, strict=True):
        _draw_wave(left, signal[:samples], sample_rate_hz, colour)
        _draw_spectrogram(right, decibels(signal[:samples], sample_rate_hz, reference), samples, sample_rate_hz)
        left.set_title(title, fontsize=9)
        left.set_ylabel("Amplitude")
        right.set_ylabel("Freq. [kHz]")
    grid[0, 0].set_ylim(-reach, reach)
    grid[0, 0].set_xlim(0, max(samples, 1) / sample_rate_hz)
    for axes in grid[-1]:
        axes.set_xlabel("Time [s]")
    shades = ScalarMappable(Normalize(FLOOR_DB, 0.0), SHADES)
    figure.colorbar(shades, ax=grid[:, 1], label="Level [dB], 0: loudest place of the mixture", aspect=40, pad=0.01)
    figure.suptitle(example.id, x=0.01, ha="left", fontsize="medium")
    return figure


def decibels(signal: Float32[np.ndarray, " t"], sample_rate_hz: int, reference: float) -> Float64[np.ndarray, "f n"]:
    """20 log10(|STFT| / reference) in whole dB, no lower than FLOOR_DB; of a long signal, frames share a column."""
    size = np.abs(stft(signal, sample_rate_hz)).astype(np.float64)
    share = -(-size.shape[1] // _COLUMNS)
    size = np.pad(size, ((0, 0), (0, -size.shape[1] % share)), mode="edge")
    largest = size.reshape(len(size), -1, share).max(-1)
    return np.round(20 * np.log10(np.maximum(largest / reference, 10 ** (FLOOR_DB / 20))))


def _rows(example: Example) -> list[tuple[str, np.ndarray, str]]:
    rows = [("mixture", example.mixture, GREY)]
    for voice, source in enumerate(example.sources):
        who = f" ({example.voices[voice]})" if example.voices[voice] else ""
        rows.append((f"voice {voice + 1}{who}", source, BLUE))
        if example.estimates is not None:
            told = f"SI-SDR {example.si_sdr_db[voice]:.1f} dB, {example.improvement_db[voice]:+.1f} dB"
            told = told.replace("-", "\N{MINUS SIGN}").replace("SI\N{MINUS SIGN}", "SI-")
            rows.append((f"estimate of voice {voice + 1}: {told}", example.estimates[voice], VERMILLION))
    return rows


def _draw_wave(axes: Axes, signal: Float32[np.ndarray, " t"], sample_rate_hz: int, colour: str) -> None:
    """The lowest and highest sample of each of many short steps: what a line through all samples would cover."""
    step = max(1, -(-len(signal) // _STEPS))
    padded = np.pad(signal, (0, -len(signal) % step), mode="edge").reshape(-1, step)
    low, high = padded.min(1), padded.max(1)
    # Steps touch, as samples do.
    low[1:], high[1:] = np.minimum(low[1:], high[:-1]), np.maximum(high[1:], low[:-1])
    time = np.arange(len(padded)) * step / sample_rate_hz
    axes.fill_between(time, low, high, color=colour, linewidth=0.4)
    axes.axhline(0, color=GREY, linewidth=0.4)


def _draw_spectrogram(axes: Axes, level_db: Float64[np.ndarray, "f n"], samples: int, sample_rate_hz: int) -> None:
    # Frames are centred at multiples of the hop.
    half = hop_samples(sample_rate_hz) / 2 / sample_rate_hz
    extent = (-half, samples / sample_rate_hz + half, 0.0, sample_rate_hz / 2000)
    axes.imshow(
        level_db, cmap=SHADES, vmin=FLOOR_DB, vmax=0.0, origin="lower", aspect="auto", extent=extent,
        interpolation="nearest",
    )  # fmt: skip
