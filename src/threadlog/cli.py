"""The command line: `threadlog demo` shows workers at work, `threadlog check` looks at a config."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import itertools
import logging
import os
import signal
import stat
import sys
import sysconfig
import threading
import time
import warnings

from threadlog import (
    __version__,
    do_threaded_work,
    logging_from_children,
    logging_with_thread_info,
)
from threadlog.escape import escape_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import NoReturn, TextIO, TypeVar

    T = TypeVar("T")

_log = logging.getLogger("threadlog.demo")

_MOST = 10_000_000_000  # numbers to add up: minutes of work
_MOST_THREADS = 1000
_MOST_PROCESSES = 61  # of ProcessPoolExecutor on Windows
_SEGMENTS = 16
_LONGEST_SEGMENT = (
    1_250_000  # Ctrl-C waits for the segments under way, and sum() looks for no signal
)
_LARGE_FILE = 10_000  # words
_DIM, _RED, _GREEN = 2, 31, 32
_NOT_STDLIB = {"__pycache__", "dist-packages", "site-packages"}


def main(argv: list[str] | None = None) -> int:
    """Run the command line *argv*, by default the process's, and return the exit status.

    0: all was done and is right; 1: an item failed, a check did, or a config is wrong; 2: bad
    arguments, for which, as for `--help` and `--version`, SystemExit is raised as argparse does;
    130: Ctrl-C; 141: the reader of stdout has gone.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may hold what cannot be encoded
    try:
        try:
            return _main(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # not at the interpreter's exit, which would print a traceback
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {escape_line(message)}\n")


def _main(argv: list[str] | None) -> int:
    parser = _Parser("threadlog", description="Logging for concurrent programs.")
    parser.add_argument("--version", action="version", version=f"threadlog {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    check = commands.add_parser(
        "check",
        help="say what is wrong in a logging config",
        description="Say what is wrong in a logging config, and change nothing. The modules that it"
        " names are imported, also from the current directory.",
    )
    check.add_argument("file", metavar="FILE", help="a .toml, .json, .yaml or .ini file")
    demo = commands.add_parser(
        "demo",
        help="do some work in threads or processes and show who wrote each line",
        description="Add up numbers and count words in threads, or add up numbers in processes"
        " under each start method, and check the results.",
    )
    demo.add_argument(
        "--numbers",
        type=_whole(_MOST),
        default=20_000_000,
        metavar="N",
        help="add up the numbers from 1 to N (default: 20_000_000)",
    )
    demo.add_argument(
        "--path",
        default=sysconfig.get_path("stdlib"),
        metavar="DIR",
        help="count the words of the .py files below DIR (default: the standard library)",
    )
    workers = demo.add_mutually_exclusive_group()
    workers.add_argument(
        "--threads",
        type=_whole(_MOST_THREADS),
        metavar="N",
        help="at most N threads (default: the processors and four, at most 32)",
    )
    workers.add_argument(
        "--processes",
        type=_whole(_MOST_PROCESSES),
        metavar="N",
        help="add up the numbers in N processes, under each start method, and count no words",
    )
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    if arguments.command == "check":
        return _check_config(arguments.file)
    if arguments.processes:
        with (
            _logging_to_stderr(),
            logging_with_thread_info(prefix="[%(processName)s %(thread_info)s] "),
        ):
            return 0 if _add_up_in_processes(arguments.numbers, arguments.processes) else 1
    if not os.path.isdir(arguments.path):
        demo.error(f"--path {arguments.path!r} is no directory")
    unlisted: list[OSError] = []
    files = _python_files(arguments.path, unlisted.append)
    if not files:
        reason = f": {unlisted[0].strerror}" if unlisted else ""
        demo.error(f"--path {arguments.path!r} has no .py file below it{reason}")
    for error in unlisted:
        _complain(error)
    with _logging_to_stderr():
        sums_right = _add_up_all(arguments.numbers, arguments.threads)
        words_right = _count_all_words(files, arguments.path, arguments.threads)
    return 0 if sums_right and words_right and not unlisted else 1


def _check_config(file: str) -> int:
    from threadlog import config

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` has it
    try:
        config.check(config.load(file))
    except OSError as error:
        print(escape_line(f"{file}: {error.strerror or error}"))
        return 1
    except config.ConfigError as error:
        for problem in str(error).splitlines():
            print(escape_line(problem if problem.startswith(f"{file}:") else f"{file}: {problem}"))
        return 1
    print(escape_line(f"{file}: nothing is wrong"))
    return 0


def _whole(most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = 0
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from 1 to {most}, not {text!r}"
            )
        return number

    return whole


def _complain(error: OSError) -> None:
    line = escape_line(f"threadlog demo: {error.filename}: {error.strerror}")
    print(line, file=sys.stderr)


def _python_files(root: str, onerror: Callable[[OSError], None]) -> list[str]:
    files = []
    for folder, folders, names in os.walk(root, onerror=onerror):
        folders[:] = sorted(set(folders) - _NOT_STDLIB)
        files += [os.path.join(folder, name) for name in sorted(names) if name.endswith(".py")]
    return files


@contextlib.contextmanager
def _logging_to_stderr() -> Iterator[None]:
    fmt = f"{_paint(sys.stderr, _DIM, '%(asctime)s')} %(levelname)s %(message)s"
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(fmt, "%H:%M:%S"))
    logger = logging.getLogger("threadlog")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def _paint(stream: TextIO | None, colour: int, text: str) -> str:
    if stream is None or not stream.isatty():
        return text
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def _add_up_all(numbers: int, threads: int | None) -> bool:
    segments = _segments(numbers)
    sums, seconds = _work(segments, _add_up, threads)
    total = sum(part for part in sums if isinstance(part, int))
    _summarize(f"sum of 1 to {numbers} in {len(segments)} segments: {total}", "thread", seconds)
    return _check(total, _add_up_alone(numbers))


def _add_up_in_processes(numbers: int, processes: int) -> bool:
    import multiprocessing

    segments = _segments(numbers)
    alone = 0
    rights = []
    for method in sorted(multiprocessing.get_all_start_methods()):
        # At the end of logging_from_children all their lines are there.
        with _interrupts_held() as interrupted, logging_from_children():
            done = _work_in_processes(segments, processes, method, interrupted)
        seconds: dict[str, list[float]] = {}
        for name, taken, _ in done:
            seconds.setdefault(name, []).append(taken)
        total = sum(part for _, _, part in done)
        title = f"{method}: sum of 1 to {numbers} in {len(segments)} segments: {total}"
        _summarize(title, "process", seconds)
        alone = alone or _add_up_alone(numbers)
        rights.append(_check(total, alone))
    return all(rights)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[list[int]]:
    """Hold Ctrl-C back until the end of the block; the list says whether one has come.

    KeyboardInterrupt in the middle of `submit` may leave the lock of a queue of the pool taken, and
    the pool then never ends.
    """
    came: list[int] = []
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield came  # nothing would raise KeyboardInterrupt here
        return
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if came:
            raise KeyboardInterrupt


def _work_in_processes(
    segments: Sequence[range], processes: int, method: str, interrupted: Sequence[int]
) -> list[tuple[str, float, int]]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context(method), _leave_interrupts_to_the_parent
    )
    try:
        with warnings.catch_warnings():
            # Python 3.12 and later warn of a fork beside any thread. The one that receives the
            # records holds nothing that a child needs.
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            results = pool.map(_add_up_timed, segments)
        return list(itertools.takewhile(lambda _: not interrupted, results))
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _add_up_timed(segment: range) -> tuple[str, float, int]:
    import multiprocessing

    start = time.perf_counter()
    total = _add_up(segment)
    return multiprocessing.current_process().name, time.perf_counter() - start, total


def _segments(numbers: int) -> list[range]:
    end = numbers + 1
    step = min(-(-numbers // _SEGMENTS), _LONGEST_SEGMENT)
    return [range(low, min(low + step, end)) for low in range(1, end, step)]


def _add_up_alone(numbers: int) -> int:
    # A generator, unlike sum(range()), lets Ctrl-C through.
    return sum(number for number in range(1, numbers + 1))


def _add_up(segment: range) -> int:
    total = sum(segment)
    _log.info("added up %d to %d: %d", segment[0], segment[-1], total)
    return total


def _count_all_words(files: list[str], root: str, threads: int | None) -> bool:
    counts, seconds = _work(files, _count_words, threads)
    done = [file for file, count in zip(files, counts, strict=True) if isinstance(count, int)]
    total = sum(count for count in counts if isinstance(count, int))
    _summarize(f"words of {len(done)} files below {root}: {total}", "thread", seconds)
    failed = _paint(sys.stdout, _RED, "failed")
    for file, count in zip(files, counts, strict=True):
        if isinstance(count, Exception):
            reason = getattr(count, "strerror", None) or repr(count)
            print(f"  {failed}: {escape_line(f'{file}: {reason}')}")
    try:
        again = sum(len(_read(file).split()) for file in done)
    except OSError as error:
        _complain(error)
        again = None
    return _check(total, again) and len(done) == len(files)


def _count_words(file: str) -> int:
    words = len(_read(file).split())
    if words >= _LARGE_FILE:
        _log.info("%s: %d words", escape_line(file), words)
    return words


def _read(file: str) -> bytes:
    if not stat.S_ISREG(os.stat(file).st_mode):  # to open a FIFO would wait for a writer
        raise OSError(errno.EINVAL, "is no regular file", file)
    with open(file, "rb") as stream:
        return stream.read()


def _work(
    items: Sequence[T], work: Callable[[T], int], threads: int | None
) -> tuple[list[int | Exception], dict[str, list[float]]]:
    """Return each item's result or exception, and for each thread the seconds of its items."""
    seconds: dict[str, list[float]] = {}

    def timed(item: T) -> int:
        start = time.perf_counter()
        try:
            return work(item)
        finally:
            mine = seconds.setdefault(threading.current_thread().name, [])
            mine.append(time.perf_counter() - start)

    outcomes: list[int | Exception] = do_threaded_work(items, timed, threads, on_error="return")
    return outcomes, seconds


def _summarize(title: str, worker: str, seconds: Mapping[str, Sequence[float]]) -> None:
    width = max(map(len, seconds))
    print(escape_line(title))
    head = f"{worker:{width}}  {'items':>6}  {'seconds busy':>12}"
    print(f"  {_paint(sys.stdout, _DIM, head)}")
    for name in sorted(seconds, key=lambda name: (len(name), name)):
        print(f"  {name:{width}}  {len(seconds[name]):6}  {sum(seconds[name]):12.3f}")


def _check(total: int, sequential: int | None) -> bool:
    right = total == sequential
    verdict = (_GREEN, "equal") if right else (_RED, "NOT EQUAL")
    print(f"  sequential result: {sequential} {_paint(sys.stdout, *verdict)}")
    return right
