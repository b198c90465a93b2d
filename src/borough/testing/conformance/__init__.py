"""What every adapter of a port promises, as tests that an adapter proves itself with.

    class TestMyStore(StoreConformance):
        async def make_store(self, folder: Path) -> Store:
            return MyStore(folder / "shop.db")

pytest collects the class with its `test_...` methods (pytest-asyncio runs them); without pytest,
`await run_conformance(TestMyStore())` does. Each test makes its own handles in its own folder.
"""

from borough.testing.conformance.broker import BrokerConformance
from borough.testing.conformance.store import StoreConformance
from borough.testing.conformance.suite import Verdict, run_conformance

__all__ = ["BrokerConformance", "StoreConformance", "Verdict", "run_conformance"]
