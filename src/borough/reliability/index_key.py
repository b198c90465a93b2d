"""Names that others choose, made fit for an index of every database.

A B-tree of PostgreSQL holds rows of some 2,700 bytes, and its text no NUL. A name that is longer, or has one, is
known by its digest; the same on every store, so that a service may change its store.
"""

from __future__ import annotations

import hashlib

__all__ = ["LONGEST_INDEXED", "fits_index", "index_key"]

LONGEST_INDEXED = 1024
"""How many bytes of UTF-8 a name has at most that stands in an index as it is."""

_LONGEST_CHARACTER = 4


def fits_index(name: str) -> bool:
    """Whether every store can hold the name in an index."""
    if "\0" in name:
        return False
    if len(name) * _LONGEST_CHARACTER <= LONGEST_INDEXED:
        return True
    return len(name.encode("utf-8", "surrogatepass")) <= LONGEST_INDEXED


def index_key(name: str) -> str:
    """The name itself where it fits, else its digest."""
    if fits_index(name):
        return name
    return f"sha256:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"
