"""Every guarantee has a test on every adapter, every test of a suite a guarantee, and the page says so."""

from collections import Counter

import pytest

from borough.testing.conformance import GUARANTEES
from borough.testing.conformance.guarantees import SUITES
from borough.testing.conformance.suite import names_of
from tests.docs import guarantees
from tests.guarantees.cells import ADAPTERS, OWN, Adapter, cells_of, found
from tests.guarantees.chosen import BROKERS, PAIRS, STORES


def test_every_test_of_a_suite_proves_one_guarantee() -> None:
    for part, suite in SUITES.items():
        named = Counter(name for each in GUARANTEES if each.suite == part for name in each.tests)
        assert named == Counter(names_of(suite)), part


def test_ids_are_those_of_one_guarantee() -> None:
    ids = Counter(guarantee.id for guarantee in GUARANTEES)
    assert set(ids.values()) == {1}
    assert not {own.id for own in OWN} & set(ids)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
def test_every_cell_has_tests_that_exist(adapter: Adapter) -> None:
    suite = found(adapter.suite)
    assert issubclass(suite, SUITES[adapter.port])
    for matrix in (False, True):
        for cell in cells_of(adapter, matrix=matrix):
            assert cell.tests, cell.id
            assert all(callable(found(test)) for test in cell.tests)


def test_the_pairs_have_every_store_and_every_broker() -> None:
    assert {pair.store for pair in PAIRS} == set(STORES)
    assert {pair.broker for pair in PAIRS} == set(BROKERS)
    assert {adapter.name for adapter in ADAPTERS} == {*STORES, *BROKERS}


def test_the_page_is_made_of_the_guarantees() -> None:
    assert guarantees.PAGE.read_text(encoding="utf-8") == guarantees.page(), (
        "make it anew: python -m tests.docs.guarantees"
    )


def test_a_test_that_fails_or_has_not_run_turns_its_cell_red() -> None:
    tests = {
        test: "passed" for adapter in ADAPTERS for cell in cells_of(adapter) for test in cell.tests
    }
    assert guarantees.broken_cells(tests, matrix=False) == {}
    cell = next(cell for cell in cells_of(ADAPTERS[0]) if cell.id == "serializable")
    failed = {**tests, cell.tests[0]: "failed"}
    assert guarantees.broken_cells(failed, matrix=False) == {"sqlite": {"serializable"}}
    del tests[cell.tests[0]]
    assert guarantees.broken_cells(tests, matrix=False) == {"sqlite": {"serializable"}}
