"""Django: the server's threads, commands and parallel tests write one rotated file."""

import collections
import concurrent.futures
import contextlib
import http.client
import json
import re
import shlex
import signal
import socket
import subprocess
import time

import pytest

import support
from integration import rotated
from integration.pages import environment, run

pytestmark = pytest.mark.timeout(180)

OURS = "threadlog.handlers.RotatingFileHandler"
STANDARD = "logging.handlers.RotatingFileHandler"
SMALL = {"10_000_000": "3_000", '"backupCount": 9': '"backupCount": 200'}  # so that it rotates
ORDERS = 200
ARTICLES = 1000

# Commands begin to log together, when all are there.
GATE = """
        import os
        import pathlib

        pathlib.Path(f"ready-{os.getpid()}").touch()
        while not os.path.exists("go"):
            pass
"""

RECORD = re.compile(
    r"\[pid (?P<pid>\d+) tid (?P<tid>\d+) (?P<thread>[\w-]+( \(\w+\))?)"
    r"( request=(?P<request>\S+))?\] "
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>\w+) (?P<name>\S+) (?P<message>.*)"
)
FIELDS = ("pid", "tid", "thread", "request", "name", "message")


@contextlib.contextmanager
def running(command, folder, name):
    """Run *command* for the block; it is over at its end, if need be by force."""
    with (
        open(folder / f"{name}.out", "w") as output,
        support.running(
            shlex.split(command),
            cwd=folder,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        yield process


def command_of(page, start):
    return next(command for command in page.commands() if command.startswith(start))


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def wait_until(true):
    give_up = time.monotonic() + 60
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def ask(port, path, request):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"X-Request-ID": request})
        answer = connection.getresponse()
        return answer.status, answer.read()


def serve(page, folder, handler=OURS):
    """Serve orders while two commands run. Return the pids, and {number: (status, answer)}."""
    settings = page.files["settings.py"]
    for large, small in {**SMALL, OURS: handler}.items():
        assert settings.count(large) == 1
        settings = settings.replace(large, small)
    (folder / "settings.py").write_text(settings)
    path = folder / "shop/management/commands/restock.py"
    text = page.files["shop/management/commands/restock.py"]
    loop = "        for article"
    assert loop in text
    path.write_text(text.replace(loop, GATE + loop))
    port = free_port()
    serving = command_of(page, "python manage.py runserver").replace("8000", str(port))
    stocking = command_of(page, "python manage.py restock").replace("3", str(ARTICLES))
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(serving, folder, "server"))
        wait_until(lambda: listens(port))
        commands = [stack.enter_context(running(stocking, folder, str(n))) for n in range(2)]
        wait_until(lambda: len(list(folder.glob("ready-*"))) == len(commands))
        (folder / "go").touch()
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            paths = [f"/order/{number}" for number in range(ORDERS)] + ["/nothing"] * 10
            asked = [
                clients.submit(ask, port, path, f"r{number}") for number, path in enumerate(paths)
            ]
            answers = dict(enumerate(future.result(60) for future in asked))
        assert [command.wait(60) for command in commands] == [0, 0]
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    return server.pid, [command.pid for command in commands], answers


def read(lines):
    """Return the records, as the fields of their first lines, and the lines that are of none."""
    records, torn, level = [], [], None
    for line in lines:
        match = RECORD.fullmatch(line)
        if match:
            level = match["level"]
            records.append(match.group(*FIELDS))
        elif level != "ERROR" or "[pid" in line:  # else a traceback
            torn.append(line)
    return records, torn


def misses(lines, server, commands, answers):
    """Return what is wrong: each order, nothing and article has its lines, by whom it was."""
    records, torn = read(lines)
    wanted = collections.Counter()
    for pid in commands:
        for number in range(ARTICLES):
            name = "shop.management.commands.restock"
            who = str(pid), str(pid), "MainThread", None
            wanted[*who, name, f"article {number} is there"] += 1
    # Who has answered an order is in its answer; who has failed, the order's own line must say.
    takers = {record[5]: record[:3] for record in records if record[4] == "shop.urls"}
    for number, (status, answer) in answers.items():
        if status == 404:
            continue
        message = f"order {number} is taken"
        if status == 200:
            who = tuple(str(value) for value in json.loads(answer).values())
        else:
            who = takers.get(message, ("nobody",) * 3)
        wanted[*who, f"r{number}", "shop.urls", message] += 1
        said = f'"GET /order/{number} HTTP/1.1" {status} {len(answer)}'
        wanted[*who, None, "django.server", said] += 1
        if status == 500:
            said = f"Internal Server Error: /order/{number}"
            wanted[*who, f"r{number}", "django.request", said] += 1
    nothing = [record for record in records if "/nothing" in record[5]]
    found = collections.Counter(record for record in records if "/nothing" not in record[5])
    missed = {thread[:3] for thread in nothing}
    strangers = {record[0] for record in records} - {str(server), *map(str, commands)}
    return {
        "torn": torn,
        "lost": wanted - found,
        "too many": found - wanted,
        "404": abs(20 - len(nothing)) + abs(10 - len(missed)),
        "strangers": strangers,
    }


def test_requests_and_commands_share_the_file(page, tmp_path):
    server, commands, answers = serve(page, tmp_path)
    statuses = collections.Counter(status for status, _ in answers.values())
    assert statuses == {200: ORDERS - ORDERS // 10, 500: ORDERS // 10, 404: 10}
    lines = rotated.lines(tmp_path / "shop.log")
    wrong = misses(lines, server, commands, answers)
    assert not any(wrong.values()), wrong
    assert len(list(tmp_path.glob("shop.log.*"))) > 10

    # The console has the warnings, from its own thread but with the thread of the request.
    shown, _ = read((tmp_path / "server.out").read_text().splitlines())
    records, _ = read(lines)
    assert sorted(shown, key=str) == sorted(
        (record for record in records if record[4] == "django.request"), key=str
    )


def test_the_judge_finds_what_the_standard_handler_loses(page, tmp_path):
    for turn in range(5):  # it is a race: once is enough
        folder = tmp_path / str(turn)
        page.write_files(folder)
        server, commands, answers = serve(page, folder, STANDARD)
        if misses(rotated.lines(folder / "shop.log"), server, commands, answers)["lost"]:
            return
    pytest.fail("the judge finds nothing")


def test_misspelt_keys_are_told_at_the_start(page, tmp_path):
    text = page.files["settings.py"].replace("maxBytes", "maxByte")
    root = '"root": {"level"'
    assert root in text
    (tmp_path / "settings.py").write_text(text.replace(root, '"root": {"levle"'))
    (told,) = (block for block in page.blocks("text") if "ConfigError" in block)
    commands = "python manage.py check", command_of(page, "python manage.py runserver")
    for command in commands:
        printed = run(f"{command} || test $? = 1", tmp_path)
        assert printed.endswith(told)
    assert not (tmp_path / "shop.log").exists()


MANY = """
import logging
import os
import pathlib
import time

from django.test import TestCase

log = logging.getLogger(__name__)


class Base(TestCase):
    def say(self, number):
        # Go on when there are two processes: neither has all tests.
        pathlib.Path(f"began-{os.getpid()}").touch()
        give_up = time.monotonic() + 60
        while len(list(pathlib.Path().glob("began-*"))) < 2 and time.monotonic() < give_up:
            time.sleep(0.01)
        for line in range(20):
            log.info("%s says %d in %d", number, line, os.getpid())
"""
ONE = """

class T{0}(Base):
    def test(self):
        self.say("T{0}")
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_parallel_tests_share_the_file(page, tmp_path, method):
    text = MANY + "".join(ONE.format(number) for number in range(20))
    (tmp_path / "shop" / "test_many.py").write_text(text)
    main = 'if __name__ == "__main__":\n'
    manage = page.files["manage.py"]
    assert main in manage
    method_is_set = (
        f"    import multiprocessing\n\n    multiprocessing.set_start_method({method!r})\n"
    )
    (tmp_path / "manage.py").write_text(manage.replace(main, main + method_is_set))
    printed = run(command_of(page, "python manage.py test"), tmp_path)
    assert "Ran 22 tests" in printed

    records, torn = read(rotated.lines(tmp_path / "shop.log"))
    assert torn == []
    many = [record for record in records if record[4] == "shop.test_many"]
    said = collections.Counter(record[5].rpartition(" in ")[0] for record in many)
    assert said == {f"T{number} says {line}": 1 for number in range(20) for line in range(20)}
    assert all(record[5].endswith(f" in {record[0]}") for record in records if " in " in record[5])
    assert len({record[0] for record in many}) == 2
    rest = collections.Counter(record[3:5] for record in records if record not in many)
    assert rest == {
        (None, "shop.tests"): 2,
        ("test-1", "shop.urls"): 1,
        (None, "django.request"): 1,
    }
