"""Which values are null is chosen by whoever calls: what is remembered of it has a bound."""

import tracemalloc
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import msgspec
import pytest

from borough.stores.postgres.values import Encoder
from borough.stores.rows import RowPlans

FIELDS = tuple(f"field_{number}" for number in range(13))
MOST_BYTES = 600_000
"""Without a bound it is 1.5 million for these 8,192 patterns, and doubles with each further field."""


def reading() -> Callable[[tuple[Any, ...]], object]:
    row = msgspec.defstruct("Row", [(name, str | None) for name in FIELDS])
    shape = RowPlans().of(row, tuple((name, None) for name in FIELDS))
    return lambda values: shape([values])


def reading_tuples() -> Callable[[tuple[Any, ...]], object]:
    kind: Any = tuple[(str | None,) * len(FIELDS)]  # type: ignore[misc]
    shape = RowPlans().of(kind, tuple((name, None) for name in FIELDS))
    return lambda values: shape([values])


def writing() -> Callable[[tuple[Any, ...]], object]:
    return Encoder("update things set ...", ["text"] * len(FIELDS)).encode


@pytest.mark.parametrize("make", [reading, reading_tuples, writing])
def test_all_patterns_of_nulls_leave_little_behind(
    make: Callable[[], Callable[[Sequence[Any]], object]],
) -> None:
    use = make()
    use(("x",) * len(FIELDS))
    tracemalloc.start()
    try:
        for values in product(("x", None), repeat=len(FIELDS)):
            use(values)
        assert tracemalloc.get_traced_memory()[0] < MOST_BYTES
    finally:
        tracemalloc.stop()
