"""The benchmark's report and its check of instructions. What it measures is no test's business."""

import itertools
import json
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bench"))

import guarantees  # noqa: E402
import instructions  # noqa: E402
import measure  # noqa: E402
import paths  # noqa: E402
import report  # noqa: E402

ABOUT = {
    "python": "3.11.7",
    "build": "3.11",
    "optimized": True,
    "system": "Linux 6",
    "processor": "a processor",
    "cpus": 2,
    "versions": {"threadlog": "1", "loguru": "2"},
}
RESULTS = {"ours": [[1e-6, 3e-6], [2e-6, 2e-6]], "theirs": [[4e-6, 4e-6], [5e-6, 5e-6]]}


def found(**changes):
    row = measure.compare("a question", RESULTS, "ours", "theirs", at_most=0.5)
    curve = measure.curve("Growth", "threads", "records/s", {1: {"ours": [[10.0], [30.0]]}})
    rows = {"rows": [vars(row)], "curves": [vars(curve)]}
    return {"about": ABOUT, "modules": {"one": rows}, **changes}


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds():
    row = measure.compare("a question", RESULTS, "ours", "theirs")
    assert (row.figure, row.figure_against) == (2e-6, 4.5e-6)
    assert row.ratio == pytest.approx(2 / 4.5)
    assert (row.low, row.high) == (pytest.approx(2 / 5), pytest.approx(2 / 4))


def test_what_both_cost_anyway_can_be_left_out():
    results = {**RESULTS, "both": [[1e-6], [1e-6]]}
    row = measure.compare("a question", results, "ours", "theirs", less="both")
    assert row.ratio == pytest.approx(1 / 3.5)


def test_a_curve_has_the_least_the_median_and_the_most_of_the_rounds():
    curve = measure.curve("Growth", "threads", "records/s", {8: {"ours": [[10.0], [30.0], [70.0]]}})
    assert curve.points == {"ours": [(8, 10.0, 30.0, 70.0)]}


@pytest.mark.parametrize(
    ("ratio", "at_most", "at_least", "is_met"),
    [
        (0.45, 0.45, None, True),
        (0.4549, 0.45, None, True),  # shown as 0.45
        (0.456, 0.45, None, False),
        (8.1, None, 8, True),
        (7.9, None, 8, False),
        (99.0, None, None, True),
    ],
)
def test_a_target_that_is_missed_is_said(ratio, at_most, at_least, is_met):
    row = {"ratio": ratio, "low": 0.1, "high": 9.0, "at_most": at_most, "at_least": at_least}
    assert report.is_met(row) == is_met
    assert report.ratio(row).endswith("missed") != is_met


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.4212e-6, "s", "3.42 µs"),
        (129e-9, "s", "129 ns"),
        (0.0123, "s", "12.3 ms"),
        (5e-10, "s", "0.5 ns"),
        (176_432.0, "records/s", "176,000 records/s"),
    ],
)
def test_a_figure_has_three_digits(value, unit, text):
    assert report.figure(value, unit) == text


def test_the_table_has_figures_ratios_targets_and_versions():
    lines = report.table(report.flat(found())).splitlines()
    assert lines[0] == "Python 3.11.7, Linux 6, 2 CPUs (a processor); threadlog 1, loguru 2"
    table = [line.split() for line in lines[2:]]
    assert table[1] == ["theirs", "4.5", "µs"]
    assert table[2] == ["ours", "2", "µs"]
    assert table[3] == ["/", "theirs", "0.44", "(0.40", "to", "0.50)", "≤", "0.5"]
    assert table[5:] == [["Growth:", "threads", "1"], ["ours", "20", "records/s"]]


def test_what_a_contender_guarantees_is_that_of_the_longest_name():
    assert report.guarantees("loguru, enqueue=True")[0] == "yes"
    assert report.guarantees("loguru")[0] == "no (a)"
    assert report.guarantees("threadlog FileHandler, fast, thread info")[0] == "yes"
    assert report.guarantees("import threadlog") == ("", "", "")


def test_each_note_belongs_to_a_guarantee():
    told = " ".join(itertools.chain(*guarantees.GUARANTEES.values()))
    used = set(re.findall(r"\b[a-z]\b", " ".join(re.findall(r"\((.*?)\)", told))))
    assert used == set(guarantees.NOTES)


def test_a_run_of_some_modules_replaces_these():
    old = found(modules={"one": "old", "two": "old"})
    assert report.merged(old, found(modules={"two": "new"}))["modules"] == {
        "one": "old",
        "two": "new",
    }


def test_a_run_on_another_machine_replaces_all():
    new = found(about={**ABOUT, "cpus": 64})
    assert report.merged(found(), new) == new
    assert report.merged(None, new) == new


def test_the_page_shows_each_python_and_keeps_the_rest():
    other = found(about={**ABOUT, "python": "3.13.0", "build": "3.13"})
    pythons = {"3.11": report.flat(found()), "3.13": report.flat(other)}
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    page = report.page(text, pythons)
    assert page.startswith(f"before\n{report.BEGIN}\n")
    assert page.endswith(f"\n{report.END}\nafter\n")
    assert "\nold\n" not in page
    assert "| a question: ours | theirs | ≤ 0.5 | 0.44 (0.40 to 0.50) | 0.44 (0.40 to" in page
    assert "| ours | 2 µs | 2 µs |" in page
    assert "![Growth](performance/growth.svg)" in page
    assert "| ours | 3.13 | 20 records/s |" in page


def test_a_python_with_curves_only_has_no_column():
    one = found()["modules"]["one"]
    threads = report.flat(found(modules={"grow_threads": {**one, "rows": []}}))
    page = report.rendered({"3.11": report.flat(found()), "3.13t": threads})
    assert "Python 3.13t" not in page
    assert "| ours | 3.13t | 20 records/s |" in page


def test_a_page_without_the_marks_is_refused():
    with pytest.raises(ValueError, match="no <!--"):
        report.page("nothing", {})


def test_the_committed_page_is_what_the_committed_runs_give():
    path = report.DOCS / "performance.md"
    text = path.read_text(encoding="utf-8")
    assert report.page(text, report.load(report.DOCS / "performance")) == text


def test_the_plots_of_the_committed_runs_are_there():
    folder = report.DOCS / "performance"
    questions = report.curves_of(report.load(folder))
    assert {path.stem for path in folder.glob("*.svg")} == set(map(report.slug, questions))


def test_found_is_handed_in_as_json(tmp_path):
    arguments = measure.argparse.Namespace(json=tmp_path / "found.json")
    row = measure.compare("a question", RESULTS, "ours", "theirs")
    measure.hand_in(arguments, [row])
    assert json.loads(arguments.json.read_text(encoding="utf-8")) == {
        "rows": [vars(row)],
        "curves": [],
    }


# The check of instructions.

LIMITS = {("fast", "standard"): 0.5, ("slow", "standard"): 1.1}
COUNTS = {"fast": 49.0, "slow": 110.0, "standard": 100.0, paths.SABOTEUR: 60.0}


def test_counts_within_their_limits_are_accepted():
    assert instructions.judge(COUNTS, LIMITS) == []


def test_a_path_that_has_become_dearer_is_named():
    (problem,) = instructions.judge({**COUNTS, "slow": 111.0}, LIMITS)
    assert problem.startswith("slow: 111 instructions for a record, 1.110 times those of standard")


def test_a_limit_that_lets_the_saboteur_pass_is_named():
    (problem,) = instructions.judge({**COUNTS, paths.SABOTEUR: 50.0}, LIMITS)
    assert problem == "the limit of fast is too wide: it lets the saboteur pass"


@pytest.mark.parametrize(("dearer", "status"), [(0.0, 0), (1e9, 1)])
def test_the_check_ends_with_its_verdict(dearer, status, monkeypatch, capsys):
    first = next(iter(instructions.LIMITS))[0]

    def count(names):
        counts = dict.fromkeys(names, 1.0) | {paths.SABOTEUR: 1e6}
        counts[first] += dearer
        return counts

    limits = {pair: {"3.x": 2.0} for pair in instructions.LIMITS}
    monkeypatch.setattr(instructions, "LIMITS", limits)
    monkeypatch.setattr(instructions.report, "build", lambda: "3.x")
    monkeypatch.setattr(instructions.shutil, "which", lambda *_, **__: "/usr/bin/valgrind")
    monkeypatch.setattr(instructions, "count", count)
    assert instructions.main() == status
    assert ("error: " in capsys.readouterr().err) == bool(status)


def test_a_machine_without_valgrind_is_told_so(monkeypatch, capsys):
    monkeypatch.setattr(instructions.shutil, "which", lambda *_, **__: None)
    assert instructions.main() == 1
    assert "apt-get install valgrind" in capsys.readouterr().err
