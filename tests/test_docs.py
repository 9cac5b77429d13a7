"""What the documentation shows is true: commands parse, settings exist, Python runs, links lead somewhere."""

import argparse
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from armillary.core.config.overrides import parse_set, read_yaml, resolve
from armillary.core.config.parts import CHANNELS, MIXERS, build_part
from armillary.core.cost import describe
from armillary.core.errors import ConfigError
from armillary.core.mixers.protocol import Capabilities
from armillary.core.ops.table import OPS
from armillary.pipelines.cli import COMMAND_NAMES, build_parser
from armillary.pipelines.compare import Plan, admitted
from armillary.pipelines.config import recipe_config, resolve_recipe
from armillary.pipelines.plugins import find_card, load_domain

ROOT = Path(__file__).parents[1]
GUIDES = (ROOT / "domains").glob("*/guide.md")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), *sorted(GUIDES)]
SHELL = ("sh", "console")
# Programs that a page may name beside armillary.
OTHERS = ("make", "export", "pip", "python", "python3")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text, and the comment before it, as in `<!-- run: simulated -->`."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def kind(self) -> str:
        return self.mark.partition(":")[0]

    @property
    def value(self) -> str:
        return self.mark.partition(":")[2].strip()


_FENCE = re.compile(r"^(?:<!-- ([^>]*?) -->\n)?```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], found[1] or "", found[3])
        for found in _FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks(page)]


def chosen(*languages: str, kind: str | None = None) -> list[Block]:
    """Blocks of these languages, with a mark of that kind if one is given."""
    return [block for block in BLOCKS if block.language in languages and kind in (None, block.kind)]


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each command of a shell block; of a console block those after the prompt."""
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ")
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words:
            yield words


COMMANDS = [(block, words) for block in chosen(*SHELL) for words in commands(block)]
OURS = [(block, words) for block, words in COMMANDS if words[0] == "armillary"]
# A domain's own verbs, armillary DOMAIN VERB ..., have parsers of their own.
VERBS = [(block, words) for block, words in OURS if words[1:2] and words[1] not in COMMAND_NAMES]
ARMILLARY = [pair for pair in OURS if pair not in VERBS]


def of_verb(verb: str) -> list[tuple[Block, list[str]]]:
    """The armillary commands of one verb."""
    return [(block, words) for block, words in ARMILLARY if words[1:2] == [verb]]


def named(pairs: list[tuple[Block, list[str]]]) -> list[str]:
    return [f"{block}: {' '.join(words)}" for block, words in pairs]


def test_every_page_was_found():
    assert len(PAGES) >= 9
    assert len(ARMILLARY) > 30


def test_the_readme_opens_with_the_two_commands():
    first = blocks(ROOT / "README.md")[0]
    assert first.text == "make demo\nmake test\n"
    assert first.line <= 3


@pytest.mark.parametrize("words", [words for _, words in COMMANDS], ids=named(COMMANDS))
def test_a_command_is_one_of_those_we_know(words: list[str]):
    program = words[0].removeprefix(".venv/bin/")
    if words[0].startswith(".venv/bin/"):
        assert (Path(sys.executable).parent / program).exists() or program in ("pip", "python")
    elif program != "armillary":
        assert program in OTHERS
    if program == "make":
        targets = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
        assert set(words[1:]) <= set(" ".join(targets).split())


@pytest.mark.parametrize(("block", "words"), ARMILLARY, ids=named(ARMILLARY))
def test_an_armillary_line_parses_and_names_what_exists(block: Block, words: list[str]):
    try:
        parsed = vars(build_parser().parse_args(words[1:]))
    except SystemExit:
        pytest.fail(f"{block}: the command line is wrong: {' '.join(words)}")
    recipes = [parsed[name] for name in ("recipe", "target", "other") if is_recipe(parsed.get(name))]
    # predict names a run; its predict.* settings are those of the domain.
    homes = {"modulation": "modulation/clst-rml2016a", "speech": "speech/small"}
    home = homes.get(block.page.parent.name, "transients/raw-spcc")
    base = recipes[0] if recipes else home
    if base.startswith("waves/"):
        return  # the plugin page's own domain, which another test installs
    resolve_recipe(base, [parse_set(text) for text in parsed.get("sets", [])])
    for recipe in recipes:
        recipe_config(recipe)
    if "card" in parsed:
        find_card(parsed["card"])


@pytest.mark.parametrize(("block", "words"), VERBS, ids=named(VERBS))
def test_a_line_of_a_verb_of_a_domain_parses(block: Block, words: list[str]):
    _, domain, verb, *rest = words
    try:
        verb_parser(domain, verb).parse_args(rest)
    except SystemExit:
        pytest.fail(f"{block}: the command line is wrong: {' '.join(words)}")


def verb_parser(domain: str, verb: str) -> argparse.ArgumentParser:
    """What `parser` of the module gives that has a domain's verb."""
    found = load_domain(domain)
    home, _, _ = {**found.commands, **found.run_commands}[verb].target.partition(":")
    return importlib.import_module(home).parser()


@pytest.mark.parametrize(("block", "words"), of_verb("describe"), ids=named(of_verb("describe")))
def test_what_a_page_describes_can_be_built(block: Block, words: list[str]):
    parsed = build_parser().parse_args(words[1:])
    if is_recipe(parsed.target) and not parsed.config:
        config = resolve_recipe(parsed.target, [parse_set(text) for text in parsed.sets]).config
        with torch.device("meta"):
            load_domain(config.domain).build(config)


@pytest.mark.parametrize(("block", "words"), of_verb("compare"), ids=named(of_verb("compare")))
def test_every_mixer_of_a_comparison_serves_its_recipe(block: Block, words: list[str]):
    parsed = build_parser().parse_args(words[1:])
    plan = Plan(parsed.recipe, tuple(parse_set(text) for text in parsed.sets), parsed.budget)
    config = resolve_recipe(plan.recipe, plan.all_overrides).config
    found = admitted(config, plan, parsed.mixers, parsed.channels)
    assert found.accepted
    assert not found.refused


def is_recipe(name: object) -> bool:
    """Whether a name in the documentation is a recipe's: runs are called runs/... there."""
    return isinstance(name, str) and not name.startswith("runs/")


def test_recipes_and_cards_named_in_the_text_exist():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for name in set(re.findall(r"transients/(?:raw|t2)-\w+", text)):
        recipe_config(name)


@pytest.mark.parametrize("block", [block for block in chosen("yaml") if block.kind != "broken"], ids=str)
def test_yaml_is_well_formed_and_fits_its_recipe(block: Block, tmp_path: Path):
    assert isinstance(yaml.safe_load(block.text), dict)
    if block.kind == "recipe":
        path = tmp_path / "my.yaml"
        path.write_text(block.text)
        base = recipe_config(block.value)
        overrides = read_yaml(path, base)
        assert overrides
        assert resolve(base, overrides).config != base


@pytest.mark.parametrize("block", chosen("yaml", kind="broken"), ids=str)
def test_a_broken_configuration_gives_the_message_shown(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(block.text)
    following = [other for other in BLOCKS if other.page == block.page and other.line > block.line]
    base = recipe_config(block.value)
    with pytest.raises(ConfigError) as caught:
        resolve(base, read_yaml(Path("my.yaml"), base))
    assert str(caught.value) == following[0].text.rstrip("\n")


@pytest.mark.parametrize("block", chosen("python"), ids=str)
def test_python_compiles(block: Block):
    compile(block.text, str(block), "exec")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the twin of the demo's survey as the demo's data and as my_survey/."""
    from armillary.domains.transients import DOMAIN

    folder = tmp_path_factory.mktemp("workplace")
    made = DOMAIN.simulate("simulated_lsst", folder / "cache" / "data", 0, "twin")
    shutil.copytree(made, folder / "my_survey")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ARMILLARY_DATA", raising=False)
        patch.chdir(folder)
        yield folder


@pytest.mark.parametrize("kind", ["simulated", "finished"])
def test_python_marked_to_run_does(kind: str, workplace: Path, monkeypatch: pytest.MonkeyPatch):
    """'simulated' blocks make runs/first; 'finished' ones come after and read it."""
    monkeypatch.setenv("ARMILLARY_CACHE", str(workplace / "cache"))
    found = [block for block in chosen("python", kind="run") if block.value == kind]
    assert found
    for block in found:
        exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
    assert (workplace / "runs" / "first" / "model" / "model.json").exists()


@pytest.mark.parametrize("block", [block for block in chosen("python", kind="run") if block.value == "alone"], ids=str)
def test_python_that_needs_nothing_runs(block: Block):
    with torch.random.fork_rng():
        exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


def test_every_mark_is_one_that_a_test_reads():
    known = {"", "run", "recipe", "broken", "file"}
    assert {block.kind for block in BLOCKS} <= known
    assert {block.value for block in chosen("python", kind="run")} <= {"simulated", "finished", "alone"}


def test_the_plugin_of_the_documentation_passes_the_conformance_kit(tmp_path: Path):
    for block in BLOCKS:
        if block.kind == "file":
            path = tmp_path / block.value
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
    (tmp_path / "armillary_waves" / "cards" / "__init__.py").write_text("")
    info = tmp_path / "armillary_waves-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: armillary-waves\nVersion: 0.1\n")
    project = (tmp_path / "pyproject.toml").read_text()
    (entry,) = re.findall(r'^waves = "(.*)"$', project, re.M)
    (info / "entry_points.txt").write_text(f"[armillary.domains]\nwaves = {entry}\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "armillary.pipelines.cli", "check", "waves"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout


def table(mark: str, page: str = "mixers.md") -> list[dict[str, str]]:
    """Rows of the table after a mark of a page of docs/, by column."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    lines = text.partition(f"<!-- {mark} -->\n")[2].partition("\n\n")[0].splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, row, strict=True)) for row in rows]


_SPEECH = table("recipes", "../domains/speech/guide.md")


def test_every_recipe_of_speech_has_its_row():
    assert [row["recipe"].strip("`") for row in _SPEECH] == list(load_domain("speech").recipes)


@pytest.mark.parametrize("row", _SPEECH, ids=lambda row: row["recipe"].strip("`"))
def test_the_table_of_recipes_of_speech_counts_as_describe_does(row: dict[str, str]):
    config = recipe_config(f"speech/{row['recipe'].strip('`')}")
    domain = load_domain("speech")
    batch = domain.example_batch(config, 1)
    found = describe(lambda: domain.build(config), batch)
    assert row["parameters"] == f"{found.parameters:,}"
    seconds = batch["mixture"].shape[1] / config.data.sample_rate_hz
    assert float(row["GMAC a second"]) == pytest.approx(found.mac / seconds / 1e9, rel=0.01)


_MEDICAL = table("recipes", "../domains/medical/guide.md")
_UNITS = {"M": 1e6, "G": 1e9}


def test_every_recipe_of_medical_has_its_row():
    assert [row["recipe"].strip("`") for row in _MEDICAL] == list(load_domain("medical").recipes)


@pytest.mark.parametrize("row", _MEDICAL, ids=lambda row: row["recipe"].strip("`"))
def test_the_table_of_recipes_of_medical_counts_as_describe_does(row: dict[str, str]):
    config = recipe_config(f"medical/{row['recipe'].strip('`')}")
    domain = load_domain("medical")
    found = describe(lambda: domain.build(config), domain.example_batch(config, 1))
    assert row["parameters"] == f"{found.parameters:,}"
    number, unit = row["MAC"].split()
    assert float(number) * _UNITS[unit] == pytest.approx(found.mac, rel=0.03)


def capabilities(kind: str, **settings: object) -> Capabilities:
    """What the mixer of a kind declares, with these settings."""
    made = MIXERS[kind].settings.model_validate(settings)
    return build_part(MIXERS, made, 64).capabilities


def ranks(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d", text)))


def test_every_mixer_and_channel_mixer_has_its_row():
    assert [row["kind"].strip("`") for row in table("channels")] == list(CHANNELS)
    assert sorted(row["kind"].strip("`") for row in table("mixers")) == sorted(MIXERS)
    architecture = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [kind for kind in (*MIXERS, *CHANNELS) if f"`{kind}`" not in architecture] == []


@pytest.mark.parametrize("row", table("mixers"), ids=lambda row: row["kind"].strip("`"))
def test_the_table_of_mixers_says_what_they_declare(row: dict[str, str]):
    kind = row["kind"].strip("`")
    can = capabilities(kind)
    assert can.cost_order == row["cost"]
    assert {"packed": can.packed_segments, "context": can.cross} == {
        name: name in row["also"] for name in ("packed", "context")
    }
    default, _, others = row["axes of a grid"].partition(";")
    assert can.grid_ranks == ranks(default)
    for rank in ranks(others):
        by_name = {"rank": rank, "scan.rank": {"rank": rank}, "extents": (4,) * rank}
        name = others.split("`")[1]
        assert capabilities(kind, **{name.partition(".")[0]: by_name[name]}).grid_ranks == (rank,)


@pytest.mark.parametrize("row", table("mixers"), ids=lambda row: row["kind"].strip("`"))
def test_the_table_of_mixers_says_which_are_causal_and_what_changes_it(row: dict[str, str]):
    kind = row["kind"].strip("`")
    can, fields = capabilities(kind), MIXERS[kind].settings.model_fields
    assert row["causal"].startswith("yes" if can.causal else "no")
    named_settings = re.findall(r"`(\w+)`", row["causal"])
    assert named_settings == [name for name in ("causal", "bidirectional") if name in fields]
    for name in named_settings:
        changed = capabilities(kind, **{name: not fields[name].default})
        assert changed.causal != can.causal
        assert changed.streaming == changed.causal
    assert can.streaming == can.causal


def test_the_table_of_ops_says_which_tiers_they_have():
    told = {
        row["op"].strip("`"): {tier for tier in ("native", "triton") if row[tier] == "yes"}
        for row in table("ops", "kernels.md")
    }
    assert told == {name: set(op.tiers) - {"reference", "portable"} for name, op in OPS.items()}


def anchors(page: Path) -> set[str]:
    """The anchors that headings make."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_internal_links_resolve(page: Path):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target} leads nowhere"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_in_the_text_exist(page: Path):
    """Paths in back quotes that begin with a folder of the repository."""
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`((?:core|domains|pipelines|data_cards|tests|benchmarks|docs)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{page.name} names {path}"
