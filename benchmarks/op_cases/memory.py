"""Peak memory of one call of ours, in a process of its own.

Called as: python memory.py CASE SIZES_JSON THREADS
"""

import ctypes
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from armillary.pipelines.bench import forward_pass, training_pass


def peak_memory(case: str, sizes: Mapping[str, Any], threads: int) -> dict[str, int]:
    """Bytes of the inputs, of the outputs, and of the peak above the inputs, over one call in a fresh process.

    Inputs are without the gradient that a backward pass starts from; outputs are without the gradients it gives.
    """
    command = [sys.executable, __file__, case, json.dumps(dict(sizes)), str(threads)]
    found: dict[str, int] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def _measure(name: str, sizes: Mapping[str, Any], threads: int) -> dict[str, int]:
    from op_cases.table import CASES

    case = CASES[name]
    torch.set_num_threads(threads)
    one_pass = training_pass if case.backward else forward_pass
    one_pass(case.judged_example())()  # libraries, threads and their stacks, once and for all
    example = case.make(**{**case.sizes, **sizes})
    with torch.no_grad():
        outputs = sum(output.nbytes for output in example())
    inputs = sum(tensor.nbytes for tensor in example.inputs.values())
    once = one_pass(example)
    ctypes.CDLL(None).malloc_trim(0)  # freed pages that the allocator keeps would hide what the call needs
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    once()
    return {"inputs": inputs, "outputs": outputs, "peak_above_inputs": _status("VmHWM") - before}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    print(json.dumps(_measure(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))))
