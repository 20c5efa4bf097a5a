"""Judging: what cannot work in a plan whose every word is known."""

from __future__ import annotations

from threadlog.config.fields import unfilled
from threadlog.config.sharing import shared_files
from threadlog.config.values import refused_values
from threadlog.config.ways import circles, doubles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from threadlog.config.plan import Plan


def judge(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield what is wrong, each with its path."""
    yield from refused_values(plan)
    yield from circles(plan)
    yield from shared_files(plan)
    yield from doubles(plan)
    yield from unfilled(plan)
