"""Dask: what tasks log in worker processes is in the client's log."""

import collections
import contextlib
import os
import signal
import subprocess

import pytest

from integration.pages import environment

pytestmark = pytest.mark.timeout(180)

START = "    threadlog.start_logging_from_children()"
ITEMS = 200

# Tasks that log and then kill their worker. Dask must not run them, or what was beside them, again.
KILLED = """
import os
import signal
import sys
import time

import dask
import sums
from sums import *


def die(number):
    log.info("item %d is begun", number)
    for line in range(500):
        log.info("item %d says %d", number, line)
    with open(f"{number}.pid", "w") as file:
        file.write(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)


def main():
    logging.basicConfig(
        filename="sums.log",
        level=logging.INFO,
        format="%(process)d %(threadName)s %(name)s %(levelname)s %(message)s",
    )
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    if sys.argv[1] == "threadlog":
        threadlog.start_logging_from_children()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        if sys.argv[1] == "dask":
            client.forward_logging("sums")
        for number in range(1000, 1003):
            error = client.submit(die, number).exception()
            print(number, type(error).__name__, open(f"{number}.pid").read())
            client.wait_for_workers(2)
        for number, done in enumerate(client.gather(client.map(add_up, range(20)))):
            print(number, *done)


if __name__ == "__main__":
    main()
"""


def run(command, folder):
    """Return what the command prints on stdout. Nothing that it has started outlives it."""
    with (folder / "stderr").open("w") as errors:
        process = subprocess.Popen(
            command,
            shell=True,
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
            start_new_session=True,
        )
    try:
        printed, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert process.returncode == 0, (folder / "stderr").read_text()
    return printed


def command_of(page, start):
    return next(command for command in page.commands() if command.startswith(start))


def lines_of(folder):
    return [line for line in (folder / "sums.log").read_text().splitlines() if " sums " in line]


def rows_of(printed):
    return [line.split() for line in printed.splitlines()]


def misses(lines, rows):
    """Return what is lost of, and what is too much for, the items whose tasks have told who ran."""
    wanted = collections.Counter()
    for number, total, pid, thread in rows:
        wanted[f"{pid} {thread} sums INFO item {number} is begun"] += 1
        wanted[f"{pid} {thread} sums INFO item {number} is done: {total}"] += 1
    found = collections.Counter(lines)
    return {"lost": wanted - found, "too many": found - wanted}


def check(folder, printed):
    print((folder / "stderr").read_text())
    rows = rows_of(printed)
    assert [int(row[0]) for row in rows] == list(range(ITEMS))
    assert misses(lines_of(folder), rows) == {"lost": {}, "too many": {}}
    assert len({pid for _, _, pid, _ in rows}) == 2


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_what_tasks_log_is_in_the_clients_log(page, tmp_path, monkeypatch, method):
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", method)
    check(tmp_path, run(command_of(page, "python sums.py"), tmp_path))


def test_without_the_one_line_the_judge_finds_nothing(page, tmp_path):
    text = page.files["sums.py"]
    assert START in text
    (tmp_path / "sums.py").write_text(text.replace(START, "    pass"))
    rows = rows_of(run(command_of(page, "python sums.py"), tmp_path))
    assert misses(lines_of(tmp_path), rows)["lost"].total() == 2 * ITEMS


def test_workers_of_the_command_line_join_by_a_preload(page, tmp_path):
    check(tmp_path, run(command_of(page, "python sums_cli.py"), tmp_path))


def test_without_a_preload_workers_of_the_command_line_send_nothing(page, tmp_path):
    text = page.files["sums_cli.py"]
    assert " --preload join.py" in text
    (tmp_path / "sums_cli.py").write_text(text.replace(" --preload join.py", ""))
    rows = rows_of(run(command_of(page, "python sums_cli.py"), tmp_path))
    assert len(rows) == ITEMS
    assert lines_of(tmp_path) == []


def run_killed(folder, by):
    """Return what killed workers had logged and is lost, and what else is wrong."""
    (folder / "killed.py").write_text(KILLED)
    rows = rows_of(run(f"python killed.py {by}", folder))
    killed, rest = rows[:3], rows[3:]
    assert [row[:2] for row in killed] == [[str(n), "KilledWorker"] for n in range(1000, 1003)]
    lines = [line.split(maxsplit=4) for line in lines_of(folder)]
    wanted = collections.Counter()
    for number, _, pid in killed:
        wanted[pid, f"item {number} is begun"] += 1
        wanted.update((pid, f"item {number} says {line}") for line in range(500))
    found = collections.Counter((pid, said) for pid, _, _, _, said in lines if "item 100" in said)
    others = [line for line in lines_of(folder) if "item 100" not in line]
    return wanted - found, found - wanted, misses(others, rest)


def test_a_killed_worker_loses_no_record(page, tmp_path):
    assert run_killed(tmp_path, "threadlog") == ({}, {}, {"lost": {}, "too many": {}})


def test_the_judge_finds_what_forward_logging_loses_of_killed_workers(page, tmp_path):
    lost, _, _ = run_killed(tmp_path, "dask")
    assert lost


def test_dasks_own_errors_are_still_shown(page, tmp_path):
    text = page.files["sums.py"]
    (tmp_path / "sums.py").write_text(text.replace("range(number + 1)", "range(number + 1, None)"))
    run("python sums.py || true", tmp_path)
    assert "distributed.worker - ERROR - Compute Failed" in (tmp_path / "stderr").read_text()
