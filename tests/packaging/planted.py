"""Plants a type error where the checker looks and fails unless it is found. Run by `make lint`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLANT = ROOT / "core" / "_planted_type_error.py"
LINKED = ROOT / ".typing" / "armillary" / "core" / PLANT.name
CODE = '''"""Not part of the package."""

from armillary.core.errors import near_miss

WRONG: int = near_miss("a", ["b"])
'''


def main() -> int:
    """0 when the checker finds the planted error, and only it."""
    PLANT.write_text(CODE, encoding="utf-8")
    try:
        command = [sys.executable, "-m", "pyright", "-p", str(ROOT / ".typing"), str(LINKED)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        PLANT.unlink()
    found = "reportAssignmentType" in done.stdout and "1 error" in done.stdout
    print("planted type error: found" if found else f"planted type error: NOT found\n{done.stdout}{done.stderr}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
