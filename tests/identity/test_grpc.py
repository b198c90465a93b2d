"""Services of any language prove themselves to the internal gRPC listener by the certificates of the system."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from borough import System
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.services.context import Principal
from borough.testing import free_port
from borough.transports.http import wire
from tests.identity.company import Company
from tests.identity.town import ALL, spiffe
from tests.transports.grpc.plain import plain

LIBRARY = "library.v1.LibraryService"


class Grounds:
    """A process of the town, and what its callers show."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        company = Company(folder)
        for service in ("library", "readers", "bank"):
            # grpcio takes a server by its name only, and none of a CA with constraints on URIs.
            company.issue(folder / f"{service}.pem", [spiffe(service)], hosts=["localhost"])
        self.ca_path = company.path
        self.ca = company.path.read_bytes()

    def credentials(self, service: str | None) -> grpc.ChannelCredentials:
        """What a caller that speaks for `service` shows; None for nothing."""
        if service is None:
            return grpc.ssl_channel_credentials(self.ca)
        pem = (self.folder / f"{service}.pem").read_bytes()
        return grpc.ssl_channel_credentials(self.ca, pem, pem)


@pytest.fixture
def grounds(tmp_path: Path) -> Grounds:
    return Grounds(tmp_path)


@pytest.fixture
async def address(grounds: Grounds) -> AsyncIterator[str]:
    flags = {
        "system.name": "town",
        "internal.tls.ca": str(grounds.ca_path),
        "internal.tls.certificate": "{service}.pem",
        "grpc.internal_port": 0,
    }
    configuration = Configuration.load(grounds.folder, {}, flags)
    process = Process(
        System(list(ALL), configuration=configuration),
        data_folder=grounds.folder / "data",
        internal_port=free_port(),
    )
    await process.start()
    assert process.grpc is not None
    port = process.grpc.addresses[0].rpartition(":")[2]
    yield f"localhost:{port}"
    await process.stop()


async def test_the_caller_is_the_service_of_the_certificate(grounds: Grounds, address: str) -> None:
    user = wire.write_principal(Principal("anna", ("read",))).decode()
    async with plain(address, grounds.credentials("readers")) as caller:
        seen = (
            await caller.call(
                f"{LIBRARY}/Burn", title="emma", metadata=[("borough-principal", user)]
            )
        ).result
    assert (seen.service, seen.user, list(seen.scopes)) == ("readers", "anna", ["read"])


async def test_metadata_says_nothing_about_the_caller(grounds: Grounds, address: str) -> None:
    async with plain(address, grounds.credentials("bank")) as caller:
        claim = [("borough-service", "readers")]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await caller.call(f"{LIBRARY}/Burn", title="emma", metadata=claim)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "bank does not declare library.Library" in (caught.value.details() or "")


async def test_who_shows_no_certificate_or_another_cas_is_not_let_in(
    grounds: Grounds, address: str
) -> None:
    other = grounds.folder / "other"
    other.mkdir()
    pem = Company(other).issue(other / "readers.pem", [spiffe("readers")]).read_bytes()
    for shown in (
        grounds.credentials(None),
        grpc.ssl_channel_credentials(grounds.ca, pem, pem),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _met(address, shown)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def _met(address: str, credentials: grpc.ChannelCredentials) -> None:
    async with plain(address, credentials):
        pass


async def test_the_public_listener_speaks_tls_with_its_own_certificate(tmp_path: Path) -> None:
    grounds = Grounds(tmp_path)
    flags = {"grpc.port": 0, "grpc.certificate": "library.pem", "edge.limits.connections": 1}
    configuration = Configuration.load(tmp_path, {}, flags)
    process = Process(
        System(list(ALL), configuration=configuration),
        data_folder=tmp_path / "data",
        edge_port=free_port(),
    )
    await process.start()
    assert process.grpc is not None
    port = process.grpc.addresses[0].rpartition(":")[2]
    try:
        async with plain(f"localhost:{port}", grounds.credentials(None)) as caller:
            assert LIBRARY in caller.services
        crowd = [await asyncio.open_connection("127.0.0.1", int(port)) for _ in range(80)]
        async with asyncio.timeout(5.0):
            for reader, _ in crowd[:16]:  # handshakes that do not end give way
                with contextlib.suppress(ConnectionResetError):
                    assert await reader.read() == b""
        for _, writer in crowd:
            writer.close()
    finally:
        await process.stop()
