"""Verbs of a domain on the command line: armillary DOMAIN VERB ..."""

from collections.abc import Callable, Sequence
from functools import partial, update_wrapper
from pathlib import Path
from typing import Any

from armillary.core.domain import Domain, Lazy, LoadedRun
from armillary.core.errors import RunError

Verb = Callable[[Sequence[str]], int]


def verbs_of(domain: Domain) -> dict[str, Verb]:
    """The domain's verbs by name, those that work on a run among them."""
    on_runs = {name: _with_runs(call, domain) for name, call in domain.run_commands.items()}
    return {**domain.commands, **on_runs}


def first_line(call: Callable[..., Any]) -> str:
    """What a callable says of itself."""
    function: Any = call.resolve() if isinstance(call, Lazy) else call
    return ((function.__doc__ or "").strip().splitlines() or [""])[0]


def _with_runs(call: Callable[..., int], domain: Domain) -> Verb:
    function = call.resolve() if isinstance(call, Lazy) else call
    return update_wrapper(partial(function, partial(_opened, domain)), function)


def _opened(domain: Domain, folder: Path) -> LoadedRun:
    """The run in a folder.

    Raises:
        RunError: no finished run is there, or it is of another domain.
    """
    # Here, because it brings in torch, which a verb's --help does without.
    from armillary.pipelines.run import Run

    run = Run.load(folder)
    if run.config.domain != domain.name:
        raise RunError(f"{folder}: a run of {run.config.domain}; expected one of {domain.name}.")
    return LoadedRun(run.folder.name, run.config, run.model)
