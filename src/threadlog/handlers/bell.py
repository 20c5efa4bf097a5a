"""A bell wakes one thread that sleeps, and may be rung from anywhere.

`threading.Event` has a lock inside: a signal handler that sets it in the middle of another `set`
of its thread waits for ever. A bell is one lock, which is held until somebody rings.
"""

from __future__ import annotations

import _thread
import contextlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def make_bell() -> Any:
    """Return a bell: `bell.acquire(timeout=...)` sleeps until it is rung, or was rung before."""
    bell = _thread.allocate_lock()
    bell.acquire()
    return bell


def ring(bell: Any) -> bool:
    """Wake whoever sleeps, or will. Return False if it has been rung and not been heard yet."""
    if bell.locked():
        with contextlib.suppress(RuntimeError):  # another was faster
            bell.release()
            return True
    return False
