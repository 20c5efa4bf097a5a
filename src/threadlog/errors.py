"""What threadlog raises."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Self


class WorkError(ExceptionGroup):
    """One or more work items have failed.

    `exceptions` holds their exceptions and `indexes`, in the same order, the items' places in
    `work_items`. `results` maps the index of each item that was finished, and that the caller has not
    yet been given, to its result. Pickles with its data; `split`, `subgroup` and `except*` keep it.
    """

    indexes: tuple[int, ...]
    results: Mapping[int, Any]

    def __new__(
        cls,
        message: str,
        exceptions: Sequence[Exception],
        indexes: Sequence[int] = (),
        results: Mapping[int, Any] | None = None,
    ) -> Self:
        self = super().__new__(cls, message, exceptions)
        self.indexes = tuple(indexes)
        self.results = dict(results or {})
        return self

    # Sequence[Exception] is all that derive is ever given: the group itself holds nothing else.
    def derive(self, excs: Sequence[Exception], /) -> WorkError:  # type: ignore[override]
        """Return the same error for some of its exceptions (`BaseExceptionGroup.derive`)."""
        places = [
            next(
                (
                    index
                    for error, index in zip(self.exceptions, self.indexes, strict=False)
                    if error is part or _contains(error, part)
                ),
                -1,
            )
            for part in excs
        ]
        return type(self)(self.message, excs, places, self.results)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.exceptions, self.indexes, self.results)


def _contains(error: BaseException, part: BaseException) -> bool:
    # split() hands on a derived copy of a group that was an item's exception.
    return (
        isinstance(error, BaseExceptionGroup)
        and isinstance(part, BaseExceptionGroup)
        and any(
            inner is leaf or _contains(inner, leaf)
            for inner in error.exceptions
            for leaf in part.exceptions
        )
    )
