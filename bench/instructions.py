"""Has a record become dearer? Counts instructions, by valgrind's callgrind, and compares the ratio
to the standard path's with the limits below. Exits with 1 if one is passed.

Seconds vary from minute to minute, instructions hardly: for continuous integration, on a machine
that is shared. Only those of the program are counted, not the kernel's. Each path is run for so
many records and for twice as many, and the difference counts: starting up is in neither. The
interpreter, its environment and its hashes are the same each time. A path that does more than it
should, the saboteur, is among them: a run that does not catch it fails, too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import contenders as who
import measure
import paths
import report

RECORDS = 1000  # and twice as many: below a queue's capacity, and no rollover

# A path, the standard one beside it, and the greatest ratio with each Python: an eighth above what
# was counted when it was last set. What is done once a second weighs more on a busier machine, so
# that the ratios vary by up to three hundredths; a disabled call's does not. Whoever makes a path
# cheaper lowers its limit.
LIMITS: dict[tuple[str, str], dict[str, float]] = {
    (who.FAST_SHOWN, who.LOGGING): {"3.11": 0.82, "3.12": 0.82, "3.13": 0.87},
    (who.OURS, who.LOGGING): {"3.11": 0.97, "3.12": 0.96, "3.13": 0.99},
    (who.SHOWN, who.LOGGING): {"3.11": 1.18, "3.12": 1.18, "3.13": 1.22},
    (who.FAST_SIZE, who.LOGGING_SIZE): {"3.11": 0.52, "3.12": 0.55, "3.13": 0.68},
    (who.FAST_QUEUE, who.LOGGING_QUEUE): {"3.11": 0.51, "3.12": 0.56, "3.13": 0.61},
    (paths.FAST_DISABLED, paths.DISABLED): {"3.11": 1.02, "3.12": 1.02, "3.13": 1.02},
}
SABOTAGED = (paths.SABOTEUR, who.LOGGING)


def counted(name: str, records: int) -> int:
    environ = {
        "PATH": os.defpath,
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",  # the second run finds what the first has found
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    with measure.log_path() as path:
        done = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"),
                *(sys.executable, paths.__file__, name, path, str(records)),
            ],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
    found = re.search(r"Collected : (\d+)", done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"{name}: valgrind has failed\n{done.stdout}")
    return int(found[1])


def count(names: list[str]) -> dict[str, float]:
    """The instructions of one record on each path."""
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        once = [executor.submit(counted, name, RECORDS) for name in names]
        twice = [executor.submit(counted, name, 2 * RECORDS) for name in names]
        pairs = zip(names, once, twice, strict=True)
        return {name: (two.result() - one.result()) / RECORDS for name, one, two in pairs}


def judge(counts: dict[str, float], limits: dict[tuple[str, str], float]) -> list[str]:
    """What is wrong, a line for each."""
    problems = []
    for (ours, theirs), limit in limits.items():
        ratio = counts[ours] / counts[theirs]
        if ratio > limit:
            problems.append(
                f"{ours}: {counts[ours]:,.0f} instructions for a record, {ratio:.3f} times those of"
                f" {theirs}; the limit is {limit}"
            )
    first, limit = next(iter(limits.items()))
    if counts[paths.SABOTEUR] / counts[first[1]] <= limit:
        problems.append(f"the limit of {first[0]} is too wide: it lets the saboteur pass")
    return problems


def main() -> int:
    if not shutil.which("valgrind", path=os.defpath):
        print("valgrind is not installed: apt-get install valgrind", file=sys.stderr)
        return 1
    python = report.build()
    if any(python not in limits for limits in LIMITS.values()):
        print(f"{Path(__file__).name} has no limits for Python {python}", file=sys.stderr)
        return 1
    limits = {pair: limits[python] for pair, limits in LIMITS.items()}
    counts = count(list(dict.fromkeys(name for pair in (*limits, SABOTAGED) for name in pair)))
    print(f"Python {sys.version.split()[0]}: instructions for one record")
    for ours, theirs in (*limits, SABOTAGED):
        limit = f"limit {limits[ours, theirs]}" if (ours, theirs) in limits else ""
        ratio = counts[ours] / counts[theirs]
        print(f"{counts[ours]:8,.0f}  {ratio:.3f} of {counts[theirs]:7,.0f}  {limit:10}  {ours}")
    problems = judge(counts, limits)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
