"""QueueListener, and QueueHandler with a queue that is not its own."""

import collections
import logging
import logging.handlers
import multiprocessing
import pickle
import queue
import re
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import threadlog
from queued import LONG, Chatty, Sink, caught, log, record
from support import eventually, threads
from threadlog.handlers import QueueHandler, QueueListener, sinks

DROPPED = r"(\d+) records dropped from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d \((.*)\): (.*)"


class Duck:
    """What the documentation asks of a queue, and no more."""

    def __init__(self):
        self.items = collections.deque()
        self.there = threading.Semaphore(0)

    def put_nowait(self, item):
        self.items.append(item)
        self.there.release()

    def get(self, block=True):
        if not self.there.acquire(blocking=block):
            raise queue.Empty
        return self.items.popleft()


@pytest.fixture(params=["Queue", "SimpleQueue", "Duck", "multiprocessing.Queue"])
def any_queue(request):
    if request.param == "multiprocessing.Queue":
        made = multiprocessing.Queue()
        yield made
        made.close()
        made.join_thread()
    else:
        yield {"Queue": queue.Queue, "SimpleQueue": queue.SimpleQueue, "Duck": Duck}[
            request.param
        ]()


@pytest.fixture
def sink():
    return Sink()


# As in the standard library


def test_any_queue(any_queue, sink):
    handler = QueueHandler(any_queue)
    with QueueListener(any_queue, sink) as listener:
        log(handler, *map(str, range(100)))
        try:
            raise ValueError("oops")
        except ValueError as error:
            handler.handle(record("failed %s", [1], exc_info=(ValueError, error, None)))
    assert sink.texts[:100] == [str(number) for number in range(100)]
    assert sink.texts[100] == "failed [1]\nValueError: oops"
    assert sink.records[0].threadName == "MainThread"
    assert sink.records[0].thread_info
    assert listener.statistics()[:4] == handler.statistics()[:4] == (101, 101, 0, 0)
    assert threads() == []


def test_a_standard_listener_reads_what_our_handler_puts(any_queue, sink):
    listener = logging.handlers.QueueListener(any_queue, sink)
    listener.start()
    log(QueueHandler(any_queue), "a")
    listener.stop()
    assert sink.texts == ["a"]


def test_our_listener_reads_what_a_standard_handler_puts(any_queue, sink):
    with QueueListener(any_queue, sink):
        log(logging.handlers.QueueHandler(any_queue), "a")
    assert sink.texts == ["a"]


def test_what_is_put_is_rendered_as_the_standard_handler_does():
    waiting = queue.Queue()
    handler = QueueHandler(waiting)
    handler.handle(record("%s items", 3))
    put = waiting.get_nowait()
    assert (put.msg, put.message, put.args) == ("3 items", "3 items", None)
    handler.setFormatter(logging.Formatter("<%(message)s>"))
    handler.handle(record("%s items", 3, exc_info=caught()[0]))
    put = waiting.get_nowait()
    assert put.msg.startswith("<3 items>\nTraceback")
    assert (put.exc_info, put.exc_text) == (None, None)


def test_within_the_process_each_sink_renders_exceptions():
    waiting = queue.Queue()
    QueueHandler(waiting).handle(record("failed", exc_info=caught()[0]))
    put = waiting.get_nowait()
    assert put.msg == "failed"
    assert put.exc_info
    assert put.exc_text is None


def test_a_record_that_leaves_the_process_can_be_pickled():
    duck = Duck()
    QueueHandler(duck).handle(
        record("failed", exc_info=caught()[0], lock=threading.Lock(), user="u1", ids=[1, 2])
    )
    put = pickle.loads(pickle.dumps(duck.get(False)))
    assert put.msg == "failed"
    assert put.exc_text.startswith("Traceback")
    assert put.exc_info is None
    assert put.lock.startswith("<unlocked _thread.lock")
    assert (put.user, put.ids) == ("u1", [1, 2])


def test_levels_are_not_respected_by_default(sink):
    sink.setLevel(logging.ERROR)
    waiting = queue.Queue()
    with QueueListener(waiting, sink):
        log(QueueHandler(waiting), "a")
    with QueueListener(waiting, sink, respect_handler_level=True):
        log(QueueHandler(waiting), "b")
    assert sink.texts == ["a"]


def test_dequeue_prepare_handle_and_sentinel_may_be_overridden(sink):
    class Mine(QueueListener):
        _sentinel = "the end"
        dequeued = handled = 0

        def dequeue(self, block):
            self.dequeued += 1
            return super().dequeue(block)

        def prepare(self, item):
            return record(f"item {item}")

        def handle(self, item):
            self.handled += 1
            super().handle(item)

    waiting = queue.Queue()
    with Mine(waiting, sink) as listener:
        waiting.put(1)
        waiting.put(2)
    assert sink.texts == ["item 1", "item 2"]
    assert (listener.dequeued, listener.handled) == (3, 2)


def test_handlers_may_be_replaced_while_it_runs(sink):
    waiting = queue.Queue()
    other = Sink()
    with QueueListener(waiting, sink) as listener:
        log(QueueHandler(waiting), "a")
        eventually(lambda: sink.texts == ["a"])
        listener.handlers += (other,)
        log(QueueHandler(waiting), "b")
    assert (sink.texts, other.texts) == (["a", "b"], ["b"])


def test_task_done_is_called_once_for_each(sink):
    waiting = queue.Queue()
    with QueueListener(waiting, sink):
        log(QueueHandler(waiting), "a", "b")
        waiting.join()
    assert waiting.unfinished_tasks == 0


# start, stop, close: in any order, from anywhere


@given(st.lists(st.sampled_from(["start", "stop", "close", "log"]), max_size=8))
def test_start_stop_and_close_in_any_order(calls):
    sink, waiting = Sink(), queue.Queue()
    handler, listener = QueueHandler(waiting), QueueListener(waiting, sink)
    logged = 0
    for call in calls:
        if call == "log":
            log(handler, "a")
            logged += 1
        else:
            getattr(listener, call)()
    listener.start()
    listener.stop()
    assert len(sink.texts) == logged
    assert waiting.empty()
    assert threads() == []


@given(st.lists(st.sampled_from(["start", "stop", "close", "log"]), max_size=8))
def test_start_stop_and_close_of_a_listener_that_is_owned(calls):
    sink = Sink()
    handler = QueueHandler(handlers=[sink])
    logged = 0
    for call in calls:
        if call == "log":
            log(handler, "a")
            logged += 1
        else:
            getattr(handler.listener, call)()
    handler.close()
    assert len(sink.texts) == logged
    assert threads() == []


def test_from_many_threads_at_once(sink):
    waiting = queue.Queue()
    handler, listener = QueueHandler(waiting), QueueListener(waiting, sink)
    barrier = threading.Barrier(4)

    def work(call):
        barrier.wait(LONG)
        for _ in range(50):
            getattr(listener, call)()

    workers = [
        threading.Thread(target=work, args=(call,)) for call in ("start", "stop", "close", "start")
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(LONG)
    log(handler, "a")
    listener.start()
    eventually(lambda: sink.texts == ["a"])
    listener.stop()
    eventually(lambda: threads() == [])


@pytest.mark.parametrize("call", ["start", "stop", "close"])
def test_in_the_sinks_own_thread(call):
    class Calls(Sink):
        def emit(self, record):
            getattr(listener, call)()
            super().emit(record)

    sink, waiting = Calls(), queue.Queue()
    listener = QueueListener(waiting, sink)
    listener.start()
    log(QueueHandler(waiting), "a")
    eventually(lambda: sink.texts == ["a"])
    if call != "start":
        eventually(lambda: threads() == [])
    listener.stop()
    assert threads() == []


def test_start_in_a_sink_takes_a_stop_back():
    class Restarts(Sink):
        def emit(self, record):
            listener.stop()
            listener.start()
            super().emit(record)

    sink, waiting = Restarts(), queue.Queue()
    listener = QueueListener(waiting, sink)
    listener.start()
    log(QueueHandler(waiting), "a")
    eventually(lambda: sink.texts == ["a"])
    log(QueueHandler(waiting), "b")
    eventually(lambda: sink.texts == ["a", "b"])
    sink.emit = lambda record: Sink.emit(sink, record)
    log(QueueHandler(waiting), "c")
    listener.stop()
    assert sink.texts == ["a", "b", "c"]


def test_stop_of_a_full_queue(sink):
    waiting = queue.Queue(2)
    listener = QueueListener(waiting, sink)
    log(QueueHandler(waiting), "a", "b")
    listener.start()
    listener.stop()
    assert sink.texts == ["a", "b"]


def test_stop_of_a_full_queue_in_a_sink():
    class Stops(Sink):
        def emit(self, record):
            super().emit(record)
            listener.stop()

    sink, waiting = Stops(), queue.Queue(1)
    handler, listener = QueueHandler(waiting), QueueListener(waiting, sink)
    sink.gate.clear()
    listener.start()
    log(handler, "a")
    sink.wait_for_call()
    log(handler, "b")
    sink.gate.set()
    eventually(lambda: sink.texts == ["a", "b"])
    eventually(lambda: threads() == [])


def test_stop_gives_up_and_says_what_is_left(sink, capfd):
    waiting = queue.Queue()
    listener = QueueListener(waiting, sink, drain_timeout=0.05)
    listener.start()
    sink.gate.clear()
    log(QueueHandler(waiting), "a")
    sink.wait_for_call()
    log(QueueHandler(waiting), "b", "c")
    listener.stop()
    said = capfd.readouterr().err
    assert said == "threadlog: 2 records are left in the queue after 0.05 seconds\n"
    sink.gate.set()
    eventually(lambda: threads() == [])
    assert sink.texts == ["a"]
    assert waiting.qsize() == 3  # and the sentinel


def test_a_sentinel_of_the_users_ends_it(sink):
    waiting = queue.Queue()
    listener = QueueListener(waiting, sink)
    listener.start()
    waiting.put(None)
    eventually(lambda: threads() == [])
    listener.start()
    log(QueueHandler(waiting), "a")
    listener.stop()
    assert sink.texts == ["a"]


def test_start_beside_a_stop_that_waits(sink):
    waiting = queue.Queue()
    listener = QueueListener(waiting, sink, drain_timeout=LONG)
    listener.start()
    sink.gate.clear()
    log(QueueHandler(waiting), "a")
    sink.wait_for_call()
    thread = threading.Thread(target=listener.stop)
    thread.start()
    eventually(lambda: listener._end is not None)
    listener.start()
    thread.join(LONG / 2)
    assert not thread.is_alive()
    sink.gate.set()
    log(QueueHandler(waiting), "b")
    eventually(lambda: sink.texts == ["a", "b"])
    listener.stop()


def test_start_while_the_thread_is_ending(sink):
    waiting = queue.Queue()
    listener = QueueListener(waiting, sink)
    listener.start()
    abandon, restarted = listener._sinks._abandon, []

    def restart(shift):
        if not restarted:
            restarted.append(True)
            listener.start()  # the thread has read the sentinel, and is not gone
        abandon(shift)

    listener._sinks._abandon = restart
    listener.stop()
    log(QueueHandler(waiting), "a")
    eventually(lambda: sink.texts == ["a"])
    listener.stop()
    eventually(lambda: threads() == [])  # also the one that has started the other, and returns


def test_one_party_at_a_time_puts_the_sentinel(sink):
    class Remote(queue.Queue):
        def put_nowait(self, item):
            try:
                super().put_nowait(item)
            except queue.Full:
                time.sleep(0.02)  # until it is heard of, there is room
                raise

    waiting = Remote(1)
    listener = QueueListener(waiting, sink, drain_timeout=LONG)
    for _ in range(10):
        log(QueueHandler(waiting), "a")
        listener.start()
        listener.stop()
        assert threads() == []
        assert waiting.empty()


def test_starting_and_stopping_over_and_over(sink):
    waiting = queue.Queue()
    handler, listener = QueueHandler(waiting), QueueListener(waiting, sink, drain_timeout=LONG)
    for number in range(500):
        listener.start()
        log(handler, str(number))
        listener.stop()
    assert sink.texts == [str(number) for number in range(500)]
    assert waiting.empty()
    assert threads() == []


def test_handle_may_be_called_from_outside(sink):
    class Mine(QueueListener):
        def prepare(self, item):
            return record(f"item {item}")

    listener = Mine(queue.Queue(), sink)
    listener.handle(1)
    assert sink.texts == ["item 1"]


def test_whoever_asks_is_told_that_it_runs_before_its_thread_does(sink, monkeypatch):
    """By the attribute that `logging` has for it; its dictConfig asks before it starts one."""
    begins, work = threading.Event(), QueueListener.work
    monkeypatch.setattr(
        QueueListener, "work", lambda self, shift: begins.wait() and work(self, shift)
    )
    listener = QueueListener(queue.Queue(), sink)
    listener.start()
    assert listener._thread.is_alive()
    begins.set()
    listener.stop()
    assert listener._thread is None
    assert threads() == []


# A queue with bounds, or that fails


def test_a_full_queue_is_told_once_and_prints_nothing(sink, capfd):
    waiting = queue.Queue(2)
    handler = QueueHandler(waiting)
    log(handler, *"abcde")
    log(handler, "f", level=logging.ERROR)
    assert handler.statistics()[:4] == (6, 2, 4, 0)
    with QueueListener(waiting, sink):
        eventually(lambda: len(sink.texts) == 2)
        time.sleep(0.11)  # the burst is over
        log(handler, "g")
    handler.close()
    assert sink.texts[:3] == ["a", "b", "g"]
    number, levels, reason = re.fullmatch(DROPPED, sink.texts[3]).groups()
    assert (number, levels, reason) == ("4", "3 INFO, 1 ERROR", "the queue was full")
    assert len(sink.texts) == 4
    assert capfd.readouterr().err == ""


def test_what_was_dropped_is_told_when_the_handler_is_closed(capfd):
    waiting = queue.Queue(1)
    handler = QueueHandler(waiting)
    log(handler, "a", "b")
    waiting.get_nowait()
    handler.close()
    assert re.fullmatch(DROPPED, waiting.get_nowait().getMessage())
    log(handler, "a", "b")
    handler.close()
    assert re.fullmatch(f"threadlog: {DROPPED}\n", capfd.readouterr().err)


def test_a_queue_that_fails_is_reported_each_time():
    class Broken:
        def put_nowait(self, item):
            raise OSError("broken")

    handler = QueueHandler(Broken())
    errors = []
    handler.handleError = errors.append
    log(handler, "a", "b")
    assert [error.msg for error in errors] == ["a", "b"]
    assert handler.statistics()[:5] == (2, 0, 2, 0, 2)


def test_a_record_that_cannot_be_read_does_not_end_the_listener(sink, capfd):
    class Spoilt(queue.Queue):
        def get(self, block=True, timeout=None):
            item = super().get(block, timeout)
            if isinstance(item, Exception):
                raise item
            return item

    waiting = Spoilt()
    with QueueListener(waiting, sink) as listener:
        waiting.put(pickle.UnpicklingError("spoilt"))
        log(QueueHandler(waiting), "a")
        eventually(lambda: sink.texts == ["a"])
    assert listener.statistics().errors == 1
    assert "could not be read from the queue: UnpicklingError('spoilt')" in capfd.readouterr().err


@pytest.mark.parametrize("error", [OSError("gone"), EOFError(), TypeError("no argument block")])
def test_a_queue_that_cannot_be_read_ends_the_listener(sink, capfd, error):
    class Gone(queue.SimpleQueue):
        def get(self, block=True, timeout=None):
            raise error

    listener = QueueListener(Gone(), sink)
    listener.start()
    eventually(lambda: threads() == [])
    listener.stop()
    assert repr(error) in capfd.readouterr().err


@pytest.mark.skipif(not hasattr(queue, "ShutDown"), reason="queues shut down since 3.13")
def test_a_queue_that_is_shut_down_ends_the_listener(sink):
    waiting = queue.Queue()
    listener = QueueListener(waiting, sink)
    listener.start()
    log(QueueHandler(waiting), "a")
    waiting.shutdown()
    eventually(lambda: threads() == [])
    assert sink.texts == ["a"]


# Logging in the middle of a put


class Logs(queue.Queue):
    """Logs to its handler whenever something is put in it, under its lock."""

    handler = None

    def __init__(self, times=1):
        super().__init__()
        self.times = times

    def _put(self, item):
        for _ in range(self.times):
            self.handler.handle(record(f"put {getattr(item, 'msg', item)}"))
        super()._put(item)


@pytest.mark.parametrize("times", [1, 3])
def test_a_queue_may_log_and_does_not_feed_back(sink, times):
    waiting = Logs(times)
    waiting.handler = handler = QueueHandler(waiting)
    with QueueListener(waiting, sink):
        log(handler, "a", "b")
    assert sink.texts == ["a", "put a", "b", "put b"]
    numbers = handler.statistics()
    assert numbers.accepted == numbers.written + numbers.dropped
    assert numbers.written == 4


def test_a_finalizer_may_log_while_the_listener_has_the_queues_lock(sink):
    class Collects(queue.Queue):
        def _get(self):
            handler.handle(record("finalized"))  # the garbage collector may run here
            return super()._get()

    waiting = Collects()
    handler = QueueHandler(waiting)
    with QueueListener(waiting, sink, drain_timeout=LONG):
        log(handler, "a")
        eventually(lambda: len(sink.texts) >= 2)
        log(handler, "b")
        eventually(lambda: "b" in sink.texts)
        waiting.__class__ = queue.Queue
    assert sink.texts[0] == "a"


def test_a_signal_handler_may_stop_the_listener_in_the_middle_of_a_put(sink):
    class Stops(queue.Queue):
        def _put(self, item):
            super()._put(item)
            if item is not None:
                listener.stop()  # a signal has come

    waiting = Stops()
    listener = QueueListener(waiting, sink, drain_timeout=LONG)
    listener.start()
    log(QueueHandler(waiting), "a")
    eventually(lambda: threads() == [])
    assert sink.texts == ["a"]


def test_what_was_dropped_is_told_to_a_queue_that_logs():
    class LogsAndIsFull(queue.Queue):
        def _put(self, item):
            handler.handle(record("in put"))
            super()._put(item)

    waiting = LogsAndIsFull(1)
    handler = QueueHandler(waiting)
    log(handler, "a", "b")
    waiting.get_nowait()
    handler.close()
    assert re.fullmatch(DROPPED, waiting.get_nowait().getMessage())


def test_multiprocessings_own_logger_at_debug_does_not_feed_back():
    waiting = multiprocessing.Queue()
    handler, sink = QueueHandler(waiting), Sink()
    logger = multiprocessing.get_logger()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with QueueListener(waiting, sink):
            logger.info("a")
            logger.info("b")
        assert "a" in sink.texts
        assert "b" in sink.texts
        # The queue's own thread logs, too, but not because somebody has logged.
        others = [r for r in sink.records if r.threadName != "MainThread"]
        assert len(sink.texts) - len(others) <= 4
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        waiting.close()
        waiting.join_thread()


def test_a_sink_may_log_to_the_queue_and_does_not_feed_back():
    waiting, sink = queue.Queue(), Chatty()
    handler = QueueHandler(waiting)
    sink.handlers = [handler]
    with QueueListener(waiting, sink):
        log(handler, "a", "b")
        eventually(lambda: len(sink.texts) == 4)
    assert sink.texts == ["a", "about a", "b", "about b"]
    assert waiting.empty()


# A sink that does not return


def test_a_stuck_sink_does_not_hold_up_the_others(sink, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.05)
    waiting, other = queue.Queue(), Sink()
    sink.gate.clear()
    with QueueListener(waiting, sink, other):
        log(QueueHandler(waiting), "a", "b")
        waiting.join()
        assert other.texts == ["a", "b"]
        sink.gate.set()
        eventually(lambda: sink.texts[:1] == ["a"])
    eventually(lambda: threads() == [])


# No thread


def test_where_no_thread_can_start_our_handlers_deliver(sink, monkeypatch):
    def refuse(*_):
        raise RuntimeError("daemon threads are not supported in this interpreter")

    waiting = queue.Queue()
    handler, listener = QueueHandler(waiting), QueueListener(waiting, sink)
    log(handler, "before")
    monkeypatch.setattr(threading.Thread, "start", refuse)
    listener.start()
    log(handler, "a")
    assert sink.texts == ["before", "a"]
    assert set(sink.idents) == {threading.get_ident()}
    monkeypatch.undo()
    listener.start()
    log(handler, "b")
    listener.stop()
    assert sink.texts == ["before", "a", "b"]
    assert sink.idents[2] != threading.get_ident()


def test_the_toggle_stamps_and_the_sinks_show(sink):
    waiting = queue.Queue()
    handler = QueueHandler(waiting)
    with threadlog.logging_with_thread_info(), QueueListener(waiting, sink):
        log(handler, "a")
    assert re.fullmatch(r"\[pid \d+ tid \d+ MainThread\] a", sink.texts[0])
