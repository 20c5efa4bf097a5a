"""How every question here is measured, and where its figures go.

A machine that is busy for a while must not be busy for one contender only. So each is measured in
many short rounds, a process of its own for each, in turn: A B C, A B C, … The medians are taken
over all rounds, and the spread of the rounds' own ratios stands beside the ratio.

pyperf measures what one process does, over and over. What several do together, and what no median
shows, is by a stop-watch. A call's seconds are those of the clock where it may have to wait, and of
the processor, in the program and in the kernel, where it waits for nothing: on a quiet machine they
are the seconds of the clock, and on a busy one others' turns do not count.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    import pyperf

    Results = dict[str, list[list[float]]]  # of each contender, of each round

WAIT = 60  # seconds: whoever takes longer has failed
# Not /tmp, which may be memory: a log is on a disk.
DISK = "/var/tmp" if os.path.isdir("/var/tmp") else None


@contextlib.contextmanager
def log_path() -> Iterator[str]:
    """A path on a disk, in a new folder."""
    with tempfile.TemporaryDirectory(dir=DISK) as folder:
        yield os.path.join(folder, "app.log")


def written(path: str) -> bytes:
    """All that is in the file and its backups."""
    return b"".join(each.read_bytes() for each in Path(path).parent.glob("*.log*"))


def expect_lines(name: str, path: str, lines: int) -> None:
    found = written(path).count(b"\n")
    if found != lines:
        raise RuntimeError(f"{name}: {lines} records were logged, {found} lines were written")


# What was found.


@dataclasses.dataclass(frozen=True)
class Row:
    """How one contender compares to another."""

    question: str
    contender: str
    against: str
    ratio: float
    low: float  # of the rounds' own ratios
    high: float
    figure: float
    figure_against: float
    unit: str
    at_most: float | None = None  # the target of the ratio
    at_least: float | None = None


@dataclasses.dataclass(frozen=True)
class Curve:
    """How the contenders' figures grow."""

    question: str
    x: str  # what is on that axis, with its unit
    unit: str
    points: dict[str, list[tuple[float, float, float, float]]]  # x, least, median, most


def middle(rounds: list[list[float]]) -> float:
    return statistics.median(itertools.chain(*rounds))


def compare(
    question: str,
    results: Results,
    ours: str,
    theirs: str,
    unit: str = "s",
    *,
    less: str = "",
    at_most: float | None = None,
    at_least: float | None = None,
) -> Row:
    """How *ours* compares to *theirs*, both without what *less* costs."""

    def both(values: dict[str, float]) -> tuple[float, float]:
        base = values[less] if less else 0.0
        return values[ours] - base, values[theirs] - base

    figures = both({name: middle(rounds) for name, rounds in results.items()})
    ratios = []
    for values in zip(*results.values(), strict=True):
        a, b = both(dict(zip(results, map(statistics.median, values), strict=True)))
        ratios.append(a / b)
    return Row(
        question,
        ours,
        theirs,
        figures[0] / figures[1],
        min(ratios),
        max(ratios),
        *figures,
        unit,
        at_most,
        at_least,
    )


def curve(question: str, x: str, unit: str, points: dict[float, Results]) -> Curve:
    lines: dict[str, list[tuple[float, float, float, float]]] = {}
    for value, results in points.items():
        for name, rounds in results.items():
            medians = [statistics.median(values) for values in rounds]
            lines.setdefault(name, []).append((value, min(medians), middle(rounds), max(medians)))
    return Curve(question, x, unit, lines)


def hand_in(
    arguments: argparse.Namespace, rows: list[Row], curves: list[Curve] | None = None
) -> None:
    """Print them, or write them to the file that `python bench` asks for."""
    found = {
        "rows": [dataclasses.asdict(row) for row in rows],
        "curves": [dataclasses.asdict(each) for each in curves or []],
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(found), encoding="utf-8")
        return
    import report

    print(report.table({**found, "about": report.about()}))


# Under pyperf.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", type=Path, help="write what was found to this file")


def runner(description: str) -> pyperf.Runner:
    import pyperf

    def add_to_worker(command: list[str], arguments: argparse.Namespace) -> None:
        command += ["--quick"] * arguments.quick

    made = pyperf.Runner(processes=1, values=2, warmups=1, loops=1, add_cmdline_args=add_to_worker)
    made.metadata["description"] = description
    add_arguments(made.argparser)
    made.parse_args()
    made.args.quiet = not made.args.verbose  # no word on each round's own spread
    if made.args.quick and not made.args.worker:
        made.args.values = 1
    return made


def under_pyperf(
    runner: pyperf.Runner,
    title: str,
    contenders: dict[str, Callable[[int], float]],  # of how many calls, in seconds
    rounds: int,
    calls: int,
) -> Results:
    """Return the seconds of one call. pyperf's worker processes end here."""
    results: Results = {name: [] for name in contenders}
    for number in range(1, rounds + 1):
        for name, measure in contenders.items():
            done = runner.bench_time_func(
                f"{title}, {name}, round {number}",
                lambda _, measure: measure(calls),
                measure,
                inner_loops=calls,
            )
            if done is not None and runner.args.worker:
                sys.exit()
            if done is not None:
                results[name].append(list(done.get_values()))
    return results


# By a stop-watch.


def arguments(doc: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=doc.partition("\n\n")[0])
    add_arguments(parser)
    return parser.parse_args()


def by_stopwatch(contenders: dict[str, Callable[[], float]], rounds: int) -> Results:
    results: Results = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, measure in contenders.items():
            results[name].append([measure()])
    return results


def send(measure: Callable[..., Any], arguments: tuple[Any, ...], connection: Any) -> None:
    connection.send(measure(*arguments))


def in_a_process(measure: Callable[..., Any], *arguments: Any, method: str = "spawn") -> Any:
    """Return what *measure* returns in a process of its own, that the next inherits nothing."""
    context: Any = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send, args=(measure, arguments, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(WAIT):
            raise TimeoutError(f"{measure} has taken longer than {WAIT} seconds")
        return receiver.recv()
    finally:
        process.kill()
        process.join()
