"""The command line. Only the parser lives here, so that --help needs neither torch nor a domain."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0 done, 1 a problem that is explained, 2 wrong usage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    if arguments and arguments[0] not in _COMMANDS and not arguments[0].startswith("-"):
        return _guarded(lambda: _command("domain_command")(arguments))
    parsed = parser.parse_args(arguments)
    if parsed.version:
        from importlib.metadata import version

        print(f"armillary {version('armillary')}")
        return 0
    if not hasattr(parsed, "command"):
        parser.print_help()
        return 0
    return _guarded(lambda: _command(parsed.command)(parsed))


def _command(name: str) -> Callable[..., int]:
    from armillary.pipelines import commands

    return getattr(commands, name)


def _guarded(call: Callable[[], int]) -> int:
    """Errors that a user can act on are printed plainly; others keep their traceback."""
    try:
        return call()
    except KeyboardInterrupt:
        print("stopped; a training run goes on with --resume", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, say) has gone: point stdout elsewhere so that exit stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from armillary.core.errors import ArmillaryError

        if isinstance(error, ArmillaryError | OSError):
            print(f"error: {error}", file=sys.stderr)
            return 1
        raise


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar of the command line."""
    parser = argparse.ArgumentParser(
        prog="armillary",
        description="Scientific machine learning on signals: one core, one command a verb.",
        epilog="Start with: armillary demo. A domain's own verbs: armillary DOMAIN VERB ...",
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, (help_text, fill) in _COMMANDS.items():
        sub = commands.add_parser(name, help=help_text, description=help_text)
        fill(sub)
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the datasets (else ARMILLARY_DATA)")


def _overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="PATH=VALUE", help="one setting")
    parser.add_argument("--config", type=Path, action="append", default=[], metavar="FILE", help="settings in YAML")


def _listing(command: str) -> Callable[[argparse.ArgumentParser], None]:
    def fill(parser: argparse.ArgumentParser) -> None:
        _json(parser)
        parser.set_defaults(command=command)

    return fill


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="DOMAIN/NAME, such as transients/t2-spcc")
    _overrides(parser)
    _root(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: the next free name below runs/)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(command="train")


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder; several are joined, as folds")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--no-baselines", action="store_true", help="the model alone")
    _json(parser)
    _root(parser)
    parser.set_defaults(command="evaluate")


def _predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="files or folders of the field")
    parser.add_argument("--out", type=Path, action="append", required=True, metavar="PATH", help="may be repeated")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="predict.NAME=VALUE")
    parser.add_argument("--chunk-items", type=int, default=1024, metavar="N", help="items in memory at once")
    parser.set_defaults(command="predict")


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--onnx", action="store_true", help="a file for onnxruntime and others that read ONNX")
    parser.add_argument("--torch", action="store_true", help="a program that loads with torch alone")
    parser.add_argument("--int8", action="store_true", help="also an ONNX file of eight-bit numbers, its loss measured")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where onnx/ and torch/ go (default: RUN/export)")
    _json(parser)
    _root(parser)
    parser.set_defaults(command="export")


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders that `evaluate` has seen")
    parser.add_argument("--out", type=Path, metavar="FILE", help="HTML file (default: report.html in the run folder)")
    _root(parser)
    parser.set_defaults(command="report")


def _data(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    texts = {
        "show": "what a card says",
        "check": "compare files with their card",
        "fetch": "bring the files of a card",
        "simulate": "make a simulated dataset",
    }
    for verb, text in texts.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument("card", metavar="CARD")
        if verb != "show":
            _root(sub)
        if verb == "simulate":
            sub.add_argument("--size", choices=("default", "twin"), default="default")
            sub.add_argument("--seed", type=int, default=0)
    parser.set_defaults(command="data")


def _config(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="every value", description="Every value of a recipe or a run.")
    show.add_argument("target", metavar="RECIPE|RUN")
    show.add_argument("--why", action="store_true", help="tell where each value came from")
    _overrides(show)
    _json(show)
    diff = verbs.add_parser("diff", help="what differs", description="Values that differ between two.")
    diff.add_argument("target", metavar="RECIPE|RUN")
    diff.add_argument("other", metavar="RECIPE|RUN")
    _json(diff)
    parser.set_defaults(command="config")


def _describe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="RECIPE|RUN")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="items in the counted batch")
    _overrides(parser)
    _json(parser)
    parser.set_defaults(command="describe")


def _compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="DOMAIN/NAME, such as transients/raw-spcc")
    parser.add_argument(
        "--mixers", required=True, metavar="LIST", help="such as attention,mamba2(state=32),6*mamba2+attention"
    )
    parser.add_argument("--channels", metavar="LIST", help="channel mixers, each beside every mixer")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--budget", type=int, metavar="STEPS", help="optimiser steps (default: the recipe's epochs)")
    parser.add_argument(
        "--lengths", metavar="N,N,...", help="growth of time and memory with the number of tokens instead"
    )
    parser.add_argument("--split", choices=("validation", "test"), default="validation", help="where quality is judged")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="trainings at once")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of each")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the comparison, which a second call goes on with"
    )
    _overrides(parser)
    _root(parser)
    _json(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(command="compare")


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ops", nargs="*", metavar="OP", help="ops to time (default: all)")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: torch's choice)")
    _json(parser)
    parser.set_defaults(command="bench")


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("domain", metavar="DOMAIN", help="an installed domain, yours or ours")
    parser.set_defaults(command="check")


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="where runs and report go")
    parser.set_defaults(command="demo")


_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "domains": ("List the installed domains.", _listing("domains")),
    "recipes": ("List the recipes.", _listing("recipes")),
    "cards": ("List the data cards.", _listing("cards")),
    "train": ("Train a recipe into a run folder.", _train),
    "evaluate": ("Metrics with confidence intervals, baselines beside.", _evaluate),
    "predict": ("Files in, predictions out.", _predict),
    "report": ("One self-contained HTML file about runs.", _report),
    "export": ("A run as files that other programs load, with card and licences.", _export),
    "data": ("Show, check, fetch or simulate a dataset.", _data),
    "config": ("Show or compare configurations.", _config),
    "describe": ("Parameters, counted cost and memory.", _describe),
    "compare": ("Other mixers in a recipe: quality, cost and speed side by side.", _compare),
    "ops": ("Numeric kernels: which tier runs for each op, and why.", _listing("ops")),
    "bench": ("Time the tiers of each op on this machine.", _bench),
    "check": ("Run the conformance kit on a domain.", _check),
    "demo": ("All domains on embedded data, one report.", _demo),
}

COMMAND_NAMES = tuple(_COMMANDS)

if __name__ == "__main__":
    sys.exit(main())
