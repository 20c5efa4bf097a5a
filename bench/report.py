"""From what was found to what is read: a table for the terminal, and docs/performance.md.

`python bench/report.py` renders the page from docs/performance/*.json, a file for each Python.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
import sysconfig
from pathlib import Path

from guarantees import NOTES, guarantees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # {"about": ..., "rows": [...], "curves": [...]}: the fields of measure.Row and measure.Curve.
    Found = dict[str, Any]

DOCS = Path(__file__).resolve().parents[1] / "docs"
PEERS = ("loguru", "concurrent-log-handler", "picologging", "pyperf")
NONE = "-"  # where a Python has no figure
BEGIN, END = "<!-- rendered by bench/report.py: begin -->", "<!-- end -->"


# One run.


def about() -> dict[str, Any]:
    """What was run, and on what."""
    versions = {}
    for name in ("threadlog", *PEERS):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "python": platform.python_version(),
        "build": build(),
        "optimized": "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or ""),
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cpus": os.cpu_count(),
        "versions": versions,
    }


def build() -> str:
    """The short name of this Python: 3.13, or 3.13t if it runs without the GIL."""
    letter = "t" if is_free_threaded() else ""
    return f"{sys.version_info.major}.{sys.version_info.minor}{letter}"


def is_free_threaded() -> bool:
    return not getattr(sys, "_is_gil_enabled", lambda: True)()  # from Python 3.13


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def merged(old: Found | None, new: Found) -> Found:
    """*new*, and what *old* has of other modules, if it was found on the same machine."""
    if old is None or old["about"] != new["about"]:
        return new
    return {**new, "modules": {**old["modules"], **new["modules"]}}


def flat(found: Found) -> Found:
    """The rows and curves of all modules in a row."""
    modules = found["modules"].values()
    return {
        "about": found["about"],
        "rows": [row for module in modules for row in module["rows"]],
        "curves": [curve for module in modules for curve in module["curves"]],
    }


# Words.


def figure(value: float, unit: str) -> str:
    if unit != "s":
        return f"{float(f'{value:.3g}'):,.0f} {unit}"
    for scale, name in ((1, "s"), (1e3, "ms"), (1e6, "µs"), (1e9, "ns")):
        if value * scale >= 1 or name == "ns":
            break
    return f"{value * scale:.3g} {name}"


def number(ratio: float) -> str:
    return f"{ratio:.3f}" if ratio < 0.1 else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def target(row: dict[str, Any]) -> str:
    if row["at_most"] is not None:
        return f"≤ {row['at_most']:g}"
    return f"≥ {row['at_least']:g}" if row["at_least"] is not None else ""


def is_met(row: dict[str, Any]) -> bool:
    """As exactly as the ratio is shown."""
    most, least, shown = row["at_most"], row["at_least"], float(number(row["ratio"]))
    return (most is None or shown <= most) and (least is None or shown >= least)


def ratio(row: dict[str, Any]) -> str:
    text = f"{number(row['ratio'])} ({number(row['low'])} to {number(row['high'])})"
    return text if is_met(row) else f"{text} missed"


def by_question(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    questions: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        questions.setdefault(row["question"], []).append(row)
    return questions


def contenders(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The figure of each in the *rows* of one question, whom others are compared to first."""
    figures = {row["against"]: figure(row["figure_against"], row["unit"]) for row in rows}
    return figures | {row["contender"]: figure(row["figure"], row["unit"]) for row in rows}


# The table on the terminal.


def table(found: Found) -> str:
    lines = [versions(found["about"])]
    for question, rows in by_question(found["rows"]).items():
        cells = [(question, "", "ratio (of the rounds)", "target", "several", "killed", "rotation")]
        for name, value in contenders(rows).items():
            cells.append((f"  {name}", value, "", "", *guarantees(name)))
            for row in rows:
                if row["contender"] == name:
                    against = f"    / {row['against']}"
                    cells.append((against, "", ratio(row), target(row), "", "", ""))
        lines += ["", *aligned(cells)]
    for curve in found["curves"]:
        names = list(curve["points"])
        xs = [amount(point[0]) for point in curve["points"][names[0]]]
        cells = [(f"{curve['question']}: {curve['x']}", *xs)]
        for name in names:
            figures = (figure(point[2], curve["unit"]) for point in curve["points"][name])
            cells.append((f"  {name}", *figures))
        lines += ["", *aligned(cells)]
    return "\n".join(lines)


def aligned(cells: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def amount(x: float) -> str:
    return f"{x:,.0f}"


def versions(about: dict[str, Any]) -> str:
    peers = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    gil = " without the GIL" if about["build"].endswith("t") else ""
    plain = "" if about["optimized"] else " (built without profile-guided optimization)"
    return (
        f"Python {about['python']}{gil}{plain}, {about['system']}, {about['cpus']} CPUs"
        f" ({about['processor']}); {peers}"
    )


# The page.


def page(text: str, pythons: dict[str, Found]) -> str:
    """*text* with what is between the marks rendered from *pythons*."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no {BEGIN} and {END}")
    return f"{head}{begin}\n{rendered(pythons)}\n{end}{tail}"


def rendered(pythons: dict[str, Found]) -> str:
    parts = ["What was run:", ""]
    parts += [f"- {versions(found['about'])}" for found in pythons.values()]
    parts += ["", "## The targets", "", *targets(pythons), "", "## Each question", ""]
    parts += [*questions(pythons), *notes(), "", "## How cost grows", "", *growth(pythons)]
    return "\n".join(parts)


def markdown(cells: list[tuple[str, ...]]) -> list[str]:
    rows = [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in cells]
    return [rows[0], "|" + "---|" * len(cells[0]), *rows[1:]]


def rows_of(pythons: dict[str, Found]) -> dict[tuple[str, str, str], dict[str, dict[str, Any]]]:
    """For each question, contender and whom it is compared to the row of each Python."""
    rows: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for name, found in pythons.items():
        for row in found["rows"]:
            key = (row["question"], row["contender"], row["against"])
            rows.setdefault(key, {})[name] = row
    return rows


def with_rows(pythons: dict[str, Found]) -> list[str]:
    return [name for name, found in pythons.items() if found["rows"]]


def targets(pythons: dict[str, Found]) -> list[str]:
    columns = with_rows(pythons)
    cells = [("", "beside", "target", *(f"Python {name}" for name in columns))]
    for (question, contender, against), rows in rows_of(pythons).items():
        wanted = next(map(target, rows.values()))
        if wanted:
            ratios = (ratio(rows[name]) if name in rows else NONE for name in columns)
            cells.append((f"{question}: {contender}", against, wanted, *ratios))
    return markdown(cells)


def questions(pythons: dict[str, Found]) -> list[str]:
    columns = with_rows(pythons)
    grouped = {name: by_question(pythons[name]["rows"]) for name in columns}
    parts = []
    for question in dict.fromkeys(each for rows in grouped.values() for each in rows):
        figures = {name: contenders(grouped[name].get(question, [])) for name in columns}
        names = dict.fromkeys(each for found in figures.values() for each in found)
        is_told = any("".join(guarantees(each)) for each in names)
        told = ("several processes", "writer killed", "rotation") if is_told else ()
        cells = [("", *(f"Python {name}" for name in columns), *told)]
        for each in names:
            values = (figures[name].get(each, NONE) for name in columns)
            cells.append((each, *values, *(guarantees(each) if is_told else ())))
        parts += [f"**{question}**", "", *markdown(cells), ""]
    return parts


def notes() -> list[str]:
    return [f"- {letter}: {text}" for letter, text in NOTES.items()]


def growth(pythons: dict[str, Found]) -> list[str]:
    parts = []
    for question, curves in curves_of(pythons).items():
        first = next(iter(curves.values()))
        parts += [f"### {question}", "", f"![{question}](performance/{slug(question)}.svg)", ""]
        xs = dict.fromkeys(
            point[0]
            for curve in curves.values()
            for points in curve["points"].values()
            for point in points
        )
        cells = [(first["x"], "Python", *map(amount, xs))]
        for name in dict.fromkeys(each for curve in curves.values() for each in curve["points"]):
            for python, curve in curves.items():
                if name in curve["points"]:
                    values = {point[0]: point[2] for point in curve["points"][name]}
                    figures = (figure(values[x], curve["unit"]) if x in values else "" for x in xs)
                    cells.append((name, python, *figures))
        parts += [*markdown(cells), ""]
    return parts[:-1]


def curves_of(pythons: dict[str, Found]) -> dict[str, dict[str, dict[str, Any]]]:
    """For each question the curve of each Python."""
    questions: dict[str, dict[str, dict[str, Any]]] = {}
    for name, found in pythons.items():
        for curve in found["curves"]:
            questions.setdefault(curve["question"], {})[name] = curve
    return questions


def slug(question: str) -> str:
    return "-".join(question.lower().replace(",", "").split())


def load(folder: Path) -> dict[str, Found]:
    """What was found with each Python, the oldest first."""
    paths = sorted(folder.glob("*.json"), key=lambda path: (len(path.stem), path.stem))
    return {path.stem: flat(json.loads(path.read_text(encoding="utf-8"))) for path in paths}


def main() -> None:
    import plots

    folder, path = DOCS / "performance", DOCS / "performance.md"
    pythons = load(folder)
    path.write_text(page(path.read_text(encoding="utf-8"), pythons), encoding="utf-8")
    for question, curves in curves_of(pythons).items():
        plots.draw(folder / f"{slug(question)}.svg", curves)


if __name__ == "__main__":
    main()
