"""Logging from children: deaths, stops, forks and ends. P3, P4, P7, P8, P9."""

import functools
import json
import logging
import signal
import subprocess
import sys
import time

import pytest

from children import METHODS, addresses, environment, run_program, write_program
from support import eventually, running

nested = pytest.mark.skipif(
    hasattr(logging.Logger, "_tls"),
    reason="logging of Python 3.13.4 and 3.13.5 drops what is logged inside of a logging call",
)
each_method = pytest.mark.parametrize("method", METHODS)
WORKERS, RECORDS = 8, 500

DEATHS = {
    "_exit": "os._exit(1)",
    "SIGKILL": "os.kill(os.getpid(), signal.SIGKILL)",
    "abort": "os.abort()",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)",
}


@pytest.fixture
def program(tmp_path):
    return functools.partial(run_program, tmp_path)


# Deaths

DYING = """
def work(worker, records):
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sabotage()
    for number in range(records):
        log.info("%d %d", worker, number)
    {death}

def main(method, workers, records, runs):
    keep()
    {start}
    wrong = []
    for _ in range(int(runs)):
        children = [start(method, work, worker, int(records)) for worker in range(int(workers))]
        for child in children:
            child.join()
            assert child.exitcode != 0
        began = time.monotonic()
        messages()
        assert time.monotonic() - began < 5
        wrong.append(judge(int(workers), int(records)))
        kept.records.clear()
        {start}
    threadlog.stop_logging_from_children()
    answer(wrong)
"""
START = "threadlog.start_logging_from_children()"


def dying(death, sabotage="pass", start=START):
    return f"def sabotage():\n    {sabotage}\n{DYING.format(death=death, start=start)}"


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize(("method", "runs"), [("fork", 5), ("forkserver", 1), ("spawn", 1)])
def test_workers_that_die_right_after_their_last_call_lose_nothing(program, death, method, runs):
    code = dying(DEATHS[death])
    wrong = program(code, method, WORKERS, RECORDS, runs, stderr=None)
    assert wrong == [{}] * runs if runs > 1 else wrong == [{}]


SABOTEURS = {
    "loses one": """
    from threadlog.children.forwarder import Forwarder
    forward = Forwarder._send
    Forwarder._send = lambda self, record, data: (
        record.args[1] == 77 or forward(self, record, data))
    """,
    "doubles one": """
    from threadlog.children.forwarder import Forwarder
    forward = Forwarder._send
    Forwarder._send = lambda self, record, data: (
        forward(self, record, data), record.args[1] == 77 and forward(self, record, data))
    """,
    "keeps one back": """
    from threadlog.children.forwarder import Forwarder
    forward, kept_back = Forwarder._send, []
    def late(self, record, data):
        if record.args[1] == 77:
            return kept_back.append((record, data))
        forward(self, record, data)
        if kept_back:
            forward(self, *kept_back.pop())
    Forwarder._send = late
    """,
    "hands over to a thread": """
    import queue
    from threadlog.children.forwarder import Forwarder
    forward, q = Forwarder._send, queue.SimpleQueue()
    def feed():
        while True:
            forward(*q.get())
            time.sleep(0.001)
    threading.Thread(target=feed, daemon=True).start()
    Forwarder._send = lambda *all: q.put(all)
    """,
}


@pytest.mark.parametrize("saboteur", SABOTEURS)
def test_the_judge_sees_a_saboteur(program, saboteur):
    code = dying(DEATHS["_exit"], SABOTEURS[saboteur].strip())
    assert program(code, "fork", 2, 100, 1, stderr=None)[0].keys() == {"0", "1"}


def test_a_worker_that_is_killed_while_it_sends_disturbs_nobody(program):
    wrong, whole, stops = program(
        """
        LONG = "x" * 200_000

        def big(ready):
            ready.set()
            while True:
                logging.getLogger("big").info(LONG)

        def small(ready):
            ready.wait()
            for number in range(100):
                log.info("%d %d", 0, number)

        def main():
            import random
            dice = random.Random(5)
            keep()
            wrong, whole, stops, count = [], [], [], 0
            for _ in range(50):
                threadlog.start_logging_from_children()
                ready = multiprocessing.get_context("fork").Event()
                victim, other = start("fork", big, ready), start("fork", small, ready)
                ready.wait()
                time.sleep(dice.random() / 50)
                victim.kill()
                victim.join(), other.join()
                began = time.monotonic()
                messages()
                stops.append(time.monotonic() - began)
                bigs = [r for r in kept.records if r.name == "big"]
                whole += [r.msg == LONG for r in bigs]
                kept.records[:] = [r for r in kept.records if r.name != "big"]
                wrong += judge(1, 100)
                kept.records.clear()
            answer(wrong), answer([all(whole), len(whole) > 50]), answer(max(stops))
        """
    )
    assert wrong == []
    assert whole == [True, True]
    assert stops < 5


ENDS = {
    "Pool.terminate": """
        pool = multiprocessing.get_context(method).Pool(2)
        result = pool.map_async(work, range(2))
        arrived()
        pool.terminate()
        pool.join()
        """,
    "terminate_workers": """
        pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method))
        futures = [pool.submit(work, number) for number in range(2)]
        arrived()
        pool.terminate_workers()
        """,
    "kill_workers": """
        pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method))
        futures = [pool.submit(work, number) for number in range(2)]
        arrived()
        pool.kill_workers()
        """,
}


@pytest.mark.parametrize("end", ENDS)
def test_pools_that_are_ended_by_force_disturb_nobody(program, end):
    if end != "Pool.terminate" and sys.version_info < (3, 14):
        pytest.skip("came with Python 3.14")
    import textwrap

    stops, rounds = program(
        f"""
        def work(worker):
            for number in range(1_000_000):
                log.info("%d %d", worker, number)

        def arrived():
            eventually(lambda: len(kept.records) > 100)

        def once(method):
{textwrap.indent(textwrap.dedent(ENDS[end]), " " * 12)}

        def in_order():
            came = {{}}
            for record in kept.records:
                came.setdefault(record.args[0], []).append(record.args[1])
            return all(numbers == list(range(len(numbers))) for numbers in came.values())

        def main():
            keep()
            stops, rounds = [], []
            for _ in range(20):
                kept.records.clear()
                threadlog.start_logging_from_children()
                once("fork")
                began = time.monotonic()
                messages()
                stops.append(time.monotonic() - began)
                rounds.append(in_order())
            answer(max(stops)), answer(rounds)
        """,
        timeout=120,
    )
    assert stops < 5
    assert rounds == [True] * 20


# A parent that is killed, stopped or stuck

ORPHAN = """
def work(path, method):
    sys.stderr = open(path, "w")
    log.info("first")
    os.kill(os.getppid() if method != "forkserver" else PARENT(), signal.SIGUSR1)
    longest, end = 0, time.monotonic() + 3
    while time.monotonic() < end:
        began = time.monotonic()
        log.info("more")
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.001)
    with open(path + ".end", "w") as file:
        json.dump([longest, time.time()], file)

def PARENT():
    return multiprocessing.parent_process().pid

def main(method, path):
    keep()
    threadlog.start_logging_from_children()
    signal.signal(signal.SIGUSR1, lambda *_: answer("ready"))
    child = start(method, work, path, method)
    answer(child.pid)
    while True:
        time.sleep(1)
"""


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as status:
            return status.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@each_method
def test_when_the_parent_is_killed_its_child_goes_on_and_says_once_what_was_lost(tmp_path, method):
    path = tmp_path / "stderr"
    with running(
        [sys.executable, write_program(tmp_path, ORPHAN), method, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(tmp_path),
    ) as parent:
        lines = [json.loads(parent.stdout.readline()) for _ in range(2)]
        assert "ready" in lines
        (pid,) = (line for line in lines if line != "ready")
        parent.kill()
        parent.wait()
        ended = tmp_path / "stderr.end"
        eventually(lambda: ended.exists() and ended.read_text())
        eventually(lambda: not is_running(pid))
    longest, end = json.loads(ended.read_text())
    assert time.time() - end < 2
    assert longest < 2
    said = path.read_text().splitlines()
    assert len(said) == 1, said
    words = said[0].split()
    assert said[0] == (
        f"threadlog: {words[1]} log records of process {pid} did not reach process {parent.pid}"
    )
    assert int(words[1]) > 100
    # A later program removes what the killed one has left.
    (left,) = addresses(tmp_path)
    assert left.is_dir()
    run_program(tmp_path, "def main():\n    with threadlog.logging_from_children():\n        pass")


STOPPED = """
def work(path, parent):
    os.kill(parent, signal.SIGSTOP)
    waited, end = [], time.monotonic() + {seconds}
    number = 0
    while time.monotonic() < end:
        began = time.monotonic()
        log.info("%d %s", number, "x" * 1000)
        waited.append(time.monotonic() - began)
        number += 1
    with open(path, "w") as file:
        json.dump([number, max(waited), time.time()], file)

def main(path):
    keep()
    threadlog.start_logging_from_children()
    child = start("fork", work, path, os.getpid())
    child.join()
    threadlog.stop_logging_from_children()
    numbers = [record.args[0] for record in kept.records if record.name == "app.work"]
    answer(numbers == list(range(len(numbers))))
    answer(len(numbers))
    answer([record.getMessage() for record in kept.records if record.name != "app.work"])
"""


def stopped(tmp_path, seconds):
    path = tmp_path / "child"
    return path, running(
        [sys.executable, write_program(tmp_path, STOPPED.format(seconds=seconds)), path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
    )


def state(pid):
    with open(f"/proc/{pid}/stat") as status:
        return status.read().rpartition(")")[2].split()[0]


@pytest.mark.timeout(60)
def test_a_parent_that_is_stopped_for_5_seconds_loses_nothing(tmp_path):
    path, program = stopped(tmp_path, 6)
    with program as parent:
        eventually(lambda: state(parent.pid) == "T")
        time.sleep(5)
        parent.send_signal(signal.SIGCONT)
        output, errors = parent.communicate(timeout=50)
    assert errors == ""
    sent, longest, _ = json.loads(path.read_text())
    assert longest < 10
    in_order, came, others = map(json.loads, output.splitlines())
    assert in_order
    assert came == sent
    assert others == []


@pytest.mark.timeout(60)
def test_a_parent_that_stays_stopped_is_waited_for_once_and_told_of_the_losses(tmp_path):
    path, program = stopped(tmp_path, 12)
    with program as parent:
        eventually(lambda: state(parent.pid) == "T")
        eventually(lambda: path.exists() and path.read_text(), 50)
        sent, longest, end = json.loads(path.read_text())
        assert 9 < longest < 15  # as documented: 10, once
        eventually(lambda: not has_children(parent.pid))
        assert time.time() - end < 5
        parent.send_signal(signal.SIGCONT)
        output, errors = parent.communicate(timeout=30)
    assert errors.startswith("threadlog: ")
    assert errors.count("\n") == 1
    lost = int(errors.split()[1])
    _, came, _ = map(json.loads, output.splitlines())
    assert came + lost == sent
    assert lost > 0


def has_children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return any(is_running(child) for child in children.read().split())


def test_losses_are_told_in_the_log_when_the_parent_reads_again(program):
    lost, came, told = program(
        """
        def work(stuck, free, lost):
            from threadlog.children import sender
            sender.PATIENCE = 0.1
            number = 0
            from threadlog.children.forwarder import current as forwarder
            while forwarder._ledger.dropped < 10:
                log.info("%d %s", number, "x" * 1000)
                number += 1
            lost.value = forwarder._ledger.dropped
            free.set()
            while forwarder._ledger.burst is not None:
                log.info("%d", number)
                lost.value = forwarder._ledger.dropped
                number += 1
                time.sleep(0.01)
            log.info("%d", number)

        class Stuck(logging.Handler):
            def emit(self, record):
                free.wait()

        def main():
            global free
            keep()
            context = multiprocessing.get_context("fork")
            stuck, free, lost = context.Event(), context.Event(), context.Value("i")
            logging.getLogger().addHandler(Stuck())
            threadlog.start_logging_from_children()
            run("fork", work, stuck, free, lost)
            messages()
            ours = [r for r in kept.records if r.name == "app.work"]
            answer(lost.value)
            answer(ours[-1].args[0] + 1 - len(ours))
            answer([[r.name, r.levelname, r.getMessage()] for r in kept.records if r not in ours])
        """
    )
    assert came == lost
    assert sum(int(message.split()[0]) for *_, message in told) == lost
    for name, level, message in told:
        assert (name, level) == ("threadlog.handlers", "WARNING")
        assert message.endswith("INFO): the parent process did not take them")


def test_children_go_on_undisturbed_when_the_parent_stops(program):
    got = program(
        """
        def work(path, steps):
            sys.stderr = open(path, "w")
            log.info("before")
            steps.acquire()
            longest = 0
            for _ in range(1000):
                began = time.monotonic()
                log.info("after")
                longest = max(longest, time.monotonic() - began)
            log.warning("as where logging is not set up")
            sys.exit(3 if longest < 1 else 4)

        def main():
            keep()
            answers = []
            for method in ("fork", "spawn"):
                kept.records.clear()
                threadlog.start_logging_from_children()
                steps = multiprocessing.get_context(method).Semaphore(0)
                child = start(method, work, "stderr", steps)
                eventually(lambda: kept.records)
                threadlog.stop_logging_from_children()
                steps.release()
                child.join()
                answers.append([child.exitcode, open("stderr").read(), len(kept.records)])
            answer(answers)
        """
    )
    assert got == [[3, "as where logging is not set up\n", 1]] * 2


def test_a_stop_in_the_midst_of_records_loses_none_without_a_word(program):
    accounts = program(
        """
        class Count(logging.Handler):  # the child's last resort, as it stands where nothing is
            count = 0
            def handle(self, record):
                self.count += 1

        def work(ended):
            from threadlog.children import forwarder
            forwarder._last_resort = counted = Count()
            sent = 0
            while not ended.is_set() or sent < 100:
                log.warning("%d", sent)
                sent += 1
            lost = forwarder.current._ledger.dropped
            answer([sent, counted.count, lost])

        def main():
            keep()
            ended = multiprocessing.get_context("fork").Event()
            for _ in range(15):
                ended.clear(), kept.records.clear()
                threadlog.start_logging_from_children()
                child = start("fork", work, ended)
                eventually(lambda: kept.records)
                time.sleep(0.02)
                threadlog.stop_logging_from_children()
                came = len(kept.records)
                ended.set()
                child.join()
                assert came == len(kept.records)
                answer(came)
        """
    )
    for came, (sent, shown, lost) in zip(accounts[1::2], accounts[::2], strict=True):
        assert came + shown + lost == sent
        assert lost == 0


def test_children_that_wait_in_line_are_heard_at_a_stop(program):
    got = program(
        """
        class Busy(logging.Handler):
            def emit(self, record):
                if record.getMessage() == "busy":
                    busy.set()
                    free.wait()

        def main():
            global busy, free
            busy, free = threading.Event(), threading.Event()
            keep()
            logging.getLogger().addHandler(Busy())
            threadlog.start_logging_from_children()
            for number in range(251):
                if os.fork() == 0:
                    log.info("%s", number or "busy")
                    os._exit(0)
                os.wait()
                if number == 0:
                    busy.wait()
            threading.Timer(0.1, free.set).start()
            answer(len(messages()))
        """
    )
    assert got == 251


def test_a_message_that_the_parent_refuses_does_not_stop_the_others(program):
    got = program(
        """
        def work():
            from threadlog.children import forwarder
            log.info("before")
            sender = forwarder.current.sender
            sender.send(b"x" * 20_000_000)  # as no record of ours is
            end = time.monotonic() + 30
            while sender._frames and time.monotonic() < end:
                log.info("meanwhile")
                time.sleep(0.1)
            log.info("after")

        def main():
            keep()
            threadlog.start_logging_from_children()
            run("fork", work)
            got = messages()
            answer([got[0], got[-1]])
        """,
        stderr=None,
    )
    assert got == ["before", "after"]


# Forks


@pytest.mark.skipif(
    hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled(),
    reason="a free-threaded build's fork may strand the interpreter's own locks",
)
@pytest.mark.timeout(120)
def test_forks_beside_threads_that_log_and_send_neither_hang_nor_double(program):
    # A program of its own: coverage has a lock that a fork beside its threads may strand.
    hung, parents, children = program(
        """
        def chatter(name, ended):
            number = 0
            while not ended.is_set():
                log.info("%s %d", name, number)
                number += 1
                time.sleep(0.0002)

        def fork_often(forks, generation):
            ended = threading.Event()
            threads = [threading.Thread(target=chatter, args=(f"{os.getpid()}-{n}", ended))
                       for n in range(4)]
            for thread in threads:
                thread.start()
            hung = 0
            for number in range(forks):
                child = os.fork()
                if child == 0:
                    log.info("%s %d", f"{os.getpid()}", 0)
                    log.info("%s %d", f"{os.getpid()}", 1)
                    os._exit(0)
                end = time.monotonic() + 30
                while os.waitpid(child, os.WNOHANG) == (0, 0):
                    if time.monotonic() > end:
                        hung += 1
                        os.kill(child, signal.SIGKILL)
                        os.waitpid(child, 0)
                        break
                    time.sleep(0.0005)
            ended.set()
            for thread in threads:
                thread.join()
            return hung

        def forking_child(connection):
            connection.send(fork_often(100, 1))

        def main():
            keep()
            threadlog.start_logging_from_children()
            hung = fork_often(100, 0)
            receiver, sender = multiprocessing.Pipe(False)
            child = start("fork", forking_child, sender)
            hung += receiver.recv()
            child.join()
            threadlog.stop_logging_from_children()
            came = {}
            for record in kept.records:
                came.setdefault(record.args[0], []).append(record.args[1])
            chats = [numbers for name, numbers in came.items() if "-" in name]
            forked = [numbers for name, numbers in came.items() if "-" not in name]
            answer(hung)
            answer([len(chats), all(numbers == list(range(len(numbers))) for numbers in chats)])
            answer([len(forked), all(numbers == [0, 1] for numbers in forked)])
        """,
        timeout=110,
    )
    assert hung == 0
    assert parents == [8, True]
    assert children == [200, True]


def test_a_forked_child_flushes_nothing_that_the_parent_has_pending(program, tmp_path):
    got = program(
        """
        import logging.handlers

        def main():
            file = logging.FileHandler("app.log")
            memory = logging.handlers.MemoryHandler(100, target=file)
            logging.getLogger().addHandler(memory)
            logging.getLogger().setLevel(logging.INFO)
            threadlog.start_logging_from_children()
            log.info("parent")
            if os.fork() == 0:
                log.info("child")
                sys.exit()  # runs what is registered with atexit
            os.wait()
            threadlog.stop_logging_from_children()
            memory.flush()
            answer(open("app.log").read().split())
        """
    )
    assert got == ["parent", "child"]


# Interrupts


@nested
def test_a_signal_handler_that_logs_in_the_middle_of_a_record(program):
    wrong, signals = program(
        """
        def work(ended):
            count = 0
            def interrupt(*_):
                nonlocal count
                logging.getLogger("signal").info("%d %d", 1, count)
                count += 1
                signal.setitimer(signal.ITIMER_REAL, 0.0005)
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, 0.0005)
            for number in range(3000):
                log.info("%d %d", 0, number, extra={"fill": "x" * (number % 7) * 30_000})
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            ended.value = count

        def main():
            keep()
            threadlog.start_logging_from_children()
            ended = multiprocessing.get_context("fork").Value("i")
            run("fork", work, ended)
            messages()
            signals = [r.args[1] for r in kept.records if r.name == "signal"]
            assert all(len(getattr(r, "fill", "")) == (r.args[1] % 7) * 30_000
                       for r in kept.records if r.name != "signal")
            kept.records[:] = [r for r in kept.records if r.name != "signal"]
            answer(judge(1, 3000))
            answer([signals == list(range(ended.value)), ended.value > 100])
        """,
        timeout=100,
    )
    assert wrong == {}
    assert signals == [True, True]


@nested
def test_signal_handlers_that_log_while_levels_change(program):
    wrong, signals = program(
        """
        def work(ended, count):
            def interrupt(*_):
                logging.getLogger("signal").info("%d %d", 1, count.value)
                count.value += 1
                signal.setitimer(signal.ITIMER_REAL, 0.001)
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            for number in range(20_000):
                log.info("%d %d", 0, number)
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            ended.set()

        def main():
            keep()
            threadlog.start_logging_from_children()
            context = multiprocessing.get_context("fork")
            ended, count = context.Event(), context.Value("i", lock=False)
            child = start("fork", work, ended, count)
            while child.is_alive() and not ended.is_set():
                for level in (logging.DEBUG, logging.INFO):
                    logging.getLogger("other").setLevel(level)
                    time.sleep(0.001)
            child.join()
            messages()
            signals = [r.args[1] for r in kept.records if r.name == "signal"]
            kept.records[:] = [r for r in kept.records if r.name != "signal"]
            answer(judge(1, 20_000))
            answer(signals == list(range(count.value)))
        """
    )
    assert wrong == {}
    assert signals


@each_method
def test_a_logger_that_a_signal_handler_gets_while_levels_are_taken(program, method):
    """logging raises RuntimeError then, which must not come out of a child's logging call."""
    got = program(
        """
        class Cache(dict):
            def clear(self):  # in the middle of what setLevel does with all loggers
                super().clear()
                logging.getLogger(f"handler's {len(logging.root.manager.loggerDict)}")
                logging.getLogger("interrupted")._cache = {}

        def work(begin, ready):
            log.debug("no")
            logging.getLogger("interrupted")._cache = Cache()
            ready.set()
            begin.wait()
            log.debug("yes")

        def main(method):
            keep()
            threadlog.start_logging_from_children()
            context = multiprocessing.get_context(method)
            begin, ready = context.Event(), context.Event()
            child = start(method, work, begin, ready)
            ready.wait()
            log.setLevel(logging.DEBUG)
            begin.set()
            child.join()
            answer([messages(), child.exitcode])
        """,
        method,
    )
    assert got == [["yes"], 0]


def test_a_signal_handler_that_raises_leaves_no_lock_behind(program):
    got = program(
        """
        class Interrupt(BaseException):
            pass

        def interrupt(*_):
            raise Interrupt

        def work():
            signal.signal(signal.SIGALRM, interrupt)
            interrupts, end = 0, time.monotonic() + 3
            while time.monotonic() < end:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 0.0003)
                    while True:
                        log.info("hello")
                except Interrupt:
                    interrupts += 1
                except RuntimeError:  # logging's own locks have the same gap
                    pass
            from threadlog.children import forwarder
            sender = forwarder.current.sender
            free = []
            def look():
                free.append(sender._lock.acquire(timeout=5))
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
            answer([interrupts > 300, free])

        def main():
            keep()
            threadlog.start_logging_from_children()
            run("fork", work)
            threadlog.stop_logging_from_children()
        """,
        stderr=None,
    )
    assert got == [True, [True]]


@nested
def test_finalizers_and_reprs_that_log(program):
    got = program(
        """
        class Noisy:
            def __repr__(self):
                log.info("repr")
                return "noisy"
            def __del__(self):
                log.info("del")

        def work():
            for _ in range(20):
                log.info("%r", Noisy())

        def main():
            keep()
            threadlog.start_logging_from_children()
            run("fork", work)
            texts = messages()
            answer({text: texts.count(text) for text in set(texts)})
        """
    )
    assert got == {"repr": 20, "noisy": 20, "del": 20}


# The end


@each_method
def test_children_that_outlive_main_are_heard_and_the_address_goes(program, method):
    got = program(
        """
        class Write(logging.Handler):
            def emit(self, record):
                print(json.dumps(record.getMessage()), flush=True)

        def work(started):
            started.set()
            time.sleep(0.5)
            log.info("late")

        def main(method):
            logging.getLogger().addHandler(Write())
            logging.getLogger().setLevel(logging.INFO)
            threadlog.start_logging_from_children()
            started = multiprocessing.get_context(method).Event()
            start(method, work, started)
            started.wait()
        """,
        method,
    )
    assert got == "late"


def test_what_has_come_is_handled_at_the_end_though_the_sink_is_slow(program):
    got = program(
        """
        class Slow(logging.Handler):
            def emit(self, record):
                time.sleep(0.01)
                print(json.dumps(record.args[0]), flush=True)

        def work():
            for number in range(50):
                log.info("%d", number)

        def main():
            logging.getLogger().addHandler(Slow())
            logging.getLogger().setLevel(logging.INFO)
            threadlog.start_logging_from_children()
            run("fork", work)
        """
    )
    assert got == list(range(50))


def test_a_stuck_sink_neither_keeps_stop_nor_the_process(program):
    took = program(
        """
        class Stuck(logging.Handler):
            def emit(self, record):
                stuck.set()
                time.sleep(1000)
            def acquire(self):  # at the end logging waits for it
                pass
            def release(self):
                pass

        def main():
            global stuck
            stuck = threading.Event()
            logging.getLogger().addHandler(Stuck())
            logging.getLogger().setLevel(logging.INFO)
            threadlog.start_logging_from_children()
            run("fork", log.info, "hello")
            stuck.wait()
            began = time.monotonic()
            threadlog.stop_logging_from_children()
            answer(time.monotonic() - began)
        """,
        stderr="threadlog: not all that children had logged was handled in 1.5 seconds\n",
    )
    assert took < 5


def test_the_main_thread_is_not_needed(program):
    got = program(
        """
        import ctypes

        def work(done):
            log.info("hello")
            done.set()

        def main():
            keep()
            threadlog.start_logging_from_children()
            done = multiprocessing.get_context("spawn").Event()
            child = start("spawn", work, done)
            done.wait()
            ctypes.CDLL(None).usleep(200_000)  # in C, without the interpreter's lock
            answer([record.getMessage() for record in kept.records])
            child.join()
        """
    )
    assert got == ["hello"]


# A child starts whatever happens

FAILING = {
    "no threadlog": "sys.modules['threadlog'] = None",
    "no socket": "import socket; socket.socket = None",
    "no directory": "import shutil; shutil.rmtree(os.environ['THREADLOG_PARENT'].partition(':')[2]"
    ".rpartition('/')[0])",
    "attaching raises": "import threadlog.children.joining as j; j.join = None",
}


@pytest.mark.parametrize("failure", FAILING)
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_child_starts_though_it_cannot_join(tmp_path, failure, method):
    if (failure, method) == ("no socket", "forkserver"):
        pytest.skip("a fork server imports the main module, and needs sockets")
    code = f"""
        if __name__ != "__main__":  # the child imports this before it joins
            {FAILING[failure]}

        def work():
            print(json.dumps("ran"))

        def main(method):
            keep()
            threadlog.start_logging_from_children()
            child = run(method, work)
            answer(child.exitcode)
            threadlog.stop_logging_from_children()
        """
    assert run_program(tmp_path, code, method, stderr=None) == ["ran", 0]


def test_a_limit_on_open_files_neither_stops_the_listener_nor_spins(program):
    got = program(
        """
        import resource

        def main():
            keep()
            threadlog.start_logging_from_children()
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            if os.fork() == 0:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                log.info("hello")
                os._exit(0)
            os.wait()
            before = time.process_time()
            time.sleep(0.3)
            spent = time.process_time() - before
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            eventually(lambda: kept.records)
            answer([spent < 0.2, messages()])
        """
    )
    assert got == [True, ["hello"]]


def test_a_handler_may_stop_what_calls_it_or_fork(program):
    got = program(
        """
        class Forking(logging.Handler):
            def handle(self, record):  # without its lock, which a fork would make anew
                if record.msg == "fork" and os.fork() == 0:
                    return  # the child goes on in the middle of receiving
                if record.msg == "stop":
                    threadlog.stop_logging_from_children()

        def work():
            for text in ("a", "fork", "b", "stop"):
                log.info(text)

        def main():
            keep()
            logging.getLogger().addHandler(Forking())
            threadlog.start_logging_from_children()
            run("fork", work)
            eventually(lambda: threading.active_count() == 1)
            answer([record.getMessage() for record in kept.records])
        """
    )
    assert got == ["a", "fork", "b", "stop"]
