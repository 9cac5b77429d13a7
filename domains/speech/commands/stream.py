"""`armillary speech stream`: a recording or raw samples through a causal network, hop by hop, and the times it took."""

import argparse
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from jaxtyping import Float32

from armillary.core.domain import LoadedRun, OpenRun
from armillary.core.errors import ConfigError, DataError, RunError
from armillary.domains.speech.settings import SpeechRun

if TYPE_CHECKING:
    from armillary.domains.speech.streaming import Stream

_ABOUT = """\
Separate a recording as it would be while it is made: hop by hop, each voice as soon as no later sample can change it.

RUN is a run folder of a causal recipe, such as speech/ssm-causal. INPUT is a sound file; its voices go to --out, as
`armillary predict` writes them. With INPUT - raw samples are read from stdin and voices written to stdout, both 16-bit
little-endian at the rate of the run's training, one channel in and one channel a voice out, interleaved. Voices have
the level that the network gives them: no rule that needs later samples is applied.
"""
_FULL_SCALE = 1 << 15
_LONGEST_HOP_MS = 60_000
_FILES = (".wav", ".flac", ".csv", ".nc")  # what `armillary predict` takes for files


def main(open_run: OpenRun, arguments: Sequence[str]) -> int:
    """Separates a recording or a stream hop by hop with a causal run; tells latency and times."""
    options = parser().parse_args(arguments)
    piped = options.input == "-"
    if piped != (options.out is None):
        raise ConfigError("give --out DIR with a file, and no --out with INPUT -, whose voices go to stdout")
    if options.out is not None and options.out.suffix.lower() in _FILES:
        raise ConfigError(
            f"--out {options.out}: expected a folder, which gets a file for each voice; leave the suffix out"
        )
    if not 0 < options.hop_ms <= _LONGEST_HOP_MS or options.threads < 1:
        raise ConfigError(
            f"--hop-ms {options.hop_ms:g} --threads {options.threads}: expected numbers above 0, and hops of "
            f"{_LONGEST_HOP_MS} ms at most"
        )
    run = open_run(options.run)
    config = cast(SpeechRun, run.config)
    stream = open_stream(run, options.run, options.input)
    hop = max(1, round(options.hop_ms * config.data.sample_rate_hz / 1000))
    with _real_time(options.threads):
        stream.warm_up(hop)
        if piped:
            _pipe(stream, hop, sys.stdin.buffer.read, _give)
        else:
            assert options.out is not None
            _file(stream, hop, Path(options.input), options.out, config)
    print(report(stream, hop, options.threads), file=sys.stderr if piped else sys.stdout)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    found = argparse.ArgumentParser(
        "armillary speech stream", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("run", type=Path, metavar="RUN", help="run folder of a causal recipe")
    found.add_argument("input", metavar="INPUT", help="sound file, or - for raw samples")
    found.add_argument("--out", type=Path, metavar="DIR", help="folder of the voices' files; made if missing")
    found.add_argument("--hop-ms", type=float, default=20.0, metavar="MS", help="samples given at once [ms] (20)")
    found.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (1)")
    return found


def open_stream(run: LoadedRun, folder: Path, recording: str) -> "Stream":
    """A stream through the run's network.

    Raises:
        RunError: the network sees later samples.
    """
    from armillary.domains.speech.separator import Separator
    from armillary.domains.speech.streaming import CausalNetwork, Stream

    network = cast(Separator, run.model).network
    if not network.causal:
        raise RunError(
            f"{folder}: the network of {run.config.recipe} sees later samples, so it cannot stream.\n"
            "  Train a causal recipe (armillary train speech/ssm-causal), or separate the whole file:\n"
            f"  armillary predict {folder} {'FILE' if recording == '-' else recording} --out voices"
        )
    return Stream(cast(CausalNetwork, network), cast(SpeechRun, run.config).data.sample_rate_hz)


def report(stream: "Stream", hop: int, threads: int) -> str:
    """Lines on latency, the time of hops and the real-time factor."""
    times, rate = stream.times, stream.rate_hz
    network_ms, hop_ms = 1000 * stream.latency / rate, 1000 * hop / rate
    signal_s = stream.samples / rate
    factor = f"{times.total_s / signal_s:.3g}" if signal_s else "unknown"
    return "\n".join(
        [
            f"algorithmic latency {network_ms + hop_ms:.2f} ms: {hop_ms:.2f} ms of a hop, {network_ms:.2f} ms of the "
            "network",
            f"{times.count} hops on {threads} thread(s): mean {1000 * times.mean_s:.2f} ms, "
            f"99 % within {1000 * times.percentile_99_s:.2f} ms, worst {1000 * times.worst_s:.2f} ms; "
            f"{times.late} took longer than they last",
            f"{signal_s:.2f} s of signal, real-time factor {factor}",
        ]
    )


@contextmanager
def _real_time(threads: int) -> Generator[None, None, None]:
    """So many threads, and no numbers so small that they are slow to compute with, as decaying states are."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(False)


def _file(stream: "Stream", hop: int, source: Path, out: Path, config: SpeechRun) -> None:
    from armillary.domains.speech.readers.audio import stream_audio
    from armillary.domains.speech.streaming import hops
    from armillary.domains.speech.writers import Style, open_folder

    def told(error: DataError) -> None:
        print(error, file=sys.stderr)

    rate, predict = config.data.sample_rate_hz, config.predict
    blocks = stream_audio(source, rate, predict.channel, told)
    style = Style.of(predict.model_dump())
    # The first block is read before a folder is made for a file that has none.
    first = next(blocks)
    with open_folder(out) as folder:
        for samples in hops(chain([first], blocks), hop):
            folder.append(str(source), rate, stream(samples), style)
        folder.append(str(source), rate, stream.finish(), style, last=True)
    print(f"{source}: wrote {', '.join(map(str, folder.written))} at {rate} Hz")


def _give(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _pipe(stream: "Stream", hop: int, read: Callable[[int], bytes], write: Callable[[bytes], None]) -> None:
    """Raw samples in, raw voices out, each hop as soon as it is there; says how many samples were beyond full scale."""
    clipped = 0

    def give(voices: Float32[np.ndarray, "k m"]) -> None:
        nonlocal clipped
        clipped += int((np.abs(voices) > 1).sum())
        levels = np.clip(np.rint(voices.T * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE - 1)
        write(levels.astype("<i2").tobytes())

    for samples in _raw(read, hop):
        give(stream(samples))
    give(stream.finish())
    if clipped:
        print(f"{clipped} samples of the voices were beyond full scale and are cut off", file=sys.stderr)


def _raw(read: Callable[[int], bytes], hop: int) -> Iterator[Float32[np.ndarray, " _"]]:
    """Hops of 16-bit samples, full scale 1; half a sample at the end is left out."""
    while data := read(2 * hop):
        if samples := len(data) // 2:
            yield np.frombuffer(data, "<i2", samples).astype(np.float32) / np.float32(_FULL_SCALE)
