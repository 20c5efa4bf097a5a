"""All questions in one run, or those whose modules are named: `python bench [MODULE ...]`.

Prints one table. With `--save` what was found goes to docs/performance, for `bench/report.py`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import report

# Each is one question, a program of its own.
MODULES = (
    "file_handlers",
    "queue_handler",
    "shared_file",
    "children",
    "disabled_calls",
    "import_cost",
    "work_items",
    "grow_threads",
    "grow_processes",
    "grow_calls",
)
HERE = Path(__file__).resolve().parent


def answer(module: str, *, quick: bool) -> report.Found:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "found.json")
        command = [sys.executable, HERE / f"{module}.py", "--json", path, *["--quick"] * quick]
        subprocess.run(command, check=True)
        found: report.Found = json.loads(path.read_text(encoding="utf-8"))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(MODULES))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--save", action="store_true", help="write to docs/performance")
    arguments = parser.parse_args()
    modules = arguments.modules or MODULES
    if unknown := set(modules) - set(MODULES):
        parser.error(f"no such module: {', '.join(sorted(unknown))}")
    found: report.Found = {"about": report.about(), "modules": {}}
    for module in modules:
        print(f"{module} …", file=sys.stderr)
        found["modules"][module] = answer(module, quick=arguments.quick)
    print(report.table(report.flat(found)))
    if arguments.save:
        folder = report.DOCS / "performance"
        folder.mkdir(exist_ok=True)
        path = folder / f"{found['about']['build']}.json"
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        text = json.dumps(report.merged(old, found), indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
