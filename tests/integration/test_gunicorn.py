"""gunicorn, whose workers are forked, with Flask: one rotated file, every line accounted for."""

import os
import re
import signal

import pytest

from integration.web import (
    LIMIT,
    Load,
    change_handler,
    check_rotation,
    content,
    full_load,
    judge,
    records,
    servers,
)

WORKERS = 4

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def server(tmp_path):
    with servers(tmp_path, "--bind 127.0.0.1:0") as start:
        yield start


@pytest.fixture
def start(page, tmp_path, server):
    """Start the page's first command, with smaller files and perhaps with other options."""

    def started(options="", handler="threadlog.handlers.RotatingFileHandler"):
        change_handler(tmp_path / "gunicorn.conf.py", "10_000_000", handler)
        started = server(f"{page.commands()[0]} {options}")
        started.wait_for_port()
        return started

    return started


def front(answer):
    return re.escape("pid {pid} tid {tid} {thread}".format(**answer))


FRONTS = {"shop.items": front, "gunicorn.access": front}


@pytest.mark.parametrize(("options", "threads"), [("", 2), ("--threads 1", 1)])
def test_2000_requests_are_logged_once_each_by_who_answered(start, options, threads):
    server = start(options)
    load = full_load(server, "/items/{}", WORKERS)
    text = content(server.log)
    judge(text, load, FRONTS)
    assert len(records(text, ": Booting worker with pid: ")) == WORKERS
    assert len(records(text, ": Worker exiting (pid: ")) == WORKERS
    check_rotation(server.log, LIMIT)
    answering = {(answer["pid"], answer["thread"]) for answer in load.answers.values()}
    assert WORKERS * threads * 3 / 4 <= len(answering) <= WORKERS * threads


def test_the_judge_sees_what_the_standard_handler_loses(start):
    server = start(handler="logging.handlers.RotatingFileHandler")
    load = full_load(server, "/items/{}", WORKERS)
    with pytest.raises(AssertionError, match=r"^missing: "):
        judge(content(server.log), load, FRONTS)


def test_the_judge_sees_what_is_wrong_with_one_line(start):
    server = start()
    load = Load(server, "/items/{}")
    load.run(50)
    assert server.stop() == 0
    text = content(server.log)
    judge(text, load, FRONTS)

    line = re.search(".* item 40\n", text)[0]
    access = re.search('.* "GET /items/40 .*\n', text)[0]
    wrong = {
        "missing": text.replace(line, ""),
        "doubled": text.replace(line, 2 * line),
        "torn": text.replace(line, line[:-20] + access + line[-20:]),
        "not pid": text.replace(line, re.sub(r"tid \d+", "tid 1", line)),
        "order": text.replace(line, "").replace(access, access + line),
        "never asked": text + line.replace("item 40", "item 50"),
    }
    for complaint, changed in wrong.items():
        with pytest.raises(AssertionError, match=f"^{complaint}"):
            judge(changed, load, FRONTS)


def end_one_worker(load, answer):
    load.ended = {answer["pid"]}
    os.kill(answer["pid"], signal.SIGKILL)


def reload(load, answer):
    load.ended = load.pids()
    load.server.signal(signal.SIGHUP)


def reopen(load, answer):
    load.server.signal(signal.SIGUSR1)


def stop(load, answer):
    load.ended = load.pids()
    load.server.signal(signal.SIGTERM)


EVENTS = {
    "SIGKILL to a worker": (end_one_worker, 1, "Worker \\(pid:\\d+\\) was sent SIGKILL!"),
    "SIGHUP": (reload, 1, "Hang up: Master"),
    "SIGUSR1": (reopen, 0, "Handling signal: usr1"),
    "SIGTERM": (stop, 0, "Shutting down: Master\n$"),
}


@pytest.mark.parametrize("event", EVENTS)
def test_what_was_answered_is_logged_whatever_happens_under_load(start, event):
    make_happen, new_workers, told = EVENTS[event]
    server = start()
    load = Load(server, "/items/{}")
    load.reach(WORKERS)
    load.run(600, lambda answer: make_happen(load, answer))
    if event == "SIGTERM":
        assert server.process.wait(60) == 0
    else:
        load.reach(WORKERS + new_workers)
        assert server.stop() == 0

    text = content(server.log)
    # A worker logs the access after it has answered, and is killed in between.
    judge(text, load, FRONTS, unlogged=2 if "SIGKILL" in event else 0)
    assert re.search(told, text)
    assert re.search(told, server.printed.read_text())


def test_tracebacks_of_several_workers_are_not_mixed(start):
    server = start()
    load = Load(server, "/failures/{}", status=500)
    load.run(100)
    assert server.stop() == 0

    errors = records(content(server.log), " ERROR ")
    whole = r".* shop: Exception on /failures/(\d+) .*\nTraceback(?s:.*)\nValueError: item (\d+)\n"
    numbers = [re.fullmatch(whole, record).groups() for record in errors]
    assert sorted(numbers) == sorted((str(number), str(number)) for number in range(100))


def test_workers_that_cannot_start_say_why_in_the_log(page, server, tmp_path):
    (tmp_path / "shop.py").write_text("raise ValueError('no goods')")
    failing = server(page.commands()[0])
    assert failing.process.wait(60) != 0

    text = content(failing.log)
    errors = records(text, ": Exception in worker process\n")
    assert len(errors) == len(records(text, ": Booting worker with pid: ")) >= 1
    for record in errors:
        assert re.fullmatch(r".*\nTraceback(?s:.*)\nValueError: no goods\n", record)


@pytest.mark.parametrize("config", ["shown", "workers"])
def test_gunicorns_own_lines_say_who_wrote_them(page, server, config):
    (command,) = [command for command in page.commands() if config in command]
    shown = server(command)
    shown.wait_for_port()
    load = Load(shown, "/items/{}")
    load.run(20)
    assert shown.stop() == 0

    lines = shown.printed.read_text().splitlines()
    assert sum("GET /items/" in line and line.startswith("[pid ") for line in lines) == 20
    without = [line for line in lines if not line.startswith("[pid ")]
    if config == "shown":
        assert not without
    else:  # the arbiter's, and what workers log before the hook is called
        of_arbiter = f" [{shown.process.pid}] [INFO] "
        assert all(of_arbiter in line or "Booting worker" in line for line in without)
