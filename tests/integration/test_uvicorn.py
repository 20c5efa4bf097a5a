"""uvicorn, whose workers are spawned, with FastAPI: one rotated file, every line accounted for."""

import os
import re
import signal

import pytest

from integration.web import (
    LIMIT,
    Load,
    change,
    change_handler,
    check_rotation,
    content,
    full_load,
    judge,
    records,
    servers,
)

WORKERS = 3

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def server(tmp_path):
    with servers(tmp_path, "--port 0") as start:
        yield start


@pytest.fixture
def start(page, tmp_path, server):
    """Start the page's first command, with smaller files and perhaps with other options."""

    def started(options="", handler="threadlog.handlers.RotatingFileHandler"):
        change_handler(tmp_path / "log.json", "10000000", handler)
        started = server(f"{page.commands()[0]} {options}")
        started.wait_for_port()
        return started

    return started


def in_task(answer):
    """What stands in front of a line that the request's own task writes, in the main thread."""
    task = re.escape(answer["task"]) if "task" in answer else r"Task-\d+"
    return "pid {pid} tid {pid} MainThread task {0} request={request}".format(task, **answer)


def in_thread(answer):
    assert answer["tid"] != answer["pid"]
    return "pid {pid} tid {tid} {thread} request={request}".format(**answer)


FRONTS = {
    "/items/{}": {"shop": in_task, "uvicorn.access": in_task},
    "/reports/{}": {"shop": in_thread, "uvicorn.access": in_task},
}


@pytest.mark.parametrize("path", FRONTS)
def test_2000_requests_are_logged_once_each_by_who_answered(start, path):
    server = start()
    load = full_load(server, path, WORKERS)
    text = content(server.log)
    judge(text, load, FRONTS[path])
    assert len(records(text, ": Application startup complete.\n")) == WORKERS
    assert len(records(text, ": Application shutdown complete.\n")) == WORKERS
    check_rotation(server.log, LIMIT)


def test_the_judge_sees_what_the_standard_handler_loses(start):
    server = start(handler="logging.handlers.RotatingFileHandler")
    load = full_load(server, "/items/{}", WORKERS)
    with pytest.raises(AssertionError, match=r"^missing: "):
        judge(content(server.log), load, FRONTS["/items/{}"])


def end_one_worker(load, answer):
    load.ended = {answer["pid"]}
    os.kill(answer["pid"], signal.SIGKILL)


def reload(load, answer):
    load.ended = load.pids()
    load.server.signal(signal.SIGHUP)


def stop(load, answer):
    load.ended = load.pids()
    load.server.signal(signal.SIGTERM)


EVENTS = {
    "SIGKILL to a worker": (end_one_worker, 1, r"Child process \[\d+\] died\n"),
    "SIGHUP": (reload, 3, r"Received SIGHUP, restarting processes\.\n"),
    "SIGTERM": (stop, 0, r"Stopping parent process \[\d+\]\n$"),
}
# By default it gives up to replace workers if one needs more than 5 seconds to start.
OPTIONS = {"SIGHUP": "--timeout-worker-healthcheck 60"}


@pytest.mark.parametrize("event", EVENTS)
def test_what_was_answered_is_logged_whatever_happens_under_load(start, event):
    make_happen, new_workers, told = EVENTS[event]
    server = start(OPTIONS.get(event, ""))
    load = Load(server, "/reports/{}")
    load.reach(WORKERS)
    load.run(600, lambda answer: make_happen(load, answer))
    if event == "SIGTERM":
        assert server.process.wait(60) == 0
    else:
        load.reach(WORKERS + new_workers)
        assert server.stop() == 0

    text = content(server.log)
    judge(text, load, FRONTS["/reports/{}"])
    assert re.search(told, text)
    assert re.search(told, server.printed.read_text())


def test_tracebacks_of_several_workers_are_not_mixed(start):
    server = start()
    load = Load(server, "/failures/{}", status=500)
    load.run(100)
    assert server.stop() == 0

    errors = records(content(server.log), " ERROR ")
    whole = (
        r".* uvicorn\.error: Exception in ASGI application\n"
        r"Traceback(?s:.*)\nValueError: item (\d+)\n"
    )
    numbers = [int(re.fullmatch(whole, record)[1]) for record in errors]
    assert sorted(numbers) == list(range(100))


def test_workers_that_cannot_start_say_why_in_the_log(page, server, tmp_path):
    (tmp_path / "shop.py").unlink()
    failing = server(page.commands()[0])
    failing.process.wait(60)
    text = content(failing.log)
    assert records(
        text, 'ERROR uvicorn.error: Error loading ASGI app. Could not import module "shop"'
    )
    assert records(text, " failed to start, stopping the parent process.\n")


def test_uvicorns_own_lines_say_which_worker_wrote_them(page, server):
    (command,) = [command for command in page.commands() if "shown" in command]
    shown = server(command)
    shown.wait_for_port()
    load = Load(shown, "/items/{}")
    load.run(20)
    assert shown.stop() == 0

    lines = shown.printed.read_text().splitlines()
    of_workers = [line for line in lines if re.match(r"\[pid \d+ tid \d+ MainThread task ", line)]
    assert sum("GET /items/" in line for line in of_workers) == 20
    # The parent does not import the application. Its lines are as they were.
    of_parent = "Uvicorn running|parent process|child process|Received SIGTERM"
    assert all(re.search(of_parent, line) for line in set(lines) - set(of_workers))


def test_a_parent_handles_its_workers_lines(page, server, tmp_path):
    change(tmp_path / "main.py", {"port=8000": "port=0"})
    (command,) = [command for command in page.commands() if "main.py" in command]
    parent = server(command)
    parent.wait_for_port()
    load = Load(parent, "/reports/{}")
    load.reach(WORKERS)
    load.run(300, lambda answer: end_one_worker(load, answer))
    load.reach(WORKERS + 1)
    assert parent.stop() == 0
    judge(parent.printed.read_text(), load, FRONTS["/reports/{}"])
