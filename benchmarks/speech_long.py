"""What long recordings cost: memory and time of `armillary predict`, hops in real time of `armillary speech stream`.

    ARMILLARY_DATA=<data root> python benchmarks/speech_long.py --small RUN --causal RUN

Recordings of 5, 15, 30 and 60 minutes are joined from the test list of libri2mix_mini, so that a mixture has pauses
and changes of readers as a meeting has. Each is separated in a fresh process on one thread, with every sample counted
in the files that come out. The stream takes the first 5 minutes in hops of 20 ms. Runs are folders that
`armillary train` made; memory and time do not depend on how well they were trained.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from armillary.pipelines.folder import describe_machine, plain
from armillary.pipelines.run import Run

RESULT = Path(__file__).parent / "results" / "speech_long.json"
MINUTES = (5, 15, 30, 60)
_COST = re.compile(r"([0-9.]+) s for ([0-9.]+) s of signal \(real-time factor ([0-9.e-]+)\), peak memory ([0-9]+) MB")


def recording(run: Run, minutes: int, path: Path) -> int:
    """Writes a recording of so many minutes as 16-bit WAV; returns its number of samples."""
    rate = int(run.config.data.sample_rate_hz)  # pyright: ignore[reportAttributeAccessIssue]
    items, left = run.items("test"), 60 * minutes * rate
    with soundfile.SoundFile(path, "w", rate, 1, "PCM_16") as file:
        place = 0
        while left:
            mixture = items[(0, place % len(items))]["mixture"][:left]
            file.write(mixture)
            left, place = left - len(mixture), place + 1
    return 60 * minutes * rate


def separate(run: Path, source: Path, samples: int, folder: Path) -> dict[str, Any]:
    """Cost of separating one file in a process of its own; every sample must come out."""
    told = _armillary("predict", str(run), str(source), "--out", str(folder))
    found = _COST.search(told)
    assert found, told
    voices = sorted(folder.glob("*.wav"))
    lengths = [soundfile.info(voice).frames for voice in voices]
    assert lengths == [samples] * len(lengths), lengths
    assert voices, folder
    loud = [float(np.abs(soundfile.read(voice, frames=80_000)[0]).max()) for voice in voices]
    assert min(loud) > 0, loud
    seconds, signal, factor, peak = map(float, found.groups())
    return {"seconds": seconds, "signal_s": signal, "real_time_factor": factor, "peak_mb": peak}


def _armillary(*arguments: str) -> str:
    code = "import torch; torch.set_num_threads(1); from armillary.pipelines.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def main() -> None:
    """Measures both and writes one JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=Path, required=True, help="finished run of speech/small")
    parser.add_argument("--causal", type=Path, required=True, help="finished run of speech/ssm-causal")
    options = parser.parse_args()
    run, costs = Run.load(options.small), dict[str, Any]()
    with tempfile.TemporaryDirectory() as work:
        for minutes in MINUTES:
            source = Path(work) / f"{minutes}.wav"
            samples = recording(run, minutes, source)
            costs[f"{minutes} min"] = separate(options.small, source, samples, Path(work) / f"voices{minutes}")
            print(minutes, costs[f"{minutes} min"], flush=True)
        stream = _armillary("speech", "stream", str(options.causal), f"{work}/5.wav", "--out", f"{work}/streamed")
    record = {
        "machine": describe_machine(), "threads": 1, "command": " ".join(["python", *sys.argv]),
        "asked": "60 min in under 2,000 MB, memory flat in length, faster than real time; 20 ms hops in real time",
        "result": {"predict": costs, "stream": stream.strip().splitlines()[1:]},
    }  # fmt: skip
    RESULT.write_text(json.dumps(plain(record), indent=1) + "\n")
    print(stream)


if __name__ == "__main__":
    main()
