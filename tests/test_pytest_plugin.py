"""The fixture threadlog_records, as another project's tests use it."""

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_test_sees_the_records_of_its_process_and_of_children(pytester, method):
    pytester.makepyfile(
        work="""
        import logging
        log = logging.getLogger("app")
        def work(text):
            log.debug(text)
        """,
        test_it=f"""
        import logging, multiprocessing, os
        from concurrent.futures import ProcessPoolExecutor
        from work import work

        def test_children(threadlog_records):
            assert len(threadlog_records) == 0
            with ProcessPoolExecutor(1, multiprocessing.get_context("{method}")) as pool:
                for number in range(20):  # seen at once, while the child lives
                    pool.submit(work, str(number)).result()
                    assert threadlog_records.messages == [str(n) for n in range(number + 1)]
            work("here")
            child, here = threadlog_records[0], threadlog_records[-1]
            assert child.process != os.getpid() == here.process
            assert here.thread_info.startswith(f"pid {{os.getpid()}} tid ")
            assert threadlog_records[1:3] == list(threadlog_records)[1:3]

        def test_the_next_one_begins_anew(threadlog_records):
            assert threadlog_records.messages == []

        def test_all_is_left_as_found():
            assert logging.root.level == logging.WARNING
            assert "THREADLOG_PARENT" not in os.environ
        """,
    )
    # Without the warning of Python 3.12 and later, of forks beside threads.
    result = pytester.runpytest_subprocess("-q", "-W", "ignore::DeprecationWarning")
    result.assert_outcomes(passed=3)


def test_it_costs_nothing_when_it_is_not_used(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_loaded_that_it_needs():
            assert "threadlog.pytest_plugin" in sys.modules
            assert not [name for name in sys.modules if name.startswith("threadlog.children.")]
            assert "threadlog.handlers" not in sys.modules
            assert "multiprocessing.util" not in sys.modules
        """
    )
    pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:hypothesispytest").assert_outcomes(
        passed=1
    )


def test_pytest_finds_it_and_shows_what_it_is():
    shown = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-q", "-p", "no:cacheprovider", __file__],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "threadlog_records" in shown
    assert "All records that this test logs" in shown
