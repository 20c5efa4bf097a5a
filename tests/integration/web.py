"""A web server under load, and the judge of what it has logged."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

from integration.pages import environment

DEADLINE = 60
LIMIT = 2500  # bytes: so low that the standard library's handler is sure to lose records
_RECORD = re.compile(
    r"\[(?P<front>pid (?P<pid>\d+) tid \d+ [^]]*)\] "
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ (?P<name>[\w.]+): (?P<message>.*)\n"
)
_NUMBER = re.compile(r"(?:GET /\w+/|item )(\d+)\b")


class Server:
    """The program of a command line, in a session of its own. It prints where it listens."""

    def __init__(self, command, folder):
        self.log = folder / "shop.log"
        self.printed = folder / "printed"
        with self.printed.open("wb") as output:
            self.process = subprocess.Popen(
                command.split(),
                cwd=folder,
                env=environment(XDG_RUNTIME_DIR=str(folder)),  # gunicorn's control socket
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for_port(self):
        self.port = int(self._wait_for(self._told)[1])
        self._wait_for(self._is_listening)

    def _wait_for(self, found):
        give_up = time.monotonic() + DEADLINE
        while not (it := found()):
            assert self.process.poll() is None, self.printed.read_text()
            assert time.monotonic() < give_up, self.printed.read_text()
            time.sleep(0.05)
        return it

    def _told(self):
        return re.search(r"http://127\.0\.0\.1:(\d+)", self.printed.read_text())

    def _is_listening(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5):
            return True

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self):
        """End it as its operator would, and return its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(DEADLINE)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def servers(folder, options):
    """Give a function that starts servers, from command lines. None is left in the end."""
    started = []

    def start(command):
        started.append(Server(f"{command} {options}", folder))
        return started[-1]

    try:
        yield start
    finally:
        for server in started:
            server.kill()


class Load:
    """What clients have asked, each request with a number of its own, and were answered."""

    def __init__(self, server, path, status=200):
        self.server = server
        self.path = path
        self.status = status
        self.answers = {}  # by number
        self.failed = set()  # numbers of requests that have no answer
        self.ended = set()  # pids of workers who may have left some unanswered
        self._numbers = iter(range(10**9))
        self._turn = threading.Lock()

    def run(self, count, meanwhile=None):
        """Have 8 clients ask so often; after half of it, one calls *meanwhile* with its answer."""
        halfway = len(self.answers) + count // 2
        left = iter(range(count))
        wrong = []

        def work():
            while not wrong:
                with self._turn:
                    if next(left, None) is None:
                        return
                    number = next(self._numbers)
                try:
                    answer = self._ask(number)
                except (OSError, http.client.HTTPException):
                    with self._turn:
                        self.failed.add(number)
                except Exception as error:
                    wrong.append(error)
                else:
                    with self._turn:
                        self.answers[number] = answer
                        is_half = len(self.answers) == halfway
                    if is_half and meanwhile:
                        meanwhile(answer)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong

    def _ask(self, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.request("GET", self.path.format(number), headers={"Connection": "close"})
            with connection.getresponse() as response:
                body = response.read()
                assert response.status == self.status, body
                return json.loads(body) if self.status == 200 else body

    def pids(self):
        return {answer["pid"] for answer in self.answers.values()}

    def reach(self, workers):
        """Ask until so many workers have answered."""
        give_up = time.monotonic() + DEADLINE
        while len(self.pids()) < workers:
            assert time.monotonic() < give_up, self.pids()
            self.run(20)


def full_load(server, path, workers):
    """Have *workers* answer 2000 requests and more, and end the server."""
    load = Load(server, path)
    load.reach(workers)
    load.run(2000)
    assert server.stop() == 0
    assert not load.failed
    assert len(load.pids()) == workers
    return load


def change(path, changes):
    """Replace words in the file, each of which must stand there once."""
    text = path.read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)


def change_handler(path, size, handler):
    """Have *handler* write the page's file, with smaller files than of *size* bytes, and more."""
    changes = {
        size: str(LIMIT),
        '"backupCount": 9,': '"backupCount": 1000,',
        "threadlog.handlers.RotatingFileHandler": handler,
    }
    change(path, changes)


def backups(log):
    """Return the paths of the rotated files, oldest first."""
    return sorted(log.parent.glob(f"{log.name}.*"), key=lambda path: -int(path.suffix[1:]))


def check_rotation(log, limit):
    """Check that the log was rotated often, no file is too large and none was deleted."""
    paths = backups(log)
    assert len(paths) > 100
    assert [path.suffix for path in paths] == [f".{n}" for n in range(len(paths), 0, -1)]
    assert max(os.path.getsize(path) for path in [*paths, log]) <= limit


def content(log):
    return "".join(path.read_text() for path in [*backups(log), log])


def records(text, part):
    """Return the records, with their tracebacks, in which *part* is."""
    return [record for record in re.split(r"(?m)^(?=\[pid )", text) if part in record]


def judge(text, load, fronts, unlogged=0):
    """Each answered request has one record of each logger in *fronts*, written by who answered.

    *fronts* maps a logger's name to a function: from the answer to a pattern of the record's front.
    The loggers' records stand in this order. *unlogged* answers of the workers that have ended may
    lack all but the first. Those workers may have logged requests that they did not answer.
    """
    found = []
    for line in text.splitlines(keepends=True):
        found.append(_RECORD.fullmatch(line))
        assert found[-1], f"torn: {line!r}"
    before = {}
    for name, front in fronts.items():
        places = {}
        for place, record in enumerate(found):
            if record["name"] == name:
                number = int(_NUMBER.search(record["message"])[1])
                assert number not in places, f"doubled: {record[0]}"
                places[number] = place
        missing = load.answers.keys() - places.keys()
        if before and {load.answers[number]["pid"] for number in missing} <= load.ended:
            assert len(missing) <= unlogged, f"missing: {name} {missing}"
        else:
            assert not missing, f"missing: {name} {missing}"
        for number, place in places.items():
            record = found[place]
            if number in load.answers:
                pattern = front(load.answers[number])
                assert re.fullmatch(pattern, record["front"]), f"not {pattern}: {record[0]}"
                assert before.get(number, -1) < place, f"order: {record[0]}"
            else:
                assert number in load.failed, f"never asked: {record[0]}"
                assert int(record["pid"]) in load.ended, f"not answered: {record[0]}"
        before = places
