"""What a process has printed last, kept by its supervisor: of one that dies it is often all that says why.

The lines are bounded in number and length, and masked once somebody asks, as log lines are: a traceback that an
interpreter prints at its end has passed no formatter.
"""

from __future__ import annotations

from collections import deque

from borough.telemetry.masking import masked
from borough.telemetry.plain import plain, shortened

__all__ = ["LastWords", "in_a_sentence"]

_MOST_LINES = 12
_LONGEST = 400
_LONGEST_IN_A_SENTENCE = 200
_LONGEST_KEPT = 4 * _LONGEST
"""What is cut before it is masked must not leave half of a secret at its end that is shown."""


class LastWords:
    """Those of one process, while it lives."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)

    def add(self, line: str) -> None:
        """It has printed a line."""
        if line and not line.isspace():
            self._lines.append(line[:_LONGEST_KEPT])

    def told(self) -> tuple[str, ...]:
        """The last lines, the latest last."""
        return tuple(shortened(masked(line), _LONGEST) for line in self._lines)


def in_a_sentence(text: str) -> str:
    """What a program says, within a sentence about it: short, masked, and without escapes for terminals."""
    return shortened(plain(masked(text[:_LONGEST_KEPT])), _LONGEST_IN_A_SENTENCE)
