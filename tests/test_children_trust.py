"""Logging from children: whom the parent trusts, and what strangers cost it. P7, P10."""

import contextlib
import functools
import json
import os
import random
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from children import addresses, environment, run_program, write_program
from support import eventually
from threadlog.children import address, receiver
from threadlog.children.frames import PROTOCOL, Frames, frame
from threadlog.children.sender import Sender
from threadlog.records import LIMIT


@pytest.fixture
def program(tmp_path):
    return functools.partial(run_program, tmp_path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An address whose directory is in tmp_path."""
    monkeypatch.setattr(address.tempfile, "tempdir", str(tmp_path))
    with contextlib.suppress(FileNotFoundError):
        yield address.new_address()


def receive(where, messages):
    listening, page = address.listen(where), address.version_page(where, write=True)
    return receiver.Receiver(listening, address.split(where)[0], page, messages.append)


@pytest.fixture
def listening(here):
    """A receiver, and the messages that it has handled."""
    messages = []
    made = receive(here, messages)
    made.start()
    yield made, messages
    made.stop(10)
    address.leave(here)


def hello(where, **changes):
    return frame(
        json.dumps({"protocol": PROTOCOL, "token": address.split(where)[0]} | changes).encode()
    )


def connected(where):
    made = address.connect(where)
    made.setblocking(True)
    made.settimeout(10)
    return made


def is_closed(connection, words=b""):
    """Say *words*. Return whether the other end closes, after whatever it says, or before."""
    try:
        connection.sendall(words)
        while connection.recv(65536):
            pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    except TimeoutError:
        return False
    return True


# Frames


@given(st.lists(st.binary(max_size=300)), st.lists(st.integers(1, 400)))
def test_messages_come_out_of_frames_however_these_are_cut(messages, cuts):
    stream = b"".join(map(frame, messages))
    frames, got = Frames(300), []
    for cut in [*cuts, len(stream)]:
        piece, stream = stream[:cut], stream[cut:]
        got += frames.feed(piece)
    assert got == messages
    assert not frames.is_broken


def test_a_message_that_is_too_long_breaks_the_frames_after_those_before_it():
    frames = Frames(10)
    assert list(frames.feed(frame(b"short") + (2**31).to_bytes(4, "big") + frame(b"late"))) == [
        b"short"
    ]
    assert frames.is_broken
    assert list(frames.feed(frame(b"later"))) == []


# Whom the parent trusts


def test_the_directory_is_the_users_own_and_goes(here):
    token, path = address.split(here)
    status = os.stat(os.path.dirname(path))
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert len(token) == 32
    address.listen(here).close()
    address.leave(here)
    assert not os.path.exists(os.path.dirname(path))


def test_a_directory_that_another_has_made_is_refused(here):
    directory = os.path.dirname(address.split(here)[1])
    os.chmod(directory, 0o755)
    with pytest.raises(PermissionError, match="made by another"):
        address.listen(here)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_process_is_refused(listening, here):
    made, messages = listening
    _, path = address.split(here)
    os.chmod(os.path.dirname(path), 0o777)  # as if permissions were no help
    os.chmod(path, 0o777)
    os.chmod(os.path.dirname(os.path.dirname(path)), 0o755)
    folder = os.path.dirname(path)
    while folder != "/":
        folder = os.path.dirname(folder)
        os.chmod(folder, os.stat(folder).st_mode | 0o011)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the receiver's thread, 3.12+
        child = os.fork()
    if child == 0:
        status = 1
        with contextlib.suppress(Exception):
            os.setuid(12345)
            other = socket.socket(socket.AF_UNIX)
            other.settimeout(5)
            other.connect(path)
            status = 0 if is_closed(other, hello(here) + frame(b"forged")) else 2
        os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert made.settle(10)
    assert messages == []


@pytest.mark.parametrize(
    "first",
    [
        hello("x:/"),
        frame(b"{}"),
        frame(b"[]"),
        frame(b'{"token": 7}'),
        frame(b"\x80\x04."),
        b"GET / HTTP/1.1\r\n\r\n",
        (2**31).to_bytes(4, "big"),
        frame(b"x" * 2000),
    ],
)
def test_who_does_not_know_the_token_is_shown_out(listening, here, first):
    made, messages = listening
    with connected(here) as stranger:
        assert is_closed(stranger, first + frame(b"forged"))
    assert made.settle(10)
    assert messages == []


def test_another_version_is_shown_out(listening, here):
    with connected(here) as other:
        assert is_closed(other, hello(here, protocol=PROTOCOL + 1))


def test_a_stranger_that_says_nothing_is_shown_out_after_a_while(listening, here, monkeypatch):
    monkeypatch.setattr(receiver, "HELLO_TIME", 0.05)
    with connected(here) as stranger:
        assert is_closed(stranger)


def test_a_child_knows_its_parent(tmp_path):
    """A socket of another user at the address of a parent that has ended gets nothing."""
    # The check is the same as the parent's, tested above with another user.
    where = f"token:{tmp_path}/socket"
    server = socket.socket(socket.AF_UNIX)
    server.bind(f"{tmp_path}/socket")
    server.listen()
    trusted, address.is_trusted = address.is_trusted, lambda _: False
    try:
        with pytest.raises(PermissionError, match="another user"):
            Sender(where).open()
    finally:
        address.is_trusted = trusted
        server.close()


# What strangers cost


def memory():
    with open("/proc/self/statm") as status:
        return int(status.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_nothing_that_strangers_send_stops_the_listener(listening, here):
    made, messages = listening
    dice = random.Random(7)
    strangers = []
    before = memory()
    for number in range(500):
        stranger = connected(here)
        with contextlib.suppress(OSError):
            stranger.sendall(
                (
                    b"",
                    dice.randbytes(3000),
                    frame(b"half")[:5],
                    struct.pack("!I", 2**31),
                    struct.pack("!I", 1000),
                )[number % 5]
            )
        strangers.append(stranger)
    sender = Sender(here)
    sender.open()
    assert sender.send(b"hello")
    eventually(lambda: messages == [b"hello"])
    assert len(made._connections) <= receiver.STRANGERS + 1
    assert memory() - before < 20 * 1024 * 1024
    sender.close()
    for stranger in strangers:
        stranger.close()


def test_a_flood_of_connections_does_not_keep_others_out(listening, here):
    _, messages = listening
    ended = threading.Event()

    def flood():
        while not ended.is_set():
            with contextlib.suppress(OSError):
                address.connect(here).close()

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        sender = Sender(here)
        for number in range(20):
            assert sender.send(b"%d" % number)
            time.sleep(0.005)
        eventually(lambda: len(messages) == 20)
    finally:
        ended.set()
        thread.join()
        sender.close()


def test_a_flood_of_one_child_does_not_starve_the_others(listening, here):
    _, messages = listening
    ended = threading.Event()

    def flood():
        noisy = Sender(here)
        while not ended.is_set():
            noisy.send(b"noise" * 1000)
        noisy.close()

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        quiet = Sender(here)
        eventually(lambda: len(messages) > 100)
        for number in range(20):
            assert quiet.send(b"%d" % number)
            eventually(lambda number=number: b"%d" % number in messages)
        quiet.close()
    finally:
        ended.set()
        thread.join()


def test_half_messages_of_children_cost_no_more_than_the_budget(here, monkeypatch):
    budget = 4 * 1024 * 1024
    monkeypatch.setattr(receiver, "BUDGET", budget)
    monkeypatch.setattr(receiver, "STALLED", 0.5)
    messages = []
    made = receive(here, messages)
    made.start()
    whole = frame(b"x" * 1_500_000)
    half = []
    try:
        for _ in range(8):
            child = connected(here)
            child.setblocking(False)
            child.send(hello(here))
            half.append(child)
        threads = []
        for child in half:  # each sends what it can of a long message, and then stops

            def push(child=child):
                rest = memoryview(whole)[:-10]
                end = time.monotonic() + 1.0
                while rest and time.monotonic() < end:
                    with contextlib.suppress(OSError):
                        rest = rest[child.send(rest) :]
                    time.sleep(0.001)

            threads.append(threading.Thread(target=push))
            threads[-1].start()
        for thread in threads:
            thread.join()
        held = sum(len(one.frames._pending) for one in list(made._connections))
        assert held <= budget + len(half) * receiver._PIECE
        # Those who wait get their turn when the others do not go on.
        patient = Sender(here)
        assert patient.send(b"y" * 3_000_000)
        eventually(lambda: b"y" * 3_000_000 in messages)
        patient.close()
    finally:
        made.stop(10)
        address.leave(here)
        for child in half:
            child.close()


def test_a_child_that_says_what_is_no_record_loses_only_that(program):
    got = program(
        """
        def work():
            from threadlog.children.forwarder import current
            sender = current.sender
            for garbage in (b"", b"garbage", b"{}\\n{}\\n{}\\n{}", b"\\x80\\x04\\x95"):
                sender.send(garbage)
            log.info("after")

        def main():
            keep()
            threadlog.start_logging_from_children()
            run("fork", work)
            answer(messages())
        """,
        stderr="threadlog: something that a child has sent is no record\n",
    )
    assert got == ["after"]


# What is left behind


def test_what_crashed_processes_have_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(address.tempfile, "tempdir", str(tmp_path))
    dead = tmp_path / "threadlog-children-dead"
    dead.mkdir(0o700)
    gone = socket.socket(socket.AF_UNIX)
    gone.bind(str(dead / "socket"))
    gone.close()
    young, old = tmp_path / "threadlog-children-young", tmp_path / "threadlog-children-old"
    young.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    file = tmp_path / "threadlog-children-file"
    file.touch()
    used = tmp_path / "threadlog-children-used"
    used.mkdir()
    (used / "mine").touch()
    os.utime(used, (0, 0))
    living = address.new_address()
    server = address.listen(living)
    address.sweep()
    left = {path.name for path in addresses(tmp_path)}
    alive = os.path.basename(os.path.dirname(address.split(living)[1]))
    assert left == {young.name, file.name, used.name, alive}
    assert (used / "mine").exists()
    server.close()
    address.leave(living)


def test_processes_that_start_and_stop_at_the_same_time_do_not_mind_each_other(tmp_path):
    code = """
        def main(rounds):
            for _ in range(int(rounds)):
                with threadlog.logging_from_children():
                    pass
        """
    program = write_program(tmp_path, code)
    running = [
        subprocess.Popen(
            [sys.executable, program, "40"],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(tmp_path),
        )
        for _ in range(4)
    ]
    said = [process.communicate(timeout=60)[1] for process in running]
    assert said == [""] * 4
    assert addresses(tmp_path) == []


def test_a_path_that_is_too_long_for_a_socket_is_avoided(tmp_path, monkeypatch):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(address.tempfile, "tempdir", str(deep))
    made = address.new_address()
    try:
        assert address.split(made)[1].startswith("/tmp/threadlog-")
    finally:
        address.leave(made)
    assert list(deep.iterdir()) == []


def test_a_limit_is_as_documented():
    assert LIMIT == 16 * 1024 * 1024
