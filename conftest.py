"""Runs the code in README.md and docs/ as tests.

Each python block is a script of its own, run in a fresh process with warnings as errors. A text
block right below it is its whole output, stdout and stderr together. In that block a line `...`
stands for any lines, and the comment `<!-- any order -->` before it says that threads race:
then lines are compared sorted, and which worker of several took an item does not matter.
Each console block is one command; what changes the machine is skipped, by name.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sybil import Sybil
from sybil.parsers.myst import CodeBlockParser

if TYPE_CHECKING:
    from sybil import Example

OUTPUT = re.compile(r"\s*(<!-- any order -->\s*)?^```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TIME = re.compile(r"(\d{4}-\d\d-\d\d )?\b\d\d:\d\d:\d\d\b(,\d{3})?")
NUMBER = re.compile(r"(?<=pid )\d+|(?<=tid )\d+|(?<=-fork-)\d+")
WORKER = re.compile(r"(?<=\w[-_])\d+\b")
SECONDS = re.compile(r"\d+\.\d{3}$", re.MULTILINE)

# The order on a terminal, and no colours where CI asks for them.
ENVIRON = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "NO_COLOR": "1"}
ENVIRON.pop("FORCE_COLOR", None)

SKIPPED = ("make ", "pip ", "python -m venv ", "python -m pip ")  # they build or install


def run_python(example: Example) -> None:
    shown = OUTPUT.match(example.document.text, example.region.end)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "program.py").write_text(str(example.parsed), encoding="utf-8")
        status, output = run("program.py", folder=folder)
    assert status == 0, output
    if shown:
        compare(shown[2], output, any_order=bool(shown[1]))


def run_console(example: Example) -> None:
    command, _, shown = str(example.parsed).partition("\n")
    assert command.startswith("$ "), "the first line of a console block is `$ command`"
    command = command.removeprefix("$ ")
    if command.startswith(SKIPPED):
        pytest.skip(f"not run here: {command}")
    assert command.startswith("python -m threadlog "), f"neither run nor skipped: {command}"
    with tempfile.TemporaryDirectory() as folder:
        status, output = run(*shlex.split(command)[1:], folder=folder)
    assert status == 0, output
    if shown.strip():
        compare(shown, output, any_order=False)


def run(*arguments: str, folder: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env=ENVIRON,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=15,
        check=False,
    )
    return done.returncode, done.stdout


def compare(expected: str, output: str, *, any_order: bool) -> None:
    wanted, got = normalised(expected, any_order), normalised(output, any_order)
    if "..." in wanted:
        pattern = "\n".join("(?s:.*)" if line == "..." else re.escape(line) for line in wanted)
        assert re.fullmatch(pattern, "\n".join(got)), f"not as shown:\n{output}"
    else:
        assert got == wanted


def normalised(text: str, any_order: bool) -> list[str]:
    """Return the lines with process and thread ids numbered as they come, and no times.

    Two ids that differ on the page must differ in the run, and the other way round.
    """
    text = SECONDS.sub("SECONDS", TIME.sub("TIME", text))
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    if any_order:
        text = WORKER.sub("N", NUMBER.sub("ID", text))
        return sorted(text.splitlines())
    ids: dict[str, str] = {}
    text = NUMBER.sub(lambda match: ids.setdefault(match[0], f"ID{len(ids)}"), text)
    return text.splitlines()


pytest_collect_file = Sybil(
    parsers=[
        CodeBlockParser(language="python", evaluator=run_python),
        CodeBlockParser(language="console", evaluator=run_console),
    ],
    patterns=["README.md", "docs/**/*.md", "docs/*.md"],
    excludes=["docs/howto/programs/*.md"],  # they need other programs: tests/integration runs them
).pytest()
