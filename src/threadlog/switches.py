"""Switches: what `configure` and a config can turn on besides handlers and loggers."""

from __future__ import annotations

import contextlib

from threadlog.children import logging_from_children
from threadlog.fast import fast_logging
from threadlog.toggle import logging_with_thread_info
from threadlog.uncaught import logging_uncaught


def turned_on(
    *, thread_info: bool | str, children: bool, uncaught: bool, fast: bool
) -> contextlib.ExitStack:
    """Turn on what is true, until the stack is closed. *thread_info* may be a prefix."""
    with contextlib.ExitStack() as stack:
        if thread_info is not False:
            prefix = thread_info if isinstance(thread_info, str) else None
            stack.enter_context(logging_with_thread_info(prefix=prefix))
        if fast:
            stack.enter_context(fast_logging())
        if uncaught:
            stack.enter_context(logging_uncaught())
        if children:
            stack.enter_context(logging_from_children())
        return stack.pop_all()
