"""P3 and P4 at their root: AppendFile, and what it needs of the operating system."""

import contextlib
import errno
import os
import runpy
import shutil
import stat
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest

from support import in_fork
from threadlog.handlers import capabilities
from threadlog.handlers.append import AppendFile

WRITE, LSEEK, OPEN = os.write, os.lseek, os.open
NOBODY = 65534


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "log")


@pytest.fixture
def opened(path):
    """Open AppendFiles, by default of *path*, which are closed afterwards."""
    with contextlib.ExitStack() as closing:

        def open_(name=path, *args, **options):
            return closing.enter_context(contextlib.closing(AppendFile(name, *args, **options)))

        yield open_


@pytest.fixture
def public(path):
    """A folder that other users may enter, unlike pytest's own."""
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)
    yield Path(folder)
    shutil.rmtree(folder)


def text(path):
    return Path(path).read_bytes()


def put(path, data):
    """Write as another process would: by an opening of its own."""
    with open(path, "ab") as file:
        file.write(data)


def at_writes(monkeypatch, *actions):
    """Have os.write call the actions in turn, and be itself again after the last one."""
    waiting = list(actions)

    def write(descriptor, data):
        return waiting.pop(0)(descriptor, data) if waiting else WRITE(descriptor, data)

    monkeypatch.setattr(os, "write", write)


def only(count):
    return lambda descriptor, data: WRITE(descriptor, data[:count])


def failing(number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


# The stream


def test_it_stands_for_a_text_stream(opened, path):
    file = opened()
    assert (file.name, file.mode, file.encoding) == (path, "a", "utf-8")
    assert file.errors == "backslashreplace"
    assert file.writable()
    assert not file.isatty()
    assert os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    assert file.tell() == 0
    assert file.write("grün\n") == 5
    file.flush()
    assert file.tell() == 6
    assert text(path) == "grün\n".encode()
    assert path in repr(file)
    assert "closed" not in repr(file)


def test_a_closed_one_says_so_and_refuses(opened, path):
    file = opened()
    file.close()
    file.close()
    assert file.closed
    assert "closed" in repr(file)
    assert not file.isatty()
    for use in (file.fileno, file.tell, lambda: file.write("x")):
        with pytest.raises(ValueError, match="log is closed"):
            use()


def test_a_forgotten_one_closes_its_descriptor(opened, path):
    file = AppendFile(path)
    descriptor = file.fileno()
    del file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_descriptor_that_has_become_anothers_is_left_alone(opened, path, tmp_path):
    # A program that makes itself a daemon closes all descriptors; the numbers are used again.
    file = opened()
    other = OPEN(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    os.dup2(other, file.fileno())
    number = file.fileno()
    assert not file.is_current()
    assert not file.is_linked()
    file.close()
    assert os.fstat(number)
    os.close(number)
    os.close(other)


# One write for each record


def test_a_record_is_one_write(opened, path, monkeypatch):
    calls = []
    file = opened()
    monkeypatch.setattr(os, "write", lambda *call: calls.append(call) or WRITE(*call))
    for number in range(3):
        file.append(b"%d\n" % number)
    assert [data for _, data in calls] == [b"0\n", b"1\n", b"2\n"]
    assert text(path) == b"0\n1\n2\n"


def test_a_record_costs_no_look_where_nobody_else_writes(opened, path, monkeypatch):
    file = opened()
    file.append(b"0\n")
    looks = []
    monkeypatch.setattr(os, "pread", lambda *call: looks.append(call) or b"\n")
    file.append(b"1\n")
    assert looks == []
    put(path, b"another's\n")
    file.append(b"2\n")
    assert len(looks) == 1


def test_a_short_write_is_completed_in_one_piece(opened, path, monkeypatch):
    file = opened()
    at_writes(monkeypatch, only(3), only(1))
    file.append(b"0123456789\n")
    file.append(b"next\n")
    assert text(path) == b"0123456789\nnext\n"


def test_what_came_between_the_parts_of_a_short_write_costs_no_record(opened, path, monkeypatch):
    def interrupted(descriptor, data):
        put(path, b"another's\n")
        return WRITE(descriptor, data)

    file = opened()
    at_writes(monkeypatch, only(4), interrupted)
    file.append(b"0123456789\n")
    file.append(b"next\n")
    # Whole at the end. The first part is glued to the other's record, which is not ours to mend:
    # the other one looks before its own.
    assert text(path).endswith(b"0123456789\nnext\n")
    assert text(path).startswith(b"0123another's\n")


def test_the_first_part_of_a_short_write_is_mended_by_whoever_came_between(
    opened, path, monkeypatch
):
    ours, another = opened(), opened()
    another.append(b"before\n")

    def interrupted(descriptor, data):
        another.append(b"another's\n")
        return WRITE(descriptor, data)

    at_writes(monkeypatch, only(4), interrupted)
    ours.append(b"0123456789\n")
    lines = text(path).splitlines()
    assert lines[:3] == [b"before", b"012", b"another's"]
    assert lines[-1] == b"0123456789"


def test_a_short_write_that_cannot_be_completed_raises(opened, path, monkeypatch):
    file = opened()
    at_writes(monkeypatch, only(4), failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        file.append(b"0123456789\n")
    file.append(b"next\n")
    assert text(path) == b"012\nnext\n"


def test_a_record_that_is_cut_twice_beside_others_raises(opened, path, monkeypatch):
    def interrupted(descriptor, data):
        put(path, b"another's\n")
        return WRITE(descriptor, data)

    file = opened()
    at_writes(monkeypatch, only(4), interrupted, only(2))
    with pytest.raises(OSError, match="No space left"):
        file.append(b"0123456789\n")
    file.append(b"next\n")
    assert text(path).endswith(b"\nnext\n")


def test_ten_megabytes_arrive_whole(opened, path):
    record = b"x" * 10 * 2**20 + b"\n"
    file = opened()
    file.append(b"before\n")
    file.append(record)
    file.append(b"after\n")
    assert text(path) == b"before\n" + record + b"after\n"


# The fragment of a writer that was killed


def test_a_fragment_gives_its_last_byte_for_a_line_of_its_own(opened, path):
    put(path, b"good\nfragment")
    opened().append(b"next\n")
    assert text(path) == b"good\nfragmen\nnext\n"


def test_a_fragment_of_one_byte_becomes_an_empty_line(opened, path):
    put(path, b"f")
    opened().append(b"next\n")
    assert text(path) == b"\nnext\n"


def test_a_fragment_left_meanwhile_is_seen(opened, path):
    file = opened()
    file.append(b"first\n")
    put(path, b"fragment")
    file.append(b"next\n")
    file.append(b"last\n")
    assert text(path) == b"first\nfragmen\nnext\nlast\n"


def test_whole_records_of_others_are_left_as_they_are(opened, path):
    file, another = opened(), opened()
    for number in range(5):
        file.append(b"ours %d\n" % number)
        another.append(b"another's %d\n" % number)
        another.append(b"again %d\n" % number)
    expected = b"".join(b"ours %d\nanother's %d\nagain %d\n" % (n, n, n) for n in range(5))
    assert text(path) == expected


def test_records_that_end_otherwise_are_left_as_they_are(opened, path):
    file, another = opened(), opened()
    for turn in (file, another, file):
        turn.append(b"no newline;")
    assert text(path) == b"no newline;" * 3


def test_after_a_truncation_there_is_neither_a_hole_nor_a_repair(opened, path):
    file = opened()
    file.append(b"copied elsewhere\n")
    os.truncate(path, 0)
    file.append(b"next\n")
    file.append(b"last\n")
    assert text(path) == b"next\nlast\n"


def test_the_byte_that_is_mended_belongs_to_the_file_that_was_written(opened, path):
    put(path, b"fragment")
    file = opened()
    os.rename(path, path + ".1")
    put(path, b"the newer file is another one")
    file.append(b"next\n")
    assert text(path + ".1") == b"fragmen\nnext\n"
    assert text(path) == b"the newer file is another one"


def test_a_wrong_offset_damages_nobodys_record(opened, path, monkeypatch):
    file = opened()
    file.append(b"first\n")
    put(path, b"another's\n")
    monkeypatch.setattr(os, "lseek", lambda *call: LSEEK(*call) - 3)
    file.append(b"next\n")
    assert text(path) == b"first\nanother's\nnext\n"


def test_a_record_is_written_even_if_the_fragment_cannot_be_mended(opened, path, monkeypatch):
    put(path, b"fragment")
    file = opened()
    monkeypatch.setattr(capabilities, "another_opening", failing(errno.EMFILE))
    file.append(b"next\n")
    assert text(path) == b"fragmentnext\n"


# In the middle of an append: what a signal handler or a finalizer logs


def nested_at(monkeypatch, name, before, action, turn=1):
    """Call *action* at the *turn*-th call of os.*name*, before or after what it does."""
    real, calls = getattr(os, name), []

    def call(*args):
        calls.append(args)
        due = len(calls) == turn
        if due and before:
            action()
        result = real(*args)
        if due and not before:
            action()
        return result

    monkeypatch.setattr(os, name, call)


@pytest.mark.parametrize("name", ["write", "lseek"])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("records", [[b"inner\n"], [b"inner\n", b"second inner\n"]])
@pytest.mark.parametrize("meanwhile", [b"", b"another's\n"])
def test_a_record_in_the_middle_of_another_is_whole(
    opened, path, monkeypatch, name, before, records, meanwhile
):
    file = opened()
    file.append(b"first\n")

    def interrupt():
        for record in records:
            put(path, meanwhile)
            file.append(record)

    nested_at(monkeypatch, name, before, interrupt)
    file.append(b"outer, and longer\n")
    file.append(b"last\n")
    expected = [b"first", b"outer, and longer", b"last", *(r.rstrip() for r in records)]
    expected += [meanwhile.rstrip()] * len(records) if meanwhile else []
    assert sorted(text(path).split(b"\n")) == sorted([*expected, b""])


@pytest.mark.parametrize("name", ["write", "lseek"])
@pytest.mark.parametrize("before", [True, False])
def test_interrupts_may_be_interrupted(opened, path, monkeypatch, name, before):
    file = opened()
    file.append(b"first\n")

    def interrupt():
        nested_at(monkeypatch, name, before, lambda: file.append(b"innermost\n"))
        file.append(b"middle, the longest one of all\n")

    nested_at(monkeypatch, name, before, interrupt)
    file.append(b"outer\n")
    file.append(b"last\n")
    lines = text(path).split(b"\n")
    expected = [b"first", b"outer", b"middle, the longest one of all", b"innermost", b"last", b""]
    assert sorted(lines) == sorted(expected)


@pytest.mark.parametrize("name", ["write", "lseek"])
def test_a_fragment_is_mended_by_the_record_that_is_interrupted(opened, path, monkeypatch, name):
    file = opened()
    file.append(b"first\n")
    put(path, b"fragment")
    nested_at(monkeypatch, name, False, lambda: file.append(b"inner\n"))
    file.append(b"outer\n")
    assert text(path) == b"first\nfragmen\nouter\ninner\n"


def test_an_error_in_the_middle_leaves_the_next_record_whole(opened, path, monkeypatch):
    file = opened()
    at_writes(monkeypatch, failing(errno.EIO))
    with pytest.raises(OSError, match=r"\[Errno 5\]"):
        file.append(b"lost\n")
    put(path, b"fragment")
    file.append(b"next\n")  # not taken for one in the middle of another
    assert text(path) == b"fragmen\nnext\n"


# Fork


def test_a_forked_child_has_an_opening_of_its_own(opened, path):
    file = opened()
    file.append(b"first\n")

    def child():
        file.after_fork()
        file.append(b"child's\n")
        return LSEEK(file.fileno(), 0, os.SEEK_CUR)

    _, offset = in_fork(child)
    assert int(offset) == len(b"first\nchild's\n")
    assert LSEEK(file.fileno(), 0, os.SEEK_CUR) == len(b"first\n")
    file.append(b"parent's\n")
    assert text(path) == b"first\nchild's\nparent's\n"


def test_a_child_that_closes_does_not_release_the_parents_lock(opened):
    file, another = opened(), opened()
    assert file.try_lock()

    def child():
        file.after_fork()
        file.unlock()
        file.close()
        return "closed"

    assert in_fork(child)[1] == "closed"
    assert not another.try_lock()
    file.unlock()
    assert another.try_lock()


def test_a_child_that_abandons_does_not_release_the_parents_lock(opened):
    file, another = opened(), opened()
    assert file.try_lock()
    assert in_fork(file.abandon)[1] == "None"
    assert not another.try_lock()


def test_a_child_has_as_many_descriptors_as_its_parent(opened):
    file = opened()
    count = len(os.listdir("/proc/self/fd"))

    def child():
        before = len(os.listdir("/proc/self/fd"))
        file.after_fork()
        return len(os.listdir("/proc/self/fd")) - before

    assert in_fork(child)[1] == "0"
    assert len(os.listdir("/proc/self/fd")) == count


def test_an_interrupt_of_a_childs_first_record_is_one(opened, path, monkeypatch):
    file = opened()
    file.append(b"parent's\n")

    def interrupt():
        file.append(b"inner\n")
        put(path, b"fragment")

    def child():
        file.after_fork()
        nested_at(monkeypatch, "write", True, interrupt)
        file.append(b"outer\n")

    in_fork(child)
    assert text(path) == b"parent's\ninner\nfragmen\nouter\n"


def test_a_child_forked_in_mid_append_can_append(opened, path, monkeypatch):
    file = opened()
    answers = []

    def child():
        file.after_fork()
        put(path, b"fragment")
        file.append(b"child's\n")
        looks = []
        monkeypatch.setattr(os, "lseek", lambda *call: looks.append(call) or LSEEK(*call))
        file.append(b"again\n")
        return len(looks)  # one, as it is no record in the middle of another

    nested_at(monkeypatch, "write", False, lambda: answers.append(in_fork(child)[1]))
    file.append(b"parent's\n")
    assert answers == ["1"]
    assert text(path) == b"parent's\nfragmen\nchild's\nagain\n"


def test_a_child_of_a_moved_file_stays_with_it(opened, path):
    file = opened()
    os.rename(path, path + ".1")

    def child():
        file.after_fork()
        file.append(b"child's\n")

    in_fork(child)
    assert text(path + ".1") == b"child's\n"
    assert not os.path.exists(path)


def without_proc(monkeypatch):
    def open_(path, *args):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(path)
        return OPEN(path, *args)

    monkeypatch.setattr(os, "open", open_)


def test_without_proc_a_file_is_opened_again_by_its_path(opened, path, monkeypatch):
    without_proc(monkeypatch)
    put(path, b"fragment")
    file = opened()
    file.append(b"next\n")
    assert text(path) == b"fragmen\nnext\n"

    def child():
        file.after_fork()
        file.append(b"child's\n")
        return LSEEK(file.fileno(), 0, os.SEEK_CUR)

    in_fork(child)
    assert LSEEK(file.fileno(), 0, os.SEEK_CUR) == len(b"fragmen\nnext\n")


def test_without_proc_another_file_at_the_path_is_not_taken_for_ours(opened, path, monkeypatch):
    without_proc(monkeypatch)
    file = opened()
    os.rename(path, path + ".1")
    put(path, b"")
    count = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError, match="another file by now"):
        capabilities.another_opening(file.fileno(), path, os.O_WRONLY)
    assert len(os.listdir("/proc/self/fd")) == count

    def child():
        file.after_fork()
        return file.closed

    assert in_fork(child)[1] == "True"  # the handler opens what is at the path


# How it is opened


def test_modes(opened, path):
    put(path, b"old\n")
    opened(path, "a").append(b"appended\n")
    assert text(path) == b"old\nappended\n"
    opened(path, "w").append(b"emptied\n")
    assert text(path) == b"emptied\n"
    with pytest.raises(FileExistsError):
        opened(path, "x")
    opened(path + "x", "x").append(b"new\n")
    assert text(path + "x") == b"new\n"


@pytest.mark.parametrize("mode", ["a", "w", "x"])
def test_every_mode_appends(opened, path, mode):
    file = opened(path, mode)
    file.append(b"first\n")
    put(path, b"another's\n")
    file.append(b"next\n")
    assert text(path) == b"first\nanother's\nnext\n"


@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o666, 0o200])
@pytest.mark.parametrize("mode", ["a", "w", "x"])
def test_permissions_are_exact_whatever_the_umask(opened, path, permissions, mode):
    umask = os.umask(0o077)
    try:
        opened(path, mode, permissions=permissions)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(os.stat(path).st_mode) == permissions


def test_without_permissions_the_umask_rules(opened, path):
    umask = os.umask(0o027)
    try:
        opened()
    finally:
        os.umask(umask)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_a_file_that_exists_keeps_its_permissions(opened, path):
    put(path, b"")
    os.chmod(path, 0o604)
    opened(path, permissions=0o600)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o604


def test_nobody_can_open_a_new_file_before_its_permissions_are_exact(opened, path, monkeypatch):
    seen = []
    fchmod = os.fchmod

    def look(descriptor, mode):
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fchmod(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", look)
    umask = os.umask(0)
    try:
        opened(path, permissions=0o664)
    finally:
        os.umask(umask)
    assert seen == [0o600]


def test_a_failing_chmod_leaves_no_descriptor(path, monkeypatch):
    monkeypatch.setattr(os, "fchmod", failing(errno.EPERM))
    count = len(os.listdir("/proc/self/fd"))
    with pytest.raises(PermissionError):
        AppendFile(path, permissions=0o640)
    assert len(os.listdir("/proc/self/fd")) == count


def test_a_link_is_followed_by_default(opened, path, tmp_path):
    put(path, b"old\n")
    link = tmp_path / "link"
    link.symlink_to(path)
    opened(str(link)).append(b"next\n")
    assert text(path) == b"old\nnext\n"
    assert link.is_symlink()


@pytest.mark.parametrize("permissions", [None, 0o640])
def test_a_link_to_nothing_creates_its_target(opened, path, tmp_path, permissions):
    link = tmp_path / "link"
    link.symlink_to(path)
    umask = os.umask(0o022)
    try:
        opened(str(link), permissions=permissions).append(b"next\n")
    finally:
        os.umask(umask)
    assert text(path) == b"next\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == (permissions or 0o644)


@pytest.mark.parametrize("mode", ["a", "w", "x"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_planted_link_is_refused(opened, path, tmp_path, mode, exists):
    if exists:
        put(path, b"precious\n")
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic link") as caught:
        opened(str(link), mode, follow_symlinks=False)
    assert caught.value.errno == errno.ELOOP
    assert os.path.exists(path) == exists
    assert not exists or text(path) == b"precious\n"


@pytest.mark.parametrize("mode", ["a", "w"])
def test_a_link_planted_at_the_last_moment_is_refused(opened, path, tmp_path, monkeypatch, mode):
    put(path, b"precious\n")
    link = tmp_path / "link"
    link.symlink_to(path)
    monkeypatch.setattr(os.path, "islink", lambda _: False)
    with pytest.raises(OSError, match=r"symbolic link") as caught:
        opened(str(link), mode, follow_symlinks=False)
    assert caught.value.errno == errno.ELOOP
    assert text(path) == b"precious\n"


def test_it_is_opened_though_others_delete_and_create_it_meanwhile(opened, path, monkeypatch):
    calls = []

    def open_(name, flags, *args):
        calls.append(name)
        if len(calls) == 2:  # we found none, and another creates it before we do
            put(path, b"another's\n")
        if len(calls) == 3:  # and deletes it before we open it
            os.unlink(path)
        return OPEN(name, flags, *args)

    monkeypatch.setattr(os, "open", open_)
    opened(path, permissions=0o640).append(b"next\n")
    assert len(calls) == 4
    assert text(path) == b"next\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def test_no_program_that_is_started_inherits_it(opened, path):
    file = opened()
    assert not os.get_inheritable(file.fileno())
    code = "import os; print([os.readlink(f'/proc/self/fd/{n}') for n in (0, 1, 2)], end='');"
    code += "print(*(os.path.realpath(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')))"
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, close_fds=False, timeout=15
    )
    assert child.returncode == 0, child.stderr
    assert path not in child.stdout
    assert "/proc/" in child.stdout or "pipe" in child.stdout  # the child did look


def test_after_a_fork_no_program_inherits_it_either(opened):
    file = opened()

    def child():
        file.after_fork()
        return os.get_inheritable(file.fileno())

    assert in_fork(child)[1] == "False"


def test_a_thousand_openings_leave_no_descriptor(path):
    AppendFile(path).close()
    count = len(os.listdir("/proc/self/fd"))
    put(path, b"fragment")
    for _ in range(1000):
        file = AppendFile(path)
        put(path, b"fragment")  # so that each is opened once more, to mend it
        file.append(b"next\n")
        file.close()
    assert len(os.listdir("/proc/self/fd")) == count


def test_a_missing_folder_and_a_folder_are_errors(path, tmp_path):
    count = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        AppendFile(path + "/missing")
    with pytest.raises((IsADirectoryError, FileExistsError)):
        AppendFile(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == count


def test_a_pipe_with_a_name(opened, path):
    os.mkfifo(path)
    reader = OPEN(path, os.O_RDONLY | os.O_NONBLOCK)
    file = opened()
    assert not file.is_regular
    file.append(b"through the pipe\n")
    file.append(b"and more\n")
    assert os.read(reader, 100) == b"through the pipe\nand more\n"
    file.after_fork()
    file.append(b"the child's\n")
    assert os.read(reader, 100) == b"the child's\n"
    os.close(reader)


def test_a_short_write_to_a_pipe_is_completed(opened, path, monkeypatch):
    os.mkfifo(path)
    reader = OPEN(path, os.O_RDONLY | os.O_NONBLOCK)
    file = opened()
    at_writes(monkeypatch, only(3))
    file.append(b"0123456789\n")
    assert os.read(reader, 100) == b"0123456789\n"
    os.close(reader)


def test_devices(opened):
    opened(os.devnull).append(b"nowhere\n")
    full = opened("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        full.append(b"nowhere\n")


@pytest.mark.parametrize("mode", ["a", "w"])
def test_a_file_that_may_be_written_but_not_read(public, mode):
    path = str(public / "log")
    put(path, b"old\n" if mode == "a" else b"")
    os.chmod(path, 0o222)

    def child():
        if os.geteuid() == 0:  # who may read everything
            os.seteuid(NOBODY)
        try:
            file = AppendFile(path, mode)
            file.append(b"first\n")
            file.append(b"next\n")
            file.after_fork()
            file.append(b"last\n")
        except OSError as error:
            return repr(error)
        return "written"

    assert in_fork(child)[1] == "written"
    os.chmod(path, 0o600)
    assert text(path).endswith(b"first\nnext\nlast\n")


# Whether it is the file at the path


def test_it_knows_whether_the_path_leads_to_it(opened, path, tmp_path):
    file = opened()
    assert file.is_current()
    assert file.is_linked()
    os.rename(path, path + ".1")
    assert not file.is_current()
    assert file.is_linked()
    put(path, b"")
    assert not file.is_current()
    os.unlink(path + ".1")
    assert not file.is_linked()
    file.close()
    assert not file.is_current()
    assert not file.is_linked()


# The lock between processes


def test_one_opening_has_the_lock(opened):
    file, another = opened(), opened()
    assert file.try_lock()
    assert not another.try_lock()
    another.unlock()  # has none to release
    assert not another.try_lock()
    file.unlock()
    assert another.try_lock()
    another.close()
    assert file.try_lock()


def test_the_lock_is_waited_for(opened, monkeypatch):
    file, another = opened(), opened()
    assert another.try_lock()
    turns = []
    give_way = capabilities.give_way

    def other_runs():
        turns.append(1)
        if len(turns) == 3:
            another.unlock()
        give_way()

    monkeypatch.setattr(capabilities, "give_way", other_runs)
    assert file.lock()
    assert len(turns) == 3


def test_a_holder_that_does_not_move_is_waited_for_once(opened, monkeypatch):
    file, another = opened(), opened()
    assert another.try_lock()
    clock = types.SimpleNamespace(now=0.0, sleeps=0, monotonic=lambda: clock.now)

    def sleep(seconds):
        clock.now += seconds
        clock.sleeps += 1

    clock.sleep = sleep
    monkeypatch.setattr("threadlog.handlers.append.time", clock)
    assert not file.lock()
    assert 0.5 < clock.now < 2
    waited = clock.sleeps
    assert not file.lock()
    assert clock.sleeps <= waited + 1
    another.unlock()
    assert file.lock()  # and from now on it is waited for again
    file.unlock()
    assert another.try_lock()
    assert not file.lock()
    assert clock.sleeps > waited + 2


def test_the_lock_of_a_file_that_was_moved_is_not_waited_for(opened, path):
    file, another = opened(), opened()
    assert another.try_lock()
    os.rename(path, path + ".1")
    assert not file.lock()


def test_a_killed_process_holds_no_lock(opened, path):
    def child():
        AppendFile(path).try_lock()
        os.kill(os.getpid(), 9)

    in_fork(child)
    assert opened().try_lock()


def test_without_locks_in_the_file_system_one_process_does_without(opened, monkeypatch):
    monkeypatch.setattr(capabilities, "flock", failing(errno.ENOLCK))
    file = opened(encoding="utf-16")
    assert file.try_lock()
    file.unlock()


def test_a_closed_file_has_no_lock(opened):
    file, another = opened(), opened()
    file.close()
    assert not file.try_lock()
    os.close(another.fileno())  # as one who makes a daemon of the program does
    assert not another.try_lock()


# Byte order marks


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_stands_once_at_the_begin(opened, path, encoding):
    mark = "".encode(encoding)

    def record(line):
        return line.encode(encoding).removeprefix(mark)

    first, second = opened(path, encoding=encoding), opened(path, encoding=encoding)
    first.append(record("first\n"))
    second.append(record("second\n"))
    first.append(record("again\n"))
    opened(path, encoding=encoding).append(record("reopened\n"))
    assert text(path) == mark + record("first\nsecond\nagain\nreopened\n")


def test_a_byte_order_mark_waits_for_whoever_has_the_lock(opened, path, monkeypatch):
    other = opened()
    assert other.try_lock()

    def other_writes():
        other.append(b"\xef\xbb\xbffirst\n")
        other.unlock()

    monkeypatch.setattr(capabilities, "give_way", other_writes)
    opened(encoding="utf-8-sig").append(b"next\n")
    assert text(path) == b"\xef\xbb\xbffirst\nnext\n"


# Systems with less


def test_where_appends_may_mix_each_is_written_under_the_lock(opened, path, monkeypatch):
    monkeypatch.delattr(os, "pread")
    monkeypatch.setattr(capabilities, "APPENDS_IN_ONE_PIECE", False)
    file, another = opened(), opened()
    free = []

    def write(descriptor, data):
        free.append(another.try_lock())
        return WRITE(descriptor, data)

    at_writes(monkeypatch, write, write)
    file.append(b"first\n")
    assert free == [False]
    assert another.try_lock()
    another.unlock()
    assert file.try_lock()  # by the one who rolls over
    file.append(b"next\n")
    assert not another.try_lock()
    assert text(path) == b"first\nnext\n"


def test_windows_locks_a_byte_far_behind_the_end(opened, monkeypatch):
    calls, held, places = [], [], []

    def locking(descriptor, kind, count):
        calls.append((kind, count, places.pop()))
        if kind == "lock" and held:
            raise PermissionError(errno.EACCES, "locked")
        held[:] = [descriptor] if kind == "lock" else []

    windows = types.SimpleNamespace(locking=locking, LK_NBLCK="lock", LK_UNLCK="unlock")
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    monkeypatch.setitem(sys.modules, "fcntl", None)
    on_windows = runpy.run_path(capabilities.__file__)
    monkeypatch.setattr(capabilities, "_lock", on_windows["_lock"])
    monkeypatch.setattr(capabilities, "_unlock", on_windows["_unlock"])
    # The place is further than some file systems here know.
    monkeypatch.setattr(os, "lseek", lambda _, place, *__: places.append(place))
    file, another = opened(), opened()
    assert file.try_lock()
    assert not another.try_lock()
    file.unlock()
    assert another.try_lock()
    another.unlock()
    assert [kind for kind, _, _ in calls] == ["lock", "lock", "unlock", "lock", "unlock"]
    assert {(count, place) for _, count, place in calls} == {(1, 1 << 62)}
