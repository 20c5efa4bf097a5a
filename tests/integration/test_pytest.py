"""pytest and pytest-xdist: one log file for all workers, caplog, and records of children."""

import functools
import re

import pytest

from integration import pages
from integration.rotated import lines

pytestmark = pytest.mark.timeout(180)
run = functools.partial(pages.run, timeout=150)  # three pytests start, each with its plugins

LINE = re.compile(r"\[pid (\d+) tid (\d+) (\S+)\] (gw\d+) added up (\d+)")
REPORTED = re.compile(r"\[(gw\d+)\] .*PASSED test_shared.py::(\w+)\[(\d+)\]")
QUIET = " -p no:randomly -p no:cacheprovider"


def command(page, part):
    (found,) = [command for command in page.commands() if part in command]
    return found


def what_is_wrong(folder, output):
    """Return what is wrong with the shared log and those of each worker.

    pytest-xdist's *output* says which worker ran which test.
    """
    ran = {}
    for worker, name, first in REPORTED.findall(output):
        count = 1 if name == "test_add_up" else 10
        ran |= {int(first) + offset: worker for offset in range(count)}
    shared = lines(folder / "tests.log")
    matches = [LINE.fullmatch(line) for line in shared]
    if None in matches:
        return f"no record: {shared[matches.index(None)]!r}"
    numbers = [int(match[5]) for match in matches]
    if sorted(numbers) != list(range(200)):
        return f"numbers: {numbers}"
    if {int(match[5]): match[4] for match in matches} != ran:
        return f"not who wrote it: {ran}"
    if len({match[1] for match in matches}) != 2 or len({(m[1], m[4]) for m in matches}) != 2:
        return "not one process for each of two workers"
    for match in matches:
        if int(match[5]) < 100:
            right = match[3] == "MainThread" and match[1] == match[2]
        else:
            right = match[3] in ("adder_0", "adder_1") and match[1] != match[2]
        if not right:
            return f"thread: {match[0]}"
    for worker in ("gw0", "gw1"):
        own = sorted(lines(folder / f"tests-{worker}.log"))
        if own != sorted(line for line in shared if f" {worker} " in line):
            return f"{worker}: {own}"
    return ""


def test_workers_share_one_file(page, tmp_path):
    output = run(command(page, "test_shared.py"), tmp_path, PYTEST_ADDOPTS=f"{QUIET} -vv")
    assert "110 passed" in output
    assert what_is_wrong(tmp_path, output) == ""
    assert len(list(tmp_path.glob("tests.log.*"))) >= 2


def with_standard_handler(path, mode):
    """Have the workers write with the standard library's handler, which loses in mode w."""
    text = path.read_text("utf-8")
    text = text.replace(
        "from threadlog.handlers import FileHandler, RotatingFileHandler",
        "from logging import FileHandler",
    )
    text = text.replace(
        'RotatingFileHandler("tests.log", maxBytes=2_000, backupCount=100)',
        f'FileHandler("tests.log", {mode!r})',
    )
    path.write_text(text, "utf-8")


def test_the_judge_sees_what_is_overwritten(page, tmp_path):
    """As `--log-file` does: each process empties the file, and writes from its beginning."""
    with_standard_handler(tmp_path / "conftest.py", "w")
    output = run(command(page, "test_shared.py"), tmp_path, PYTEST_ADDOPTS=f"{QUIET} -vv")
    assert "110 passed" in output
    assert what_is_wrong(tmp_path, output)


@pytest.mark.parametrize("part", ["-q test_caplog.py", "-n 2 test_caplog.py"])
def test_caplog(page, tmp_path, part):
    output = run(command(page, part), tmp_path, PYTEST_ADDOPTS=QUIET)
    assert "7 passed" in output


CRASHING = """
import os
from app import add_up

def test_crashes():
    add_up(1)
    os._exit(1)
"""


def test_what_a_crashed_worker_has_logged_is_there(page, tmp_path):
    (tmp_path / "test_crashing.py").write_text(CRASHING, "utf-8")
    output = run("pytest -q -n 1 -p no:randomly test_crashing.py; test $? = 1", tmp_path)
    assert "node down" in output
    (line,) = lines(tmp_path / "tests.log")
    assert LINE.fullmatch(line)[4] == "gw0"


FAILING = """
import pytest
from app import add_up

def test_off():
    add_up(1)
    assert False

def test_on(thread_info):
    add_up(2)
    assert False
"""


@pytest.mark.parametrize("part", ["", "-n 2"])
def test_reports_show_the_prefix(page, tmp_path, part):
    (tmp_path / "test_failing.py").write_text(FAILING, "utf-8")
    options = f"-q {part} --log-cli-level=INFO --log-file=pytest.log -p no:randomly"
    output = run(f"pytest {options} test_failing.py; test $? = 1", tmp_path)

    def check(text):
        assert re.search(r"^(\S+ \S+ )?INFO +app:app.py:\d+ added up 1$", text, re.MULTILINE)
        (line,) = (line for line in text.splitlines() if line.endswith("added up 2"))
        assert re.match(r"\[pid (\d+) tid \1 MainThread\] (\S+ \S+ )?INFO +app:app.py:\d+ ", line)

    live, _, captured = output.partition("= FAILURES =")
    check(captured)
    if not part:  # pytest-xdist shows nothing live, and each of its processes empties the file
        check(live)
        check("\n".join(lines(tmp_path / "pytest.log")))


ATTACHED = """
import os, threadlog
if "PYTEST_XDIST_WORKER" in os.environ:
    attached = threadlog.attach()
else:
    import logging
    threadlog.start_logging_from_children()
    logging.basicConfig(filename="parent.log", level="INFO", format="%(message)s")
    attached = True

def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"attached {attached}")
"""


def test_limit_workers_send_nothing_to_the_one_that_started_them(page, tmp_path):
    (tmp_path / "conftest.py").write_text(ATTACHED, "utf-8")
    (tmp_path / "test_it.py").write_text(
        "import logging, conftest\nfrom app import add_up\n\n"
        "def test_it(monkeypatch):\n    assert conftest.attached\n    add_up(1)\n"
        "    ours = [h for h in logging.root.handlers if 'threadlog' in type(h).__module__]\n"
        "    monkeypatch.setattr(logging.root, 'handlers', ours)\n    add_up(2)\n",
        "utf-8",
    )
    run("pytest -q -n 2 -p no:randomly test_it.py", tmp_path)
    assert lines(tmp_path / "parent.log") == ["added up 2"]  # where there is no handler of pytest's
