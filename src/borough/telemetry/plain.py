"""Texts of others, shown to people: whoever chose an order's name writes to no terminal, and turns no line around."""

__all__ = ["plain", "printable", "shortened"]


def plain(text: str) -> str:
    """One line of it. What is no printable character, as escapes and marks of direction are, is shown as U+FFFD."""
    return printable(" ".join(text.split()))


def printable(line: str) -> str:
    """The same of what is one line, with its spaces: a traceback keeps its shape."""
    line = line.expandtabs()
    return line if line.isprintable() else "".join(map(_shown, line))


def shortened(text: str, longest: int) -> str:
    """At most so many characters of it, and a mark where more were there."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def _shown(character: str) -> str:
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
