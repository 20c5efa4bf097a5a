"""`logging`'s own functions: which of them are still there, and how to stand in for one."""

from __future__ import annotations

import logging

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any, TypeVar

    Function = TypeVar("Function", bound=Callable[..., Any])

SOURCE = logging.addLevelName.__code__.co_filename  # as logging itself finds it


def own(holder: Any, name: str) -> Any:
    """Return the function of that name in a class or module, if it is logging's own.

    Else what equals nothing. Libraries and programs replace some, before or after threadlog is
    imported. Whoever does what one of them does, but sooner, compares this with what is there, and
    leaves it to that.
    """
    function = getattr(holder, name, None)
    code = getattr(function, "__code__", None)
    if code is not None and code.co_filename == SOURCE and code.co_name == name:
        return function
    return object()


def standing_in_for(standard: Any) -> Callable[[Function], Function]:
    """Have a function look like *standard*, one of logging's, in the stack and in errors.

    Whoever searches the stack for the caller of a logging call skips the frames of logging, which
    it tells by the file: `Logger.findCaller` does, and the handlers that other logging packages
    recommend to take over from this one. Ours are to be skipped likewise. In a traceback the last
    line stands for the last one of *standard*. (Its lines count as logging's with coverage, too.)
    Where another has replaced *standard* already, its frames are found anyway.
    """

    def decorate(function: Function) -> Function:
        code: CodeType = function.__code__
        theirs: CodeType | None = getattr(standard, "__code__", None)
        if theirs is None or theirs.co_filename != SOURCE:
            return function
        function.__code__ = code.replace(
            co_filename=SOURCE,
            co_name=theirs.co_name,
            co_qualname=theirs.co_qualname,
            co_firstlineno=max(1, code.co_firstlineno + _last_line(theirs) - _last_line(code)),
        )
        function.__name__ = standard.__name__
        function.__qualname__ = standard.__qualname__
        return function

    return decorate


def _last_line(code: CodeType) -> int:
    return max(line for _, _, line in code.co_lines() if line is not None)
