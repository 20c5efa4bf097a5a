"""A queue handler from the beginning of its process to the end: P7, P8, and forks."""

import gc
import json
import logging
import logging.config
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from queued import LONG, Sink, log
from support import eventually, in_fork, logging_lock, threads
from threadlog.handlers import QueueHandler, QueueListener

PRELUDE = """
import atexit, logging, multiprocessing, os, queue, signal, sys, threading, time
from threadlog.handlers import FileHandler, QueueHandler, QueueListener

class Slow(logging.Handler):
    '''A millisecond for each record: a backlog is sure. Writes by itself, and at once.'''
    def emit(self, record):
        time.sleep(0.001)
        with open(PATH, "a") as file:
            file.write(self.format(record) + "\\n")

def make(drain_timeout=60):  # however busy the machine
    return QueueHandler(handlers=[Slow()], drain_timeout=drain_timeout)

def listen(queue):
    QueueListener(queue, Slow(), drain_timeout=60).start()

def log(handler, *messages):
    for message in messages:
        handler.handle(logging.LogRecord("test", 20, "", 1, str(message), (), None))
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def program(path):
    """Run code as a program; return the process when it has ended."""

    def run(code, *, timeout=15, main=False, **options):
        body = textwrap.dedent(code)
        text = "import early\n" if "import early" in body else ""
        text += f"PATH = {str(path)!r}\n{PRELUDE}\n"
        if main:
            body = "if __name__ == '__main__':\n" + textwrap.indent(body, "    ")
        script = path.parent / "program.py"
        script.write_text(text + body)
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.run(
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", str(script)],
            text=True,
            timeout=timeout,
            check=False,
            **options,
        )

    return run


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def numbers(count):
    return [str(number) for number in range(count)]


# The end of the process

ENDS = {
    "normal": "",
    "sys.exit": "sys.exit(0)",
    "uncaught exception": "raise SystemExit from ValueError('uncaught')",
    "SIGTERM as KeyboardInterrupt": """
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(9)
        except KeyboardInterrupt:
            pass
        """,
    "SIGTERM as SystemExit": """
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(9)
        """,
    "a thread that outlives main": """
        def work():
            threading.main_thread().join()
            log(handler, *range(200, 210))
        threading.Thread(target=work).start()
        """,
}


BEGIN = {
    "own": "handler = make()",
    "queue.Queue": "q = queue.Queue(); handler = QueueHandler(q); listen(q)",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", ["own", "queue.Queue"])
def test_at_the_end_everything_is_written(program, path, end, kind):
    done = program(f"{BEGIN[kind]}\nlog(handler, *range(200))\n{textwrap.dedent(ENDS[end])}")
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(path) == numbers(210 if "outlives" in end else 200)


def test_an_uncaught_exception(program, path):
    done = program("handler = make()\nlog(handler, *range(200))\n1 / 0")
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert lines(path) == numbers(200)


def test_the_first_record_is_the_last_act(program, path):
    done = program("log(make(), 0)")
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(path) == ["0"]


def test_a_process_that_is_killed_loses_what_is_queued(program, path):
    """The saboteur: without the drain at exit the tests above must fail."""
    program("handler = make()\nlog(handler, *range(200))\nos._exit(0)")
    assert len(lines(path)) < 200


@pytest.mark.parametrize("kind", ["own", "queue.Queue"])
def test_atexit_hooks_registered_before_and_after(program, path, kind):
    done = program(
        f"""
        import early
        {BEGIN[kind]}
        early.hooks.append(lambda: log(handler, "registered before"))
        atexit.register(lambda: log(handler, "registered after"))
        log(handler, *range(100))
        """,
        env=os.environ | {"PYTHONPATH": str(early(path))},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(path) == [*numbers(100), "registered after", "registered before"]


def test_no_thread_is_started_at_the_end(program, path):
    done = program(
        """
        handler = QueueHandler(handlers=[Slow(), logging.NullHandler()])
        def last():
            def refuse(*_):
                raise AssertionError("a thread is started at the end")
            threading.Thread.start = refuse
            sys.modules["_thread"].start_new_thread = refuse
            log(handler, "the first record of all")
        import threadlog.lifecycle as lifecycle
        atexit.unregister(lifecycle._drain)
        atexit.register(last)
        atexit.register(lifecycle._drain)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(path) == ["the first record of all"]


def test_what_is_not_written_in_time_is_reported(program, path):
    done = program("handler = make(drain_timeout=0.5)\nlog(handler, *range(5000))")
    written = len(lines(path))
    assert 0 < written < 5000
    assert done.returncode == 0
    said, _, rest = done.stderr.partition(" records were not written after 0.5 seconds\n")
    assert rest == ""
    # The listener's thread may go on with its batch between the counting and the end.
    assert 5000 - written <= int(said.removeprefix("threadlog: ")) <= 5000 - written + 100
    assert written > 100  # else the line above would say nothing


def test_a_console_that_nobody_reads_does_not_keep_the_process(program):
    reader, writer = os.pipe()
    try:
        done = program(
            """
            sink = logging.StreamHandler(sys.stderr)
            handler = QueueHandler(handlers=[sink], overflow="drop_new", drain_timeout=0.1)
            start = time.monotonic()
            log(handler, *["x" * 1000] * 5000)
            print(handler.statistics().written)
            """,
            stderr=writer,
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 0
    assert int(done.stdout) < 70  # as many as the pipe holds


@pytest.mark.parametrize("is_closed", [False, True])
def test_one_of_two_sinks_is_stuck_at_the_end(program, path, is_closed):
    reader, writer = os.pipe()
    try:
        done = program(
            f"""
            import early
            import threadlog.handlers.sinks
            threadlog.handlers.sinks.STUCK_AFTER = 0.05
            console = logging.StreamHandler(sys.stderr)
            handler = QueueHandler(handlers=[console, Slow()], drain_timeout=0.5)
            early.hooks.append(lambda: log(handler, "late"))
            log(handler, "x" * 100_000, 1, 2)
            while not os.path.exists(PATH):
                time.sleep(0.001)
            if {is_closed}:
                handler.close()
            """,
            stderr=writer,
            env=os.environ | {"PYTHONPATH": str(early(path))},
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 0
    assert lines(path)[1:] == ["1", "2", "late"]


def early(path):
    """Return a folder with a module whose `hooks` run after those of threadlog."""
    (path.parent / "early.py").write_text(
        "import atexit\nhooks = []\n@atexit.register\ndef run():\n    for hook in hooks: hook()\n"
    )
    return path.parent


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_end_of_a_multiprocessing_child(program, path, method):
    program_path = path.parent / "work.py"
    program_path.write_text(
        f"PATH = {str(path)!r}\n{PRELUDE}\n"
        + textwrap.dedent(
            """
            handler = make()
            log(handler, f"import {__name__}")
            def work():
                log(handler, *range(200))
            def work_and_leave_a_thread():
                def late():
                    time.sleep(0.1)
                    log(handler, "late")
                threading.Thread(target=late).start()
                work()
            """
        )
    )
    done = program(
        f"""
        sys.path.insert(0, {str(path.parent)!r})
        import work
        work.handler.flush()
        os.unlink(PATH)
        context = multiprocessing.get_context({method!r})
        for target in (work.work, work.work_and_leave_a_thread):
            child = context.Process(target=target)
            child.start()
            child.join()
            assert child.exitcode == 0, child.exitcode
        """,
        main=True,
        timeout=18,
    )
    assert (done.returncode, done.stderr) == (0, "")
    written = [line for line in lines(path) if not line.startswith("import")]
    assert written.count("late") == 1
    written.remove("late")
    assert written == numbers(200) * 2


def test_a_child_of_os_fork_that_ends_normally(program, path):
    done = program(
        """
        handler = make()
        log(handler, *range(50))
        child = os.fork()
        if child == 0:
            log(handler, *range(50, 100))
            sys.exit(0)
        os.waitpid(child, 0)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(lines(path), key=int) == numbers(100)


# Forks


def test_a_child_inherits_no_pending_record():
    sink = Sink()
    sink.gate.clear()
    handler = QueueHandler(handlers=[sink])
    log(handler, *"abc")
    sink.wait_for_call()

    def in_child():
        before = handler.statistics()
        sink.gate.set()
        log(handler, "d")
        handler.flush()
        return json.dumps([sink.texts, before[:4], handler.statistics()[:4]])

    _, answer = in_fork(in_child)
    assert json.loads(answer) == [["d"], [0, 0, 0, 0], [1, 1, 0, 0]]
    sink.gate.set()
    handler.close()
    assert sink.texts == ["a", "b", "c"]


def test_fork_does_not_wait_for_a_stuck_sink():
    sink = Sink()
    sink.gate.clear()
    handler = QueueHandler(handlers=[sink], capacity=2, overflow="drop_new")
    log(handler, *"abcdef")
    sink.wait_for_call()
    _, answer = in_fork(lambda: "forked")
    assert answer == "forked"
    sink.gate.set()
    handler.close()


def test_a_fork_in_a_sink_whose_child_goes_on():
    answers = []

    class Forks(Sink):
        def emit(self, given):
            super().emit(given)
            if given.msg == "fork":
                answers.append(in_fork(lambda: json.dumps(in_child()))[1])

    def in_child():
        log(handler, "child")
        handler.flush()
        return handler.statistics()[:4]

    sink = Forks()
    handler = QueueHandler(handlers=[sink])
    log(handler, "fork", "parent")
    handler.flush()
    assert json.loads(answers[0]) == [1, 1, 0, 0]
    handler.close()
    assert sink.texts == ["fork", "parent"]


def test_a_closed_handler_is_closed_in_the_child():
    sink = Sink()
    handler = QueueHandler(handlers=[sink])
    log(handler, "a")
    handler.close()

    def in_child():
        log(handler, "b")
        return json.dumps([sink.texts, len(threads())])

    assert json.loads(in_fork(in_child)[1]) == [["a", "b"], 0]


def test_a_listener_of_another_queue_does_not_run_in_the_child():
    import queue

    waiting = queue.Queue()
    listener = QueueListener(waiting, Sink())
    listener.start()

    def in_child():
        listener.stop()  # neither hangs nor ends the parent's
        return json.dumps(waiting.qsize())

    assert in_fork(in_child)[1] == "0"
    listener.stop()


@pytest.mark.timeout(60)
@pytest.mark.skipif(
    hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled(),
    reason="a free-threaded build's fork may strand the interpreter's own locks",
)
@pytest.mark.parametrize("overflow", ["block", "drop_old"])
def test_forks_beside_threads_that_log_neither_hang_nor_double(program, path, overflow):
    # A program of its own: coverage has a lock that a fork beside its threads may strand.
    done = program(
        f"""
        descriptor = os.open(PATH, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        class Write(logging.Handler):
            def emit(self, record):
                os.write(descriptor, (self.format(record) + "\\n").encode())
        handler = QueueHandler(handlers=[Write()], capacity=50, overflow={overflow!r})
        stop = threading.Event()
        def work(me):
            number = 0
            while not stop.is_set():
                log(handler, f"{{me}} {{number}}")
                number += 1
        workers = [threading.Thread(target=work, args=(me,)) for me in range(4)]
        for worker in workers:
            worker.start()
        for number in range(50):
            child = os.fork()
            if child == 0:
                try:
                    log(handler, f"child {{number}}")
                    handler.flush()
                finally:
                    os._exit(0)
            end = time.monotonic() + {2 * LONG}
            while os.waitpid(child, os.WNOHANG)[0] == 0:
                if time.monotonic() > end:
                    print(f"child {{number}} hangs")
                    os.kill(child, signal.SIGKILL)
                time.sleep(0.001)
        stop.set()
        for worker in workers:
            worker.join()
        """,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = [line for line in lines(path) if "dropped" not in line]
    assert len(set(written)) == len(written)
    children = [line for line in written if line.startswith("child")]
    assert sorted(children) == sorted(f"child {number}" for number in range(50))


# Re-configuration

CONFIG = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {
        "queue": {"()": "test_queue_life.configured"},
    },
    "root": {"level": "INFO", "handlers": ["queue"]},
}
made = []


def configured():
    """Return what a config's `()` asks for: a handler with a file behind it."""
    sink = logging.FileHandler(made[0], delay=True)
    handler = QueueHandler(handlers=[sink], timeout=60, drain_timeout=60)
    made.append(handler)
    return handler


@pytest.fixture
def configuring(path):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    listed, named = logging._handlerList[:], dict(logging._handlers)
    made[:] = [path]
    yield
    for handler in made[1:]:
        handler.close()
        for sink in handler.listener.handlers:
            sink.close()
    logging._handlerList[:] = listed
    logging._handlers.update(named)
    root.handlers[:], root.level = handlers, level
    root.manager._clear_cache()


def test_a_hundred_configurations_leak_nothing(configuring, path):
    def counts_when_at_rest():
        gc.collect()  # of other tests
        made[-1].flush()
        eventually(lambda: all(handler.listener._is_idle() for handler in made[1:-1]))
        eventually(lambda: len(threads()) == 1)
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    for _ in range(3):
        logging.config.dictConfig(CONFIG)
        logging.getLogger().info("warming up")
    baseline = counts_when_at_rest()
    for number in range(100):
        logging.config.dictConfig(CONFIG)
        logging.getLogger().info("%d", number)
    assert counts_when_at_rest() == baseline
    written = [line for line in lines(path) if line != "warming up"]
    assert sorted(written, key=int) == numbers(100)  # two listeners may be at it at once


def test_configuring_beside_threads_that_log(configuring, path):
    stop = threading.Event()
    counts = [0] * 4

    def work(me):
        while not stop.is_set():
            logging.getLogger("worker").info("%d", me)
            counts[me] += 1

    logging.config.dictConfig(CONFIG)
    workers = [threading.Thread(target=work, args=(me,)) for me in range(4)]
    for worker in workers:
        worker.start()
    for _ in range(20):
        logging.config.dictConfig(CONFIG)
    stop.set()
    for worker in workers:
        worker.join(LONG)
    for handler in made[1:]:
        handler.close()
    eventually(lambda: threads() == [])
    # While there is no handler on the root, logging has nobody to give a record to.
    accepted = sum(handler.statistics().accepted for handler in made[1:])
    assert len(lines(path)) == accepted <= sum(counts)


def test_no_lock_is_waited_for_under_loggings_own(configuring):
    """A sink that wants logging's lock, while dictConfig has it and closes the handler."""

    class Wants(Sink):
        def emit(self, record):
            super().emit(record)
            with logging._lock:
                pass

    sink = Wants()
    sink.gate.clear()
    handler = QueueHandler(handlers=[sink], drain_timeout=LONG)
    made.append(handler)
    log(handler, "a", "b")
    sink.wait_for_call()
    start = time.monotonic()
    with logging_lock():
        sink.gate.set()
        eventually(lambda: sink.texts == ["a"])  # it waits for the lock now
        logging.shutdown([lambda: handler])
        assert time.monotonic() - start < LONG / 2
        assert sink.texts == ["a"]
    eventually(lambda: sink.texts == ["a", "b"])


def test_a_standard_file_handler_is_closed_again_under_loggings_own_lock(configuring, path):
    """Its close takes that lock under its own; dictConfig takes them the other way round."""
    closing, go_on, order = threading.Event(), threading.Event(), []

    class Closes(logging.FileHandler):
        def emit(self, record):
            go_on.wait(LONG)
            super().emit(record)

        def close(self):
            if threading.current_thread().name == "threadlog-listener":
                order.append(logging._lock._is_owned())
                closing.set()
            super().close()

    sink = Closes(path)
    handler = QueueHandler(handlers=[sink])
    made.append(handler)
    log(handler, "a")
    with logging_lock():
        sink._closed = True  # as by dictConfig, with a record to come
        logging.shutdown([lambda: handler])
        go_on.set()
    assert closing.wait(LONG)
    assert order == [True]


# Signals


@pytest.mark.parametrize("kind", ["own", "queue.Queue"])
def test_a_signal_handler_may_log_at_any_point(program, kind):
    begin = "handler = QueueHandler(handlers=[Count()], capacity=50, overflow='drop_old')"
    if kind == "queue.Queue":
        begin = """
        q = queue.Queue(50)
        handler = QueueHandler(q)
        listener = QueueListener(q, Count())
        listener.start()
        """
    done = program(
        f"""
        class Count(logging.Handler):
            count = 0
            def emit(self, record):
                Count.count += record.name == "test"
        {textwrap.dedent(begin).replace(chr(10), chr(10) + " " * 8)}
        signals = 0
        def on_alarm(*_):
            global signals
            signals += 1
            log(handler, "signal")
            signal.setitimer(signal.ITIMER_REAL, 0.0002)  # again, but never within itself
        signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, 0.0002)
        end = time.monotonic() + 2
        calls = 0
        while time.monotonic() < end:
            log(handler, "main")
            calls += 1
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        (listener.stop if {kind != "own"} else handler.close)()
        numbers = handler.statistics()
        assert numbers.accepted == calls + signals, (numbers, calls, signals)
        assert numbers.written == Count.count, (numbers, Count.count)
        assert numbers.queued == 0, numbers
        assert signals > 100, signals
        print("ok")
        """
    )
    assert (done.stdout, done.stderr) == ("ok\n", "")


@pytest.mark.parametrize("overflow", ["block", "drop_old", "direct"])
def test_a_signal_handler_may_raise_at_any_point(program, overflow):
    done = program(
        f"""
        class Brief(logging.Handler):
            def handle(self, record):  # without logging's own lock, which an interrupt may leave
                time.sleep(0.0001)
        class Interrupt(BaseException):
            pass
        def on_alarm(*_):
            raise Interrupt
        handler = QueueHandler(handlers=[Brief()], capacity=5, overflow={overflow!r})
        signal.signal(signal.SIGALRM, on_alarm)
        interrupts = 0
        end = time.monotonic() + 3
        while time.monotonic() < end:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005)
                while True:
                    log(handler, "main")
            except Interrupt:
                interrupts += 1
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        assert interrupts > 100, interrupts
        # Nobody has been left with a lock, or in the middle of something.
        def work():
            start = time.monotonic()
            log(handler, "other")
            took.append(time.monotonic() - start)
        took = []
        other = threading.Thread(target=work)
        other.start()
        other.join()
        assert took[0] < 1.9, took  # all places may be lost, and come back after a second
        handler.flush()
        numbers = handler.statistics()
        assert (numbers.queued, numbers.errors) == (0, 0), numbers
        queue = handler.queue
        end = time.monotonic() + 5
        log(handler, "places that interrupts have cost come back after a second")
        while len(queue._places) < 5 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(queue._places) == 5, len(queue._places)
        print("ok")
        """
    )
    assert (done.stdout, done.stderr) == ("ok\n", "")


def test_an_import_hook_may_log_while_multiprocessing_is_imported(program, path):
    done = program(
        """
        handler = make()
        class Hook:
            def find_spec(self, name, *_):
                if name == "multiprocessing.process":
                    log(handler, "importing")
        for name in [name for name in sys.modules if name.startswith("multiprocessing")]:
            del sys.modules[name]
        sys.meta_path.insert(0, Hook())
        import multiprocessing.util
        log(handler, "imported")
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert lines(path) == ["importing", "imported"]


# Without an end


def test_20_000_records_through_a_small_queue(program, path):
    done = program(
        """
        import resource
        class Slow(logging.Handler):
            def emit(self, record):
                time.sleep(0.005)
        for overflow in ("block", "drop_new", "drop_old", "direct"):
            handler = QueueHandler(handlers=[Slow()], capacity=100, overflow=overflow, timeout=0.01)
            slow = overflow in ("block", "direct")
            log(handler, "warm up")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            log(handler, *range(300 if slow else 20_000))
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert grown < 20 * 1024, (overflow, grown)
            handler.close()
            numbers = handler.statistics()
            assert numbers.accepted == numbers.written + numbers.dropped, numbers
            assert numbers.accepted == (301 if slow else 20_001), numbers
        print("ok")
        """
    )
    assert (done.stdout, done.stderr) == ("ok\n", "")


# Queues of multiprocessing, which closes them when the process ends


@pytest.mark.parametrize("cls", ["logging.handlers", "threadlog.handlers"])
def test_a_queue_of_multiprocessing_is_read_to_its_end(program, cls):
    done = program(
        f"""
        import logging.handlers
        import multiprocessing
        import threadlog.handlers

        queue = multiprocessing.get_context("fork").Queue()
        sink = logging.StreamHandler(sys.stdout)
        threadlog.handlers.QueueListener(queue, sink).start()
        logging.basicConfig(
            level="INFO", format="%(message)s", handlers=[{cls}.QueueHandler(queue)]
        )
        for number in range(1000):
            logging.info("%d", number)
        """
    )
    assert done.stderr == ""
    assert done.stdout.split() == list(map(str, range(1000)))


# Interpreters


def test_in_a_subinterpreter(program):
    done = program(
        """
        code = '''
        import logging
        from threadlog.handlers import QueueHandler
        handler = QueueHandler(handlers=[logging.StreamHandler()])
        logging.getLogger().addHandler(handler)
        logging.getLogger().warning("from within")
        assert handler.statistics()[:4] == (1, 1, 0, 0)
        handler.close()
        '''
        import textwrap
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        id = interpreters.create()
        answer = interpreters.run_string(id, textwrap.dedent(code))
        assert answer is None, answer
        interpreters.destroy(id)
        """
    )
    assert (done.returncode, done.stderr) == (0, "from within\n")
