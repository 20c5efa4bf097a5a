"""The soak program: a short run of each storm, and the judge's eyes."""

import subprocess
import sys
from pathlib import Path

import pytest

from soak import eyes
from soak.judge import files_of, judge, line

ROOT = Path(__file__).parent.parent
SIZES = (50,)


def soak(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "tests.soak", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("storm", ["kill", "rotate", "rotate-kill", "fork", "full", "signals"])
def test_a_short_storm_passes(storm):
    done = soak("--seconds", "1", "--storm", storm)
    assert done.returncode == 0, done.stdout
    assert f"\n{storm}" in done.stdout
    assert done.stdout.endswith("\nok\n")


def test_the_soak_fails_where_the_judge_is_blind():
    code = (
        "import sys; from tests.soak import __main__ as program, eyes;"
        "eyes.Loses.do_wrong = eyes.Honest.do_wrong; sys.argv[1:] = ['--storm', 'kill'];"
        "sys.exit(program.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "does not see that Loses leaves records lost" in done.stdout


@pytest.mark.parametrize("kind", eyes.SABOTEURS, ids=lambda kind: kind.__name__)
def test_a_saboteur_is_caught(kind, tmp_path):
    assert eyes.try_on(kind, tmp_path).faults[eyes.SABOTEURS[kind]]


def test_an_honest_handler_passes(tmp_path):
    verdict = eyes.try_on(eyes.Honest, tmp_path)
    assert verdict.summary() == []
    assert verdict.records == eyes.RECORDS


# The judge, on crafted files. Writer 0 is killed after one record, writer 1 survives.

FIRST, CUT, OTHER = line((0, 0), 1, SIZES), line((0, 0), 2, SIZES), line((1, 0), 1, SIZES)
ACCEPTED = {(0, 0): 1, (1, 0): 1}


def verdict_on(tmp_path, *files, accepted=ACCEPTED, killed=(0,), **more):
    """Return the verdict on these contents, the oldest file first."""
    base = tmp_path / "app.log"
    for number, content in enumerate(reversed(files)):
        (tmp_path / f"app.log.{number}" if number else base).write_bytes(content)
    return judge(files_of(base), accepted, SIZES, killed=killed, **more)


@pytest.mark.parametrize("cut", [1, 3, 20, len(CUT) - 1])
def test_a_killed_writers_fragment_on_a_line_of_its_own_is_allowed(tmp_path, cut):
    verdict = verdict_on(tmp_path, FIRST + CUT[: cut - 1] + b"\n" + OTHER)
    assert verdict.summary() == []
    assert (verdict.records, verdict.fragments) == (2, 1)


@pytest.mark.parametrize("cut", [1, 20, len(CUT) - 1])
def test_a_fragment_where_a_file_ends_is_allowed(tmp_path, cut):
    verdict = verdict_on(tmp_path, FIRST + CUT[:cut], OTHER)
    assert verdict.summary() == []
    assert verdict.fragments == 1


@pytest.mark.parametrize("cut", [1, 20, len(CUT) - 1])
def test_a_fragment_glued_to_a_survivors_record_is_torn_and_the_record_lost(tmp_path, cut):
    faults = verdict_on(tmp_path, FIRST + CUT[:cut] + OTHER).faults
    assert len(faults["torn"]) == 1
    assert faults["lost"] == ["1.0.1"]


def test_a_fragment_of_a_writer_that_was_not_killed_is_torn(tmp_path):
    fragment = line((1, 0), 2, SIZES)[:20] + b"\n"
    assert verdict_on(tmp_path, FIRST + OTHER + fragment).faults["torn"]


def test_a_kill_leaves_one_fragment_at_most(tmp_path):
    accepted = {**ACCEPTED, (0, 1): 1}
    other_thread = line((0, 1), 1, SIZES)
    fragments = CUT[:20] + b"\n" + line((0, 1), 2, SIZES)[:20] + b"\n"
    content = FIRST + other_thread + fragments + OTHER
    assert len(verdict_on(tmp_path, content, accepted=accepted).faults["torn"]) == 1


def test_a_killed_writers_last_record_may_be_there_but_not_twice(tmp_path):
    assert verdict_on(tmp_path, FIRST + CUT + OTHER).summary() == []
    assert verdict_on(tmp_path, FIRST + CUT + CUT + OTHER).faults["doubled"] == ["0.0.2"]


def test_a_killed_writers_accepted_record_must_be_there(tmp_path):
    assert verdict_on(tmp_path, OTHER).faults["lost"] == ["0.0.1"]


def test_a_record_that_nobody_has_written_is_a_fault(tmp_path):
    content = FIRST + OTHER + line((1, 0), 2, SIZES)
    assert verdict_on(tmp_path, content).faults["never accepted"] == ["1.0.2"]


def test_order_is_judged_over_all_files(tmp_path):
    accepted = {(1, 0): 3}
    one, two, three = (line((1, 0), number, SIZES) for number in (1, 2, 3))
    assert verdict_on(tmp_path, one, two, three, accepted=accepted).summary() == []
    assert verdict_on(tmp_path, two, one, three, accepted=accepted).faults["reordered"] == ["1.0.1"]


def test_where_old_files_were_deleted_what_is_left_has_no_gap(tmp_path):
    accepted = {(1, 0): 4}
    two, three, four = (line((1, 0), number, SIZES) for number in (2, 3, 4))

    def faults(*files):
        return verdict_on(tmp_path, *files, accepted=accepted, complete=False).faults

    assert faults(two, three, four) == {}
    assert faults(two, b"", four)["lost"] == ["1.0.3"]
    assert faults(two, three, b"")["lost"] == ["1.0.4"]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_a_full_disk_loses_must_be_counted_in_the_log(tmp_path, count):
    one, four = line((1, 0), 1, SIZES), line((1, 0), 4, SIZES)
    said = (
        f"threadlog.handlers {count} records lost from 10:00:00 to 10:00:01: no room |\n".encode()
    )
    verdict = verdict_on(
        tmp_path, one + b"soak 1.0.2 5\n" + said + four, accepted={(1, 0): 4}, failing={1}
    )
    assert verdict.fragments == 1
    wrong = [f"1 miscounted: 2 are missing, the log says {count}"]
    assert verdict.summary() == ([] if count == 2 else wrong)


def test_fragments_of_several_killed_writers_may_share_a_line(tmp_path):
    accepted = {**ACCEPTED, (2, 0): 3}
    others = b"".join(line((2, 0), number, SIZES) for number in (1, 2, 3))
    fragments = CUT[:30] + line((2, 0), 4, SIZES)[:40] + b"\n"
    content = FIRST + others + fragments + OTHER
    verdict = verdict_on(tmp_path, content, accepted=accepted, killed={0, 2})
    assert verdict.summary() == []
    assert verdict.fragments == 2
