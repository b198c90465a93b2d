"""The shop as it stands, without a line of alerts in its borough.toml: its issuer falls silent, and comes back."""

import asyncio
from contextlib import suppress
from pathlib import Path

from borough.errors import CallError
from borough.gateway.process import Process
from borough.runtime.system import System
from shop.payments.contract import Money, OutcomeUnknown, Payments
from tests.alerting.till import watched

SHOP = Path(__file__).parents[2] / "examples" / "shop"
AMOUNT = Money(cents=4990)


class Silent:
    """An issuer that takes connections and says nothing."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()


async def charge(process: Process, orders: int) -> None:
    client = process.host.client(Payments)

    async def one(number: int) -> None:
        with suppress(OutcomeUnknown, CallError):
            await client.charge(f"order-{number}", AMOUNT, "4242424242424242")

    await asyncio.gather(*(one(number) for number in range(orders)))


async def test_an_issuer_that_says_nothing_is_named_by_what_the_contract_says_of_it(
    tmp_path: Path,
) -> None:
    server = await asyncio.start_server(Silent().serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    place = "services.payments.settings"
    flags = {f"{place}.issuer_url": f"http://127.0.0.1:{port}", f"{place}.answer_within_s": 0.2}
    system = System.load(SHOP, flags={**flags, "data.folder": str(tmp_path)})
    async with watched(system, tmp_path) as shop:
        await charge(shop.process, 4)
        await shop.look()
        (alert,) = await shop.look(11)
        assert (alert.rule, alert.service, alert.team) == ("timeouts", "payments", "checkout")
        assert alert.summary == (
            "payments gets no answer from whom it needs: 4 of 4 calls of payments.Payments.charge in the "
            "last minute ended so, mostly with OutcomeUnknown (The issuer has not answered)."
        )
        await shop.look(60)
        await shop.look(31)
        assert [each.rule for each in shop.alerting.view().history] == ["timeouts"]
    server.close()
    await server.wait_closed()
