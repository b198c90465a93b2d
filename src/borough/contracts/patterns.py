"""Regular expressions of contracts: a text that one matches, for examples; and how others read them.

The writer of examples knows what people write in contracts: literals, classes, groups, alternatives,
repeats. What it does not know (back references, flags) it says. What only looks (anchors, lookaheads)
it takes for empty; whoever asks tests the text against the pattern anyway, and asks again.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable

__all__ = ["PatternUnknown", "for_everyone", "is_quick", "only_writes", "text_for"]

Draw = Callable[[int], int]
"""Gives a number from 0 up to and without its argument."""

_DIGITS = string.digits
_WORD = string.ascii_lowercase + string.digits
_PRINTABLE = (
    string.ascii_lowercase + string.ascii_uppercase + string.digits + " -_.,:;/+*#@!?&%$=()"
)
_SETS = {"d": _DIGITS, "w": _WORD, "s": " ", "D": "abcxyz", "W": "-. ", "S": _WORD}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}
_REPEAT = re.compile(r"\{(\d*)(?:(,)(\d*))?\}")
_OPENING = re.compile(r"\?(?::|P<\w+>)")
_LOOK = re.compile(r"\?<?[=!]")


_TOKEN = re.compile(r"\\.|\[\^?\]?|\]|[^\\\[\]]+", re.DOTALL)
_ENDS = {r"\A": "^", r"\Z": "$"}
_ONLY_PYTHONS = r"\x1c-\x1f\x85"
"""What is a space to Python (`str.isspace`) and not to JavaScript, after which JSON Schema goes."""


_NAMED = re.compile(r"\(\?P<(\w+)>")
_NAMED_AGAIN = re.compile(r"\(\?P=(\w+)\)")
_ONLY_PYTHON_READS = re.compile(r"\(\?(?![:=!<])|[*+?}]\+")
"""Flags, comments, conditions, atomic groups, and repeats that give nothing back."""


def for_everyone(pattern: str) -> str | None:
    """The pattern as JavaScript writes it, None where it has no words for it.

    Every space of Python's is named, so that nobody takes text that is refused here.
    """
    found: list[str] = []
    within = False
    for token in _TOKEN.findall(pattern):
        if token == r"\s":
            token = _ONLY_PYTHONS + token
            token = token if within else f"[{token}]"
        elif token == r"\S" and not within:
            token = rf"[^{_ONLY_PYTHONS}\s]"
        elif token in _ENDS:
            token = _ENDS[token]
        elif token.startswith("["):
            within = True
        elif token == "]":
            within = False
        elif not within:
            token = _NAMED_AGAIN.sub(r"\\k<\1>", _NAMED.sub(r"(?<\1>", token))
            if _ONLY_PYTHON_READS.search(token):
                return None
        found.append(token)
    return "".join(found)


_LONGEST_SEARCHED = 256
_MOST_CHOICES = 3
_MOST_ATOMS = 1 << 14
_STRANGE_GROUP = re.compile(r"\(\?(?!:|P<|<?[=!])")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")
_CHOICE = re.compile(r"(?<!\()[*+?]|\{[0-9,]*\}")
_LOOKING = re.compile(r"\(\?<?[=!]|\\[bB]|\^(?<!\A\^)|\$(?!\Z)")


def is_quick(pattern: str, text: str) -> bool:
    """Whether a search ends soon, whoever wrote the pattern: `(a+)+b` takes years for some forty letters.

    Nothing else runs meanwhile in this process. True is only said where that is easily seen.
    """
    bare = _bare(pattern)
    choices = len(_CHOICE.findall(bare)) + (bare.count("|") if bare.count("(") > 1 else 0)
    return (
        len(text) <= _LONGEST_SEARCHED
        and choices <= _MOST_CHOICES
        and not _REPEATED_GROUP.search(bare)
        and not _STRANGE_GROUP.search(bare)
    )


def only_writes(pattern: str) -> bool:
    """Whether there is nothing in it that only looks: what `text_for` makes of it then matches."""
    return not _LOOKING.search(_bare(pattern, r"\b", r"\B"))


def _bare(pattern: str, *kept: str) -> str:
    """The pattern with one letter for each escape but those kept, and for each class."""
    found: list[str] = []
    within = False
    for token in _TOKEN.findall(pattern):
        if token == "]" and within:
            within = False
        elif token.startswith("[") and not within:
            within = True
            found.append("c")
        elif not within:
            found.append(token if token[0] != "\\" or token in kept else "e")
    return "".join(found)


class PatternUnknown(ValueError):
    """The pattern has a part that this module does not know."""


def text_for(pattern: str, draw: Draw, spread: int = 2) -> str:
    """A text for the pattern; open repeats are at most `spread` longer than they must be.

    Raises `PatternUnknown`.
    """
    writer = _Writer(pattern, draw, spread)
    text = writer.alternatives()
    if writer.at < len(pattern):
        raise PatternUnknown(f"unexpected {pattern[writer.at]!r}")
    return text


class _Writer:
    """Reads the pattern once and writes while reading; alternatives not chosen are thrown away."""

    def __init__(self, pattern: str, draw: Draw, spread: int) -> None:
        self.pattern = pattern
        self.draw = draw
        self.spread = spread
        self.at = 0
        self._atoms = 0

    def _next(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _take(self) -> str:
        if self.at >= len(self.pattern):
            raise PatternUnknown("the pattern ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def alternatives(self) -> str:
        """One of the alternatives up to the end of the group."""
        found = [self._sequence()]
        while self._next() == "|":
            self.at += 1
            found.append(self._sequence())
        return found[self.draw(len(found))]

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._next() not in ("", "|", ")"):
            start = self.at
            part = self._atom()
            end = self.at
            low, high = self._repeat()
            count = low + self.draw(min(high - low, self.spread) + 1)
            after = self.at
            for index in range(count):
                if index:  # written anew, so that repeats differ
                    self.at = start
                    part = self._atom()
                    assert self.at == end
                parts.append(part)
            self.at = after
        return "".join(parts)

    def _repeat(self) -> tuple[int, int]:
        """How often the atom just read may stand: at least, at most."""
        without_end = 1 << 16
        found = _REPEAT.match(self.pattern, self.at)
        sign = self._next()
        if found is not None and (found[1] or found[3]):
            self.at = found.end()
            low = int(found[1] or 0)
            high = low if not found[2] else int(found[3]) if found[3] else without_end
        elif sign and sign in "*+?":
            self.at += 1
            low, high = {"*": (0, without_end), "+": (1, without_end), "?": (0, 1)}[sign]
        else:
            return 1, 1
        if self._next() and self._next() in "?+":
            self.at += 1
        return low, max(low, high)

    def _atom(self) -> str:
        self._atoms += 1
        if self._atoms > _MOST_ATOMS:
            raise PatternUnknown("its texts are too long")
        sign = self._take()
        if sign in "^$":
            return ""
        if sign == ".":
            return self._one(_WORD)
        if sign == "[":
            return self._one(self._class())
        if sign == "(":
            return self._group()
        if sign == "\\":
            return self._one(self._escape()) if self._next() not in "AZbBz" else self._nothing()
        if sign in "*+?":
            raise PatternUnknown(f"nothing to repeat before {sign!r}")
        return sign

    def _nothing(self) -> str:
        self._take()
        return ""

    def _one(self, characters: str) -> str:
        if not characters:
            raise PatternUnknown("a class without printable characters")
        return characters[self.draw(len(characters))]

    def _group(self) -> str:
        looks = _LOOK.match(self.pattern, self.at)
        opening = looks or _OPENING.match(self.pattern, self.at)
        if opening is not None:
            self.at = opening.end()
        elif self._next() == "?":
            raise PatternUnknown(f"the group ({self.pattern[self.at : self.at + 3]}...)")
        text = self.alternatives()
        if self._take() != ")":
            raise PatternUnknown("a group without its end")
        return "" if looks else text

    def _escape(self) -> str:
        """The characters that an escape stands for."""
        sign = self._take()
        if sign in _SETS:
            return _SETS[sign]
        if sign in "xu":
            digits = self.pattern[self.at : self.at + (2 if sign == "x" else 4)]
            self.at += len(digits)
            return chr(int(digits, 16))
        if sign in _CONTROLS:
            return _CONTROLS[sign]
        if sign.isalnum():
            raise PatternUnknown(f"the escape \\{sign}")
        return sign

    def _class(self) -> str:
        """The characters of a class; its opening bracket has been taken."""
        negated = self._next() == "^"
        self.at += negated
        found: list[str] = []
        while self._next() != "]" or not found:
            part = self._escape() if (sign := self._take()) == "\\" else sign
            if self._next() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("", "]"):
                self.at += 1
                end = self._escape() if (sign := self._take()) == "\\" else sign
                # A wide range (letters of the world) is sampled at its beginning.
                last = min(ord(end), ord(part) + 127)
                part = "".join(map(chr, range(ord(part), last + 1)))
            found.append(part)
        self.at += 1
        allowed = "".join(found)
        if not negated:
            return allowed
        return "".join(character for character in _PRINTABLE if character not in allowed)
