"""escape_line: one text is one line, and forges none."""

import re

# What can break a line or forge one: C0, DEL and C1 controls (U+0085 among them), the line and
# paragraph separators, the bidirectional marks, embeddings, overrides and isolates (UAX #9),
# and lone surrogates, which no encoding takes.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escape_line(text: str) -> str:
    r"""Return *text* with all that could break or forge a line written as `\n`, `\x1b`, `\u2028`.

    A backslash stays as it is: Windows paths remain readable, the result is not reversible.
    """
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
