"""The word that was meant instead of a wrong one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(word: object, words: Iterable[str], form: str = "{!r}") -> str:
    """Return "did you mean …?", with the one of *words* that is nearest to *word*, or "".

    Upper and lower case count less than another letter.
    """
    import difflib

    folded: dict[str, str] = {}
    for known in words:
        folded.setdefault(str(known).casefold(), known)
    near = difflib.get_close_matches(str(word).casefold(), folded, 1)
    return f"did you mean {form.format(folded[near[0]])}?" if near else ""


def with_hint(sentence: str, word: object, words: Iterable[str], form: str = "{!r}") -> str:
    """Return *sentence*, and after it `did_you_mean(word, words, form)`, if it has an answer."""
    hint = did_you_mean(word, words, form)
    return f"{sentence}; {hint}" if hint else sentence
