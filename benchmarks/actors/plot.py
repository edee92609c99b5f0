"""The ratios as a picture; needs matplotlib."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl  # pyright: ignore[reportMissingImports]

mpl.use("Agg")

from matplotlib import pyplot as plt  # pyright: ignore[reportMissingImports]
from matplotlib.axes import Axes  # pyright: ignore[reportMissingImports]
from matplotlib.ticker import FuncFormatter  # pyright: ignore[reportMissingImports]

from benchmarks.actors.report import ratios
from benchmarks.actors.series import Results
from benchmarks.suite import Suite

_BAR = 0.8


def draw(results: Results, path: Path) -> None:
    """Write bars of every ratio to the baseline, one panel a series, to a file of the kind its name says."""
    suite = results.plan.of
    panels = {series: found for series in results.plan.series if (found := ratios(results, series))}
    if not panels:
        raise ValueError(f"there are no ratios to draw: {suite.baseline} or its peers were not measured")
    compared = [name for name in results.plan.runtimes if any(name in found for found in panels.values())]
    keys = [
        key for key in suite.metrics if any(key in values for found in panels.values() for values in found.values())
    ]
    figure, axes = plt.subplots(
        1,
        len(panels),
        squeeze=False,
        sharey=True,
        sharex=True,
        figsize=(4 + 5.5 * len(panels), 2 + len(keys) * (0.2 * len(compared) + 0.15)),
        layout="constrained",
    )
    for axis, (series, found) in zip(axes[0], panels.items(), strict=True):
        axis.set_title(series)
        _panel(axis, found, suite, compared, keys)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False)
    figure.suptitle(f"{suite.title}: how many times better than {suite.baseline} (medians; 1 is equal)")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _panel(axis: Axes, found: dict[str, dict[str, float]], suite: Suite, compared: list[str], keys: list[str]) -> None:
    height = _BAR / len(compared)
    colours = {name: f"C{number}" for number, name in enumerate(suite.runtimes)}
    for number, name in enumerate(compared):
        values = found.get(name, {})
        rows = [row for row, key in enumerate(keys) if key in values]
        lengths = [values[keys[row]] for row in rows]
        places = [row - _BAR / 2 + height * (number + 0.5) for row in rows]
        # A bar goes from 1 to its value, so that better and worse point in opposite directions.
        bars = axis.barh(places, [value - 1 for value in lengths], height, left=1, color=colours[name], label=name)
        axis.bar_label(bars, [f" {value:.2g} " if value < 100 else f" {value:.0f} " for value in lengths], fontsize=7)
    axis.set_xscale("log")
    axis.set_yticks(range(len(keys)), [suite.metrics[key].title for key in keys])
    axis.set_ylim(len(keys) - 0.5, -0.5)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}x"))
    axis.axvline(1, color="black", linewidth=1)
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
    axis.margins(x=0.15)
    for row in range(1, len(keys)):
        axis.axhline(row - 0.5, color="grey", alpha=0.2, linewidth=0.5)
