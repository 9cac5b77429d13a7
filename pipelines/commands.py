"""What each command does: reads the parsed arguments, calls a verb, prints its result."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from armillary.core.config import RunConfig
from armillary.core.config.overrides import Override, Resolved, parse_set
from armillary.core.config.walk import leaves
from armillary.core.errors import ConfigError, PluginError, RunError, near_miss
from armillary.pipelines.config import changed, load_config, recipe_config, resolve_recipe, value_at, written_overrides
from armillary.pipelines.domain_verbs import first_line, verbs_of
from armillary.pipelines.folder import RunFolder, read_json
from armillary.pipelines.plugins import broken_domains, load_domain, load_domains


def domains(arguments: argparse.Namespace) -> int:
    """Lists installed domains; a broken one is named with its error."""
    found = load_domains()
    broken = broken_domains()
    if arguments.json:
        return _print_json(
            {**{d.name: d.summary for d in found.values()}, **{n: f"broken: {e}" for n, e in broken.items()}}
        )
    rows = [[d.name, d.title, str(len(d.recipes)), d.summary] for d in found.values()]
    rows += [[name, "broken", "-", str(error)] for name, error in broken.items()]
    return _print_table(["domain", "title", "recipes", "summary"], rows)


def recipes(arguments: argparse.Namespace) -> int:
    """Lists recipes with the first line of their docstrings."""
    rows: list[list[str]] = []
    for domain in load_domains().values():
        for name, recipe in domain.recipes.items():
            rows.append([f"{domain.name}/{name}", first_line(recipe)])
    if arguments.json:
        return _print_json(dict(rows))
    return _print_table(["recipe", "what it is"], rows)


def cards(arguments: argparse.Namespace) -> int:
    """Lists data cards."""
    from armillary.pipelines.plugins import all_cards, broken_cards

    found = all_cards()
    for name, error in broken_cards().items():
        print(f"the cards of {name} cannot be read: {error}", file=sys.stderr)
    if arguments.json:
        return _print_json({card.id: card.model_dump(mode="json") for card in found.values()})
    rows = [
        [c.id, c.domain, "simulated" if c.simulated else "observed", c.title, str(c.licence)] for c in found.values()
    ]
    return _print_table(["card", "domain", "kind", "title", "licence"], rows)


def train(arguments: argparse.Namespace) -> int:
    """Trains a recipe."""
    from armillary.pipelines.training import train

    sets = [parse_set(text) for text in arguments.sets]
    run = train(
        arguments.recipe,
        out=arguments.out,
        resume=arguments.resume,
        data_root=arguments.data_root,
        overrides=written_overrides(arguments.recipe, arguments.config, sets),
        quiet=arguments.quiet,
    )
    facts = read_json(run.folder.model / "model.json")
    for key, value in facts.items():
        if key != "sha256":
            print(f"{key}: {value:.4f}" if isinstance(value, float) else f"{key}: {value}")
    print(f"next: armillary evaluate {run.folder.path}")
    return 0


def evaluate(arguments: argparse.Namespace) -> int:
    """Evaluates one run, or several joined."""
    from armillary.pipelines.evaluate import evaluate, table_rows
    from armillary.pipelines.run import load_runs

    runs = load_runs(arguments.runs, arguments.data_root)
    result = evaluate(runs, arguments.split, baselines=False if arguments.no_baselines else None)
    if arguments.json:
        return _print_json(result)
    header, *rows = table_rows(result)
    note = f"{result['recipe']}, {result['split']} split, {result['items']} items"
    note += "  SIMULATED DATA" if result["simulated"] else ""
    print(f"{note}; intervals of {100 * result['confidence']:.0f} % from {result['resamples']} resamples")
    return _print_table(header, rows)


def predict(arguments: argparse.Namespace) -> int:
    """Predicts files."""
    from armillary.pipelines.predict import predict
    from armillary.pipelines.run import Run

    run = Run.load(arguments.run)
    sets = [parse_set(text) for text in arguments.sets]
    for override in sets:
        if not override.path.startswith("predict."):
            raise ConfigError(f"{override.origin}: only predict.* may be set here; a run keeps its other settings.")
    base = load_config(run.folder).config
    resolved = resolve_recipe(base.recipe, [*_as_overrides(base), *sets])
    summary = predict(
        run, arguments.inputs, arguments.out, settings=resolved.config.predict, chunk_items=arguments.chunk_items
    )
    print(summary, file=sys.stderr if summary.problems else sys.stdout)
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Writes a run as files for other programs."""
    from armillary.pipelines.export import FORMATS, ExportWarning, Format

    formats: list[Format] = [name for name in FORMATS if getattr(arguments, name)]
    if not formats or (arguments.int8 and not arguments.onnx):
        wrong = "--int8 is a form of the ONNX file: give --onnx, too" if formats else "give --onnx, --torch or both"
        print(f"usage: armillary export RUN [--onnx [--int8]] [--torch] [--out DIR]\n{wrong}", file=sys.stderr)
        return 2
    import warnings

    from armillary.pipelines.run import Run

    run = Run.load(arguments.run, data_root=arguments.data_root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExportWarning)  # told below, in plain words
        cards = run.export(formats, int8=arguments.int8, out=arguments.out)
    for card in cards.values():
        if warning := card.get("int8", {}).get("warning"):
            print(f"warning: {warning}", file=sys.stderr)
    if arguments.json:
        return _print_json(cards)
    return _print_exports(cards, arguments.out or arguments.run / "export")


def _print_exports(cards: dict[str, Any], out: Path) -> int:
    for name, card in cards.items():
        worst = max(card["parity"]["largest difference"][name] for name in card["parity"]["judged"])
        print(f"{out / name}: {', '.join(card['files'])}; differs from the model by {worst:.1e} at most")
        for form, about in card.get("int8", {}).get("forms", {}).items():
            metrics = ", ".join(f"{metric} {value:.4f}" for metric, value in about["metrics"].items())
            print(f"  {form}: {metrics}, {about['milliseconds']:.3f} ms an item")
        print(f"  licence of the training data: {card['licence']}")
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Writes the HTML report of runs."""
    from armillary.pipelines.reporting import report_runs
    from armillary.pipelines.run import Run

    runs = [Run.load(path, data_root=arguments.data_root) for path in arguments.runs]
    print(report_runs(runs, arguments.out or runs[0].folder.report))
    return 0


def data(arguments: argparse.Namespace) -> int:
    """The verbs of datasets."""
    from armillary.pipelines import data

    if arguments.verb == "show":
        print(data.show(arguments.card))
        return 0
    if arguments.verb == "check":
        text, good = data.check(arguments.card, arguments.data_root)
        print(text)
        return 0 if good else 1
    if arguments.verb == "fetch":
        print(data.fetch(arguments.card, arguments.data_root))
        return 0
    print(data.simulate(arguments.card, arguments.data_root, arguments.seed, arguments.size))
    return 0


def config(arguments: argparse.Namespace) -> int:
    """Shows or compares configurations."""
    if arguments.verb == "diff":
        return _diff(arguments)
    resolved = _resolved(arguments.target, arguments.config, arguments.sets)
    if arguments.json:
        values = resolved.config.model_dump(mode="json")
        return _print_json({"config": values, "origins": dict(resolved.origins)} if arguments.why else values)
    rows = [[path, _text(value)] for path, value in leaves(resolved.config)]
    if not arguments.why:
        return _print_table(["setting", "value"], rows)
    return _print_table(["setting", "value", "from"], [[*row, resolved.origin(row[0])] for row in rows])


def describe(arguments: argparse.Namespace) -> int:
    """Parameters, cost and memory of a recipe's model, without making its weights."""
    from armillary.core.cost import describe

    config = _resolved(arguments.target, arguments.config, arguments.sets).config
    domain = load_domain(config.domain)
    found = describe(lambda: domain.build(config), domain.example_batch(config, arguments.batch_size))
    if arguments.json:
        return _print_json({"recipe": config.recipe, **found.to_dict()})
    Console().print(f"{config.recipe}: {arguments.batch_size} item(s)", highlight=False)
    Console().print(found.table())
    return 0


def compare(arguments: argparse.Namespace) -> int:
    """Compares mixers in a recipe."""
    from armillary.pipelines.compare import Plan, compare
    from armillary.pipelines.compare_table import quality_rows

    sets = [parse_set(text) for text in arguments.sets]
    overrides = tuple(written_overrides(arguments.recipe, arguments.config, sets))
    plan = Plan(arguments.recipe, overrides, arguments.budget, arguments.split)
    out = arguments.out or Path("runs") / f"compare-{arguments.recipe.replace('/', '-')}"
    if arguments.lengths:
        return _growth(arguments, plan, out)
    result = compare(
        plan,
        arguments.mixers,
        arguments.channels,
        out=out,
        seeds=arguments.seeds,
        jobs=arguments.jobs,
        threads=arguments.threads,
        data_root=arguments.data_root,
        quiet=arguments.quiet,
    )
    if arguments.json:
        return _print_json(result)
    mark = "  SIMULATED DATA" if result["simulated"] else ""
    print(f"{plan.recipe}, {plan.split} split, {result['items']} items, mean ± sd over seeds{mark}")
    header, *rows = quality_rows(result)
    _print_table(header, rows)
    print(f"{out / 'compare.json'}, {out / 'compare.png'}")
    return 0


def _growth(arguments: argparse.Namespace, plan: Any, out: Path) -> int:
    from armillary.pipelines.compare import growth
    from armillary.pipelines.compare_figure import draw_growth
    from armillary.pipelines.compare_table import growth_rows
    from armillary.pipelines.folder import write_json

    try:
        lengths = [int(text) for text in arguments.lengths.split(",")]
    except ValueError as error:
        raise ConfigError(f"--lengths {arguments.lengths}: expected numbers of tokens, such as 256,1024") from error
    result = growth(plan, arguments.mixers, arguments.channels, lengths, out=out, threads=arguments.threads)
    write_json(out / "growth.json", result)
    draw_growth(result).savefig(out / "growth.png", dpi=150)
    if arguments.json:
        return _print_json(result)
    header, *rows = growth_rows(result)
    _print_table(header, rows)
    print(f"{out / 'growth.json'}, {out / 'growth.png'}")
    return 0


def ops(arguments: argparse.Namespace) -> int:
    """Which tier of each op runs on the CPU and on a GPU, and why."""
    import torch

    from armillary.core.ops.library import cpu_level, library_problem
    from armillary.core.ops.table import OPS

    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    choices = {name: {device: op.choose(device) for device in devices} for name, op in OPS.items()}
    level = None if library_problem() else cpu_level()
    if arguments.json:
        told = {name: {device: vars(choice) for device, choice in found.items()} for name, found in choices.items()}
        return _print_json({"cpu_level": level, "ops": told})
    print(f"native library: {library_problem() or f'instruction set {level}'}")
    if len(devices) == 1:
        print("no GPU here: the triton tiers rest")
    rows = [
        [name, device, choice.tier, choice.reason, ", ".join(OPS[name].tiers)]
        for name, found in choices.items()
        for device, choice in found.items()
    ]
    return _print_table(["op", "device", "tier", "why", "written"], rows)


def bench(arguments: argparse.Namespace) -> int:
    """Times the tiers of ops."""
    from armillary.pipelines.bench import bench, bench_table

    rows = bench(arguments.ops, arguments.repeats, arguments.threads)
    if arguments.json:
        return _print_json(rows)
    header, *table = bench_table(rows)
    return _print_table(header, table)


def check(arguments: argparse.Namespace) -> int:
    """Runs the conformance kit of domains."""
    from armillary.core.testing.domains import check_domain

    results = check_domain(load_domain(arguments.domain), print_line=print)
    failed = [name for name, problem in results.items() if problem]
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def demo(arguments: argparse.Namespace) -> int:
    """All domains on embedded data, one report."""
    from armillary.pipelines.demo import demo

    print(f"report: {demo(arguments.out)}")
    return 0


def domain_command(arguments: Sequence[str]) -> int:
    """A domain's own verb: armillary DOMAIN VERB ..."""
    name, *rest = arguments
    found = load_domains()
    if name not in found:
        from armillary.pipelines.cli import COMMAND_NAMES

        raise PluginError(f"'{name}' is neither a command nor a domain{near_miss(name, [*COMMAND_NAMES, *found])}")
    verbs = verbs_of(found[name])
    if not rest or rest[0] in ("-h", "--help"):
        print(f"usage: armillary {name} VERB ...\n{found[name].title}; each verb has --help.")
        return _print_table(["verb", "what it does"], [[verb, first_line(call)] for verb, call in verbs.items()])
    if rest[0] not in verbs:
        raise PluginError(f"{name} has no verb '{rest[0]}'. It has: {', '.join(verbs) or 'none'}.")
    return verbs[rest[0]](rest[1:])


def _resolved(target: str, files: Sequence[Path], sets: Sequence[str]) -> Resolved[RunConfig]:
    """A recipe with overrides, or the configuration of a run folder."""
    if Path(target).is_dir():
        if files or sets:
            raise RunError(f"{target} is a finished run; its settings cannot be overridden. Name its recipe instead.")
        saved = load_config(RunFolder(Path(target)))
        return Resolved(saved.config, saved.origins)
    try:
        recipe_config(target)
    except (ConfigError, PluginError) as error:
        raise type(error)(f"'{target}' is neither a recipe nor a run folder: {error}") from error
    return resolve_recipe(target, written_overrides(target, files, [parse_set(text) for text in sets]))


def _as_overrides(config: RunConfig) -> list[Override]:
    recipe = resolve_recipe(config.recipe, []).config
    return [Override(path, value_at(config, path), "the run") for path in changed(recipe, config)]


def _diff(arguments: argparse.Namespace) -> int:
    first, second = (_resolved(target, [], []).config for target in (arguments.target, arguments.other))
    a, b = dict(leaves(first)), dict(leaves(second))
    rows = [[path, _text(a.get(path, "-")), _text(b.get(path, "-"))] for path in changed(first, second)]
    if arguments.json:
        return _print_json({path: [left, right] for path, left, right in rows})
    return _print_table(["setting", arguments.target, arguments.other], rows)


def _text(value: Any) -> str:
    return json.dumps(value, default=str) if isinstance(value, (dict, list, tuple)) else str(value)


def _print_json(value: Any) -> int:
    from armillary.pipelines.folder import plain

    print(json.dumps(plain(value), indent=1))
    return 0


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """A table on a terminal; tab-separated lines in a pipe, so that other programs can read them."""
    console = Console()
    if not console.is_terminal:
        for row in (header, *rows):
            print("\t".join(row))
        return 0
    table = Table(*header, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    return 0
