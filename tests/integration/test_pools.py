"""Pools of processes and of interpreters: every record once, with the worker that wrote it."""

import json
import re
import sys

import pytest

from integration.pages import Page, run
from integration.rotated import lines

pytestmark = pytest.mark.timeout(180)

ITEMS, STEPS = range(8), range(500)
LINE = re.compile(r"\[pid (\d+) tid (\d+) .*\] item (\d+) step (\d+)")
COMMANDS = Page("pools").commands()
POOLS = [command for command in COMMANDS if command.startswith("python pools.py ")]
INTERPRETERS = [command for command in COMMANDS if command not in POOLS]
needs_interpreters = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="InterpreterPoolExecutor is new in Python 3.14"
)


def what_is_wrong(folder, workers, who):
    """Return what the log has otherwise than *workers*, who did each item, wrote it.

    *who*: the part of a line that tells, 1 the process, 2 the thread.
    """
    wanted = {
        (str(worker), str(item)): [str(step) for step in STEPS]
        for item, worker in zip(ITEMS, workers, strict=True)
    }
    came = {}
    for line in lines(folder / "app.log"):
        match = LINE.fullmatch(line)
        if match is None:
            return f"no record: {line!r}"
        came.setdefault((match[who], match[3]), []).append(match[4])
    return "" if came == wanted else f"{came} is not {wanted}"


MEET = """
def meet():
    import glob, threading, time
    open(f"met-{threading.get_native_id()}", "w").close()
    end = time.monotonic() + 60
    while len(glob.glob("met-*")) < 2 and time.monotonic() < end:
        time.sleep(0.002)

def work(item):
    meet()
"""


def run_workers(command, folder):
    """Return who did each item. Both workers work, at the same time: each waits for the other."""
    change(folder / command.split()[1], "def work(item):\n", MEET.lstrip())
    workers = json.loads(run(command, folder).splitlines()[-1])
    assert len(set(workers)) == 2
    return workers


def change(path, old, new):
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def rotations(folder):
    return len(list(folder.glob("app.log.*")))


@pytest.mark.parametrize("command", POOLS)
def test_processes(page, tmp_path, command):
    workers = run_workers(command, tmp_path)
    assert what_is_wrong(tmp_path, workers, 1) == ""
    assert rotations(tmp_path) >= 2


@needs_interpreters
@pytest.mark.parametrize("command", INTERPRETERS)
def test_interpreters(page, tmp_path, command):
    workers = run_workers(command, tmp_path)
    assert what_is_wrong(tmp_path, workers, 2) == ""
    assert len({LINE.fullmatch(line)[1] for line in lines(tmp_path / "app.log")}) == 1
    assert rotations(tmp_path) >= 2


@pytest.mark.parametrize("command", ["executor forkserver", "joblib loky", "mpire spawn"])
def test_the_judge_sees_what_is_lost_without_it(page, tmp_path, command):
    change(tmp_path / "pools.py", "    threadlog.start_logging_from_children()\n", "")
    workers = run_workers(f"python pools.py {command}", tmp_path)
    assert what_is_wrong(tmp_path, workers, 1)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("", ""),
        ('step %d", item, step)', 'step %d", item, step - step % 2)'),
        ("return os.getpid()", "return os.getpid() + 1"),
    ],
    ids=["as it is", "numbers twice", "another process"],
)
def test_the_judge_sees_a_wrong_number_and_a_wrong_worker(page, tmp_path, old, new):
    path = tmp_path / "pools.py"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    workers = run_workers("python pools.py executor spawn", tmp_path)
    assert bool(what_is_wrong(tmp_path, workers, 1)) is (old != new)


@needs_interpreters
def test_the_judge_sees_what_interpreters_lose_without_it(page, tmp_path):
    change(tmp_path / "interpreters.py", ", initializer=threadlog.attach", "")
    workers = run_workers("python interpreters.py", tmp_path)
    assert what_is_wrong(tmp_path, workers, 2)
    assert lines(tmp_path / "app.log") == []


IN_AN_INTERPRETER = """
import logging, threading
from concurrent import interpreters
from concurrent.futures import InterpreterPoolExecutor
import threadlog
from threadlog.handlers import QueueHandler

log = logging.getLogger("app")

def work():
    log.info("info")
    log.debug("debug")
    with threadlog.logging_context(interpreter=interpreters.get_current().id):
        log.info("bound")
    return threading.get_native_id(), interpreters.get_current().id

def queue():
    logging.basicConfig(handlers=[QueueHandler(handlers=[logging.StreamHandler()])], force=True)
    log.warning("by queue")
    return threading.active_count()

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(thread_number)d %(message)s")
    threadlog.start_logging_with_thread_info()
    threadlog.start_logging_from_children()
    with InterpreterPoolExecutor(1, initializer=threadlog.attach) as pool:
        ids = pool.submit(work).result()
        logging.getLogger().setLevel("DEBUG")
        pool.submit(work).result()
    threadlog.stop_logging_from_children()
    with InterpreterPoolExecutor(1) as pool:
        print(*ids, pool.submit(queue).result())
"""


@needs_interpreters
def test_what_holds_in_an_interpreter(page, tmp_path):
    (tmp_path / "program.py").write_text(IN_AN_INTERPRETER, "utf-8")
    *printed, ids = run("python program.py", tmp_path).splitlines()
    tid, interpreter, threads = ids.split()
    shown = [re.sub(r"^\[pid \d+ ", "[", line) for line in printed]
    assert shown == [
        f"[tid {tid} Dummy-2] 1 info",
        f"[tid {tid} Dummy-2 interpreter={interpreter}] 1 bound",
        f"[tid {tid} Dummy-3] 2 info",
        f"[tid {tid} Dummy-3] 2 debug",
        f"[tid {tid} Dummy-3 interpreter={interpreter}] 2 bound",
        "WARNING:app:by queue",
    ]
    assert threads == "2"  # the interpreter's main thread, and this one


@needs_interpreters
@pytest.mark.parametrize("package", ["threadlog", "logging"])
def test_the_judge_sees_what_the_standard_handler_loses(page, tmp_path, package):
    """With so many rollovers that it cannot go well: ours loses nothing there either."""
    path = tmp_path / "own_handlers.py"
    change(path, "maxBytes=20_000, backupCount=100", "maxBytes=1_000, backupCount=1_000")
    change(path, "from threadlog.handlers import", f"from {package}.handlers import")
    workers = run_workers("python own_handlers.py", tmp_path)
    assert bool(what_is_wrong(tmp_path, workers, 2)) is (package == "logging")
