"""Keeps secrets out of what a process says: log lines, tracebacks, problems.

Two nets. Every secret that lives is known by its value, and is hidden wherever it turns up, also
escaped or encoded. And what looks like one (a bearer token, a password field, a card number) is hidden
though nobody knows it. Secrets of fewer than six characters are not looked for: they are in everything.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import weakref
from typing import Protocol
from urllib.parse import quote

__all__ = [
    "MASK",
    "Hidden",
    "MaskingFormatter",
    "hide",
    "known_secrets",
    "masked",
    "masked_url",
    "masked_value",
    "without_secrets",
    "without_secrets_in",
]

MASK = "***"
_LONGEST = 64 * 1024
"""What is longer is cut before it is looked through: it is said on the event loop."""
SHORTEST = 6


class Hidden(Protocol):
    """Something that holds a secret. It is hidden as long as it lives."""

    def reveal(self) -> str:
        """The secret itself."""
        ...


_HIDDEN: dict[int, tuple[str, ...]] = {}
"""The forms of each living secret, by its identity. One for the process, whose standard error is one."""


def hide(secret: Hidden) -> None:
    """Hide this secret from now on, in all that this process logs or answers as a problem."""
    value = secret.reveal()
    if len(value) >= SHORTEST:
        _HIDDEN[id(secret)] = _forms(value)
        weakref.finalize(secret, _HIDDEN.pop, id(secret), None).atexit = False


def known_secrets() -> list[str]:
    """Every form of every secret that lives, for whoever checks that none is shown."""
    return [form for forms in list(_HIDDEN.values()) for form in forms]


def _forms(value: str) -> tuple[str, ...]:
    """How a value may be written, the longest first."""
    forms = {value, value.strip()}
    forms |= {line.strip() for line in value.splitlines()}  # a key in PEM: each of its lines
    forms |= {
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
    }
    forms |= {quote(value), quote(value, safe="")}
    data = value.encode()
    forms |= {base64.b64encode(data).decode(), base64.urlsafe_b64encode(data).decode(), data.hex()}
    return tuple(sorted((form for form in forms if len(form) >= SHORTEST), key=len, reverse=True))


def without_secrets(text: str) -> str:
    """The text without any secret that is known."""
    for forms in list(_HIDDEN.values()):
        for form in forms:
            if form in text:
                text = text.replace(form, MASK)
    return text


def without_secrets_in(data: bytes) -> bytes:
    """The same for text that is encoded already."""
    if not _HIDDEN:
        return data
    return without_secrets(data.decode()).encode()


_SCHEME = re.compile(r"\b(bearer|basic)(\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?")
_URL = re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)")
_NAMES = "password|passwd|secret|token|api[_-]?key|authorization|cookie|proof"
_NAME = re.compile(_NAMES, re.IGNORECASE)
_FIELD = re.compile(
    rf"(?P<name>(?:{_NAMES})"
    r"""[\w-]{0,40}
    (?:\\?["'](?:\s*[:=,]\s*)|\s*[:=]\s*)b?)
    (?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\"(?:[^"\\]|\\[^"])*\\"|[^\s"'\\,;&)}\]]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_COOKIES = re.compile(r"\b((?:set-)?cookie:\s*)[^\n\"']+", re.IGNORECASE)
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){11,18}(?![\w-])")


def masked_url(text: str) -> str:
    """The text without the user and password of any URL."""
    return _URL.sub(MASK, text)


def masked(text: str) -> str:
    """The text without known secrets, and without what looks like one."""
    text = without_secrets(text)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} ... ({len(text) - _LONGEST} more characters)"
    text = masked_url(text)
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _JWT.sub(MASK, text)
    text = _COOKIES.sub(rf"\1{MASK}", text)
    text = _FIELD.sub(rf"\g<name>{MASK}", text)
    return _CARD.sub(_card, text)


def masked_value(name: str, text: str) -> str:
    """A text that stands alone under a name, which may say by itself that it is secret."""
    return MASK if _NAME.search(name) else masked(text)


def _card(found: re.Match[str]) -> str:
    """A number that checks as a card's (Luhn) keeps its last four digits; any other is none."""
    digits = [int(each) for each in found[0] if each.isdigit()]
    doubled = (2 * each - 9 * (each > 4) for each in digits[-2::-2])
    if (sum(digits[-1::-2]) + sum(doubled)) % 10:
        return found[0]
    return MASK + found[0][-4:]


class MaskingFormatter(logging.Formatter):
    """Formats as `logging.Formatter` does, tracebacks included, and masks what comes out."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines, of a record."""
        return masked(super().format(record))
