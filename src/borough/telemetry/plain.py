"""Texts of others, shown to people: whoever chose an order's name writes to no terminal, and turns no line around."""

__all__ = ["plain"]


def plain(text: str) -> str:
    """One line of it. What is no printable character, as escapes and marks of direction are, is shown as U+FFFD."""
    line = " ".join(text.split())
    return line if line.isprintable() else "".join(map(_shown, line))


def _shown(character: str) -> str:
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
