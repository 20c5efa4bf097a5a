"""Celery: the main process and its pool, forked or spawned, write one rotated file."""

import collections
import contextlib
import re
import shlex
import signal
import subprocess

import pytest

import support
from integration import rotated
from integration.pages import environment, run

pytestmark = pytest.mark.timeout(180)

OURS = "threadlog.handlers.RotatingFileHandler"
STANDARD = "logging.handlers.RotatingFileHandler"
SMALL = {"10_000_000": "3_000", '"backupCount": 9': '"backupCount": 100'}  # so that it rotates
ORDERS = 200

# A task that is killed at once after its lines: what it has logged was accepted.
BREAK = """

import signal

app.conf.worker_lost_wait = 1


@app.task
def broken(number):
    task_log.info("broken %d is taken", number)
    stock_log.info("broken %d is packed", number)
    os.kill(os.getpid(), signal.SIGKILL)
"""
SEND_BROKEN = """
import sys

import tasks

lost = [tasks.broken.delay(number) for number in range(int(sys.argv[1]))]
print("sent")
for number, result in enumerate(lost):
    result.get(timeout=60, propagate=False)
    print(number, result.id, type(result.result).__name__)
"""

LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>\w+) (?P<pid>\d+) (?P<processName>\S+) "
    r"(?P<name>\S+) (?P<task>\S+)\[(?P<id>\S+)\] (?P<message>.*)"
)


@contextlib.contextmanager
def running(command, folder, output):
    """Run *command* for the block, and at its end whatever is left of it no longer."""
    with support.running(
        shlex.split(command),
        cwd=folder,
        env=environment(),
        stdout=output,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        yield process


def work(page, folder, *senders, app="tasks"):
    """Run the worker for what *senders* have sent. Return its process id and what they print.

    They have sent all before the worker looks: kombu's broker of files may take one that is not
    written yet.
    """
    text = (folder / "tasks.py").read_text()
    for large, small in SMALL.items():
        assert text.count(large) == 1
        text = text.replace(large, small)
    (folder / "tasks.py").write_text(text)
    run(command_of(page, "mkdir"), folder)
    with contextlib.ExitStack() as stack:
        started = []
        for sender in senders:  # one after the other: they make the broker's files
            started.append(stack.enter_context(running(sender, folder, subprocess.PIPE)))
            assert started[-1].stdout.readline() == "sent\n"
        output = stack.enter_context(open(folder / "worker.out", "w"))
        command = command_of(page, f"celery -A {app} ")
        worker = stack.enter_context(running(command, folder, output))
        printed = [answers(sender.communicate(timeout=60)[0]) for sender in started]
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    return worker.pid, *printed


def command_of(page, start):
    return next(command for command in page.commands() if command.startswith(start))


def answers(printed):
    """Return {number: (task id, answer)} of what a sender has printed."""
    rows = [line.split() for line in printed.splitlines()]
    return {int(number): (task_id, answer) for number, task_id, answer in rows}


def misses(lines, orders, main):
    """Return what is wrong: each order has each of its four lines once, by who says it was it."""
    wanted = collections.Counter()
    for number, (task_id, pid) in orders.items():
        in_task = (pid, "tasks.order", task_id)
        wanted[str(main), "???", "???", f"Task tasks.order[{task_id}] received"] += 1
        wanted[*in_task, f"order {number} is taken"] += 1
        wanted[*in_task, f"order {number} is packed"] += 1
        wanted[*in_task, f"Task tasks.order[{task_id}] succeeded"] += 1
    found, torn = collections.Counter(), []
    level = None
    for line in lines:
        match = LINE.fullmatch(line)
        if match is None:
            if level != "ERROR":  # a traceback, in one piece with its record
                torn.append(line)
            continue
        level = match["level"]
        if "order" in match["message"]:
            message = match["message"].partition(" in ")[0]
            found[match["pid"], match["task"], match["id"], message] += 1
    return {"torn": torn, "lost": wanted - found, "too many": found - wanted}


def run_orders(page, folder, app="tasks"):
    main, orders = work(page, folder, command_of(page, "python send.py"), app=app)
    assert sorted(orders) == list(range(ORDERS))
    return main, orders


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_each_line_of_each_process_is_there_once(page, tmp_path, method):
    with open(tmp_path / "tasks.py", "a") as file:
        file.write(f"\n\napp.conf.worker_pool_start_method = {method!r}\n")
    main, orders = run_orders(page, tmp_path)
    lines = rotated.lines(tmp_path / "celery.log")
    assert misses(lines, orders, main) == {"torn": [], "lost": {}, "too many": {}}
    assert len(list(tmp_path.glob("celery.log.*"))) > 5

    pids = {pid for _, pid in orders.values()}
    assert str(main) not in pids
    names = {match["processName"]: match["pid"] for match in map(LINE.fullmatch, lines)}
    pool = {name: pid for name, pid in names.items() if name != "MainProcess"}
    assert names["MainProcess"] == str(main)
    assert pids <= set(pool.values())
    assert len(set(pool.values())) == len(pool)
    prefix = {"fork": "ForkPoolWorker-", "spawn": "SpawnPoolWorker-"}[method]
    assert all(name.startswith(prefix) for name in pool)

    printed = re.findall(r"printed (\d+)", (tmp_path / "worker.out").read_text("utf-8"))
    assert sorted(map(int, printed)) == list(range(ORDERS))


def test_the_judge_finds_what_the_standard_handler_loses(page, tmp_path):
    text = page.files["tasks.py"]
    assert OURS in text
    for turn in range(5):  # it is a race: once is enough
        folder = tmp_path / str(turn)
        page.write_files(folder)
        (folder / "tasks.py").write_text(text.replace(OURS, STANDARD))
        main, orders = run_orders(page, folder)
        if misses(rotated.lines(folder / "celery.log"), orders, main)["lost"]:
            return
    pytest.fail("the judge finds nothing")


def break_some(page, folder):
    """Run orders beside tasks that kill their process. Return what of these is wrong."""
    with open(folder / "tasks.py", "a") as file:
        file.write(BREAK)
    (folder / "send_broken.py").write_text(SEND_BROKEN)
    senders = "python send_broken.py 4", command_of(page, "python send.py")
    main, broken, orders = work(page, folder, *senders)
    assert sorted(orders) == list(range(ORDERS))
    assert [answer for _, answer in broken.values()] == ["WorkerLostError"] * 4

    lines = rotated.lines(folder / "celery.log")
    wrong = misses(lines, orders, main)
    killed = re.findall(r"pid:(\d+) exited with 'signal 9 \(SIGKILL\)'", "\n".join(lines))
    wanted = {
        (task_id, f"broken {number} is {what}")
        for number, (task_id, _) in broken.items()
        for what in ("taken", "packed")
    }
    found = [
        (match["pid"], match["id"], match["message"])
        for match in map(LINE.fullmatch, lines)
        if match and match["task"] == "tasks.broken"
    ]
    wrong["of the killed"] = wanted.symmetric_difference(told[1:] for told in found)
    wrong["doubled"] = len(found) - len(set(found))
    wrong["by others"] = {told[0] for told in found}.symmetric_difference(killed)
    return wrong


def test_a_killed_pool_process_loses_no_line(page, tmp_path):
    assert not any(break_some(page, tmp_path).values())


def test_the_judge_finds_what_a_killed_process_had_not_written(page, tmp_path):
    text = page.files["tasks.py"]
    last = '"root": {"level": loglevel, "handlers": ["file"]}'
    assert last in text
    (tmp_path / "tasks.py").write_text(
        text.replace(last, last.replace("file", "memory")).replace(
            '"handlers": {\n',
            '"handlers": {"memory": {"class": "logging.handlers.MemoryHandler", "capacity": 3, '
            '"target": "file"},\n',
        )
    )
    assert break_some(page, tmp_path)["of the killed"]


def test_what_a_task_prints_can_be_in_the_log(page, tmp_path):
    (line,) = (block for block in page.blocks("text") if "redirect_stdouts_to_logger" in block)
    text = page.files["tasks.py"]
    end = '"handlers": ["file"]},\n    })\n'
    assert end in text
    (tmp_path / "tasks.py").write_text(text.replace(end, end + line))
    main, orders = run_orders(page, tmp_path)
    lines = rotated.lines(tmp_path / "celery.log")
    assert misses(lines, orders, main) == {"torn": [], "lost": {}, "too many": {}}
    wanted = {(pid, task_id, f"printed {number}") for number, (task_id, pid) in orders.items()}
    found = [
        (match["pid"], match["id"], match["message"])
        for match in map(LINE.fullmatch, lines)
        if match["name"] == "celery.redirected"
    ]
    assert sorted(found) == sorted(wanted)


def test_behind_a_queue_handler_the_task_is_bound(page, tmp_path):
    sender = page.files["send.py"].replace("from tasks", "from queued")
    (tmp_path / "send.py").write_text(sender)
    _, orders = run_orders(page, tmp_path, app="queued")
    taken = [
        line
        for line in (tmp_path / "worker.out").read_text("utf-8").splitlines()
        if "is taken" in line
    ]
    assert sorted(taken) == sorted(
        f"[pid {pid} tid {pid} MainThread task=queued.order id={task_id}]"
        f" INFO queued order {number} is taken"
        for number, (task_id, pid) in orders.items()
    )
