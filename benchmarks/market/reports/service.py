"""Reports: a query that keeps its database busy."""

from typing import final

from market.reports.contract import Reports

from borough import Database, Service

SLOW = """
with recursive counted(n) as (select 1 union all select n + 1 from counted where n < $1)
select sum(n * 7 % 13) from counted
"""


@final
class ReportService(Service, Reports):
    """Runs the query, in two ways."""

    db: Database

    async def scan(self, rows: int) -> int:
        """See `Reports`."""
        return await self.db.one(int, SLOW, rows)

    async def audit(self, rows: int) -> int:
        """See `Reports`."""
        async with self.db.transaction() as tx:
            return await tx.one(int, SLOW, rows)
