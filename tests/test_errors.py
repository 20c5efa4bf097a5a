"""WorkError: an exception group that knows which items failed, whatever is done to it."""

from __future__ import annotations

import copy
import pickle

import pytest

from threadlog import WorkError

VALUE, KEY, OS = ValueError("a"), KeyError("b"), OSError("c")


def work_error() -> WorkError:
    return WorkError("failed", [VALUE, KEY, OS], [2, 5, 7], {0: "zero", 1: None})


def data(error: WorkError) -> tuple[object, ...]:
    return (
        type(error),
        error.message,
        list(map(repr, error.exceptions)),
        error.indexes,
        error.results,
        getattr(error, "__notes__", []),
    )


def test_it_is_a_group_with_indexes_and_results() -> None:
    error = work_error()
    assert isinstance(error, ExceptionGroup)
    assert dict(zip(error.indexes, error.exceptions, strict=True)) == {2: VALUE, 5: KEY, 7: OS}
    assert error.results == {0: "zero", 1: None}


def test_arguments_may_be_named_and_left_out() -> None:
    assert WorkError("m", [VALUE], indexes=[3], results={1: 2}).indexes == (3,)
    assert WorkError("m", [VALUE]).results == {}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_keeps_the_data(protocol: int) -> None:
    error = work_error()
    error.add_note("a note")
    assert data(pickle.loads(pickle.dumps(error, protocol))) == data(error)


def test_it_does_not_change_with_the_list_it_was_made_from() -> None:
    failures: list[Exception] = [VALUE]
    error = WorkError("m", failures, [4])
    failures.append(KEY)
    assert data(pickle.loads(pickle.dumps(error))) == data(error)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copies_keep_the_data(copied: object) -> None:
    error = work_error()
    assert data(copied(error)) == data(error)  # type: ignore[operator]


def test_split_and_subgroup_keep_index_and_results() -> None:
    error = work_error()
    match, rest = error.split(KeyError)
    assert match is not None
    assert rest is not None
    assert (match.exceptions, match.indexes) == ((KEY,), (5,))
    assert (rest.exceptions, rest.indexes) == ((VALUE, OS), (2, 7))
    assert match.results == rest.results == error.results
    part = error.subgroup((KeyError, OSError))
    assert part is not None
    assert part.indexes == (5, 7)


def test_except_star_keeps_index_and_results() -> None:
    caught = None
    with pytest.raises(WorkError) as rest:
        try:
            raise work_error()
        except* KeyError as group:
            caught = group
    assert isinstance(caught, WorkError)
    assert (caught.indexes, caught.results) == ((5,), work_error().results)
    assert rest.value.indexes == (2, 7)


def test_split_of_items_whose_own_exception_is_a_group() -> None:
    first = ExceptionGroup("one", [ValueError(1), KeyError(1)])
    second = ExceptionGroup("two", [ExceptionGroup("in", [KeyError(2)]), ValueError(2)])
    error = WorkError("m", [first, OS, second], [1, 4, 6], {0: 0})
    match, rest = error.split(KeyError)
    assert match is not None
    assert rest is not None
    assert match.indexes == (1, 6)
    assert rest.indexes == (1, 4, 6)
    assert [type(one) for one in rest.exceptions] == [ExceptionGroup, OSError, ExceptionGroup]


def test_split_where_several_items_failed_with_the_same_exception() -> None:
    error = WorkError("m", [VALUE, KEY, VALUE], [3, 4, 9])
    match, _ = error.split(ValueError)
    assert match is not None
    assert match.indexes == (3, 9)


def test_a_work_error_inside_a_work_error() -> None:
    inner = work_error()
    outer = WorkError("outer", [inner, VALUE], [8, 9], {})
    match, _ = outer.split(KeyError)
    assert match is not None
    assert match.indexes == (8,)
    assert isinstance(match.exceptions[0], WorkError)
    assert match.exceptions[0].indexes == (5,)


def test_derive_marks_what_is_no_items_exception() -> None:
    assert work_error().derive([VALUE, RuntimeError()]).indexes == (2, -1)
    assert WorkError("made by hand", [VALUE]).derive([VALUE]).indexes == (-1,)


def test_only_exceptions_are_taken() -> None:
    with pytest.raises(TypeError):
        WorkError("m", [SystemExit()])  # type: ignore[list-item]
