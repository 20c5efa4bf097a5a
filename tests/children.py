"""Programs with children, for the tests of logging from children."""

import json
import os
import subprocess
import sys
import textwrap

METHODS = ("fork", "forkserver", "spawn")

# What every program begins with. What children do stands at the module's level, so that a spawned
# child finds it; what only the parent does stands in main().
HEAD = '''
import json, logging, logging.config, multiprocessing, os, signal, sys, threading, time, warnings
from concurrent.futures import ProcessPoolExecutor
import threadlog
warnings.simplefilter("ignore", DeprecationWarning)  # 3.12+: forks beside the receiving thread
log = logging.getLogger("app.work")

class Keep(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records, self.lines = [], []
    def emit(self, record):
        self.records.append(record)
        self.lines.append(self.format(record))

kept = Keep()

def keep(level=logging.INFO):
    logging.getLogger().addHandler(kept)
    logging.getLogger().setLevel(level)

def start(method, target, *args, **options):
    child = multiprocessing.get_context(method).Process(target=target, args=args, **options)
    child.start()
    return child

def run(method, target, *args, **options):
    child = start(method, target, *args, **options)
    child.join()
    return child

def messages():
    threadlog.stop_logging_from_children()  # has handled all that has come
    return [record.getMessage() for record in kept.records]

def judge(workers, records):
    """Return what is wrong: the numbers of each worker must be complete and in order."""
    came = {}
    for record in kept.records:
        worker, number = record.args
        came.setdefault(worker, []).append(number)
    return {worker: [len(numbers), numbers[:3]] for worker in range(workers)
            if (numbers := came.get(worker, [])) != list(range(records))}

def eventually(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.002)

def answer(value):
    print(json.dumps(value), flush=True)

def main(method):  # of programs that have none of their own
    keep()
    threadlog.start_logging_from_children()
    run(method, work)
    answer(messages())
'''


def write_program(folder, code):
    path = folder / "program.py"
    body = textwrap.dedent(code)
    path.write_text(
        f'{HEAD}\n{body}\nif __name__ == "__main__":\n    main(*sys.argv[1:])\n', "utf-8"
    )
    return path


def environment(folder, **more):
    """Return an environment whose temporary directory is *folder*: addresses lie there."""
    return {**os.environ, "TMPDIR": str(folder), **more}


def addresses(folder):
    return list(folder.glob("threadlog-*"))


def run_program(folder, code, *arguments, stderr="", timeout=60, **env):
    """Run *code*; return what `answer` was called with, one or a list of several.

    Its stderr is *stderr*, unless that is None, and it leaves no address behind.
    """
    done = subprocess.run(
        [sys.executable, write_program(folder, code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=folder,
        env=environment(folder, **env),
    )
    assert done.returncode == 0, done.stderr
    if stderr is not None:
        assert done.stderr == stderr
    assert addresses(folder) == []
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return answers[0] if len(answers) == 1 else answers
