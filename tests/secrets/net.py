"""Listens to all that is logged while tests run in this process, before any of it is masked.

Masking is the second line: no part of Borough is to log a secret, a token or a password at all. Every
`Secret` that lives is looked for, service tokens and signing keys among them, and every JWT.
"""

from __future__ import annotations

import logging
import re

from borough.telemetry.masking import known_secrets

__all__ = ["LeakNet"]

_JWT = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.")


class LeakNet(logging.Handler):
    """Keeps the lines in which a secret is heard."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self._leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Look for secrets in a record as it would be written."""
        line = self.format(record)
        if _JWT.search(line) or any(form in line for form in known_secrets()):
            self._leaks.append(line)

    def taken(self) -> list[str]:
        """What was heard since the last time."""
        leaks, self._leaks = self._leaks, []
        return leaks
