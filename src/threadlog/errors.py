"""What threadlog raises."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any, Self


class WorkError(ExceptionGroup):
    """One or more work items have failed.

    `exceptions` holds their exceptions and `indexes`, in the same order, the items' places in
    `work_items`. `results` maps the index of each item that was finished, and that the caller has
    not yet been given, to its result. Pickles with its data; `split`, `subgroup` and `except*`
    keep it.
    """

    indexes: tuple[int, ...]
    results: Mapping[int, Any]

    def __new__(cls, message: str, exceptions: Sequence[Exception], *_: Any, **__: Any) -> Self:
        return super().__new__(cls, message, exceptions)

    def __init__(
        self,
        message: str,
        exceptions: Sequence[Exception],
        indexes: Sequence[int] = (),
        results: Mapping[int, Any] | None = None,
    ) -> None:
        super().__init__(message, tuple(exceptions))  # args: what pickle and copy call us with
        self.indexes = tuple(indexes)
        self.results = dict(results or {})

    # Sequence[Exception] is all that derive is ever given: the group itself holds nothing else.
    def derive(self, excs: Sequence[Exception], /) -> WorkError:  # type: ignore[override]
        """Return the same error for some of its exceptions, in order (see `BaseExceptionGroup`)."""
        # One pass over both: several items may have failed with one and the same exception. An
        # item's own group comes in as a copy with fewer leaves, so that a leaf tells whose it is.
        own = zip(self.exceptions, self.indexes, strict=False)
        leaves = [next(_leaves(part)) for part in excs]
        indexes = [
            next((index for error, index in own if any(leaf is one for one in _leaves(error))), -1)
            for leaf in leaves
        ]
        return type(self)(self.message, excs, indexes, self.results)


class ConfigError(ValueError):
    """A logging config is wrong; nothing was changed.

    `problems` has a pair for each thing that is wrong: its path in the config, such as
    `handlers.file.maxBytes` ("" is the config itself), and what it is, or what to write instead.
    The text of the error has a line for each.
    """

    problems: tuple[tuple[str, str], ...]

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)  # args: what pickle and copy call us with

    def __str__(self) -> str:
        return "\n".join(": ".join(filter(None, problem)) for problem in self.problems)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
