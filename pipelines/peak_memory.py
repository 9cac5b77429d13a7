"""Largest memory of this process so far."""

import sys


def peak_memory() -> float | None:
    """Largest resident memory of this process so far [byte]; None where the system does not tell (Windows).

    Memory of other processes that it started does not count.
    """
    if sys.platform == "win32":
        return None
    import resource

    # macOS counts in bytes, others in KiB.
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
