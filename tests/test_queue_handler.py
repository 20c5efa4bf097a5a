"""QueueHandler with a queue and a listener of its own: P1, P6, P7."""

import gc
import logging
import logging.handlers
import random
import re
import threading
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

import threadlog
from queued import LONG, Chatty, Sink, caught, full, log, logger_with, record
from support import eventually, in_thread, logging_lock, threads
from threadlog.handlers import FileHandler, QueueHandler, QueueListener, Statistics, backlog, sinks

DROPPED = r"(\d+) records dropped from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d \((.*)\): (.*)"


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def queued(request):
    """Create handlers, which are closed afterwards."""
    made = []

    def make(*handlers, **options):
        made.append(QueueHandler(handlers=handlers, **options))
        return made[-1]

    yield make
    for handler in made:
        for each in handler.listener.handlers:
            getattr(each, "gate", threading.Event()).set()
        handler.close()


# Use


def test_there_is_nothing_to_start_or_stop(queued, sink):
    handler = queued(sink)
    assert threads() == []  # before the first record
    log(handler, "a", "b", "c")
    handler.flush()
    assert sink.texts == ["a", "b", "c"]
    assert set(sink.idents) == {thread.ident for thread in threads()}
    handler.close()
    assert threads() == []


def test_it_is_the_standard_classes(queued, sink):
    handler = queued(sink)
    assert isinstance(handler, logging.handlers.QueueHandler)
    assert isinstance(handler.listener, logging.handlers.QueueListener)
    assert isinstance(handler.listener, QueueListener)
    assert handler.listener.queue is handler.queue
    assert handler.listener.handlers == (sink,)
    queue = handler.queue
    assert (queue.qsize(), queue.empty(), queue.full(), queue.maxsize) == (0, True, False, 10_000)


def test_statistics_are_immutable(queued, sink):
    handler = queued(sink)
    assert handler.statistics() == Statistics(0, 0, 0, 0, 0, 0.0)
    log(handler, "a")
    handler.flush()
    numbers = handler.statistics()
    assert numbers == handler.listener.statistics() == (1, 1, 0, 0, 0, 0.0)
    with pytest.raises(AttributeError):
        numbers.written = 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give handlers=[...], the sinks, or a queue that a listener reads"),
        ({"handlers": []}, "give handlers=[...], the sinks, or a queue that a listener reads"),
        ({"queue": object(), "handlers": [Sink()]}, "for this queue write QueueListener(queue, *h"),
        ({"handlers": [Sink()], "capacity": 0}, "capacity must be a whole number above 0, not 0"),
        ({"handlers": [Sink()], "capacity": "9"}, "capacity must be a whole number above 0, not"),
        ({"handlers": [Sink()], "overflow": "drop"}, "one of 'block', 'drop_new', 'drop_old', 'd"),
        ({"handlers": [Sink()], "overflow": "drop_ol"}, "did you mean 'drop_old'?"),
        ({"handlers": [Sink()], "timeout": -1}, "timeout must be a number of seconds, 0 or more"),
        ({"handlers": [Sink()], "timeout": "1"}, "timeout must be a number of seconds, 0 or more"),
        ({"handlers": [Sink()], "drain_timeout": None}, "drain_timeout must be a number of sec"),
        ({"handlers": [Sink()], "capacity": 9, "reserve": 9}, "below the capacity (9), not 9"),
        ({"handlers": Sink()}, "handlers must be a list of handlers, not <Sink"),
        ({"handlers": ["console"]}, "handlers must be a list of handlers; 'console' is none"),
        ({"queue": object(), "capacity": 5}, "capacity is for a handler with a queue of its own"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        QueueHandler(**arguments)


def test_levels_of_the_sinks_are_respected(queued):
    all_, errors = Sink(), Sink(level=logging.ERROR)
    handler = queued(all_, errors)
    log(handler, "a")
    log(handler, "b", level=logging.ERROR)
    handler.flush()
    assert (all_.texts, errors.texts) == (["a", "b"], ["b"])


def test_levels_of_the_sinks_are_not_respected_if_not_wanted(queued):
    errors = Sink(level=logging.ERROR)
    handler = queued(errors, respect_handler_level=False)
    log(handler, "a")
    handler.flush()
    assert errors.texts == ["a"]


def test_a_formatter_of_the_handler_is_that_of_the_sinks_without_one(queued):
    plain, own = Sink(), Sink()
    own.setFormatter(logging.Formatter("own %(message)s"))
    handler = queued(plain, own)
    for name in ("first", "second"):
        handler.setFormatter(logging.Formatter(f"{name} %(message)s"))
    log(handler, "a")
    handler.flush()
    assert (plain.texts, own.texts) == (["second a"], ["own a"])
    assert plain.records[0].msg == "a"


def test_a_formatter_is_lent_while_the_toggle_is_on_too(queued, sink):
    handler = queued(sink)
    with threadlog.logging_with_thread_info():
        log(handler, "a")
        handler.flush()
        handler.setFormatter(formatter := logging.Formatter("f %(message)s"))
        log(handler, "b")
        handler.flush()
    assert sink.formatter is formatter
    assert [text.partition("] ")[2] for text in sink.texts] == ["a", "f b"]


def test_filters_of_the_handler_are_asked_in_the_caller(queued, sink):
    handler = queued(sink)
    idents = []
    handler.addFilter(lambda r: idents.append(threading.get_ident()) or r.msg != "b")
    log(handler, "a", "b")
    handler.flush()
    assert sink.texts == ["a"]
    assert idents == [threading.get_ident()] * 2


def test_a_filter_of_the_handler_that_raises_is_reported_and_the_record_kept(queued, sink):
    handler = queued(sink)
    errors = []
    handler.handleError = errors.append
    handler.addFilter(lambda r: 1 / 0)
    log(handler, "a")
    handler.flush()
    assert len(errors) == 1
    assert sink.texts == ["a"]


def test_a_handler_that_is_dropped_ends_its_thread(sink):
    handler = QueueHandler(handlers=[sink])
    log(handler, "a")
    del handler
    gc.collect()
    eventually(lambda: threads() == [])
    assert sink.texts == ["a"]


# The caller's side


def test_who_wrote_a_record_is_captured_in_the_caller(queued, sink):
    handler = queued(sink)
    with threadlog.logging_context(request="abc"):
        log(handler, "a")
    in_thread(lambda: log(handler, "b"), name="other")
    handler.flush()
    ours, other = sink.records
    assert (ours.threadName, ours.log_context) == ("MainThread", {"request": "abc"})
    assert ours.thread_info.endswith("MainThread request=abc")
    assert (other.threadName, other.log_context) == ("other", {})
    assert ours.native_id == threading.get_native_id() != other.native_id


def test_the_toggle_shows_who_wrote_it_once(queued, sink):
    handler = queued(sink)
    with threadlog.logging_with_thread_info():
        log(handler, "a")
        handler.flush()
    assert re.fullmatch(r"\[pid \d+ tid \d+ MainThread\] a", sink.texts[0])


def test_the_record_itself_is_left_as_it_was(queued, sink):
    handler = queued(sink)
    made = record("%s", ["x"], exc_info=caught()[0])
    before = dict(made.__dict__)
    handler.handle(made)
    handler.flush()
    assert made.__dict__ == before
    assert sink.records[0] is not made


def test_arguments_that_may_change_are_rendered_in_the_caller(queued, sink):
    handler = queued(sink)
    sink.gate.clear()
    items = ["as it was"]
    handler.handle(record("%s", items))
    handler.handle(record("%(a)s", {"a": items}))
    items[0] = "changed"
    sink.gate.set()
    handler.flush()
    assert sink.texts == ["['as it was']"] * 2
    assert [r.args for r in sink.records] == [None] * 2


@pytest.mark.parametrize("argument", [1, 1.5, "x", b"x", True, None, 1j])
def test_arguments_that_cannot_change_are_rendered_by_the_sinks(queued, sink, argument):
    handler = queued(sink)
    ready = handler.prepare(record("%s", argument))
    assert (ready.msg, ready.args) == ("%s", (argument,))
    assert "message" not in ready.__dict__
    handler.enqueue(ready)
    handler.flush()
    assert sink.texts == [str(argument)]


def test_a_subclass_of_what_cannot_change_may_change(queued, sink):
    class Text(str):
        __slots__ = ("now",)

        def __str__(self):
            return self.now

    handler = queued(sink)
    text = Text("x")
    text.now = "before"
    ready = handler.prepare(record("%s", text))
    text.now = "after"
    assert ready.msg == "before"


@given(st.lists(st.one_of(st.integers(), st.text(), st.floats(), st.none(), st.lists(st.text()))))
def test_messages_are_those_of_the_record(arguments):
    made = record(" ".join(["%s"] * len(arguments)), *arguments)
    handler = QueueHandler(handlers=[Sink()])
    assert handler.prepare(made).getMessage() == made.getMessage()


def test_a_message_that_cannot_be_rendered_is_reported_and_shown_as_far_as_it_can(queued, sink):
    class Bad:
        def __repr__(self):
            raise ValueError("no")

    handler = queued(sink)
    errors = []
    handler.handleError = errors.append
    handler.handle(record("%s", Bad()))
    handler.flush()
    assert len(errors) == 1
    assert sink.texts == [
        "'%s' <tuple whose repr raised ValueError> (not formatted: ValueError('no'))"
    ]


def test_each_sink_renders_an_exception_in_its_own_way_once(queued):
    class Loud(logging.Formatter):
        def formatException(self, ei):
            return f"LOUD {ei[1]}"

    plain, loud = Sink(), Sink()
    loud.setFormatter(Loud())
    handler = queued(loud, plain, Sink())
    made = record("failed", exc_info=caught()[0])
    made.exc_text = "by a handler that came before"
    handler.handle(made)
    handler.flush()
    assert loud.texts == ["failed\nLOUD oops"]
    assert plain.texts[0].startswith("failed\nTraceback (most recent call last):")
    assert plain.texts[0].count("Traceback") == 1
    assert plain.records[0].msg == "failed"


def test_exceptions_are_freed_after_delivery(queued, mocker):
    class Forgetful(logging.Handler):
        called = 0

        def emit(self, record):
            self.called += 1

    first, second = Forgetful(), Forgetful()
    handler = queued(first, second)
    exc_info, error = caught()
    handler.handle(record("failed", exc_info=exc_info))
    del exc_info
    eventually(lambda: second.called == 1)
    eventually(lambda: handler.statistics().written == 1)
    gc.collect()
    eventually(lambda: error() is None)


def test_extra_fields_arrive(queued, sink):
    handler = queued(sink)
    with logger_with(handler) as logger:
        logger.info("a", extra={"user": "u1"}, stack_info=True)
    handler.flush()
    assert sink.records[0].user == "u1"
    assert sink.texts[0].count("Stack (most recent call last)") == 1


def test_a_subclass_of_the_record_stays_one(queued, sink):
    class Mine(logging.LogRecord):
        pass

    handler = queued(sink)
    handler.handle(Mine("test", logging.INFO, __file__, 1, "a", (), None))
    handler.flush()
    assert type(sink.records[0]) is Mine


def test_prepare_and_enqueue_may_be_overridden(sink):
    class Mine(QueueHandler):
        def prepare(self, record):
            ready = super().prepare(record)
            ready.msg = f"<{ready.getMessage()}>"
            ready.args = None
            return ready

        def enqueue(self, record):
            if "b" not in record.msg:
                super().enqueue(record)

    handler = Mine(handlers=[sink])
    log(handler, "a", "b")
    handler.close()
    assert sink.texts == ["<a>"]


# Logging from where one does not expect it


def test_a_sink_may_log_and_does_not_feed_back(queued):
    sink = Chatty()
    handler = queued(sink)
    sink.handlers = [handler]
    log(handler, "a")
    handler.flush()
    eventually(lambda: handler.statistics().queued == 0)
    assert sink.texts == ["a", "about a"]
    log(handler, *map(str, range(10)))
    eventually(lambda: handler.statistics().accepted == 33)
    handler.flush()
    assert len(sink.texts) == 22
    numbers = handler.statistics()
    assert (numbers.accepted, numbers.written, numbers.dropped) == (33, 22, 11)


def test_quiet_records_are_no_allowance_for_later_ones(queued):
    class Talks(Sink):
        def emit(self, given):
            if given.msg == "talk":
                for number in range(50):
                    log(handler, f"{number}")
            super().emit(given)

    sink = Talks()
    handler = queued(sink)
    log(handler, *["quiet"] * 100)
    log(handler, "talk")
    eventually(lambda: handler.statistics().accepted == 151)
    handler.flush()
    assert sink.texts[-2:] == ["talk", "0"]
    assert len(sink.texts) == 102


def test_what_a_sink_logs_to_another_handler_arrives_there(queued):
    mail, errors = Chatty(), Sink()
    other = queued(errors)
    handler = queued(mail)
    mail.handlers = [other]
    log(handler, *"abc")
    handler.flush()
    other.flush()
    assert errors.texts == ["about a", "about b", "about c"]


def test_two_handlers_whose_sinks_log_do_not_feed_each_other(queued):
    first, second = Chatty(), Chatty()
    one, two = queued(first), queued(second)
    first.handlers = second.handlers = [one, two]
    for handler in (one, two):
        log(handler, "a")
    eventually(lambda: len(first.texts) >= 2 and len(second.texts) >= 2)
    for _ in range(3):
        one.flush()
        two.flush()
    # "a", what its own sink has to say of it, and perhaps what the other one has.
    assert len(first.texts) <= 3
    assert len(second.texts) <= 3


def test_a_sink_that_logs_when_the_caller_delivers_does_not_feed_back(queued):
    sink = Chatty()
    handler = queued(sink)
    sink.handlers = [handler]
    handler.close()
    log(handler, "a")
    assert sink.texts == ["a", "about a"]


def test_a_repr_may_log_while_the_queue_is_full(sink):
    class Logs:
        def __repr__(self):
            handler.handle(record("from repr"))
            return "it"

    with full(sink, overflow="block", timeout=LONG) as handler:
        thread = threading.Thread(target=lambda: handler.handle(record("%r", Logs())))
        thread.start()
        eventually(lambda: handler.queue._waiting)
        sink.gate.set()
        thread.join(LONG)
        handler.flush()
    assert sink.texts == ["0", "1", "from repr", "it"]


def test_a_finalizer_may_log_anywhere(queued, sink):
    handler = queued(sink, capacity=5, overflow="block", timeout=LONG)

    class Logs:
        def __init__(self):
            self.me = self  # for the garbage collector

        def __del__(self):
            handler.handle(record("finalized"))

    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(100):
            Logs()
            log(handler, "a")
    finally:
        gc.set_threshold(*before)
    gc.collect()  # does nothing where another thread is at it
    eventually(lambda: handler.statistics().accepted == 200)
    handler.flush()
    numbers = handler.statistics()
    # Those that came while the listener was at a record may be more than one for it.
    assert numbers.written + numbers.dropped == 200
    assert sink.texts.count("a") == 100


# Overflow


def test_block_waits_for_room(sink):
    with full(sink, overflow="block", timeout=LONG) as handler:
        thread = threading.Thread(target=log, args=(handler, "waits"))
        thread.start()
        eventually(lambda: handler.queue._waiting)
        assert handler.statistics().accepted == 2  # its call has not returned
        sink.gate.set()
        thread.join(LONG)
        handler.flush()
        assert sink.texts == ["0", "1", "waits"]
        assert handler.statistics().dropped == 0


def test_block_drops_after_a_while_and_does_not_wait_again(sink, monkeypatch):
    with full(sink, overflow="block", timeout=0.05) as handler:
        start = time.monotonic()
        log(handler, "lost")
        assert time.monotonic() - start >= 0.05
        wait = mock_wait(monkeypatch)
        log(handler, "lost", "too")
        assert wait == []  # nobody has waited
        assert handler.statistics()[:4] == (5, 0, 3, 2)
        sink.gate.set()
        handler.flush()
        sink.gate.clear()
        log(handler, "2")
        sink.wait_for_call()
        log(handler, "3", "waits again")
        assert len(wait) == 1


def mock_wait(monkeypatch):
    made = []

    def make_bell():
        made.append(bell())
        return made[-1]

    bell = backlog.make_bell
    monkeypatch.setattr(backlog, "make_bell", make_bell)
    return made


def test_drop_new(sink):
    with full(sink, capacity=3, overflow="drop_new") as handler:
        log(handler, "new", "newer")
        assert handler.statistics()[:4] == (6, 0, 2, 4)
        sink.gate.set()
        handler.flush()
        assert sink.texts[:4] == ["0", "1", "2", "3"]


def test_drop_old(sink):
    with full(sink, capacity=3, overflow="drop_old") as handler:
        log(handler, "new", "newer")
        assert handler.statistics()[:4] == (6, 0, 2, 4)
        sink.gate.set()
        handler.flush()
        assert sink.texts[:4] == ["0", "3", "new", "newer"]


def test_direct(sink):
    second = Sink()
    with full(sink, capacity=3, overflow="direct") as handler:
        handler.listener.handlers = (second,)  # the listener's thread is in the first
        log(handler, "direct")
        assert second.texts == ["direct"]
        assert second.idents == [threading.get_ident()]
        assert handler.statistics()[:4] == (5, 1, 0, 4)
        sink.gate.set()
        handler.flush()
        assert second.texts == ["direct", "1", "2", "3"]


@pytest.mark.parametrize("overflow", ["block", "drop_new", "drop_old"])
def test_reserved_places_are_for_warnings(sink, overflow):
    sink.gate.clear()
    handler = QueueHandler(handlers=[sink], capacity=4, overflow=overflow, timeout=0, reserve=2)
    log(handler, "a")
    sink.wait_for_call()
    log(handler, "b", "c", level=logging.DEBUG)
    log(handler, "d", "e", level=logging.WARNING)
    numbers = handler.statistics()
    sink.gate.set()
    handler.flush()
    expected = {"drop_old": ["a", "c", "d", "e"]}.get(overflow, ["a", "b", "d", "e"])
    handler.close()
    assert numbers[:4] == (5, 0, 1, 4)
    assert sink.texts[-len(expected) - 1 : -1] == expected


def test_drop_old_does_not_drop_a_warning_for_less(sink):
    sink.gate.clear()
    handler = QueueHandler(handlers=[sink], capacity=3, overflow="drop_old", reserve=1)
    log(handler, "a")
    sink.wait_for_call()
    log(handler, "w", level=logging.WARNING)
    log(handler, "b", "c")
    log(handler, "x", "y", level=logging.ERROR)
    sink.gate.set()
    handler.close()
    assert sink.texts[:3] == ["a", "x", "y"]
    assert handler.statistics().dropped == 3


def test_places_come_back_to_the_reserve_first(queued, sink):
    handler = queued(sink, capacity=5, reserve=2, overflow="drop_new")
    for _ in range(20):
        log(handler, "a", level=logging.ERROR)
        log(handler, "b", level=logging.DEBUG)
    handler.flush()
    eventually(lambda: len(handler.queue._places) == 3)
    eventually(lambda: len(handler.queue._reserved) == 2)


def test_one_burst_is_told_once(sink):
    with full(sink, overflow="drop_new") as handler:
        log(handler, *"abc", level=logging.DEBUG)
        log(handler, *"de", level=logging.ERROR)
        sink.gate.set()
        eventually(lambda: len(sink.texts) == 3)
        told = sink.records[2]
    assert (told.name, told.levelno) == ("threadlog.handlers", logging.WARNING)
    number, levels, reason = re.fullmatch(DROPPED, sink.texts[2]).groups()
    assert (number, levels) == ("5", "3 DEBUG, 2 ERROR")
    assert reason == "the queue of 2 was full"
    assert told.thread_info  # any format can be filled
    assert len(sink.texts) == 3
    assert handler.statistics()[:4] == (7, 2, 5, 0)  # what we say is not counted


def test_a_burst_that_has_no_end_is_told_meanwhile(sink, monkeypatch):
    from threadlog import ledger

    monkeypatch.setattr(ledger, "LONGEST_BURST", 0.0)
    with full(sink, capacity=2, overflow="drop_new") as handler:
        log(handler, "lost")
        sink.gate.set()
        eventually(lambda: len(sink.texts) == 4)
    assert re.fullmatch(DROPPED, sink.texts[1])  # while "1" and "2" wait


def test_a_burst_is_told_before_the_end(sink):
    with full(sink, overflow="drop_new") as handler:
        log(handler, "lost")
        sink.gate.set()
        handler.close()
        assert re.fullmatch(DROPPED, sink.texts[-1])


def test_what_no_sink_took_is_dropped_and_told_when_one_works_again(queued):
    sink = Sink(error=OSError("no"))
    handler = queued(sink)
    log(handler, "a", "b")
    eventually(lambda: handler.statistics().dropped == 2)
    sink.error = None
    log(handler, "c")
    eventually(lambda: len(sink.texts) == 2)
    assert sink.texts[0] == "c"
    assert re.fullmatch(DROPPED, sink.texts[1])[3] == "every handler raised"


def test_lag_is_the_age_of_the_oldest(sink):
    sink.gate.clear()
    handler = QueueHandler(handlers=[sink])
    handler.handle(record(created=time.time() - 100))
    sink.wait_for_call()
    log(handler, "younger")
    assert handler.statistics().lag < 50
    sink.gate.set()
    handler.flush()
    assert handler.statistics().lag == 0.0
    handler.close()


def test_a_place_that_an_interrupt_has_cost_comes_back(queued, sink, monkeypatch):
    monkeypatch.setattr(backlog, "INTERRUPTED", 0.02)
    handler = queued(sink, capacity=2, overflow="drop_new")
    log(handler, "a")
    handler.flush()
    handler.queue._places.pop()  # and the caller was interrupted before it could append
    log(handler, "b")
    eventually(lambda: len(handler.queue._places) == 2)


def test_a_full_queue_is_not_waited_for_under_loggings_own_lock(sink):
    with full(sink, overflow="block", timeout=LONG) as handler, logging_lock():
        log(handler, "dropped")
        assert handler.statistics().dropped == 1


def test_flush_waits_for_what_came_before_whatever_comes_after(sink):
    with full(sink, capacity=3, overflow="drop_new") as handler:
        thread = threading.Thread(target=handler.flush)
        thread.start()
        log(handler, *"abcdef")  # dropped
        thread.join(0.05)
        assert thread.is_alive()
        sink.gate.set()
        thread.join(LONG)
        assert sink.texts[:4] == ["0", "1", "2", "3"]


# accepted = written + dropped + queued


class Loses(sinks.Sinks):
    """A saboteur: forgets one record in a hundred."""

    def _settle(self, shift):
        if random.random() < 0.01:
            shift.record = None
        else:
            super()._settle(shift)


def storm(handler, threads=8, records=400):
    """Log from many threads; return the calls and what was wrong with the numbers meanwhile."""
    begun, returned = [0] * threads, [0] * threads
    wrong, running = [], threading.Event()
    barrier = threading.Barrier(threads + 1)

    def work(me):
        barrier.wait(LONG)
        for number in range(records):
            begun[me] += 1
            level = random.choice([logging.DEBUG, logging.WARNING])
            handler.handle(record("%d %d", me, number, level=level))
            returned[me] += 1

    def judge():
        while not running.is_set():
            least = sum(returned)
            numbers = handler.statistics()
            most = sum(begun)
            accepted, written, dropped, queued = numbers[:4]
            if not (least <= accepted <= most and accepted == written + dropped + queued):
                wrong.append((least, numbers, most))
            if min(numbers) < 0 or queued > handler.queue.maxsize + threads:
                wrong.append(numbers)

    workers = [threading.Thread(target=work, args=(me,)) for me in range(threads)]
    watcher = threading.Thread(target=judge, daemon=True)
    for thread in (*workers, watcher):
        thread.start()
    barrier.wait(LONG)
    for thread in workers:
        thread.join(4 * LONG)
    handler.flush()
    running.set()
    watcher.join(LONG)
    return threads * records, wrong


def fails_now_and_then():
    class Fails(Sink):
        def emit(self, record):
            if record.name == "test" and random.random() < 0.2:
                raise OSError("now and then")
            super().emit(record)

    return Fails()


@pytest.mark.parametrize("overflow", ["block", "drop_new", "drop_old", "direct"])
def test_accepted_is_written_and_dropped_and_queued_at_every_moment(overflow, queued):
    sink = fails_now_and_then()
    handler = queued(sink, capacity=20, overflow=overflow, reserve=5)
    calls, wrong = storm(handler)
    handler.close()
    assert wrong == []
    numbers = handler.statistics()
    assert numbers.accepted == calls
    assert numbers.queued == 0
    own = [r for r in sink.records if r.name == "test"]
    assert numbers.written == len(own)
    assert numbers.errors >= 1
    if overflow in ("block", "direct"):
        assert numbers.dropped == numbers.errors  # nothing for want of room
    if overflow != "direct":
        for me in range(8):  # each thread's records in its order
            numbers_of = [r.args[1] for r in own if r.args[0] == me]
            assert numbers_of == sorted(numbers_of)


def test_the_judge_sees_a_listener_that_loses(queued):
    handler = queued(Sink(), capacity=20, overflow="block", timeout=LONG)
    handler.listener._sinks = Loses(handler.listener, handler.queue)
    handler.listener.drain_timeout = 0.2
    calls, _ = storm(handler)
    numbers = handler.statistics()
    assert numbers.queued > 0  # under way for ever
    assert numbers.written + numbers.dropped < calls


# The listener's side


def test_a_sink_that_raises_is_counted_and_reported_once_until_it_works_again(queued):
    bad, good = Sink(error=OSError("no")), Sink()
    handler = queued(bad, good)
    log(handler, "a", "b")
    handler.flush()
    bad.error = None
    log(handler, "c")
    handler.flush()
    bad.error = ValueError("again")
    log(handler, "d")
    handler.flush()
    assert good.texts == ["a", "b", "c", "d"]
    assert [str(error) for _, error in bad.errors] == ["no", "again"]
    numbers = handler.statistics()
    assert (numbers.written, numbers.dropped, numbers.errors) == (4, 0, 3)


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
def test_a_sink_cannot_end_the_listener(queued, error):
    bad, good = Sink(error=error), Sink()
    handler = queued(bad, good)
    log(handler, "a", "b")
    handler.flush()
    assert good.texts == ["a", "b"]


def test_filters_and_formatters_of_sinks_are_contained(queued):
    filtered, formatted, good = Sink(), Sink(), Sink()
    filtered.addFilter(lambda r: 1 / 0)
    formatted.setFormatter(logging.Formatter("%(no_such_field)s"))
    handler = queued(filtered, formatted, good)
    log(handler, "a", "b")
    handler.flush()
    assert good.texts == ["a", "b"]
    assert [type(error) for _, error in filtered.errors] == [ZeroDivisionError]
    assert [type(error) for _, error in formatted.errors] == [ValueError]
    assert handler.statistics().errors == 4


def test_a_handle_error_that_raises_is_contained(queued):
    class Worse(Sink):
        def handleError(self, record):
            raise RuntimeError("worse")

    good = Sink()
    handler = queued(Worse(error=OSError("no")), good)
    log(handler, "a", "b")
    handler.flush()
    assert good.texts == ["a", "b"]


@pytest.mark.parametrize("error", [SystemExit(1), ValueError("bad")])
@pytest.mark.parametrize("where", ["filter", "formatter", "handleError"])
def test_one_bad_record_does_not_spoil_the_others_of_a_file(queued, tmp_path, error, where):
    def check(record):
        if record.msg == "bad":
            raise error
        return True

    class Format(logging.Formatter):
        def format(self, record):
            check(record)
            return super().format(record)

    file = FileHandler(tmp_path / "log")
    if where == "formatter":
        file.setFormatter(Format())
    else:
        file.addFilter(check)
    if where == "handleError":
        file.handleError = lambda record: check(record)
    handler = queued(file)
    slow_start(handler, lambda: log(handler, "a", "bad", "b", "c"))
    log(handler, "d")
    handler.flush()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line for line in lines if line in "abcd"] == list("abcd")
    numbers = handler.statistics()
    assert numbers.accepted == 5 == numbers.written + numbers.dropped
    file.close()


def slow_start(handler, action):
    """Call *action* before the listener looks: what it logs is one batch."""
    call, handler.queue.call_listener = handler.queue.call_listener, lambda: None
    action()
    handler.queue.call_listener = call
    handler.queue.rouse()


@pytest.mark.parametrize("way", ["handle", "emit", "handleError"])
def test_a_file_handler_with_a_way_of_its_own_gets_one_record_at_a_time(queued, tmp_path, way):
    calls = []
    file = FileHandler(tmp_path / "log")
    assert file.takes_batches()
    method = getattr(file, way)
    setattr(file, way, lambda record: (calls.append(record.msg), method(record)))
    assert not file.takes_batches()
    if way == "handleError":
        file.setFormatter(logging.Formatter("%(no_such_field)s"))
    handler = queued(file)
    slow_start(handler, lambda: log(handler, *"abc"))
    handler.flush()
    assert calls == list("abc")
    file.close()


def test_a_file_handlers_level_and_filters_hold_for_batches(queued, tmp_path):
    file = FileHandler(tmp_path / "log")
    file.setLevel(logging.INFO)
    file.addFilter(lambda r: r.msg != "b")
    handler = queued(file)

    def action():
        log(handler, *"abc")
        log(handler, "d", level=logging.DEBUG)

    with threadlog.logging_with_thread_info():
        slow_start(handler, action)
        handler.flush()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.partition("] ")[2] for line in lines] == ["a", "c"]
    assert handler.statistics()[:4] == (4, 4, 0, 0)
    file.close()


def test_what_prepare_makes_need_not_be_a_record(sink):
    class Listener(QueueListener):
        def prepare(self, item):
            return record(item["text"])

    class Dicts(QueueHandler):
        def prepare(self, record):
            return {"text": record.msg}

    handler = Dicts(handlers=[sink], capacity=2, overflow="drop_old")
    handler.queue.call_listener = None
    handler.listener = Listener(handler.queue, sink)
    sink.gate.clear()
    log(handler, *"abcd")
    sink.gate.set()
    handler.close()
    assert sink.texts[-1] == "d"
    assert handler.statistics().accepted == 4


def test_a_duck_for_a_sink(queued):
    class Duck:
        def __init__(self):
            self.got = []

        def handle(self, record):
            self.got.append(record.msg)

    duck = Duck()
    handler = queued(duck)
    log(handler, "a", "b")
    handler.flush()
    assert duck.got == ["a", "b"]


def test_a_full_queue_without_a_listener_calls_one(sink):
    handler = QueueHandler(handlers=[sink], capacity=1, overflow="drop_new")
    handler._drops_new = False
    call, handler.queue.call_listener = handler.queue.call_listener, None
    log(handler, "a")  # and the caller was interrupted before it could call
    handler.queue.call_listener = call
    log(handler, "b")
    handler.flush()
    assert sink.texts[0] == "a"
    handler.close()


def test_an_interrupt_while_the_thread_starts(queued, sink, monkeypatch):
    handler = queued(sink)
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        eventually(lambda: handler.listener._holder)  # else its place is taken back
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        handler.listener.start()
    monkeypatch.undo()
    eventually(lambda: handler.listener._holder)
    assert not handler.listener._vacancy  # it runs: there is no place for another
    handler.listener.start()
    log(handler, "a")
    handler.flush()
    assert len(threads()) == 1
    assert sink.texts == ["a"]


def test_an_interrupt_before_the_thread_starts(queued, sink, monkeypatch):
    handler = queued(sink)

    def interrupted(thread):
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        handler.listener.start()
    monkeypatch.undo()
    log(handler, "a")
    handler.flush()
    assert sink.texts == ["a"]


def test_a_thread_that_dies_is_replaced(queued, sink, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    handler = queued(sink)
    take = handler.queue._take
    handler.queue._take = lambda *_: 1 / 0
    log(handler, "a")
    eventually(lambda: threads() == [])  # it has told the hook, too
    handler.queue._take = take
    log(handler, "b")
    handler.flush()
    assert sink.texts == ["a", "b"]


def test_an_interrupt_reaches_the_caller_who_delivers_himself(queued):
    handler = queued(Sink(error=KeyboardInterrupt()))
    handler.close()
    with pytest.raises(KeyboardInterrupt):
        log(handler, "a")
    assert handler.statistics()[:4] == (1, 0, 1, 0)


def test_a_stuck_sink_does_not_hold_up_the_others(queued, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.5)
    first, stuck, last = Sink(), Sink(), Sink()
    stuck.gate.clear()
    handler = queued(first, stuck, last)
    log(handler, "a", "b", "c")
    eventually(lambda: last.texts == ["a", "b", "c"])
    assert first.texts == ["a", "b", "c"]
    eventually(lambda: handler.statistics().written == 3)
    assert stuck.texts == []
    stuck.gate.set()
    eventually(lambda: not handler.listener._sinks._stuck)
    log(handler, "d")
    handler.flush()
    assert [stuck.texts[0], stuck.texts[2]] == ["a", "d"]
    number, levels, reason = re.fullmatch(DROPPED, stuck.texts[1]).groups()
    assert (number, levels, reason) == ("2", "2 INFO", "the handler did not return")
    assert first.texts == last.texts == ["a", "b", "c", "d"]
    handler.close()
    eventually(lambda: threads() == [])


def test_two_stuck_sinks_one_after_the_other(queued, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.5)
    one, two, good = Sink(), Sink(), Sink()
    one.gate.clear()
    two.gate.clear()
    handler = queued(one, two, good)
    log(handler, *"abcdef")
    eventually(lambda: good.texts == list("abcdef"))
    one.gate.set()
    two.gate.set()
    eventually(lambda: one.texts[:1] == two.texts[:1] == ["a"] or len(two.texts) > 1)
    handler.close()
    eventually(lambda: threads() == [])


def test_a_sink_that_does_not_want_the_record_is_no_reason_to_go_on(queued, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.5)
    console, mail = Sink(), Sink(level=logging.ERROR)
    console.gate.clear()
    handler = queued(console, mail)
    log(handler, *"abc")
    console.wait_for_call()
    time.sleep(0.2)
    assert handler.statistics().queued == 3  # they wait, as if there were no mail
    console.gate.set()
    handler.flush()
    assert console.texts == list("abc")


def test_what_waits_behind_a_stuck_sink_reaches_those_that_want_it(queued, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.5)
    console, mail = Sink(), Sink(level=logging.ERROR)
    console.gate.clear()
    handler = queued(console, mail)
    log(handler, "a", "b")
    console.wait_for_call()
    log(handler, "help", level=logging.ERROR)
    eventually(lambda: mail.texts == ["help"])
    console.gate.set()
    eventually(lambda: len(console.texts) == 2)
    assert console.texts[0] == "a"
    assert re.fullmatch(DROPPED, console.texts[1])[2] == "1 INFO, 1 ERROR"


def test_a_sink_that_returns_when_it_is_given_up_is_called_again(queued, sink, monkeypatch):
    handler = queued(sink)
    calls = []

    def being_called():
        calls.append(None)
        return [sink] if len(calls) == 1 else []  # it has returned between the two looks

    monkeypatch.setattr(handler.listener._sinks, "being_called", being_called)
    handler.listener._sinks.leave_alone()
    monkeypatch.undo()
    log(handler, "a")
    handler.flush()
    assert sink.texts == ["a"]


def test_flush_does_not_wait_for_the_lock_of_a_stuck_sink(queued, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.5)
    stuck, good = Sink(), Sink()
    stuck.flush = stuck.acquire  # as a StreamHandler's
    stuck.gate.clear()
    handler = queued(stuck, good)
    log(handler, "a")
    eventually(lambda: good.texts == ["a"])
    start = time.monotonic()
    handler.flush()
    assert time.monotonic() - start < LONG / 2


def test_what_a_stuck_sink_logs_when_it_returns_arrives(queued, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.5)

    class Late(Sink):
        def emit(self, given):
            super().emit(given)
            if given.msg == "a":
                log(handler, "it took long")

    late, good = Late(), Sink()
    late.gate.clear()
    handler = queued(late, good)
    log(handler, "a")
    eventually(lambda: good.texts == ["a"])
    late.gate.set()
    eventually(lambda: good.texts == ["a", "it took long"])
    handler.flush()
    assert handler.statistics()[:4] == (2, 2, 0, 0)


def test_sinks_that_are_replaced_while_one_is_stuck(queued, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.5)
    stuck, second, third, other = Sink(), Sink(), Sink(), Sink()
    stuck.gate.clear()
    handler = queued(stuck, second, third)
    log(handler, "a")
    stuck.wait_for_call()
    handler.listener.handlers = (other, stuck)
    eventually(lambda: second.texts == third.texts == ["a"])
    log(handler, "b")
    eventually(lambda: other.texts == ["b"])
    stuck.gate.set()


def test_exceptions_are_freed_after_a_relief_too(queued, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.5)

    class Stuck(logging.Handler):
        gate = threading.Event()

        def emit(self, record):
            self.gate.wait(LONG)

    class Forgetful(logging.Handler):
        called = 0

        def emit(self, record):
            self.called += 1

    stuck, good = Stuck(), Forgetful()
    handler = queued(stuck, good)
    exc_info, error = caught()
    handler.handle(record("failed", exc_info=exc_info))
    del exc_info
    eventually(lambda: good.called == 1)
    stuck.gate.set()
    eventually(lambda: not handler.listener._sinks._stuck)
    gc.collect()
    eventually(lambda: error() is None)


def test_the_last_sink_that_works_is_waited_for(queued, monkeypatch):
    monkeypatch.setattr(sinks, "STUCK_AFTER", 0.5)
    one, two = Sink(), Sink()
    one.gate.clear()
    two.gate.clear()
    handler = queued(one, two, capacity=5, overflow="drop_new")
    log(handler, "a")
    two.wait_for_call()  # `one` was given up
    log(handler, *"bcdefgh")
    assert handler.statistics().queued == 5  # and they are not thrown away
    two.gate.set()
    eventually(lambda: two.texts[:5] == list("abcde"))
    one.gate.set()


def test_no_wake_up_per_record_when_busy(queued, sink, monkeypatch):
    handler = queued(sink)
    sink.gate.clear()
    log(handler, "0")
    sink.wait_for_call()
    rung = []
    monkeypatch.setattr(backlog, "ring", lambda bell: rung.append(bell))
    log(handler, *map(str, range(1, 1000)))
    assert rung == []
    sink.gate.set()
    eventually(lambda: sink.texts == [str(number) for number in range(1000)])


def switches(thread):
    with open(f"/proc/self/task/{thread.native_id}/status") as status:
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status.read(), re.M)[1])


def test_no_polling_when_idle(queued, sink):
    handler = queued(sink, Sink())
    log(handler, "a")
    handler.flush()
    eventually(lambda: len(threads()) == 2)  # the listener, and its watch
    eventually(lambda: handler.queue._is_unwatched)
    time.sleep(2.2)  # the watch looks once more
    before = [switches(thread) for thread in threads()]
    time.sleep(0.5)
    assert [switches(thread) for thread in threads()] == before


def test_many_short_records_are_one_batch(queued, sink):
    handler = queued(sink)
    sink.gate.clear()
    log(handler, *map(str, range(1000)))
    batches = []
    free = handler.queue.give_back
    handler.queue.give_back = lambda places: (batches.append(places), free(places))
    sink.gate.set()
    eventually(lambda: sum(batches) == 1000)
    assert len(batches) < 500


# No thread


def test_where_no_thread_can_start_the_caller_delivers(queued, sink, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("_thread.start_new_thread", refuse)
    handler = queued(sink)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log(handler, "a", "b")
    assert sink.texts == ["a", "b"]
    assert set(sink.idents) == {threading.get_ident()}
    assert handler.statistics()[:4] == (2, 2, 0, 0)
    monkeypatch.undo()
    log(handler, "c")
    handler.flush()
    assert sink.texts == ["a", "b", "c"]
    assert sink.idents[2] != threading.get_ident()


def test_where_the_thread_itself_cannot_start(queued, sink, monkeypatch):
    def refuse(*_):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    handler = queued(sink)
    log(handler, "a", "b")
    eventually(lambda: sink.texts == ["a", "b"])
    eventually(lambda: handler.statistics()[:4] == (2, 2, 0, 0))


# Starting and stopping the listener that is owned


def test_start_while_the_thread_is_ending(queued, sink):
    handler = queued(sink)
    log(handler, "a")
    handler.flush()
    leave = handler.listener._close_again

    def leave_late():
        handler.listener.start()  # the thread has decided to end, and is not gone
        leave()

    handler.listener._close_again = leave_late
    handler.listener.stop()
    handler.listener._close_again = leave
    log(handler, "b")
    eventually(lambda: sink.texts == ["a", "b"])
    assert sink.idents[1] != threading.get_ident()


def test_start_takes_a_stop_back_that_others_wait_for(queued, sink):
    handler = queued(sink, drain_timeout=1)
    sink.gate.clear()
    log(handler, "a")
    sink.wait_for_call()
    log(handler, "b")
    thread = threading.Thread(target=handler.listener.stop)
    thread.start()
    eventually(lambda: handler.listener._end is not None)
    handler.listener.start()
    thread.join(LONG)
    time.sleep(1.2)
    log(handler, "c")
    sink.gate.set()
    eventually(lambda: sink.texts == ["a", "b", "c"])
    assert handler.statistics().dropped == 0


def test_the_queue_of_a_handler_is_for_that_handler(queued, sink):
    handler = queued(sink)
    with pytest.raises(ValueError, match="another QueueHandler's own"):
        QueueHandler(handler.queue)
    with pytest.raises(ValueError, match="has a listener"):
        QueueListener(handler.queue, sink)


# Closing


def test_a_sink_whose_close_closes_the_handler(queued, capfd):
    class Closes(Sink):
        def close(self):
            handler.close()
            super().close()

    sink = Closes()
    handler = queued(sink)
    log(handler, "a")
    handler.flush()
    with logging_lock():
        handler.close()
        sink.close()
    eventually(lambda: threads() == [])
    assert capfd.readouterr().err == ""


def test_what_is_dropped_after_close_is_told_by_the_next_that_is_not(queued):
    sink = Sink()
    handler = queued(sink)
    handler.close()
    sink.error = OSError("no")
    log(handler, "a")
    sink.error = None
    log(handler, "b")
    assert sink.texts[0] == "b"
    assert re.fullmatch(DROPPED, sink.texts[1])[3] == "every handler raised"


def test_after_a_stuck_sink_was_given_up_callers_do_not_wait_for_it(queued, sink, capfd):
    handler = queued(sink, drain_timeout=0.05)
    sink.gate.clear()
    log(handler, "a")
    sink.wait_for_call()
    handler.close()
    start = time.monotonic()
    log(handler, "late")
    assert time.monotonic() - start < LONG / 2
    assert handler.statistics().dropped == 1
    sink.gate.set()
    eventually(lambda: len(sink.texts) == 2)
    assert sink.texts[0] == "a"
    assert re.fullmatch(DROPPED, sink.texts[1])
    eventually(lambda: not handler.listener._sinks._stuck)
    log(handler, "b")
    assert sink.texts[2] == "b"


def test_a_file_that_is_closed_for_good_is_told_of(queued, tmp_path, capfd):
    file = logging.FileHandler(tmp_path / "log", mode="w")
    gate = Sink()
    gate.gate.clear()
    handler = queued(gate, file)
    log(handler, *"abc")
    gate.wait_for_call()
    handler.listener.handlers = (file,)
    with logging_lock():
        handler.close()
        file.close()
    gate.gate.set()
    eventually(lambda: threads() == [])
    numbers = handler.statistics()
    assert numbers.written + numbers.dropped == 3
    assert numbers.dropped >= 2
    assert "the handler was closed" in capfd.readouterr().err


def test_a_record_after_close_goes_to_the_sinks_at_once(queued, sink):
    handler = queued(sink)
    log(handler, "a")
    handler.close()
    log(handler, "b")
    assert sink.texts == ["a", "b"]
    assert sink.idents[1] == threading.get_ident()
    handler.close()
    assert handler.statistics()[:4] == (2, 2, 0, 0)


def test_close_gives_up_after_the_drain_timeout(queued, sink, capfd):
    handler = queued(sink, drain_timeout=0.05)
    sink.gate.clear()
    log(handler, "a")
    sink.wait_for_call()
    log(handler, "b", "c")
    handler.close()
    assert capfd.readouterr().err == "threadlog: 3 records were not written after 0.05 seconds\n"
    assert handler.statistics()[:4] == (3, 0, 2, 1)
    sink.gate.set()
    eventually(lambda: handler.statistics()[:4] == (3, 1, 2, 0))


def test_close_in_a_sink_does_not_wait_for_itself(queued):
    class Closes(Sink):
        def emit(self, record):
            handler.close()
            handler.flush()
            super().emit(record)

    sink = Closes()
    handler = queued(sink)
    log(handler, "a", "b")
    eventually(lambda: sink.texts == ["a", "b"])
    eventually(lambda: threads() == [])


def test_close_under_loggings_own_lock_does_not_wait(queued, sink):
    handler = queued(sink)
    sink.gate.clear()
    log(handler, "a", "b")
    sink.wait_for_call()
    with logging_lock():
        handler.flush()
        handler.close()
        assert sink.texts == []
    sink.gate.set()
    eventually(lambda: sink.texts == ["a", "b"])
    eventually(lambda: threads() == [])


def test_a_dict_as_the_message_stays_one_and_is_copied():
    """structlog and python-json-logger have formatters that know what to do with it."""
    made = []

    class Fields(logging.Formatter):
        def format(self, record):
            made.append(record.msg)
            return repr(record.msg)

    sink = logging.NullHandler()
    sink.handle = lambda record: Fields().format(record)
    handler = QueueHandler(handlers=[sink])
    inner, circle = ["a"], {}
    circle["self"] = circle
    fields = {"event": "hello", "words": inner, "who": (1, {2})}
    for message in (fields, circle):
        handler.handle(logging.LogRecord("app", logging.INFO, __file__, 1, message, (), None))
    inner.append("later")
    handler.close()
    assert made == [{"event": "hello", "words": ["a"], "who": (1, {2})}, str(circle)]
