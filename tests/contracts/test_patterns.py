"""A pattern in a document means what it means in the contract."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borough.contracts.patterns import for_everyone, is_quick

# A space to ECMA-262, after which JSON Schema's patterns go: 12.2 white space, 12.3 line ends.
_ECMA = "\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"


def as_elsewhere(pattern: str | None) -> re.Pattern[str]:
    """The pattern as JavaScript reads it: its `\\s`, within a class and without, written out; `$` is the end."""
    assert pattern is not None
    spaces = "".join(each if each == "-" else f"\\u{ord(each):04x}" for each in _ECMA)
    within = re.sub(r"(\[[^]]*)\\s", lambda found: found[1] + spaces, pattern)
    return re.compile(within.replace(r"\s", f"[{spaces}]").replace("$", r"\Z"))


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        (r"^[^@\s]+$", r"^[^@\x1c-\x1f\x85\s]+$"),
        (r"a\sb", r"a[\x1c-\x1f\x85\s]b"),
        (r"\S+", r"[^\x1c-\x1f\x85\s]+"),
        (r"[]\s-]\s", r"[]\x1c-\x1f\x85\s-][\x1c-\x1f\x85\s]"),
        (r"[^]\s]", r"[^]\x1c-\x1f\x85\s]"),
        (r"\\s\[\s\]", r"\\s\[[\x1c-\x1f\x85\s]\]"),
        (r"^[A-Z]{3}-\d{4}$", r"^[A-Z]{3}-\d{4}$"),
        (r"\A[a-z]+\Z", r"^[a-z]+$"),
        (r"\\A\(?P<", r"\\A\(?P<"),
        ("", ""),
    ],
)
def test_a_pattern_names_the_spaces_that_only_python_knows(pattern: str, written: str) -> None:
    assert for_everyone(pattern) == written
    re.compile(written)


def test_groups_have_their_names_as_javascript_writes_them() -> None:
    assert for_everyone(r"(?P<a>x)(?P=a)(?:y)(?=z)(?<!w)") == r"(?<a>x)\k<a>(?:y)(?=z)(?<!w)"


@pytest.mark.parametrize("pattern", [r"(?i)^a$", r"(?#note)a", r"(?>a)b", r"(a)?(?(1)b|c)", r"a++"])
def test_what_javascript_has_no_words_for_is_left_out(pattern: str) -> None:
    assert for_everyone(pattern) is None


@pytest.mark.parametrize("pattern", [r"\(?i\)", r"[(?i)]", r"[*]+", r"a\++"])
def test_what_only_looks_like_it_stays(pattern: str) -> None:
    assert for_everyone(pattern) == pattern


@given(st.text())
def test_text_that_a_document_takes_is_taken(text: str) -> None:
    for pattern in (r"\A[^@\s]*\Z", r"\A\S*\Z", r"\A[^\s-]*\Z"):
        if as_elsewhere(for_everyone(pattern)).search(text):
            assert re.search(pattern, text)


def test_without_that_a_document_would_take_too_much() -> None:
    assert as_elsewhere(r"\A[^@\s]*\Z").search("a\x85b")
    assert not re.search(r"\A[^@\s]*\Z", "a\x85b")


@pytest.mark.parametrize(
    ("pattern", "text", "quick"),
    [
        (r"^[A-Z]{3}-[0-9]{4}$", "ABC-1234", True),
        (r"^(red|green|blue)$", "red", True),
        (r"[()*+]+\)+", "(", True),
        (r"^(?P<a>x)(?:y)$", "xy", True),
        (r"^(a+)+$", "aaa!", False),
        (r"(?x)(a+) +b", "aaa!", False),
        (r"(a+)(?#)+b", "aaa!", False),
        (r"(a|a)(a|a)(a|a)(a|a)b", "aaa!", False),
        (r"a*a*a*a*a*a*b", "aaa!", False),
        (r"a*b", "a" * 257, False),
    ],
)
def test_only_a_search_that_is_seen_to_end_soon_is_called_quick(
    pattern: str, text: str, *, quick: bool
) -> None:
    assert is_quick(pattern, text) == quick
    re.compile(pattern)
