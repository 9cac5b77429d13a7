"""Figures of a comparison: quality against cost, and growth with length."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from armillary.core.plotting import GREY, MARKERS, PALETTE, house_style, legend_beside, new_figure, series_style


def draw_quality(result: Mapping[str, Any]) -> Figure | None:
    """The primary metric with the spread of the seeds, against counted cost and against measured time."""
    entries = [entry for entry in result["entries"] if entry["quality"][result["metric"]]["mean"] is not None]
    if not entries:
        return None
    panels = [("mac_per_item", "multiply-adds an item [millions]", 1e-6)]
    if all(entry["step_seconds"] is not None for entry in entries):
        panels.append(("step_seconds", "training step [ms]", 1000.0))
    with house_style():
        figure = new_figure(1.6 + 3.4 * len(panels), 3.6)
        axes: Sequence[Axes] = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axis, (key, label, scale) in zip(axes, panels, strict=True):
            for place, entry in enumerate(entries):
                _point(axis, entry, entry[key] * scale, result["metric"], place)
            _baselines(axis, result)
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set_xlabel(label)
            axis.grid(alpha=0.3)
        better = "lower" if result["direction"] == "min" else "higher"
        axes[0].set_ylabel(f"{result['metric'].replace('_', ' ')}, {result['split']} ({better} is better)")
        _legend(axes[-1], len(entries))
        mark = ", SIMULATED DATA" if result["simulated"] else ""
        budget = "the recipe's epochs" if result["budget"] is None else f"{result['budget']:,} steps"
        figure.suptitle(f"{result['recipe']}, {budget}, mean and spread of seeds{mark}", x=0.01, ha="left", fontsize=10)
    return figure


def _legend(axis: Axes, entries: int) -> None:
    """Contestants in their order, then the baselines, which matplotlib would put first."""
    handles, labels = axis.get_legend_handles_labels()
    order = [*range(len(labels) - entries, len(labels)), *range(len(labels) - entries)]
    axis.legend(
        [handles[place] for place in order], [labels[place] for place in order],
        loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0,
    )  # fmt: skip


def _point(axis: Axes, entry: Mapping[str, Any], x: float, metric: str, place: int) -> None:
    spread = entry["quality"][metric]
    axis.errorbar(
        [x], [spread["mean"]], yerr=None if spread["sd"] is None else [spread["sd"]], capsize=3, label=entry["mixer"],
        color=PALETTE[place % len(PALETTE)], marker=MARKERS[place % len(MARKERS)], markersize=6, linestyle="none",
        markerfacecolor="none" if place >= len(PALETTE) else None,
    )  # fmt: skip


def _baselines(axis: Axes, result: Mapping[str, Any]) -> None:
    for place, (name, found) in enumerate(result["baselines"].items()):
        value = found.get(result["metric"], {}).get("value")
        if value is not None:
            axis.axhline(
                value, color=GREY, linestyle=("--", ":", "-.")[place % 3], linewidth=1, label=f"{name} (baseline)"
            )


def draw_growth(result: Mapping[str, Any]) -> Figure:
    """Time and memory of forward and backward against the number of tokens, both axes logarithmic."""
    with house_style():
        figure = new_figure(8.4, 3.6)
        time, memory = figure.subplots(1, 2)
        mixers = list(dict.fromkeys(row["mixer"] for row in result["rows"]))
        for place, mixer in enumerate(mixers):
            rows = [row for row in result["rows"] if row["mixer"] == mixer and "skipped" not in row]
            lengths = [row["length"] for row in rows]
            style = series_style(place) | {"marker": MARKERS[place % len(MARKERS)]}
            time.plot(lengths, [1000 * row["both_seconds"] for row in rows], label=mixer, **style)
            # Differences of resident memory below a page or so are noise.
            memory.plot(lengths, [max(row["peak_bytes"] / 2**20, 0.1) for row in rows], label=mixer, **style)
        for axis, label in ((time, "forward and backward [ms]"), (memory, "memory added [MiB]")):
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.set_xticks(sorted({row["length"] for row in result["rows"]}))
            for side, form in ((axis.xaxis, "{x:,.0f}"), (axis.yaxis, "{x:g}")):
                side.set_major_formatter(form)
                side.set_minor_formatter(NullFormatter())
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_xlabel("tokens")
            axis.set_ylabel(label)
            axis.grid(alpha=0.3)
        legend_beside(memory)
        figure.suptitle(
            f"trunk of {result['recipe']}, one row, {result['threads']} threads", x=0.01, ha="left", fontsize=10
        )
    return figure
