"""What every adapter of a port promises, as tests that an adapter proves itself with.

    class TestMyStore(StoreConformance):
        async def make_store(self, folder: Path) -> Store:
            return MyStore(folder / "shop.db")

pytest collects the class with its `test_...` methods (pytest-asyncio runs them); without pytest,
`await run_conformance(TestMyStore())` does. Each test makes its own handles in its own folder. What a
whole system promises on a store and a broker is tried by `PromiseConformance`; `GUARANTEES` names all of it.
"""

from borough.testing.conformance.broker import BrokerConformance
from borough.testing.conformance.guarantees import GUARANTEES, Guarantee, broken_guarantees
from borough.testing.conformance.promise import PromiseConformance
from borough.testing.conformance.store import StoreConformance
from borough.testing.conformance.suite import Verdict, run_conformance

__all__ = [
    "GUARANTEES",
    "BrokerConformance",
    "Guarantee",
    "PromiseConformance",
    "StoreConformance",
    "Verdict",
    "broken_guarantees",
    "run_conformance",
]
