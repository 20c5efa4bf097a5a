"""Logging from children: what the user sees, with every way to start a child. P1, P3, P9."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

METHODS = ("fork", "forkserver", "spawn")

# What every program here begins with. A child's function stands at the module's level, so that a
# spawned child finds it; what only the parent does stands in main().
HEAD = """
import json, logging, multiprocessing, os, signal, sys, threading, time, warnings
import threadlog
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12+: forks beside the receiving thread
log = logging.getLogger("app.work")

class Keep(logging.Handler):
    records = []
    def emit(self, record):
        self.records.append(record)

def show(*names):
    threadlog.stop_logging_from_children()  # has handled all that has come
    for record in Keep.records:
        print(json.dumps({name: getattr(record, name, "none") for name in names}
                         | {"message": record.getMessage()}))

def keep(level=logging.INFO):
    logging.getLogger().addHandler(Keep())
    logging.getLogger().setLevel(level)
"""


@pytest.fixture
def program(tmp_path):
    """Runs code as a program of its own; returns the lines of its stdout, read as JSON."""

    def run(code, *arguments, stderr="", timeout=60, status=0):
        path = tmp_path / "program.py"
        main = '\nif __name__ == "__main__":\n    main(*sys.argv[1:])\n'
        path.write_text(HEAD + textwrap.dedent(code) + main, "utf-8")
        done = subprocess.run(
            [sys.executable, path, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        if stderr is not None:
            assert done.stderr == stderr
        assert done.returncode == status, done.stderr
        assert not list(tmp_path.glob("threadlog-*")), "an address was left behind"
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.parametrize("method", METHODS)
def test_a_childs_record_is_handled_here_with_the_childs_identity(program, method):
    lines = program(
        """
        def work():
            with threadlog.logging_context(request="abc"):
                thread = threading.Thread(target=log.info, args=("hello %d", 1), name="worker")
                thread.start()
                thread.join()

        def main(method):
            keep()
            threadlog.start_logging_from_children()
            child = multiprocessing.get_context(method).Process(target=work, name="child")
            child.start()
            child.join()
            print(json.dumps(child.pid))
            show("name", "process", "processName", "threadName", "native_id", "thread_info",
                 "args", "msg", "funcName", "levelname", "thread_number")
        """,
        method,
    )
    pid, record = lines
    assert record["process"] == pid
    assert record["native_id"] != pid
    assert record["thread_info"] == f"pid {pid} tid {record['native_id']} worker"
    assert record["thread_number"] == 1
    expected = {
        "name": "app.work",
        "processName": "child",
        "threadName": "worker",
        "msg": "hello %d",
        "args": [1],
        "levelname": "INFO",
        "message": "hello 1",
    }
    assert record.items() >= expected.items()
