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
FLOOR_DB = -60.0  # below the loudest place of the mixture
# Few enough that a report with several such figures can be sent around.
_STEPS = 250  # along a waveform
_COLUMNS = 200  # of a spectrogram


def signals_figure(example: Example, sample_rate_hz: int) -> Figure:
    """A column for the mixture and one for each voice, which has its estimate below it; the same scales everywhere.

    Spectrograms are in dB below the loudest place of the mixture's; of a long mixture the first seconds are drawn.
    """
    columns = _columns(example)
    samples = min(example.mixture.shape[-1], round(MOST_SECONDS * sample_rate_hz))
    shown = [signal[:samples] for column in columns for _, signal, _ in column]
    reach = 1.05 * max(max(float(np.abs(signal).max(initial=0.0)) for signal in shown), 1e-6)
    reference = float(np.abs(stft(shown[0], sample_rate_hz)).max(initial=0.0)) or 1.0
    pairs = 1 if example.estimates is None else 2
    figure = new_figure(max(9.0, 2.4 * len(columns)), 0.5 + 1.9 * pairs)
    grid = figure.subplots(
        2 * pairs, len(columns), sharex=True, sharey="row", squeeze=False, height_ratios=(1, 1.3) * pairs
    )
    for place, column in enumerate(columns):
        for pair, (title, signal, colour) in enumerate(column):
            wave, spectrogram = grid[2 * pair : 2 * pair + 2, place]
            _draw_wave(wave, signal[:samples], sample_rate_hz, colour)
            level_db = decibels(signal[:samples], sample_rate_hz, reference)
            _draw_spectrogram(spectrogram, level_db, samples, sample_rate_hz)
            wave.set_title(title, fontsize=9)
            wave.set_ylim(-reach, reach)
        grid[2 * len(column) - 1, place].set_xlabel("Time [s]")
        grid[2 * len(column) - 1, place].tick_params(labelbottom=True)
        for axes in grid[2 * len(column) :, place]:
            axes.set_axis_off()
    _label(figure, grid, max(samples, 1) / sample_rate_hz)
    figure.suptitle(example.id, x=0.01, ha="left", fontsize="medium")
    return figure


def decibels(signal: Float32[np.ndarray, " t"], sample_rate_hz: int, reference: float) -> Float64[np.ndarray, "f n"]:
    """20 log10(|STFT| / reference) in whole dB, no lower than FLOOR_DB; of a long signal, frames share a column."""
    size = np.abs(stft(signal, sample_rate_hz)).astype(np.float64)
    share = -(-size.shape[1] // _COLUMNS)
    size = np.pad(size, ((0, 0), (0, -size.shape[1] % share)), mode="edge")
    largest = size.reshape(len(size), -1, share).max(-1)
    return np.round(20 * np.log10(np.maximum(largest / reference, 10 ** (FLOOR_DB / 20))))


def _columns(example: Example) -> list[list[tuple[str, np.ndarray, str]]]:
    """Title, signal and colour of what stands in each column."""
    columns = [[("Mixture", example.mixture, GREY)]]
    for voice, source in enumerate(example.sources):
        who = f" ({example.voices[voice]})" if example.voices[voice] else ""
        column = [(f"Voice {voice + 1}{who}", source, BLUE)]
        if example.estimates is not None:
            told = f"{example.si_sdr_db[voice]:.1f} dB, {example.improvement_db[voice]:+.1f} dB"
            told = f"Estimate {voice + 1}: " + told.replace("-", "\N{MINUS SIGN}")
            column.append((told, example.estimates[voice], VERMILLION))
        columns.append(column)
    return columns


def _label(figure: Figure, grid: np.ndarray, seconds: float) -> None:
    """Names of the axes at the left of each row that is drawn there, and the colours."""
    grid[0, 0].set_xlim(0, seconds)
    for row, first in enumerate(grid[:, 0] if len(grid) == 2 else [*grid[:2, 0], *grid[2:, 1]]):
        first.set_ylabel("Freq. [kHz]" if row % 2 else "Amplitude")
        first.tick_params(labelleft=True)
    shades = ScalarMappable(Normalize(FLOOR_DB, 0.0), SHADES)
    figure.colorbar(shades, ax=grid, label="Level [dB], 0: loudest in the mixture", aspect=40, pad=0.01)


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
