"""The judge: reads all files of a log and tells lost, doubled, torn and reordered records apart.

A record is numbered `writer.thread.number` and carries its length and a check, so that it cannot be
taken for another. A source is one thread of one writer: the pair of both. What it must have written
is known from the board, where each thread notes a number after the call has returned.
"""

from __future__ import annotations

import gzip
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    Source = tuple[int, int]

LOGGER = "soak"
FORMAT = "%(name)s %(message)s |"  # the bar: a cut line is known to be one wherever it is cut

_REPORT_BEGINS = b"threadlog.handlers "
_REPORT = re.compile(
    rb"threadlog\.handlers (\d+) records? lost from \d\d:\d\d:\d\d to \d\d:\d\d:\d\d: [^|\n]* \|\n"
)
_KEY = re.compile(rb"soak (\d+)\.(\d+)\.(\d+) ")
_BEGINS = re.compile(rb"(?<=.)(?=soak |threadlog\.handlers )")
_SHOWN = 3  # of each kind of fault


def message(source: Source, number: int, sizes: tuple[int, ...]) -> str:
    """Return the text of a record, the same whenever it is asked for."""
    key = f"{source[0]}.{source[1]}.{number}"
    size = sizes[number % len(sizes)]
    payload = (f"{key}/" * (size // len(key) + 1))[:size]
    head = f"{key} {size}"
    return f"{head} {crc32(payload.encode(), crc32(head.encode())):08x} {payload}"


def line(source: Source, number: int, sizes: tuple[int, ...]) -> bytes:
    """Return the record as it must stand in the file."""
    return f"{LOGGER} {message(source, number, sizes)} |\n".encode()


def read(text: bytes) -> tuple[Source, int] | None:
    """Return source and number of a whole record, or None for anything else."""
    try:
        name, key, size, check, payload, end = text.split(b" ")
        if name != LOGGER.encode() or end != b"|\n" or len(payload) != int(size):
            return None
        if int(check, 16) != crc32(payload, crc32(b"%b %b" % (key, size))):
            return None
        writer, thread, number = map(int, key.split(b"."))
    except ValueError:
        return None
    return (writer, thread), number


@dataclass
class Verdict:
    records: int = 0
    fragments: int = 0
    missing: int = 0  # of writers that may lose
    said: int = 0  # how many the log says are lost
    files: int = 0
    largest: int = 0  # bytes, before compression
    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def summary(self) -> list[str]:
        return [
            f"{len(found)} {kind}: {', '.join(found[:_SHOWN])}"
            for kind, found in self.faults.items()
        ]


def files_of(base: Path) -> list[Path]:
    """Return the files of a log, the oldest first. Of a backup and its `.gz` only the latter."""
    numbered = {}
    for path in base.parent.glob(f"{base.name}.*"):
        if match := re.fullmatch(r"\.(\d+)(\.gz)?", path.name.removeprefix(base.name)):
            number = int(match[1])
            if match[2] or number not in numbered:
                numbered[number] = path
    return [numbered[number] for number in sorted(numbered, reverse=True)] + [base]


def judge(
    files: Iterable[Path],
    accepted: Mapping[Source, int],
    sizes: tuple[int, ...],
    *,
    killed: Collection[int] = (),
    failing: Collection[int] = (),
    complete: bool = True,
) -> Verdict:
    """Read *files*, the oldest first, and return what is wrong with them.

    *accepted* is the last number of each source whose call has returned. A *killed* writer may
    have written one more, or a fragment of one more, on a line of its own. *failing* writers met
    a full disk: what is missing of theirs must be counted in the log. If not *complete*, the
    oldest files were deleted, and what is left of each source must be without a gap.
    """
    court = _Court(sizes, complete)
    for path in files:
        court.read_file(path)
    court.close(accepted, frozenset(killed), frozenset(failing))
    return court.verdict


class _Court:
    def __init__(self, sizes: tuple[int, ...], complete: bool) -> None:
        self.verdict = Verdict()
        self._sizes = sizes
        self._complete = complete
        self._last: dict[Source, int] = {}
        self._missing: dict[Source, set[int]] = defaultdict(set)
        self._broken: list[tuple[str, bytes]] = []

    def read_file(self, path: Path) -> None:
        self.verdict.files += 1
        size = 0
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, text in enumerate(file, 1):
                size += len(text)
                if found := read(text):
                    self._see(*found)
                elif report := _REPORT.fullmatch(text):
                    self.verdict.said += int(report[1])
                else:
                    self._broken.append((f"{path.name}:{number}", text.removesuffix(b"\n")))
        self.verdict.largest = max(self.verdict.largest, size)

    def _see(self, source: Source, number: int) -> None:
        self.verdict.records += 1
        last = self._last.get(source, 0 if self._complete else number - 1)
        if number > last:
            if number > last + 1:
                self._missing[source].update(range(last + 1, number))
            self._last[source] = number
        elif number in self._missing[source]:
            self._missing[source].remove(number)
            self._fault("reordered", source, number)
        else:
            self._fault("doubled", source, number)

    def _fault(self, kind: str, source: Source, number: int) -> None:
        self.verdict.faults[kind].append(f"{source[0]}.{source[1]}.{number}")

    def close(
        self, accepted: Mapping[Source, int], killed: frozenset[int], failing: frozenset[int]
    ) -> None:
        for source in accepted.keys() | self._last.keys():
            self._close_source(source, accepted.get(source, 0), source[0] in killed)
        candidates = self._unwritten(accepted, killed)
        for source, numbers in self._missing.items():
            if source[0] in failing:
                self.verdict.missing += len(numbers)
                candidates.update((source, number) for number in numbers)
            else:
                for number in sorted(numbers):
                    self._fault("lost", source, number)
        if self.verdict.said != self.verdict.missing:
            text = f"{self.verdict.missing} are missing, the log says {self.verdict.said}"
            self.verdict.faults["miscounted"].append(text)
        # A long fragment fits one record only, a short one many: so the long ones choose first.
        # The next whole record gets a line of its own, and what is left of several may share one.
        parts = [(place, part) for place, text in self._broken for part in _BEGINS.split(text)]
        for place, text in sorted(parts, key=lambda part: -len(part[1])):
            if not (self._is_fragment(text, candidates, killed) or _is_report(text, failing)):
                shown = text if len(text) < 100 else text[:60] + b" ... " + text[-35:]
                self.verdict.faults["torn"].append(f"{place} {shown!r}")
            else:
                self.verdict.fragments += 1

    def _close_source(self, source: Source, accepted: int, killed: bool) -> None:
        last = self._last.get(source, 0)
        # With the oldest files gone, a source that has been silent since may have nothing left.
        if last < accepted and (last or self._complete):
            self._missing[source].update(range(last + 1, accepted + 1))
        for number in range(accepted + 1 + killed, last + 1):
            self._fault("never accepted", source, number)

    def _unwritten(
        self, accepted: Mapping[Source, int], killed: frozenset[int]
    ) -> set[tuple[Source, int]]:
        """Return what killed writers may have been writing when they died."""
        return {
            (source, number + 1)
            for source, number in accepted.items()
            if source[0] in killed and self._last.get(source, 0) <= number
        }

    def _is_fragment(
        self, text: bytes, candidates: set[tuple[Source, int]], killed: frozenset[int]
    ) -> bool:
        if key := _KEY.match(text):
            writer, thread, number = map(int, key.groups())
            fitting = [((writer, thread), number)]
        else:
            fitting = list(candidates)
        for source, number in fitting:
            if (source, number) not in candidates:
                continue
            if line(source, number, self._sizes).startswith(text):
                candidates.remove((source, number))
                if source[0] in killed:  # its threads take turns: it dies in one write only
                    candidates -= {other for other in candidates if other[0][0] == source[0]}
                return True
        return False


def _is_report(text: bytes, failing: frozenset[int]) -> bool:
    """Return whether this is the beginning of a report for which there was no room either."""
    if not failing or b" |" in text:
        return False
    return _REPORT_BEGINS.startswith(text) or (
        text.startswith(_REPORT_BEGINS) and LOGGER.encode() not in text
    )
