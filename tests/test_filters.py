"""ThreadInfoFilter and stamp: once, in the thread that logs, and honest elsewhere."""

import copy
import logging
import os
import pickle
import sys
import threading
import weakref

import pytest

from support import in_fork, in_thread, run
from threadlog import ThreadInfoFilter, logging_context
from threadlog.filters import stamp

ADDED = ("native_id", "thread_number", "taskName", "work_item", "log_context", "thread_info")


def make_record(**fields):
    return logging.makeLogRecord({"msg": "hello", **fields})


def test_stamps_and_never_vetoes():
    record = make_record()
    assert ThreadInfoFilter().filter(record) is True
    assert record.native_id == threading.get_native_id()
    assert record.thread_info == (
        f"pid {os.getpid()} tid {record.native_id} {threading.current_thread().name}"
    )
    assert set(ADDED) <= set(record.__dict__)


def test_a_name_chooses_whom_it_stamps():
    ours, theirs = make_record(name="app.db"), make_record(name="lib")
    chosen = ThreadInfoFilter("app")
    assert chosen.filter(ours) is chosen.filter(theirs) is True
    assert hasattr(ours, "thread_info")
    assert not hasattr(theirs, "thread_info")


def test_is_a_logging_filter_of_a_real_logger(caplog):
    logger = logging.getLogger("test_filters.real")
    filter_ = ThreadInfoFilter()
    logger.addFilter(filter_)
    try:
        in_thread(lambda: logger.warning("hello"), name="writer")
    finally:
        logger.removeFilter(filter_)
    assert caplog.records[0].threadName == "writer"
    assert caplog.records[0].thread_info.endswith(" writer")


def test_nothing_changes_it_later():
    record = in_thread(lambda: [stamp(r := make_record()), r][1], name="writer")
    before = dict(record.__dict__)
    stamp(record)
    with logging_context(request="other"):
        in_thread(lambda: stamp(record), name="listener")
    assert record.__dict__ == before


def test_what_the_user_has_set_stays():
    record = make_record(native_id="mine", taskName="my task")
    stamp(record)
    assert (record.native_id, record.taskName) == ("mine", "my task")
    assert record.thread_number > 0


@pytest.mark.parametrize("change", [{"thread": 1}, {"process": 1}, {"threadName": "other"}])
def test_a_record_from_elsewhere_says_that_it_is_unknown(change):
    record = make_record(**change)
    with logging_context(request="mine"):
        stamp(record)
    assert record.native_id is record.thread_number is record.work_item is None
    assert record.log_context == {}
    assert record.thread_info == f"pid {record.process} tid ? {record.threadName}"


def test_a_record_from_elsewhere_keeps_what_it_knows():
    record = make_record(process=1, threadName="far", taskName="t", native_id=77, work_item=5)
    stamp(record)
    assert record.thread_info == "pid 1 tid 77 far task t item 5"


def test_a_pending_record_of_the_parent_is_not_the_childs():
    record = make_record()
    _, text = in_fork(lambda: [stamp(record), record.thread_info][1])
    assert text == f"pid {os.getpid()} tid ? {threading.current_thread().name}"


def test_the_name_of_a_forked_process_is_corrected():
    child, text = in_fork(lambda: [stamp(r := make_record()), r.processName][1])
    assert text.endswith(f"-fork-{child}")


def test_a_process_name_of_the_users_stays():
    record = make_record(processName="web-1")
    stamp(record)
    assert record.processName == "web-1"


@pytest.mark.parametrize("switch", ["logThreads", "logProcesses", "logMultiprocessing"])
def test_logging_told_not_to_look(switch, monkeypatch):
    monkeypatch.setattr(logging, switch, False)
    record = make_record()
    stamp(record)
    assert record.thread == threading.get_ident()
    assert record.threadName == threading.current_thread().name
    assert record.process == os.getpid()
    assert record.processName


def test_logging_told_not_to_look_for_tasks(monkeypatch):
    import asyncio

    monkeypatch.setattr(logging, "logAsyncioTasks", False, raising=False)

    async def main():
        record = make_record()
        stamp(record)
        return record.taskName, asyncio.current_task().get_name()

    seen, name = asyncio.run(main())
    assert seen == name


def test_a_stamped_record_pickles_and_copies():
    with logging_context(request="abc"):
        stamp(record := make_record())
    for twin in (pickle.loads(pickle.dumps(record)), copy.deepcopy(record)):
        assert {name: getattr(twin, name) for name in ADDED} == {
            name: getattr(record, name) for name in ADDED
        }


def test_a_record_keeps_no_thread_alive():
    record = None

    def write():
        nonlocal record
        stamp(record := make_record())
        return weakref.ref(threading.current_thread())

    thread = in_thread(write)
    assert record.thread_info
    assert thread() is None


def test_while_the_interpreter_shuts_down():
    result = run("""
import atexit, logging, threading, threadlog
logging.basicConfig(format="%(thread_info)s|%(message)s")
logging.root.handlers[0].addFilter(threadlog.ThreadInfoFilter())
class Late:
    def __del__(self, warn=logging.warning): warn("finalizer")  # globals may be gone
keep = Late()
atexit.register(lambda: logging.warning("atexit"))
def outlive():
    threading.main_thread().join()
    logging.warning("outlived")
threading.Thread(target=outlive, name="long").start()
""")
    lines = result.stderr.splitlines()
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    if not gil:
        del lines[2:]  # a free-threaded build has taken logging itself to pieces by then
    late = ["finalizer"] if gil else []
    assert [line.split("|")[1] for line in lines] == ["outlived", "atexit", *late]
    assert all(line.startswith("pid ") for line in lines)
    assert " long|" in lines[0]
