"""Identity: right in every kind of thread, task and process, at the call."""

import _thread
import asyncio
import contextvars
import ctypes
import os
import pickle
import sys
import threading
import types

import pytest

from support import in_fork, in_thread, run
from threadlog import identity, logging_context


def test_tasks_that_take_turns_find_what_is_known_of_them():
    seen = {}

    async def turns(name):
        for _ in range(3):
            seen.setdefault(name, set()).add(identity.current())
            await asyncio.sleep(0)

    async def main():
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(turns(name), name=name)

    asyncio.run(main())
    assert {name: len(found) for name, found in seen.items()} == {"a": 1, "b": 1, "c": 1}
    assert {who.taskName for found in seen.values() for who in found} == set("abc")


def test_a_foreign_thread_is_known_as_long_as_nothing_changes():
    found, done = [], threading.Event()

    def work():
        found.extend((identity.current(), identity.current()))
        thread = threading.current_thread()
        before, thread.name = thread.name, "renamed"
        found.append(identity.current())
        thread.name = before  # before 3.13 a later thread of this ident finds the same object
        done.set()

    _thread.start_new_thread(work, ())
    assert done.wait(30)
    assert found[0] is found[1]
    assert found[2].threadName == "renamed"


def test_a_current_thread_that_is_mocked(monkeypatch):
    identity.current()
    mocked = types.SimpleNamespace(name="mocked")
    with monkeypatch.context() as patch:
        patch.setattr(threading, "current_thread", lambda: mocked)
        assert identity.current().threadName == "mocked"
    assert identity.current().threadName == threading.current_thread().name


def test_the_main_thread():
    who = identity.current()
    assert (who.process, who.thread) == (os.getpid(), threading.get_ident())
    assert who.native_id == threading.get_native_id()
    assert who.threadName == threading.current_thread().name
    assert who.thread_info == f"pid {who.process} tid {who.native_id} {who.threadName}"
    assert (who.taskName, who.work_item, dict(who.log_context)) == (None, None, {})


def test_the_same_object_while_nothing_changes():
    assert identity.current() is identity.current()


def test_a_thread_is_told_by_its_name_at_the_call():
    def rename():
        before = identity.current().threadName
        threading.current_thread().name = "after"
        return before, identity.current()

    before, after = in_thread(rename, name="before")
    assert (before, after.threadName) == ("before", "after")
    assert after.thread_info.endswith(" after")


def test_thread_numbers_are_never_used_again():
    seen = [in_thread(lambda: identity.current()) for _ in range(50)]
    numbers = [who.thread_number for who in seen]
    assert numbers == sorted(set(numbers))
    # the ident is no such thing: that is why there is a number
    assert len({who.thread for who in seen}) < 50


def test_thread_numbers_of_threads_that_begin_at_once_differ():
    barrier = threading.Barrier(16)
    numbers = []

    def begin():
        barrier.wait()
        numbers.append(identity.current().thread_number)

    threads = [threading.Thread(target=begin) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(numbers)) == 16


def test_a_thread_that_threading_did_not_start():
    done = threading.Event()
    seen = []
    ours = identity.current().thread_number

    def foreign():
        seen.append((identity.current(), threading.get_native_id()))
        done.set()

    _thread.start_new_thread(foreign, ())
    assert done.wait(10)
    (who, native_id) = seen[0]
    assert who.native_id == native_id
    assert who.thread_number > ours
    assert who.threadName.startswith("Dummy")


def test_a_call_from_c():
    seen = []
    callback = ctypes.PYFUNCTYPE(None)(lambda: seen.append(identity.current()))
    callback()
    assert seen[0].native_id == threading.get_native_id()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
class TestFork:
    def test_pid_and_native_id_are_the_childs(self):
        identity.current()
        child, text = in_fork(lambda: identity.current().thread_info)
        assert text == f"pid {child} tid {child} {threading.current_thread().name}"

    def test_from_a_thread(self):
        def fork():
            identity.current()
            return in_fork(lambda: identity.current().thread_info)

        child, text = in_thread(fork, name="forker")
        assert text == f"pid {child} tid {child} forker"

    def test_the_childs_threads_are_numbered_anew(self):
        in_thread(identity.current)
        _, text = in_fork(
            lambda: (
                identity.current().thread_number,
                in_thread(identity.current).thread_number,
            )
        )
        assert text == "(1, 2)"

    def test_the_process_is_not_called_what_its_parent_is(self):
        name = identity.current().processName
        child, text = in_fork(lambda: identity.current().processName)
        assert text == f"{name}-fork-{child}"

    def test_a_child_of_multiprocessing_keeps_its_name(self):
        code = """
import multiprocessing, threadlog.identity as identity
def show(): print(identity.current().processName, flush=True)
if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=show, name="packer")
    child.start(); child.join()
    show()
"""
        assert run(code).stdout.split() == ["packer", "MainProcess"]

    def test_multiprocessing_imported_after_the_fork(self):
        code = """
import os, sys, threadlog.identity as identity
if os.fork() == 0:
    import multiprocessing
    print(os.getpid(), identity.current().processName, flush=True)
    os._exit(0)
os.wait()
"""
        pid, name = run(code).stdout.split()
        assert name == f"MainProcess-fork-{pid}"

    def test_asked_by_a_fork_hook_that_runs_before_ours(self):
        code = """
import os
seen = []
os.register_at_fork(after_in_child=lambda: seen.append(identity.current().thread_info))
import threadlog.identity as identity
identity.current()
if os.fork() == 0:
    print(os.getpid(), "/", *seen, "/", identity.current().thread_info, flush=True)
    os._exit(0)
os.wait()
"""
        pid, early, late = run(code).stdout.strip().split(" / ")
        assert early == late == f"pid {pid} tid {pid} MainThread"

    def test_a_lock_that_a_thread_held_at_the_fork_does_not_hang_the_child(self):
        held, free = threading.Event(), threading.Event()

        def hold():
            with identity._process.lock:
                held.set()
                free.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(10)
        try:
            _, text = in_fork(lambda: in_thread(identity.current).thread_number)
        finally:
            free.set()
            thread.join()
        assert text == "1"


def test_the_name_of_the_asyncio_task():
    async def name():
        return identity.current()

    async def main():
        task = asyncio.create_task(name(), name="fetch-7")
        return await task, identity.current()

    inner, outer = asyncio.run(main())
    assert inner.taskName == "fetch-7"
    assert inner.thread_info.endswith(" task fetch-7")
    assert outer.taskName not in (None, "fetch-7")
    assert identity.current().taskName is None


def test_a_callback_of_the_loop_is_no_task():
    async def main():
        loop = asyncio.get_running_loop()
        seen = loop.create_future()
        loop.call_soon(lambda: seen.set_result(identity.current().taskName))
        return await seen

    assert asyncio.run(main()) is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are of Python 3.12")
def test_an_eager_task():
    seen = []

    def look():
        # Before Python 3.14 an eager task gets its name after its first step.
        seen.append((identity.current().taskName, asyncio.current_task().get_name()))

    async def eager():
        look()
        await asyncio.sleep(0)
        look()

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        task = asyncio.get_running_loop().create_task(eager(), name="keen")
        look()
        await task

    asyncio.run(main())
    (first, now), (outer, outer_now), (second, _) = seen
    assert (first, outer, second) == (now, outer_now, "keen")
    assert outer not in (first, second)


class TestContext:
    def test_nests_and_ends(self):
        with logging_context(request="abc", user="kim"):
            with logging_context(user="lee", step=2):
                who = identity.current()
                assert who.log_context == {"request": "abc", "user": "lee", "step": 2}
                assert who.thread_info.endswith(" request=abc user=lee step=2")
            assert identity.current().log_context == {"request": "abc", "user": "kim"}
        assert identity.current().log_context == {}

    def test_ends_when_an_error_passes(self):
        with pytest.raises(LookupError), logging_context(request="abc"):
            raise LookupError
        assert identity.current().log_context == {}

    def test_is_a_decorator(self):
        @logging_context(job="nightly")
        def work():
            return identity.current().log_context

        assert work() == {"job": "nightly"}

    def test_is_a_threads_own(self):
        with logging_context(request="abc"):
            # a free-threaded or later Python may let threads inherit: ask for an empty context
            context = contextvars.Context()
            assert in_thread(lambda: context.run(identity.current)).log_context == {}

    def test_tasks_inherit_it_and_do_not_mix_it(self):
        async def handle(request):
            with logging_context(request=request):
                await asyncio.sleep(0)
                return dict(identity.current().log_context)

        async def main():
            with logging_context(app="shop"):
                return await asyncio.gather(handle(1), handle(2))

        assert asyncio.run(main()) == [
            {"app": "shop", "request": 1},
            {"app": "shop", "request": 2},
        ]

    @pytest.mark.parametrize(
        ("value", "shown"),
        [("a b", "'a b'"), ("", "''"), ("a\nb", "'a\\nb'"), (None, "None"), (3.5, "3.5")],
    )
    def test_a_value_cannot_break_the_text(self, value, shown):
        with logging_context(field=value):
            assert identity.current().thread_info.endswith(f" field={shown}")

    def test_a_value_that_cannot_be_rendered(self):
        class Broken:
            def __str__(self):
                raise RuntimeError

        broken = Broken()
        with logging_context(field=broken):
            who = identity.current()
        assert who.thread_info.endswith(" field='<unprintable Broken>'")
        assert who.log_context == {"field": "<unprintable Broken>"}

    def test_what_an_object_does_later_changes_nothing(self):
        rows = [1]
        with logging_context(rows=rows, lock=threading.Lock(), number=1.5):
            rows.append(2)
            who = identity.current()
        assert (who.log_context["rows"], who.log_context["number"]) == ("[1]", 1.5)
        assert pickle.loads(pickle.dumps(who.log_context)) == who.log_context

    def test_a_generator_closed_in_another_context(self):
        def bound():
            with logging_context(a=1):
                yield

        generator = bound()
        contextvars.copy_context().run(next, generator)
        generator.close()
        assert identity.current().log_context == {}

    def test_a_key_and_a_name_cannot_break_the_line(self):
        with logging_context(**{"a\nb": 1}):
            assert identity.current().thread_info.endswith(r" a\nb=1")
        info = in_thread(identity.current, name="job\nERROR forged\u202e").thread_info
        assert info.endswith(r" job\nERROR forged\u202e")

    def test_the_standing_order_of_the_parts(self):
        async def main():
            token = identity.work_item.set(3)
            try:
                with logging_context(request="abc"):
                    return identity.current().thread_info
            finally:
                identity.work_item.reset(token)

        async def named():
            return await asyncio.create_task(main(), name="fetch-7")

        assert asyncio.run(named()).endswith(" task fetch-7 item 3 request=abc")
