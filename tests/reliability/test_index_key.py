"""A name that no index of every database holds is known by its digest."""

from hypothesis import given
from hypothesis import strategies as st

from borough.reliability.index_key import LONGEST_INDEXED, fits_index, index_key

NAMES = st.builds(lambda text, times: text * times, st.text(max_size=9), st.integers(1, 300))


@given(NAMES)
def test_what_is_made_fit_fits_and_stays_as_it_is(name: str) -> None:
    made = index_key(name)
    assert fits_index(made)
    assert "\0" not in made
    assert len(made.encode()) <= LONGEST_INDEXED
    assert index_key(made) == made
    assert (made == name) == fits_index(name)


def test_bytes_are_counted_and_not_characters() -> None:
    assert index_key("é" * (LONGEST_INDEXED // 2)) == "é" * (LONGEST_INDEXED // 2)
    assert index_key("é" * (LONGEST_INDEXED // 2) + "e").startswith("sha256:")
    assert index_key("e" * LONGEST_INDEXED) == "e" * LONGEST_INDEXED


def test_different_names_stay_different() -> None:
    names = ["a\0", "\0a", "\0", "e" * 2000, "e" * 2001, "\ud800" * 2000]
    assert len({index_key(name) for name in names}) == len(names)
