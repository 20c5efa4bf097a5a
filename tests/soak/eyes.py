"""Handlers that do wrong to one record in a hundred: a judge that misses one of them is blind."""

from __future__ import annotations

import copy
import logging
import os
import random
import tempfile
from pathlib import Path

from threadlog.handlers import FileHandler

from .judge import FORMAT, LOGGER, Verdict, judge, line, message

RECORDS = 2_000
SIZES = (40, 90, 200)
RARE = 0.01


class Honest(FileHandler):
    """Ours, through the same way as the saboteurs: what is found is their doing."""

    random = random.Random(1)

    def emit(self, record):
        self.do_wrong(record) if self.random.random() < RARE else super().emit(record)

    def do_wrong(self, record):
        super().emit(record)


class Loses(Honest):
    def do_wrong(self, record):
        pass


class Doubles(Honest):
    def do_wrong(self, record):
        FileHandler.emit(self, record)
        FileHandler.emit(self, record)


class Tears(Honest):
    """Leaves half a record on a line of its own, as only a killed writer may."""

    def do_wrong(self, record):
        half = copy.copy(record)
        half.msg = record.msg[: len(record.msg) // 2]
        FileHandler.emit(self, half)


class Alters(Honest):
    """Writes one letter that is another, the length unchanged."""

    def do_wrong(self, record):
        altered = copy.copy(record)
        altered.msg = record.msg[:-1] + "X"
        FileHandler.emit(self, altered)


class Swaps(Honest):
    held = None

    def emit(self, record):
        held, self.held = self.held, None
        super().emit(record)
        if held:
            FileHandler.emit(self, held)

    def do_wrong(self, record):
        self.held = record


class Glues(Honest):
    """Leaves a fragment without a newline, so that the next record stands behind it."""

    def do_wrong(self, record):
        text = self.format(record).encode()
        os.write(self.stream.fileno(), text[: len(text) // 2])


class TearsAlone(logging.Handler):
    """Of another kind than ours: two writes for a record, with another's in between."""

    def __init__(self, path):
        super().__init__()
        self.descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.random = random.Random(1)
        self.rest = b""

    def emit(self, record):
        text = self.format(record).encode() + b"\n"
        rest, self.rest = self.rest, b""
        if not rest and self.random.random() < RARE:
            text, self.rest = text[:30], text[30:]
        os.write(self.descriptor, text + rest)

    def close(self):
        os.close(self.descriptor)
        super().close()


# What they do, and the fault by which the judge must know it.
SABOTEURS = {
    Loses: "lost",
    Doubles: "doubled",
    Tears: "torn",
    Alters: "torn",
    Swaps: "reordered",
    Glues: "torn",
    TearsAlone: "torn",
}


def try_on(kind, folder: Path) -> Verdict:
    """Return the verdict on what a handler of this *kind* writes."""
    path = folder / f"{kind.__name__}.log"
    handler = kind(path)
    handler.setFormatter(logging.Formatter(FORMAT))
    logger = logging.Logger(LOGGER, logging.INFO)
    logger.addHandler(handler)
    for number in range(1, RECORDS + 1):
        logger.info(message((0, 0), number, SIZES))
    handler.close()
    return judge([path], {(0, 0): RECORDS}, SIZES)


def glued_to_a_survivor(folder: Path) -> Verdict:
    """Return the verdict on a killed writer's fragment that has swallowed a survivor's record."""
    path = folder / "glued.log"
    fragment = line((0, 0), 2, SIZES)[:37]
    path.write_bytes(line((0, 0), 1, SIZES) + fragment + line((1, 0), 1, SIZES))
    return judge([path], {(0, 0): 1, (1, 0): 1}, SIZES, killed={0})


def prove() -> list[str]:
    """Return what the judge does not see, or sees where nothing is. Nothing, if it is fit."""
    blind = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if found := try_on(Honest, folder).summary():
            blind.append(f"finds fault with an honest handler: {found}")
        for kind, fault in SABOTEURS.items():
            if not try_on(kind, folder).faults[fault]:
                blind.append(f"does not see that {kind.__name__} leaves records {fault}")
        faults = glued_to_a_survivor(folder).faults
        if not (faults["torn"] and faults["lost"]):
            blind.append("does not see a fragment that is glued to a survivor's record")
    return blind
