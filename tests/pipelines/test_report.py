"""The report is one safe, self-contained, readable file."""

import math
import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from armillary.core.domain import Sound
from armillary.pipelines.report import (
    Interval,
    ReportData,
    ReportInput,
    ReportMetric,
    best,
    number,
    whiskers,
    write_report,
)
from armillary.pipelines.report_figures import ReportFigure, data_address, training_curve
from armillary.pipelines.report_sounds import report_sounds

HOSTILE = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(2)>"
LOSS = ReportMetric(
    "log loss",
    "min",
    {"forest": Interval(0.503, 0.488, 0.519), "model": Interval(0.291, 0.278, 0.305), "guess": Interval(math.nan)},
    primary=True,
)
CURVE = [{"step": 10 * n, "train loss": 1.0 / n, "validation log loss": 1.2 / n if n % 2 else None} for n in (1, 2, 3)]


def picture() -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0.0, 1.0], [1.0, 0.0])
    return figure


def run(title: str = "Supernova types", simulated: bool = False, alt: str = "A falling line") -> ReportInput:
    data = ReportData(
        "A survey", "CC0-1.0", ("Author 2020",), simulated, {"train": 1200, "test": 34}, "https://example.org/survey"
    )
    return ReportInput(
        title=title,
        question="Which type is it?",
        recipe="transients/raw-spcc",
        data=(data,),
        protocol="Stratified.\n\nJudged once.",
        metrics=(LOSS, ReportMetric("accuracy", "max", {"model": Interval(0.9)})),
        intervals="95 % bootstrap over objects",
        figures=(ReportFigure("line", picture(), "A line.", alt),),
        sounds=report_sounds({"tone": Sound(np.sin(np.arange(800.0)), 8000, alt, title)}),
        cost={"Parameters": "13,454"},
        curve=CURVE,
        environment={"System": "Linux"},
        commands=("armillary train transients/raw-spcc",),
        warnings=("3 objects are left out.",),
    )


FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Page(HTMLParser):
    """Collects elements with attributes, and the text outside style."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def written(folder: Path, *runs: ReportInput) -> Page:
    return Page(write_report(runs, folder / "report.html"))


def test_every_part_of_a_run_is_in_the_page(tmp_path: Path) -> None:
    text = " ".join(written(tmp_path, run()).text.split())
    for part in (
        "Which type is it?", "A survey", "CC0-1.0", "Author 2020", "train 1,200, test 34", "Stratified.",
        "Judged once.", "0.291", "0.278 to 0.305", "0.503", "95 % bootstrap over objects", "lower is better", "13,454",
        "Linux", "armillary train transients/raw-spcc", "3 objects are left out.", "forest",
    ):  # fmt: skip
        assert part in text


def test_elements_are_closed_in_order_and_ids_are_unique(tmp_path: Path) -> None:
    page = written(tmp_path, run("one"), run("two"))
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) == 2


def test_nothing_is_loaded_from_a_network(tmp_path: Path) -> None:
    page = written(tmp_path, run(), run(simulated=True))
    for _, attributes in page.elements:
        for name in ("src", "srcset", "data", "poster", "action", "background"):
            assert (attributes.get(name) or "data:").startswith("data:")
    assert not page.named("script")
    assert not page.named("link")
    source = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "@import" not in source
    assert "url(" not in source
    policy = next(meta for meta in page.named("meta") if "http-equiv" in meta)
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_every_picture_has_words_for_it(tmp_path: Path) -> None:
    images = written(tmp_path, run()).named("img")
    assert len(images) == 2  # the figure and the training curve
    assert all(image["alt"] for image in images)


def test_every_player_has_words_for_it_and_waits_to_be_asked(tmp_path: Path) -> None:
    (player,) = written(tmp_path, run()).named("audio")
    assert player["aria-label"] == "Supernova types: A falling line"
    assert (player["src"] or "").startswith("data:audio/wav;base64,")
    assert "controls" in player
    assert "autoplay" not in player


def test_the_page_may_play_what_it_holds_and_nothing_else(tmp_path: Path) -> None:
    policy = next(meta for meta in written(tmp_path, run()).named("meta") if "http-equiv" in meta)
    assert "media-src data:;" in (policy["content"] or "")


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    hostile = run(HOSTILE, alt=HOSTILE)
    metric = ReportMetric(HOSTILE, "min", {HOSTILE: Interval(1.0), "model": Interval(2.0)}, primary=True)
    data = ReportData(HOSTILE, HOSTILE, (HOSTILE,), True, {HOSTILE: 1}, "javascript:alert(1)")
    fields = {name: getattr(hostile, name) for name in hostile.__dataclass_fields__}
    fields |= {"question": HOSTILE, "protocol": HOSTILE, "metrics": (metric,), "data": (data,), "commands": (HOSTILE,)}
    fields |= {"cost": {HOSTILE: HOSTILE}, "warnings": (HOSTILE,), "recipe": HOSTILE}
    page = written(tmp_path, ReportInput(**fields))
    assert not page.named("script")
    assert all((image["src"] or "").startswith("data:") for image in page.named("img"))
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert not any((link.get("href") or "").startswith("javascript") for link in page.named("a"))
    assert HOSTILE in page.text


def test_simulated_data_are_labelled_wherever_they_show(tmp_path: Path) -> None:
    # title, result, dataset, figures, one picture, sounds, training curve
    assert written(tmp_path, run(simulated=True)).text.count("simulated data") == 7
    assert "simulated" not in written(tmp_path, run(simulated=False)).text


def test_several_runs_have_a_table_of_contents(tmp_path: Path) -> None:
    page = written(tmp_path, run("first"), run("second"))
    assert [link["href"] for link in page.named("a") if (link["href"] or "").startswith("#")] == ["#run-1", "#run-2"]
    assert not written(tmp_path, run()).named("nav")


def test_a_run_with_nothing_optional_still_makes_a_page(tmp_path: Path) -> None:
    bare = ReportInput(title="t", question="q", recipe="d/r", data=(), protocol="p", metrics=())
    assert written(tmp_path, bare).named("img") == []


def test_a_report_of_no_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one run"):
        write_report([], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    pages = [write_report([run()], tmp_path / name).read_bytes() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]


def test_the_model_comes_first_and_the_best_is_found() -> None:
    assert run().methods == ("model", "forest", "guess")
    assert best(LOSS) == "model"
    assert best(ReportMetric("accuracy", "max", dict(LOSS.values))) == "forest"
    assert best(ReportMetric("accuracy", "max", {"model": Interval(0.9), "guess": Interval(None)})) is None

    bound = {**LOSS.values, "oracle_mask": Interval(99.0)}
    assert best(ReportMetric("accuracy", "max", bound)) == "forest"


def test_whiskers_keep_the_order_and_ratios_of_the_values() -> None:
    found = whiskers(LOSS, ("model", "forest", "guess"))
    assert [whisker.method for whisker in found] == ["model", "forest"]
    model, forest = found
    assert 0 <= model.low < model.place < model.low + model.width < forest.low < forest.place < 100
    scale = (forest.place - model.place) / (0.503 - 0.291)
    assert model.width == pytest.approx(scale * (0.305 - 0.278), abs=0.05)


def test_whiskers_of_equal_or_absent_values_stay_on_the_axis() -> None:
    same = ReportMetric("loss", "min", {"a": Interval(0.5), "b": Interval(0.5)})
    assert [whisker.place for whisker in whiskers(same, ("a", "b"))] == [50.0, 50.0]
    assert whiskers(ReportMetric("loss", "min", {"a": Interval(math.nan)}), ("a",)) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (math.nan, "–"), (math.inf, "–"), (0.12345, "0.123"), (-0.5, "−0.500"), (13454.2, "13,454")],
)
def test_numbers_are_short_and_undefined_ones_are_a_dash(value: float | None, text: str) -> None:
    assert number(value) == text


def test_pictures_are_embedded_by_their_kind() -> None:
    assert data_address(b"\x89PNG\r\n\x1a\n...").startswith("data:image/png;base64,")
    assert data_address(b"<?xml?><svg/>").startswith("data:image/svg+xml;base64,")
    assert data_address(picture()).startswith("data:image/svg+xml;base64,")
    with pytest.raises(ValueError, match="PNG or SVG"):
        data_address(b"GIF89a")


def test_a_figure_with_very_many_points_becomes_a_png() -> None:
    figure = Figure(figsize=(3, 2))
    figure.subplots().scatter(np.arange(20_000.0), np.arange(20_000.0) % 7, s=np.linspace(1, 2, 20_000))
    assert data_address(figure).startswith("data:image/png")


def test_wide_pictures_are_recognised() -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (900).to_bytes(4, "big") + (300).to_bytes(4, "big")
    assert ReportFigure("", png, "", "").wide
    assert ReportFigure("", Figure(figsize=(9, 3)), "", "").wide
    assert not ReportFigure("", picture(), "", "").wide


def test_the_training_curve_shows_what_was_validated() -> None:
    curve = training_curve(CURVE, "log loss")
    assert curve is not None
    assert isinstance(curve.content, Figure)
    lines = [axis.lines[0].get_xydata() for axis in curve.content.axes]
    np.testing.assert_allclose(lines[0], [(10, 1), (20, 1 / 2), (30, 1 / 3)])
    np.testing.assert_allclose(lines[1], [(10, 1.2), (30, 0.4)])
    assert training_curve([], "log loss") is None


def browser() -> str | None:
    return next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )


@pytest.mark.browser
@pytest.mark.skipif(browser() is None, reason="no Chromium here")
@pytest.mark.parametrize(("width", "scheme"), [(1200, 1), (500, 1), (1200, 0)])
def test_a_browser_draws_the_page(tmp_path: Path, width: int, scheme: int) -> None:
    write_report([run(simulated=True), run("second")], tmp_path / "report.html")
    shot = tmp_path / "page.png"
    command = [
        str(browser()), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={shot}",
        f"--blink-settings=preferredColorScheme={scheme}", f"--window-size={width},1600",
        (tmp_path / "report.html").as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120, env=os.environ | {"HOME": str(tmp_path)})
    pixels = matplotlib.image.imread(shot)[..., :3]
    background = pixels[-1, 0]
    drawn = np.any(np.abs(pixels - background) > 0.1, axis=-1)
    assert (background.mean() > 0.9) == (scheme == 1)
    assert 0.02 < drawn.mean() < 0.9
    # Text and pictures reach down the whole window, and nothing touches the right edge.
    assert all(part.any() for part in np.array_split(drawn, 8))
    assert not drawn[:, -5:].any()
