"""What scripts of cells have in common: which to run, where their run folders go, and which are finished."""

import argparse
from collections.abc import Collection, Iterator
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def cell_parser(description: str | None, cells: Collection[str], runs: str) -> argparse.ArgumentParser:
    """The command line of a script: cells, --runs, --again."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", nargs="*", choices=[*cells, []], help="default: all")
    parser.add_argument("--runs", type=Path, default=Path(runs), help="where the run folders go")
    parser.add_argument("--again", action="store_true", help="judge finished cells again")
    return parser


def unfinished(arguments: argparse.Namespace, cells: Collection[str]) -> Iterator[str]:
    """The cells that are asked for and have no result yet, or all that are asked for again; told as they come."""
    for name in arguments.cells or cells:
        if arguments.again or not (RESULTS / f"{name}.json").exists():
            print(f"{name} ...", flush=True)
            yield name
