"""compress="gzip": backups become smaller, off the writers' way, and nothing else changes."""

import contextlib
import errno
import gzip
import logging
import os
import sys
import threading
import time
import types

import pytest

from support import eventually, log
from threadlog.handlers import (
    RotatingFileHandler,
    TimedRotatingFileHandler,
    capabilities,
    compress,
    rotation,
)

TEXT = "12345678901234567890"


def files(path):
    """Return what is in the file and its backups, unpacked, by ending: "" is the file itself."""
    found = {}
    for file in path.parent.glob(path.name + "*"):
        data = file.read_bytes()
        data = gzip.decompress(data) if file.name.endswith(".gz") else data
        found[file.name.removeprefix(path.name)] = data.decode()
    return found


def endings(path):
    return sorted(file.name.removeprefix(path.name) for file in path.parent.glob(path.name + "*"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.log"


@pytest.fixture(autouse=True)
def errors():
    """What was told by handleError. A test that expects something takes it out."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            logging.Handler, "handleError", lambda self, record: found.append(sys.exc_info()[1])
        )
        yield found
    assert found == []


@pytest.fixture
def make(path):
    handlers = []
    with contextlib.ExitStack() as at_end:

        def make(backupCount=5, *, cls=RotatingFileHandler, maxBytes=30, **options):
            options = {"compress": "gzip", **options}
            handler = cls(path, maxBytes=maxBytes, backupCount=backupCount, **options)
            handlers.append(handler)
            at_end.callback(handler.close)
            return handler

        yield make
        # Its thread ends before the folder and the patches do.
        eventually(lambda: not any(handler._compressing for handler in handlers))


@pytest.fixture
def soon(monkeypatch):
    """A backup rests no second, and is looked for again at once."""
    monkeypatch.setattr(compress, "_REST", 0)
    monkeypatch.setattr(compress, "_LOOK_AGAIN", 0.005)


class Later:
    """Stands for _thread: what is started is kept until the test runs it."""

    def __init__(self):
        self.started = []

    def start_new_thread(self, function, arguments):
        self.started.append((function, arguments))

    def run(self):
        while self.started:
            function, arguments = self.started.pop(0)
            function(*arguments)


@pytest.fixture
def later(monkeypatch, soon):
    threads = Later()
    monkeypatch.setattr(rotation, "_thread", threads)
    yield threads
    threads.run()


def test_a_backup_is_compressed_in_another_thread(path, make, soon, monkeypatch):
    threads, pack = [], compress._pack

    def noted(*arguments):
        threads.append(threading.get_ident())
        return pack(*arguments)

    monkeypatch.setattr(compress, "_pack", noted)
    log(make(), TEXT, "second 8901234567890")
    eventually(lambda: endings(path) == ["", ".1.gz"])
    assert files(path) == {"": "second 8901234567890\n", ".1.gz": f"{TEXT}\n"}
    assert threading.get_ident() not in threads


def test_without_compress_backups_stay_plain(path, make, later):
    log(make(compress=None), TEXT, TEXT)
    assert later.started == []
    assert endings(path) == ["", ".1"]


def test_one_thread_sees_to_all_backups(path, make, later):
    log(make(), TEXT, TEXT, TEXT, TEXT)
    assert len(later.started) == 1
    later.run()
    assert endings(path) == ["", ".1.gz", ".2.gz", ".3.gz"]


def test_a_rollover_by_hand_is_compressed_too(path, make, soon):
    handler = make(maxBytes=1000)
    log(handler, TEXT)
    handler.doRollover()
    eventually(lambda: endings(path) == ["", ".1.gz"])


def test_a_backup_rests_before_it_is_read(path, make, later, monkeypatch):
    monkeypatch.setattr(compress, "_REST", 1.5)
    begin = now = 1000.0
    packed = []

    def sleep(seconds):
        nonlocal now
        now += seconds

    pack = compress._pack
    ours = types.SimpleNamespace(**vars(time))
    ours.sleep, ours.monotonic = sleep, lambda: now
    monkeypatch.setattr(compress, "time", ours)
    monkeypatch.setattr(
        compress, "_pack", lambda *arguments: packed.append(now - begin) or pack(*arguments)
    )
    log(make(), TEXT, TEXT)
    later.run()
    assert len(packed) == 1
    assert packed[0] >= 1.5


def test_a_new_backup_with_the_inode_of_an_older_one_rests_too(path, monkeypatch):
    now, came, rested = 1000.0, [], []
    ours = types.SimpleNamespace(**vars(time))

    def sleep(seconds):
        nonlocal now
        now += 1.0

    ours.sleep, ours.monotonic = sleep, lambda: now
    monkeypatch.setattr(compress, "time", ours)
    backup, same_inode = path.with_name("app.log.1"), path.with_name("other")
    same_inode.write_text("text")

    def plain_backups():
        if not backup.exists():
            if len(came) == 2:
                return []
            os.link(same_inode, backup)
            came.append(now)
        return [str(backup)]

    pack = compress._pack
    monkeypatch.setattr(
        compress, "_pack", lambda *given: rested.append(now - came[-1]) or pack(*given)
    )
    compress.compress_backups(str(path), plain_backups, lambda action: action())
    assert len(rested) == 2
    assert min(rested) >= 1.5


def test_the_compressed_file_has_the_backups_permissions(path, make, later):
    handler = make(permissions=0o640)
    umask = os.umask(0o077)
    try:
        log(handler, TEXT, TEXT)
        later.run()
    finally:
        os.umask(umask)
    assert path.with_name("app.log.1.gz").stat().st_mode & 0o777 == 0o640


def test_a_file_of_many_blocks_is_compressed_whole(path, make, later):
    handler = make(maxBytes=3 << 20)
    text = os.urandom(600_000).hex()
    log(handler, text)
    handler.doRollover()
    later.run()
    assert files(path)[".1.gz"] == text + "\n"


def test_compressed_and_plain_numbers_move_on_together(path, make, later):
    handler = make(3)
    log(handler, "0 " + TEXT, "1 " + TEXT)
    later.run()
    log(handler, "2 " + TEXT)
    assert endings(path) == ["", ".1", ".2.gz"]
    log(handler, "3 " + TEXT)
    assert endings(path) == ["", ".1", ".2", ".3.gz"]
    log(handler, "4 " + TEXT)  # the oldest goes, compressed or not
    assert {ending: text[0] for ending, text in files(path).items()} == {
        "": "4",
        ".1": "3",
        ".2": "2",
        ".3": "1",
    }
    later.run()
    assert {ending: text[0] for ending, text in files(path).items()} == {
        "": "4",
        ".1.gz": "3",
        ".2.gz": "2",
        ".3.gz": "1",
    }


def test_a_handler_without_compress_moves_the_compressed_ones_of_others(path, make, later):
    log(make(3), TEXT, "1 " + TEXT)
    later.run()
    log(make(3, compress=None), "2 " + TEXT)
    assert endings(path) == ["", ".1", ".2.gz"]


def test_backups_with_dates_are_compressed(path, make, later):
    handler = make(cls=TimedRotatingFileHandler, when="midnight", maxBytes=0)
    log(handler, TEXT)
    handler.doRollover()
    (name,) = [ending for ending in endings(path) if ending]
    later.run()
    assert files(path) == {"": "", name + ".gz": f"{TEXT}\n"}


def test_a_namer_names_compressed_backups_too(tmp_path, make, later):
    handler = make(2)
    handler.namer = lambda name: name.replace("app.log.", "old-") + ".txt"
    for _ in range(4):
        log(handler, TEXT)
        later.run()
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "app.log",
        "old-1.txt.gz",
        "old-2.txt.gz",
    ]


def test_a_backup_that_is_renamed_meanwhile_is_compressed_under_its_new_name(
    path, make, later, monkeypatch
):
    handler = make()
    log(handler, TEXT, "1 " + TEXT)
    pack = compress._pack

    def pack_and_roll(*arguments):
        monkeypatch.setattr(compress, "_pack", pack)
        size = pack(*arguments)
        log(handler, "2 " + TEXT)
        return size

    monkeypatch.setattr(compress, "_pack", pack_and_roll)
    later.run()
    assert files(path) == {
        "": f"2 {TEXT}\n",
        ".1.gz": f"1 {TEXT}\n",
        ".2.gz": f"{TEXT}\n",
    }


def test_a_backup_that_is_deleted_meanwhile_leaves_nothing(path, make, later, monkeypatch):
    log(make(), TEXT, "1 " + TEXT)
    pack = compress._pack

    def pack_and_delete(*arguments):
        size = pack(*arguments)
        os.remove(f"{path}.1")
        return size

    monkeypatch.setattr(compress, "_pack", pack_and_delete)
    later.run()
    assert endings(path) == [""]


# What an interrupted one has left.


def test_a_part_that_was_left_is_begun_anew(path, make, later):
    path.with_name("app.log.gz.part").write_bytes(b"half of a gzip file" * 100)
    log(make(), TEXT, TEXT)
    later.run()
    assert files(path) == {"": f"{TEXT}\n", ".1.gz": f"{TEXT}\n"}


def test_a_plain_backup_beside_its_compressed_one_is_removed(path, make, later):
    # Killed between the rename of the one and the removal of the other.
    path.with_name("app.log.1").write_text("0\n")
    path.with_name("app.log.1.gz").write_bytes(gzip.compress(b"0\n"))
    log(make(), TEXT, TEXT)
    assert files(path) == {"": f"{TEXT}\n", ".1": f"{TEXT}\n", ".2.gz": "0\n"}
    later.run()
    assert endings(path) == ["", ".1.gz", ".2.gz"]


def test_a_plain_backup_beside_its_compressed_one_is_removed_further_back_too(path, make, later):
    path.with_name("app.log.1.gz").write_bytes(gzip.compress(b"1\n"))
    path.with_name("app.log.2").write_text("0\n")
    path.with_name("app.log.2.gz").write_bytes(gzip.compress(b"0\n"))
    log(make(), TEXT, TEXT)
    assert files(path) == {"": f"{TEXT}\n", ".1": f"{TEXT}\n", ".2.gz": "1\n", ".3.gz": "0\n"}


def test_a_dated_backup_beside_its_compressed_one_goes(path, make, later):
    path.with_name("app.log.2024-03-15").write_text("0\n")
    path.with_name("app.log.2024-03-15.gz").write_bytes(gzip.compress(b"0\n"))
    handler = make(cls=TimedRotatingFileHandler, when="midnight", maxBytes=0)
    log(handler, TEXT)
    handler.doRollover()
    later.run()
    assert files(path)[".2024-03-15.gz"] == "0\n"
    assert ".2024-03-15" not in files(path)


def test_what_a_stranger_appends_meanwhile_is_not_lost(path, make, later, monkeypatch):
    log(make(), TEXT, TEXT)
    pack = compress._pack

    def pack_and_append(*arguments):
        monkeypatch.setattr(compress, "_pack", pack)
        size = pack(*arguments)
        with open(f"{path}.1", "a") as stranger:
            stranger.write("late\n")
        return size

    monkeypatch.setattr(compress, "_pack", pack_and_append)
    later.run()
    assert files(path) == {"": f"{TEXT}\n", ".1.gz": f"{TEXT}\nlate\n"}


def test_an_error_is_told_and_the_plain_backup_stays(path, make, later, errors, monkeypatch):
    handler = make()
    log(handler, TEXT, TEXT)

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(compress, "_write_all", full)
        later.run()
    (error,) = errors
    errors.clear()
    assert error.errno == errno.ENOSPC
    assert path.with_name("app.log.1").read_text() == f"{TEXT}\n"
    # The next one sees to it.
    log(handler, TEXT)
    later.run()
    assert endings(path) == ["", ".1.gz", ".2.gz"]


def test_a_full_disk_is_not_filled_by_what_was_compressed(path, make, later, errors, monkeypatch):
    log(make(), TEXT, TEXT)
    write_all, calls = compress._write_all, []

    def full(descriptor, data):
        if calls:
            raise OSError(errno.ENOSPC, "no space left")
        calls.append(os.write(descriptor, b"half"))

    monkeypatch.setattr(compress, "_write_all", full)
    later.run()
    errors.clear()
    part = path.with_name("app.log.gz.part")
    assert not part.exists() or part.stat().st_size == 0
    monkeypatch.setattr(compress, "_write_all", write_all)


def test_no_link_planted_at_the_part_is_followed(path, make, later, errors):
    target = path.with_name("precious")
    target.write_text("precious")
    path.with_name("app.log.gz.part").symlink_to(target)
    log(make(), TEXT, TEXT)
    later.run()
    (error,) = errors
    errors.clear()
    assert error.errno == errno.ELOOP
    assert target.read_text() == "precious"
    path.with_name("app.log.gz.part").unlink()


# Several at once.


def test_while_another_process_compresses_nothing_is_done_twice(path, make, later, monkeypatch):
    log(make(), TEXT, TEXT)
    part = f"{path}.gz.part"
    another = os.open(part, os.O_WRONLY | os.O_CREAT)
    assert capabilities.try_lock(another)
    packed = []
    with monkeypatch.context() as patch:
        patch.setattr(compress, "_pack", lambda *arguments: packed.append(arguments))
        later.run()
    assert packed == []
    assert endings(path) == ["", ".1", ".gz.part"]
    os.close(another)
    os.unlink(part)


def test_two_that_share_a_file_compress_each_backup_once(path, make, soon, monkeypatch):
    sizes, pack = [], compress._pack

    def noted(source, target):
        sizes.append(os.fstat(source).st_ino)
        return pack(source, target)

    monkeypatch.setattr(compress, "_pack", noted)
    handlers = [make(50), make(50)]
    texts = [f"{number} {TEXT}" for number in range(30)]
    for number, text in enumerate(texts):
        log(handlers[number % 2], text)
    eventually(lambda: not any(handler._compressing for handler in handlers))
    handlers[0].doRollover()  # whoever was turned away leaves it to the next
    eventually(lambda: all(one == "" or one.endswith(".gz") for one in endings(path)))
    assert sorted("".join(files(path).values()).splitlines()) == sorted(texts)
    assert len(files(path)) == 31


@pytest.mark.timeout(60)
def test_records_are_written_while_backups_are_compressed(path, make, soon):
    handler = make(200, maxBytes=500)

    def write(who):
        log(handler, *(f"{who} {number} {TEXT}" for number in range(300)))

    threads = [threading.Thread(target=write, args=(who,)) for who in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: all(one == "" or one.endswith(".gz") for one in endings(path)), 40)
    found = files(path)
    rows = [found[ending] for ending in sorted(found, key=lambda e: -int(e[1:-3] or 0))]
    numbers = {"a": [], "b": []}
    for line in "".join(rows).splitlines():
        who, number, _ = line.split()
        numbers[who].append(int(number))
    assert numbers == {"a": list(range(300)), "b": list(range(300))}


def test_a_handler_that_was_closed_meanwhile_is_not_opened_again(path, make, later):
    handler = make()
    log(handler, TEXT, TEXT)
    handler.close()
    before = len(os.listdir("/proc/self/fd"))
    later.run()
    assert handler.stream is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_thread_that_cannot_start_is_no_error(path, make, monkeypatch, soon):
    def refuse(function, arguments):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    handler = make()
    with monkeypatch.context() as patch:
        patch.setattr(rotation, "_thread", types.SimpleNamespace(start_new_thread=refuse))
        log(handler, TEXT, TEXT)
    assert endings(path) == ["", ".1"]
    log(handler, TEXT)  # the next rollover sees to both
    eventually(lambda: endings(path) == ["", ".1.gz", ".2.gz"])
