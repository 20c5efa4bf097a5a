"""The storms. Each runs in rounds of one log, until its time is over and its counts are full."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from . import writers
from .judge import files_of, judge
from .writers import HANGS, PATIENCE, Process, Task, fork, start_program, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from .judge import Verdict
    from .writers import Board

SMALL, LARGE = (100,), (60_000,)
MIXED = (40, 300, 100, 2_000)
MAX_BYTES = 64 * 1024
ALL = 2_000  # backups: more than a round makes, so that none is deleted
_OVERHEAD = 100  # bytes of a record besides its payload, at most
_DEADLOCK = 10.0  # seconds: a call that takes as long; less may be the machine's load
_COMPLAINTS = 20  # lines, that are shown
_BEGIN = 60.0  # seconds that processes have to begin

# A round ends with whatever comes first, so that its log fits on the disk and is judged soon.
_ROUND_SECONDS = 20.0
_ROUND_BYTES = 300_000_000
_ROUND_ROLLOVERS = 400
_ROUND_KILLS = 100
_ROUND_FORKS = 200


@dataclass(frozen=True)
class Options:
    """How long each storm lasts, and how much it must bring, however long that takes."""

    seconds: float = 10.0
    kills: int = 5
    forks: int = 5
    rollovers: int = 5
    seed: int = 0


@dataclass
class Figures:
    """What a scene of a storm did, and what was wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0  # seconds, of a logging call
    faults: list[str] = field(default_factory=list)
    skipped: str = ""

    def read(self, verdict: Verdict) -> None:
        self.counts["records"] += verdict.records
        self.counts["fragments"] += verdict.fragments
        self.counts["lost and said"] += verdict.said
        self.counts["rollovers"] += verdict.files - 1
        self.faults += verdict.summary()

    def show(self) -> str:
        if self.skipped:
            return f"skipped: {self.skipped}"
        parts = [f"{number:,} {name}" for name, number in self.counts.items() if number]
        parts.append(f"longest call {self.longest:.3f} s")
        return ", ".join(parts)


class Round:
    """One log, its board, and the processes that write."""

    def __init__(self, task: Task, folder: str, dice: random.Random) -> None:
        self.task = replace(task, folder=folder, board=task.board or f"{folder}/board")
        self.board: Board = self.task.open_board()
        self.dice = dice
        self.begun = time.monotonic()
        self.processes: dict[int, Process] = {}
        self.killed: set[int] = set()
        self.faults: list[str] = []
        self._next = 0

    def start(self, function: Callable[..., None] = write, *arguments: object) -> int:
        """Fork a writer, which opens the log by itself."""
        writer = self._number()
        self.processes[writer] = fork(function, self.task, writer, *arguments)
        return writer

    def start_program(self) -> int:
        writer = self._number()
        self.processes[writer] = start_program(self.task, writer)
        return writer

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    @property
    def backups(self) -> int:
        return sum(name.startswith("app.log.") for name in os.listdir(self.task.folder))

    @property
    def has_room(self) -> bool:
        """Return whether there is room for more: on the disk, and on the board."""
        try:
            size = self.task.log.stat().st_size
        except FileNotFoundError:  # in the middle of a rollover
            size = 0
        return (
            size < _ROUND_BYTES
            and self.backups < _ROUND_ROLLOVERS
            and self._next < self.board.writers
        )

    def all_run(self) -> bool:
        return not any(process.ended() for process in self.processes.values())

    def began(self) -> bool:
        """Wait until all have written something, and return whether they have."""
        until = time.monotonic() + _BEGIN
        while not all(map(self.board.began, self.processes)):
            if time.monotonic() > until or not self.all_run():
                self.faults.append("a writer did not begin")
                return False
            time.sleep(0.001)
        return True

    def kill_one(self, survivors: int = 0) -> bool:
        """Kill a writer that writes, at any moment. Return whether there was one."""
        writing = [w for w in self.processes if w >= survivors and self.board.began(w)]
        if not writing:
            time.sleep(0.001)
            return False
        time.sleep(self.dice.uniform(0, 0.004))
        victim = self.dice.choice(writing)
        process = self.processes.pop(victim)
        if process.ended():
            self.faults.append(f"writer {victim}: exit status {process.status}")
        else:
            process.kill()
            self.killed.add(victim)
        return True

    def stop(self) -> None:
        """Have all stop, in time."""
        self.board.stop()
        self.join()

    def join(self) -> None:
        until = time.monotonic() + PATIENCE
        for writer, process in self.processes.items():
            if fault := process.fault(until):
                self.faults.append(f"writer {writer}: {fault}")

    def judge(
        self,
        figures: Figures,
        *,
        failing: Collection[int] = (),
        complete: bool = True,
        nested: int = 0,
    ) -> None:
        """Judge the log. *nested* records may come in the middle of one, without a rollover."""
        task = self.task
        verdict = judge(
            files_of(task.log),
            self.board.all_accepted(),
            task.sizes,
            killed=self.killed,
            failing=failing,
            complete=complete,
        )
        figures.read(verdict)
        figures.counts["kills"] += len(self.killed)
        figures.longest = max(
            figures.longest,
            *(self.board.longest(writer) / 1e9 for writer in self.processes),
            0.0,
        )
        if figures.longest > _DEADLOCK:
            figures.faults.append(f"a call took {figures.longest:.1f} s")
        limit = task.options.get("maxBytes", 0)
        if limit and verdict.largest > limit + (1 + nested) * (max(task.sizes) + _OVERHEAD):
            figures.faults.append(f"a file of {verdict.largest} bytes")
        if complaints := task.stderr.read_text(errors="replace"):
            shown = [text[:120] for text in complaints.splitlines()[:_COMPLAINTS]]
            figures.faults.append("on stderr:\n        " + "\n        ".join(shown))
        figures.faults += self.faults


class Storm:
    """Time, dice and folders for one scene of a storm."""

    def __init__(self, options: Options, name: str, scenes: int) -> None:
        self.figures = Figures()
        self.seed = f"{options.seed} {name}"
        self.dice = random.Random(self.seed)
        self._until = time.monotonic() + options.seconds / scenes

    def rounds(self, task: Task, **wanted: int) -> Iterator[Round]:
        """Yield rounds until the time is over, and each of the *wanted* counts is reached."""
        while not self.figures.faults:
            with tempfile.TemporaryDirectory() as folder:
                yield Round(task, folder, self.dice)
            if self.is_over and all(self.figures.counts[name] >= wanted[name] for name in wanted):
                return

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self._until

    def goes_on(self, this: Round) -> bool:
        """Return whether this round's time is not over, nor its log large."""
        return not self.is_over and time.monotonic() - this.begun < _ROUND_SECONDS and this.has_room


def kill(options: Options) -> Iterator[tuple[str, Figures]]:
    for sizes in (LARGE, SMALL):
        storm = Storm(options, f"kill {sizes}", 2)
        task = Task("", "", sizes=sizes, writers=_ROUND_KILLS + 8)
        for this in storm.rounds(task, kills=options.kills):
            _kill_writers(storm, this, 4, options.kills)
            this.judge(storm.figures)
        yield f"kill, FileHandler, 4 writers, {sizes[0]} B", storm.figures


def _kill_writers(
    storm: Storm, this: Round, processes: int, kills: int, survivors: int = 0
) -> None:
    """Write in so many processes, kill and replace them, but for the first *survivors*."""
    inherited = this.task.handler()
    starts = [
        this.start,
        lambda: this.start(write, inherited),
        this.start_program,
    ]
    this.start_program()
    if this.began():  # it takes long to: only then the others, that need not wait
        for number in range(1, processes):
            starts[number % 2]()
    wanted = kills - storm.figures.counts["kills"]
    if this.began():
        last = time.monotonic()
        while (
            not this.faults
            and this.has_room
            and (storm.goes_on(this) or len(this.killed) < min(wanted, _ROUND_KILLS))
        ):
            if this.kill_one(survivors):
                last = time.monotonic()
                # A program takes long to begin: most are forked, that more of them are killed.
                starts[this.dice.choices((0, 1, 2), (4, 4, 1))[0]]()
            elif time.monotonic() - last > _BEGIN:
                this.faults.append("nobody writes")
    this.stop()
    inherited.close()


def rotate(options: Options) -> Iterator[tuple[str, Figures]]:
    def scene(name: str, **more: object) -> Iterator[Round]:
        nonlocal storm
        storm = Storm(options, f"rotate {name}", 3)
        given = {"maxBytes": MAX_BYTES, "backupCount": ALL, **more}
        task = Task("", "", "RotatingFileHandler", given, sizes=MIXED, threads=4)
        return storm.rounds(task, rollovers=options.rollovers)

    storm: Storm
    for this in scene("all"):
        _write_and_rotate(storm, this, options.rollovers)
        this.judge(storm.figures)
    yield "rotate, 8 processes x 4 threads, 64 KiB", storm.figures

    for this in scene("gzip", compress="gzip"):
        _write_and_rotate(storm, this, options.rollovers)
        _compress_the_rest(this)
        packed = len(list(this.task.log.parent.glob("app.log.*.gz")))
        storm.figures.counts["compressed"] += packed
        this.judge(storm.figures)
    yield 'rotate, the same, compress="gzip"', storm.figures

    kept = 5
    for this in scene("few", backupCount=kept):
        # What was deleted is not seen, so the round's rollovers are not counted but estimated.
        _write_and_rotate(storm, this, kept)
        left = sorted(path.name for path in this.task.log.parent.glob("app.log.*"))
        if left != [f"app.log.{number}" for number in range(1, kept + 1)]:
            storm.figures.faults.append(f"left are {left}")
        this.judge(storm.figures, complete=False)
        written = sum(this.board.all_accepted().values())
        each = sum(MIXED) // len(MIXED)
        storm.figures.counts["rollovers"] += written * each // MAX_BYTES
        storm.figures.counts["written"] += written
    yield f"rotate, the same, {kept} backups kept", storm.figures


def _write_and_rotate(storm: Storm, this: Round, rollovers: int) -> None:
    for number in range(8):
        this.start_program() if number % 4 == 3 else this.start()
    if this.began():
        wanted = rollovers - storm.figures.counts["rollovers"]
        least = min(wanted, _ROUND_ROLLOVERS, this.task.options["backupCount"])
        until = this.begun + 10 * PATIENCE
        while this.all_run() and (storm.goes_on(this) or this.backups < least):
            if time.monotonic() > until:
                this.faults.append("too few rollovers")
                break
            time.sleep(0.005)
    this.stop()


def _compress_the_rest(this: Round) -> None:
    """Have one more handler roll over, and wait until all backups are compressed."""
    handler = this.task.handler()
    handler.doRollover()
    until = time.monotonic() + 3 * PATIENCE
    # A backup and its .gz together may be left of a process that has ended in between; the next
    # rollover removes the former.
    while any(
        path.suffix != ".gz" and not path.with_name(f"{path.name}.gz").exists()
        for path in files_of(this.task.log)[:-1]
    ):
        if time.monotonic() > until:
            this.faults.append("backups are not compressed")
            break
        time.sleep(0.01)
    handler.close()


def rotate_kill(options: Options) -> Iterator[tuple[str, Figures]]:
    survivors = 3
    for compress in (None, "gzip"):
        storm = Storm(options, f"rotate-kill {compress}", 2)
        given = {"maxBytes": MAX_BYTES, "backupCount": ALL, "compress": compress}
        count = _ROUND_KILLS + 8
        task = Task("", "", "RotatingFileHandler", given, sizes=MIXED, threads=4, writers=count)
        for this in storm.rounds(task, kills=options.kills, rollovers=options.rollovers):
            _kill_writers(storm, this, 8, options.kills, survivors)
            this.judge(storm.figures)
        more = f", compress={compress!r}" if compress else ""
        yield f"rotate-kill, 8 processes x 4 threads, 64 KiB{more}", storm.figures


def fork_(options: Options) -> Iterator[tuple[str, Figures]]:
    kinds = {
        "FileHandler": {},
        "RotatingFileHandler": {"maxBytes": MAX_BYTES, "backupCount": ALL},
    }
    for kind, given in kinds.items():
        storm = Storm(options, f"fork {kind}", len(kinds))
        task = Task("", "", kind, given, threads=4, writers=_ROUND_FORKS + 1, forks=_ROUND_FORKS)
        for this in storm.rounds(task, forks=options.forks):
            wanted = options.forks - storm.figures.counts["forks"]
            parent = this.start(writers.fork_while_writing)
            done = this.processes[parent]
            if this.began():
                while not done.ended() and (
                    storm.goes_on(this) or this.board.forks < min(wanted, _ROUND_FORKS)
                ):
                    if time.monotonic() - this.begun > 10 * PATIENCE:
                        break
                    time.sleep(0.005)
            this.board.stop()
            if fault := done.fault(time.monotonic() + 2 * PATIENCE):  # a child has its own 20 s
                this.faults.append(f"the parent: {fault}")
            storm.figures.counts["forks"] += this.board.forks
            this.judge(storm.figures)
        yield f"fork, {kind}, 4 threads flat out", storm.figures


def full(options: Options) -> Iterator[tuple[str, Figures]]:
    storm = Storm(options, "full", 3)
    task = Task("", "", sizes=(100, 5_000), threads=2)
    for this in storm.rounds(replace(task, seed=storm.dice.randrange(1 << 30))):
        failing = {this.start(writers.write_within_limits) for _ in range(3)}
        this.start()  # one that has no limit, and loses nothing
        if this.began():
            while storm.goes_on(this):
                time.sleep(0.005)
        this.stop()
        this.judge(storm.figures, failing=failing)
    yield "full, RLIMIT_FSIZE lowered and raised, FileHandler", storm.figures

    for kind in ("FileHandler", "RotatingFileHandler"):
        yield f"full, a tmpfs without room, {kind}", _in_a_small_room(kind, options)


# A mount namespace of one's own: the tmpfs is gone with the process.
_MOUNT = 'mount -t tmpfs -o size=4m soak "$0" && exec "$@"'


def _in_a_small_room(kind: str, options: Options) -> Figures:
    """Run `no_room` on a file system of 4 MB, if this user may mount one."""
    if shutil.which("unshare") is None:
        return Figures(skipped="there is no unshare to mount a tmpfs with")
    with tempfile.TemporaryDirectory() as folder:
        given = json.dumps(asdict(options))
        program = [sys.executable, "-m", __name__, kind, given, folder]
        for flags in ("-m", "-rm"):
            room = ["unshare", flags, "sh", "-c", _MOUNT, folder]
            probe = subprocess.run([*room, "true"], capture_output=True, text=True, check=False)
            if probe.returncode == 0:
                break
        else:
            return Figures(skipped=f"no tmpfs may be mounted: {probe.stderr.strip()}")
        done = subprocess.run([*room, *program], capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
        return Figures(**{**found, "counts": Counter(found["counts"])})
    except ValueError:
        return Figures(faults=[f"exit status {done.returncode}: {done.stdout}{done.stderr}"])


def no_room(kind: str, options: Options, folder: str) -> Figures:
    """Fill the file system at *folder*, make room, and so on. The ballast is what makes room."""
    given = {}
    if kind == "RotatingFileHandler":
        given = {"maxBytes": MAX_BYTES, "backupCount": ALL}
    storm = Storm(options, f"no room {kind}", 3)
    for this in storm.rounds(Task("", "", kind, given, sizes=(100, 5_000), threads=2, waits=True)):
        # The board stays outside: a mapped page without room is a SIGBUS.
        with tempfile.TemporaryDirectory(dir=folder) as room:
            this.task = replace(this.task, folder=room)
            ballast = [Path(room, f"ballast{number}") for number in range(4)]
            for path in ballast:
                path.write_bytes(bytes(256 * 1024))
            failing = {this.start(writers.write_without_room) for _ in range(3)}
            if this.began():
                for path in ballast[:-1]:
                    if _is_full(folder, this):
                        path.unlink()
                _is_full(folder, this)
            this.board.stop()
            ballast[-1].unlink()
            this.board.speak()
            this.join()
            this.judge(storm.figures, failing=failing)
    return storm.figures


def _is_full(folder: str, this: Round) -> bool:
    """Wait until nothing is free, and everyone has logged in vain."""
    until = time.monotonic() + PATIENCE
    while os.statvfs(folder).f_bfree:
        if time.monotonic() > until:
            this.faults.append("the file system is not filled")
            return False
        time.sleep(0.001)
    for source, number in this.board.all_accepted().items():
        while this.board.accepted(*source) < number + 10:
            if time.monotonic() > until:
                this.faults.append(f"{source} {HANGS}")
                return False
            time.sleep(0.001)
    return True


def signals(options: Options) -> Iterator[tuple[str, Figures]]:
    kinds = {
        "FileHandler": {},
        "RotatingFileHandler": {"maxBytes": MAX_BYTES, "backupCount": ALL},
    }
    for kind, given in kinds.items():
        storm = Storm(options, f"signals {kind}", len(kinds))
        for this in storm.rounds(Task("", "", kind, given, threads=4)):
            for _ in range(2):
                this.start(writers.write_interrupted)
            if this.began():
                while storm.goes_on(this) and this.all_run():
                    time.sleep(0.005)
            this.stop()
            accepted = this.board.all_accepted()
            for thread, name in (
                (writers.BY_SIGNAL, "by signal"),
                (writers.BY_FINALIZER, "by finalizer"),
            ):
                count = sum(number for source, number in accepted.items() if source[1] == thread)
                storm.figures.counts[name] += count
                if not count:
                    this.faults.append(f"nothing was logged {name}")
            this.judge(storm.figures, nested=2 * writers.GARBAGE)
        yield f"signals and finalizers, {kind}, 2 processes", storm.figures


STORMS = {
    "kill": kill,
    "rotate": rotate,
    "rotate-kill": rotate_kill,
    "fork": fork_,
    "full": full,
    "signals": signals,
}


if __name__ == "__main__":
    _kind, _options, _folder = sys.argv[1:]
    print(json.dumps(vars(no_room(_kind, Options(**json.loads(_options)), _folder))))
