"""The plots of docs/performance.md: a panel for each Python, in SVG that is the same whenever it is
drawn from the same figures. Its colours are read on a light and on a dark page.
"""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

GREY = "#8a8a8a"
# Of a contender whose name begins so: the same in all plots.
COLOURS = {
    "threadlog": "#2f8f6b",
    "logging.FileHandler": "#d9733a",
    "logging QueueHandler": "#6f7bd9",
    "concurrent-log-handler": "#c2529b",
    "loguru": "#a38a1c",
    "picologging": "#3a9fc4",
}
STYLE = {
    "svg.hashsalt": "threadlog",
    "svg.fonttype": "none",  # text stays text: small, and read by a screen reader
    "font.family": "sans-serif",
    "font.size": 9,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), GREY),
    **dict.fromkeys(("xtick.color", "ytick.color", "grid.color"), GREY),
}


def draw(path: Path, curves: dict[str, dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for curve in curves.values() for name in curve["points"]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(
            figsize=(2.6 * max(len(curves), 2) + 0.6, 2.6 + 0.2 * len(names)), layout="constrained"
        )
        panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
        for axes, (python, curve) in zip(panels, curves.items(), strict=True):
            draw_panel(axes, curve)
            axes.set_title(f"Python {python}", fontsize=9)
        unit = curve["unit"]
        panels[0].set_ylabel("µs for one record" if unit == "s" else unit)
        handles = {h.get_label(): h for axes in panels for h in axes.get_legend_handles_labels()[0]}
        figure.legend(
            [handles[name] for name in names], names, loc="outside lower center", frameon=False
        )
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})


def draw_panel(axes: Any, curve: dict[str, Any]) -> None:
    scale = 1e6 if curve["unit"] == "s" else 1
    for name, points in curve["points"].items():
        xs, low, middle, high = zip(*points, strict=True)
        colour = next(value for start, value in COLOURS.items() if name.startswith(start))
        axes.plot(xs, [y * scale for y in middle], color=colour, marker="o", ms=3, label=name)
        axes.fill_between(
            xs, [y * scale for y in low], [y * scale for y in high], color=colour, alpha=0.2, lw=0
        )
    if max(xs) > 50 * min(xs):
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_xticks(xs)
        axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(curve["x"])
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def short(value: float) -> str:
    for scale, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= scale:
            return f"{value / scale:g}{letter}"
    return f"{value:g}"
