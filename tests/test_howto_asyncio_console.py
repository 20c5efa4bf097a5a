"""docs/howto/asyncio-console.md: an event loop whose console is a pipe that nobody reads."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from support import running

PROGRAM = """
import asyncio, json, logging, sys, time
from threadlog.handlers import QueueHandler

console = logging.StreamHandler(sys.stderr)
if sys.argv[1] == "queue":
    handler = QueueHandler(handlers=[console], overflow="drop_old", capacity=100, drain_timeout=0.1)
else:
    handler = console
logging.basicConfig(level=logging.INFO, handlers=[handler])

async def heartbeat():
    beats = [time.monotonic()]
    while beats[-1] < beats[0] + 2:
        logging.info("x" * 1000)
        await asyncio.sleep(0.001)
        beats.append(time.monotonic())
        if len(beats) % 50 == 0:
            print(len(beats), flush=True)
    gaps = sorted(after - before for before, after in zip(beats, beats[1:]))
    print(json.dumps([len(beats), gaps[-1], gaps[len(gaps) // 2]]))

asyncio.run(heartbeat())
"""


@pytest.fixture
def console():
    """The writing end of a pipe that nobody reads."""
    reader, writer = os.pipe()
    yield writer
    os.close(reader)
    os.close(writer)


def start(console, kind):
    return running(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), kind],
        stdout=subprocess.PIPE,
        stderr=console,
        text=True,
    )


def test_the_loop_goes_on_behind_a_queue(console):
    with start(console, "queue") as program:
        output, _ = program.communicate(timeout=15)
    assert program.returncode == 0
    beats, longest, median = json.loads(output.splitlines()[-1])
    assert beats > 130  # twice as many as the pipe holds records
    assert longest < 1  # a busy machine may hold it up; without the queue it stands still for good
    assert median < 0.1


def test_the_loop_stands_still_without_one(console):
    """The saboteur: the program above must be able to fail."""
    with start(console, "plain") as program, pytest.raises(subprocess.TimeoutExpired):
        program.communicate(timeout=4)
