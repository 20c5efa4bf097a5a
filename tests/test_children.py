"""Logging from children: what the user sees, with every way to start a child. P1, P2, P9."""

import functools
import importlib.util
import logging

import pytest

import threadlog
from children import METHODS, run_program


@pytest.fixture
def program(tmp_path):
    return functools.partial(run_program, tmp_path)


each_method = pytest.mark.parametrize("method", METHODS)


# Who wrote it


@each_method
def test_a_record_is_handled_in_the_parent_with_the_childs_identity(program, method):
    pid, got = program(
        """
        def hello():
            with threadlog.logging_context(request="abc"):
                log.info("hello %d", 1)

        def work():
            thread = threading.Thread(target=hello, name="worker")
            thread.start()
            thread.join()

        def main(method):
            keep()
            threadlog.start_logging_from_children()
            child = run(method, work, name="child")
            messages()
            answer(child.pid)
            answer(vars(kept.records[0]))
        """,
        method,
    )
    assert got["native_id"] != pid
    expected = {
        "name": "app.work",
        "msg": "hello %d",
        "args": [1],
        "levelname": "INFO",
        "process": pid,
        "processName": "child",
        "threadName": "worker",
        "thread_number": 1,
        "taskName": None,
        "work_item": None,
        "log_context": {"request": "abc"},
        "thread_info": f"pid {pid} tid {got['native_id']} worker request=abc",
        "funcName": "hello",
        "filename": "program.py",
        "exc_info": None,
    }
    assert {name: got[name] for name in expected} == expected


@each_method
def test_task_work_item_and_created_time_are_the_childs(program, method):
    got, before, after = program(
        """
        import asyncio

        async def fetch():
            threadlog.do_threaded_work([0], lambda _: log.info("item"), thread_info=False)
            log.info("task")

        async def tasks():
            await asyncio.create_task(fetch(), name="fetch-7")

        def work(gate):
            asyncio.run(tasks())
            gate.set()

        def main(method):
            keep()
            threadlog.start_logging_from_children()
            gate = multiprocessing.get_context(method).Event()
            before = time.time()
            run(method, work, gate)
            after = time.time()
            messages()
            answer([[r.getMessage(), r.taskName, r.work_item, r.created, r.relativeCreated]
                    for r in kept.records])
            answer(before), answer(after)
        """,
        method,
    )
    assert [line[:3] for line in got] == [["item", None, 0], ["task", "fetch-7", None]]
    for *_, created, relative in got:
        assert before <= created <= after
        assert 0 < relative < 60_000  # of the parent's clock, whose program has just begun


# Whatever way it was started

WAYS = {
    "Process": """
        def begin(method):
            run(method, work, "a")
        """,
    "Process made before the start": """
        def begin(method):
            child.start()
            child.join()
        """,
    "Pool": """
        def begin(method):
            with multiprocessing.get_context(method).Pool(2) as pool:
                pool.map(work, ["a"])
        """,
    "ProcessPoolExecutor": """
        def begin(method):
            context = multiprocessing.get_context(method)
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                list(pool.map(work, ["a"]))
        """,
    "mpire": """
        def begin(method):
            import mpire
            with mpire.WorkerPool(2, start_method=method) as pool:
                pool.map(work, ["a"])
        """,
}


@each_method
@pytest.mark.parametrize("way", WAYS)
def test_the_records_of_a_child_arrive_whatever_way_it_was_started(program, way, method):
    if way == "mpire":
        pytest.importorskip("mpire")
    code = (
        WAYS[way]
        + """
        def work(text):
            log.info(text)

        def main(method):
            global child
            child = multiprocessing.get_context(method).Process(target=work, args=("a",))
            keep()
            threadlog.start_logging_from_children()
            begin(method)
            answer(messages())
            answer(kept.records[0].process != os.getpid())
        """
    )
    assert program(code, method) == [["a"], True]


@pytest.mark.parametrize("inner", METHODS)
@each_method
def test_the_records_of_a_grandchild_arrive(program, method, inner):
    got = program(
        """
        def work(methods):
            log.info("generation %d", len(methods))
            if methods:
                run(methods[0], work, methods[1:])

        def main(method, inner):
            keep()
            threadlog.start_logging_from_children()
            run(method, work, [inner, inner])
            answer(messages())
            answer(len({record.process for record in kept.records}))
        """,
        method,
        inner,
    )
    assert got == [["generation 2", "generation 1", "generation 0"], 3]


def test_the_records_of_os_fork_arrive_from_each_generation(program):
    got = program(
        """
        def main():
            keep()
            threadlog.start_logging_from_children()
            for generation in range(3):
                if os.fork():
                    os.wait()
                    break
                log.info("%d", generation)
            else:
                os._exit(0)
            if generation:
                os._exit(0)
            answer(messages())
            answer([r.processName == f"MainProcess-fork-{r.process}" for r in kept.records])
        """
    )
    assert got == [["0", "1", "2"], [True, True, True]]


def test_the_records_of_loky_arrive(program):
    if importlib.util.find_spec("joblib") is None:  # importing it changes multiprocessing
        pytest.skip("no joblib")
    got = program(
        """
        import joblib

        def work(number):
            log.info("%d", number)

        def main():
            keep()
            threadlog.start_logging_from_children()
            joblib.Parallel(n_jobs=2)(joblib.delayed(work)(number) for number in range(4))
            answer(sorted(messages()))
            answer(os.getpid() in {record.process for record in kept.records})
        """
    )
    assert got == [["0", "1", "2", "3"], False]


def test_a_program_started_by_subprocess_joins_by_attach_and_so_do_its_children(program):
    got = program(
        """
        import subprocess

        def work():
            log.info("grandchild")

        def main(role="parent"):
            if role == "child":
                assert threadlog.attach() and threadlog.attach()
                log.info("child")
                run("spawn", work)
                return
            keep()
            threadlog.start_logging_from_children()
            assert not threadlog.attach()  # to itself
            subprocess.run([sys.executable, __file__, "child"], check=True)
            answer(messages())
        """
    )
    assert got == ["child", "grandchild"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", ""),
        ("abc:/nowhere/socket", "it takes none any more"),
        ("nonsense", "'nonsense' is no address of the form TOKEN:/PATH"),
    ],
)
def test_attach_without_a_parent_that_answers_does_nothing(program, address, reason):
    got, said = program(
        """
        def main():
            sys.stderr = open("stderr", "w")
            answer(threadlog.attach())
            assert logging.getLogger().handlers == []
            sys.stderr.flush()
            answer(open("stderr").read().replace(str(os.getpid()), "PID"))
        """,
        THREADLOG_PARENT=address,
    )
    assert got is False
    wanted = f"threadlog: the records of process PID do not reach its parent: {reason}\n"
    assert said == (wanted if reason else "")


# What it says

FAILURES = """
        def fail():
            try:
                try:
                    {}["missing"]
                except KeyError as error:
                    raise ValueError("outer") from error
            except ValueError as error:
                error.add_note("a note")
                raise ExceptionGroup("group", [error, OSError("second")]) from None

        def work():
            try:
                fail()
            except ExceptionGroup:
                log.exception("failed")
"""


@each_method
def test_an_exception_is_printed_once_by_any_formatter_as_in_the_child(program, method):
    pytest.importorskip("pythonjsonlogger")
    lines, as_json, in_child = program(
        FAILURES
        + """
        class Here(logging.Handler):
            def emit(self, record):
                connection.send(self.format(record))

        def work_here(sent):
            global connection
            connection = sent
            log.addHandler(Here())
            work()

        def main(method):
            from pythonjsonlogger.json import JsonFormatter
            keep()
            other = Keep()
            other.setFormatter(JsonFormatter())
            logging.getLogger().addHandler(other)
            threadlog.start_logging_from_children()
            run(method, work)
            receiver, sender = multiprocessing.Pipe(False)
            child = start(method, work_here, sender)
            in_child = receiver.recv()
            child.join()
            messages()
            assert len(kept.lines) == 1
            answer(kept.lines[0]), answer(json.loads(other.lines[0])), answer(in_child)
        """,
        method,
    )
    assert lines == in_child
    for text in ("KeyError: 'missing'", "ValueError: outer", "a note", "OSError: second"):
        assert lines.count(text) == 1
    assert lines.startswith("failed\n")
    assert as_json["message"] == "failed"
    assert f"failed\n{as_json['exc_info']}" == lines


@each_method
def test_extra_fields_custom_levels_and_the_stack_arrive(program, method):
    got = program(
        """
        class Odd:
            def __repr__(self):
                return "<odd>"

        class Worse:
            def __repr__(self):
                raise OSError("no repr")

        def work():
            logging.addLevelName(25, "NOTICE")
            extra = {"number": 7, "nested": {"list": [1, None, "é", Odd()]}, "odd": Odd(),
                     "worse": Worse(), "lone": "\\ud800"}
            log.log(25, "%s and %s", "text", Odd(), extra=extra, stack_info=True)

        def main(method):
            keep()
            threadlog.start_logging_from_children()
            run(method, work)
            messages()
            answer(vars(kept.records[0]))
        """,
        method,
    )
    expected = {
        "number": 7,
        "nested": {"list": [1, None, "é", "<odd>"]},
        "odd": "<odd>",
        "worse": "<Worse whose repr raised OSError>",
        "lone": "\ud800",
        "levelno": 25,
        "levelname": "NOTICE",
        "msg": "text and <odd>",
    }
    assert {name: got[name] for name in expected} == expected
    assert got["stack_info"].startswith("Stack (most recent call last):")
    assert "stack_info=True" in got["stack_info"]


# Levels, filters and handlers are the parent's


@each_method
def test_what_the_parent_does_not_want_is_not_sent(program, method):
    wanted, sent, got = program(
        """
        def work(connection):
            from threadlog.children.sender import Sender
            send, sent = Sender.send, []
            Sender.send = lambda self, message: (sent.append(message), send(self, message))[1]
            names = ["app.work", "app.loud", "app.loud.deep", "app.quiet", "app.off", "other"]
            loggers = [logging.getLogger(name) for name in names]
            wanted = {}
            for logger in loggers:
                wanted[logger.name] = [n for n in range(10, 60, 10) if logger.isEnabledFor(n)]
            logging.getLogger("app.work").setLevel(logging.DEBUG)  # the child's own idea
            for logger in loggers:
                logger.debug("debug"), logger.warning("warning")
            connection.send([wanted, [json.loads(m.split(b"\\n")[0])["name"] for m in sent]])

        def main(method):
            keep(logging.INFO)
            logging.getLogger("app.loud").setLevel(logging.DEBUG)
            logging.getLogger("app.quiet").setLevel(logging.ERROR)
            logging.getLogger("app.off").disabled = True
            threadlog.start_logging_from_children()
            receiver, sender = multiprocessing.Pipe(False)
            child = start(method, work, sender)
            for value in receiver.recv():
                answer(value)
            child.join()
            messages()
            answer([[record.name, record.levelname] for record in kept.records])
        """,
        method,
    )
    assert wanted["app.work"] == wanted["other"] == [20, 30, 40, 50]
    assert wanted["app.loud"] == wanted["app.loud.deep"] == [10, 20, 30, 40, 50]
    assert wanted["app.quiet"] == [40, 50]
    expected = ["app.work", "app.loud", "app.loud", "app.loud.deep", "app.loud.deep", "other"]
    assert sent == expected
    assert [name for name, _ in got] == expected


CHANGES = {
    "setLevel": 'logging.getLogger("app").setLevel(logging.DEBUG)',
    "basicConfig": "logging.basicConfig(level=logging.DEBUG, force=True, handlers=[kept])",
    "disable": "logging.disable(logging.NOTSET)",
    "dictConfig": """logging.config.dictConfig({
                "version": 1, "incremental": True, "loggers": {"app": {"level": "DEBUG"}}})""",
}


@each_method
@pytest.mark.parametrize("change", CHANGES)
def test_a_level_that_the_parent_changes_holds_for_the_next_call_of_a_running_child(
    program, method, change
):
    got = program(
        f"""
        def work(step, done):
            for text in ("before", "after", "off again"):
                step.acquire()
                log.debug(text)
                done.release()

        def main(method):
            keep(logging.INFO)
            if {change!r} == "disable":
                logging.getLogger().setLevel(logging.DEBUG)
                logging.disable(logging.DEBUG)
            threadlog.start_logging_from_children()
            context = multiprocessing.get_context(method)
            step, done = context.Semaphore(0), context.Semaphore(0)
            child = start(method, work, step, done)
            def next_step():
                step.release()
                done.acquire()
            next_step()
            {CHANGES[change]}
            next_step()
            logging.disable(logging.CRITICAL)
            next_step()
            logging.disable(logging.NOTSET)
            child.join()
            answer(messages())
            answer("_clear_cache" in vars(logging.getLogger().manager))
        """,
        method,
    )
    assert got == [["after"], False]


def test_a_level_that_changes_just_after_a_fork_holds_in_the_child(program):
    got = program(
        """
        def main():
            keep()
            threadlog.start_logging_from_children()
            for number in range(20):
                logging.getLogger().setLevel(logging.INFO)
                reader, writer = os.pipe()
                if os.fork() == 0:
                    os.read(reader, 1)
                    log.debug("%d", number)
                    os._exit(0)
                logging.getLogger().setLevel(logging.DEBUG)
                os.write(writer, b"1")
                os.wait()
            answer(messages())
        """
    )
    assert got == [str(number) for number in range(20)]


def test_a_level_that_changes_while_nobody_receives_holds_after_the_next_start(program):
    got = program(
        """
        def work(step, done):
            step.acquire()
            end = time.monotonic() + 30
            while not log.isEnabledFor(logging.DEBUG) and time.monotonic() < end:
                time.sleep(0.01)
            log.debug("after")
            done.release()

        def main():
            keep()
            threadlog.start_logging_from_children()
            context = multiprocessing.get_context("spawn")
            step, done = context.Semaphore(0), context.Semaphore(0)
            child = start("spawn", work, step, done)
            step.release()
            threadlog.stop_logging_from_children()
            logging.getLogger().setLevel(logging.DEBUG)
            threadlog.start_logging_from_children()
            done.acquire()
            child.join()
            answer(messages())
        """
    )
    assert got == ["after"]


def test_a_level_reaches_the_child_of_a_child_that_hosts_and_waits(program):
    got = program(
        """
        def grandchild(ready):
            ready.set()
            end = time.monotonic() + 30
            while not log.isEnabledFor(logging.DEBUG) and time.monotonic() < end:
                time.sleep(0.01)
            log.debug("grandchild")

        def work(ready):
            threadlog.start_logging_from_children()
            run("spawn", grandchild, ready)
            threadlog.stop_logging_from_children()

        def main():
            keep()
            threadlog.start_logging_from_children()
            ready = multiprocessing.get_context("spawn").Event()
            child = start("spawn", work, ready)
            ready.wait()
            logging.getLogger().setLevel(logging.DEBUG)
            child.join()
            answer([text for text in messages() if text == "grandchild"])
        """
    )
    assert got == ["grandchild"]


def test_the_levels_of_a_child_that_has_set_up_logging_before_are_its_own(program):
    got = program(
        """
        if __name__ != "__main__":  # as a main module that sets up logging for everybody
            logging.basicConfig(level=logging.INFO, filename="own.log", format="%(message)s")

        def work(step, done):
            log.info("before")
            done.release()
            step.acquire()
            log.info("after")

        def main():
            keep(logging.INFO)
            threadlog.start_logging_from_children()
            context = multiprocessing.get_context("spawn")
            step, done = context.Semaphore(0), context.Semaphore(0)
            child = start("spawn", work, step, done)
            done.acquire()
            logging.getLogger().setLevel(logging.ERROR)
            step.release()
            child.join()
            answer([messages(), open("own.log").read().split()])
        """
    )
    assert got == [[], ["before", "after"]]


def test_a_child_has_one_connection_whatever_its_ancestors_have(program):
    got = program(
        """
        def connections():
            found = 0
            with open("/proc/net/unix") as file:
                inodes = {line.split()[6] for line in file}
            for name in os.listdir("/proc/self/fd"):
                try:
                    link = os.readlink(f"/proc/self/fd/{name}")
                except OSError:
                    continue
                found += link.startswith("socket:[") and link[8:-1] in inodes
            return found

        def work():
            threadlog.start_logging_from_children()
            if os.fork() == 0:
                log.info("grandchild with %d", connections())
                os._exit(0)
            os.wait()
            threadlog.stop_logging_from_children()
            log.info("child with %d", connections())

        def main():
            keep()
            threadlog.start_logging_from_children()
            run("spawn", work)
            answer(messages())
        """
    )
    assert got == ["grandchild with 1", "child with 1"]


def test_a_logger_that_is_disabled_or_enabled_is_so_in_children_a_while_later(program):
    got = program(
        """
        def work(step, done):
            for wanted in (True, False, True):
                step.acquire()
                end = time.monotonic() + 30
                while log.isEnabledFor(logging.INFO) != wanted and time.monotonic() < end:
                    time.sleep(0.01)
                log.info("%s", wanted)
                done.release()

        def main():
            keep()
            threadlog.start_logging_from_children()
            context = multiprocessing.get_context("fork")
            step, done = context.Semaphore(0), context.Semaphore(0)
            child = start("fork", work, step, done)
            for disabled in (False, True, False):
                log.disabled = disabled
                step.release()
                done.acquire()
            child.join()
            answer(messages())
        """
    )
    assert got == ["True", "True"]


def test_a_level_that_the_child_has_set_is_the_childs(program):
    got = program(
        """
        def work(step, done):
            log.setLevel(logging.ERROR)
            own = logging.getLogger("own")
            own.setLevel(logging.INFO)
            done.release()
            step.acquire()
            log.warning("less than the child wants"), log.error("a")
            answer([log.level, own.level])

        def main():
            keep()
            threadlog.start_logging_from_children()
            context = multiprocessing.get_context("spawn")
            step, done = context.Semaphore(0), context.Semaphore(0)
            child = start("spawn", work, step, done)
            done.acquire()
            log.setLevel(logging.DEBUG)
            logging.getLogger("own").setLevel(logging.ERROR)
            step.release()
            child.join()
            answer(messages())
        """
    )
    assert got == [[logging.ERROR, logging.INFO], ["a"]]


@each_method
def test_filters_and_handlers_are_the_parents_and_filter_once(program, method):
    got = program(
        """
        class Mark(logging.Filter):
            def filter(self, record):
                record.msg += f" {self.name}"
                return "secret" not in record.msg

        def work():
            log.info("hello"), log.info("secret")

        def main(method):
            threadlog.start_logging_from_children()  # before anything is configured
            logging.getLogger().setLevel(logging.INFO)
            log.addFilter(Mark("logger"))
            own = Keep()
            own.addFilter(Mark("handler"))
            log.addHandler(own)
            log.propagate = False
            logging.getLogger().addHandler(kept)  # gets nothing
            run(method, work)
            threadlog.stop_logging_from_children()
            answer([own.lines, kept.lines])
        """,
        method,
    )
    assert got == [["hello logger handler"], []]


@each_method
def test_the_toggle_of_the_parent_holds_for_children_that_run(program, method):
    lines = program(
        """
        def work(steps, done):
            for step in "abc":
                steps.acquire()
                log.info(step)
                done.release()

        def main(method):
            keep()
            threadlog.start_logging_from_children()
            context = multiprocessing.get_context(method)
            steps, done = context.Semaphore(0), context.Semaphore(0)
            child = start(method, work, steps, done, name="child")
            for toggle in ("stop", "start", "stop"):
                getattr(threadlog, f"{toggle}_logging_with_thread_info")()
                count = len(kept.lines)
                steps.release()
                done.acquire()
                eventually(lambda: len(kept.lines) > count)
            child.join()
            messages()
            answer([kept.lines[0], kept.lines[1].replace(str(child.pid), "PID"), kept.lines[2]])
        """,
        method,
    )
    assert lines == ["a", "[pid PID tid PID MainThread] b", "c"]


# A child's own set-up

OWN = {
    "basicConfig": 'logging.basicConfig(filename=path, format="%(message)s", level="INFO")',
    "dictConfig": """logging.config.dictConfig({
        "version": 1, "disable_existing_loggers": False,
        "handlers": {"file": {"class": "logging.FileHandler", "filename": path}},
        "root": {"level": "INFO", "handlers": ["file"]}})""",
    "addHandler": "logging.getLogger().addHandler(logging.FileHandler(path))",
    "a logger's": "log.addHandler(logging.FileHandler(path))",
}


@each_method
@pytest.mark.parametrize("own", OWN)
def test_a_child_that_sets_up_handlers_is_left_to_them(program, tmp_path, own, method):
    path = tmp_path / "own.log"
    got = program(
        f"""
        def work(path):
            log.info("before")
            {OWN[own]}
            log.info("after")

        def main(method, path):
            keep()
            threadlog.start_logging_from_children()
            run(method, work, path)
            answer(messages())
        """,
        method,
        path,
    )
    assert got == ["before"]
    assert path.read_text() == "after\n"


@each_method
def test_a_null_handler_and_a_logger_that_does_not_propagate_are_no_set_up(program, method):
    got = program(
        """
        def work():
            library = logging.getLogger("library")
            library.addHandler(logging.NullHandler())
            library.info("null handler")
            log.propagate = False
            log.info("alone")
            multiprocessing.get_logger().warning("by multiprocessing")

        def main(method):
            keep()
            multiprocessing.get_logger().setLevel(logging.WARNING)
            multiprocessing.get_logger().propagate = True
            threadlog.start_logging_from_children()
            run(method, work)
            answer(messages())
        """,
        method,
    )
    assert got == ["null handler", "alone", "by multiprocessing"]


@each_method
def test_what_asks_whether_logging_is_set_up_finds_that_it_is(program, method):
    got = program(
        """
        def work():
            logging.info("by the module's function, which calls basicConfig")
            logging.basicConfig()
            if not logging.getLogger().handlers:
                logging.basicConfig(level="INFO")
            log.info("after")
        """,
        method,
    )
    assert got == ["by the module's function, which calls basicConfig", "after"]


@each_method
def test_a_child_that_removes_all_handlers_is_heard(program, method):
    got = program(
        """
        def work():
            logging.getLogger().handlers.clear()
            log.info("cleared")
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False,
                                       "root": {"level": "INFO"}})
            log.info("configured without handlers")
        """,
        method,
    )
    assert got == ["cleared", "configured without handlers"]


@each_method
def test_basicConfig_is_still_itself(program, method):
    got = program(
        """
        import functools

        def work():
            set_up = functools.partial(logging.basicConfig, level="INFO")
            context = multiprocessing.get_context("spawn")
            with context.Pool(1, initializer=set_up) as pool:  # pickled
                pool.apply(log.info, ("set up there",))
            answer([logging.basicConfig.__name__, "Do basic" in logging.basicConfig.__doc__])
        """,
        method,
        stderr="INFO:app.work:set up there\n",
    )
    assert got == [["basicConfig", True], []]


def test_a_logger_outside_of_the_hierarchy_is_heard(program):
    got = program(
        """
        def work():
            logging.getLogger().addHandler(logging.FileHandler("own.log"))
            logging.Logger("alone").warning("alone")

        def main():
            keep()
            threadlog.start_logging_from_children()
            run("fork", work)
            answer(messages())
        """
    )
    assert got == ["alone"]


# Claims


@each_method
def test_a_start_that_children_import_is_the_parents_only(program, method):
    got = program(
        """
        threadlog.start_logging_from_children()  # outside of any condition

        def work():
            log.info("hello")
            answer([thread.name for thread in threading.enumerate()])

        def main(method):
            keep()
            multiprocessing.set_forkserver_preload(["__main__"])  # the default
            with multiprocessing.get_context(method).Pool(1) as pool:
                pool.apply(work)
            answer(messages())
        """,
        method,
    )
    assert got == [["MainThread"], ["hello"]]


def test_in_a_subprocess_it_does_not_matter_whether_start_or_attach_comes_first(program):
    got = program(
        """
        import subprocess

        def work():
            log.info("grandchild")

        def main(first=None):
            if first is None:
                keep()
                threadlog.start_logging_from_children()
                for first in ("attach", "start_logging_from_children"):
                    subprocess.run([sys.executable, __file__, first], check=True)
                answer(messages())
                return
            for name in sorted(["attach", "start_logging_from_children"],
                               reverse=first != "attach"):
                getattr(threadlog, name)()
            assert threadlog.attach()
            address = os.environ["THREADLOG_PARENT"]
            run("spawn", work)  # by way of this process
            threadlog.stop_logging_from_children()
            assert os.environ["THREADLOG_PARENT"] != address
            log.info("child")
        """
    )
    assert got == ["grandchild", "child"] * 2


def test_claims(program):
    got = program(
        """
        def main():
            keep()
            def child(text):
                if os.fork() == 0:
                    log.info(text)
                    os._exit(0)
                os.wait()
            threadlog.stop_logging_from_children()  # does nothing
            with threadlog.logging_from_children():
                child("in a block")
                with threadlog.logging_from_children():
                    threadlog.start_logging_from_children()
                    threadlog.start_logging_from_children()
                threadlog.stop_logging_from_children()
                threadlog.stop_logging_from_children()
                child("a block holds its own claim")
            assert threading.active_count() == 1
            assert "THREADLOG_PARENT" not in os.environ
            assert "threadlog" not in multiprocessing.current_process()._config
            kept.records.clear()
            threadlog.start_logging_from_children()
            with threadlog.logging_from_children():
                pass
            child("started")
            answer(messages())
        """
    )
    assert got == ["started"]


def test_a_child_that_outlives_a_stop_comes_back_after_the_next_start(program):
    got = program(
        """
        def work(steps, done):
            for number in range(4):
                steps.acquire()
                log.info("%d", number)
                done.release()

        def main():
            keep()
            context = multiprocessing.get_context("spawn")
            steps, done = context.Semaphore(0), context.Semaphore(0)
            def step():
                steps.release()
                done.acquire()
            with threadlog.logging_from_children():
                child = start("spawn", work, steps, done)
                step()
            step()  # nobody wants it
            time.sleep(1.1)  # it looks for us once in a second
            with threadlog.logging_from_children():
                step()
            step()
            child.join()
            answer([record.getMessage() for record in kept.records])
        """
    )
    assert got == ["0", "2"]


def test_in_this_process_all_is_left_as_found():
    before = dict(vars(logging.getLogger()))
    with threadlog.logging_from_children():
        pass
    assert vars(logging.getLogger()) == before


def test_a_fork_server_that_has_started_too_does_not_keep_the_records(program, tmp_path):
    (tmp_path / "preloaded.py").write_text(
        "import threadlog\nthreadlog.start_logging_from_children()\n"
    )
    got = program(
        """
        def work():
            log.info("hello")
            log.debug("not wanted")

        def main():
            keep()
            threadlog.start_logging_from_children()
            multiprocessing.set_forkserver_preload(["preloaded"])
            run("forkserver", work)
            answer(messages())
            from multiprocessing import forkserver, resource_tracker
            forkserver._forkserver._stop()
        """
    )
    assert got == ["hello"]
