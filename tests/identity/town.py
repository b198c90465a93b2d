"""Services of a town with certificates: processes of it, and callers elsewhere."""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from borough import Service, System
from borough.clock import Clock, SystemClock
from borough.gateway.mutual_tls import ServiceCertificates
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.testing import free_port
from borough.transports.http.client import ClientResponse, HttpClient
from tests.identity.company import Company
from tests.identity.lending import BankService, LibraryService, ReadersService

ALL: Sequence[type[Service]] = (LibraryService, ReadersService, BankService)
BURN = ("DELETE", "/library/books/emma")
SOON_S = 5.0


def spiffe(service: str, system: str = "town") -> str:
    return f"spiffe://{system}/service/{service}"


class Town:
    """A company's CA, a folder of certificates, processes of the town and clients of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.company = Company(folder)
        self.processes: list[Process] = []
        self.clients: list[HttpClient] = []
        for service in ("library", "readers", "bank"):
            self.issue(service)

    def issue(self, service: str, company: Company | None = None, **more: Any) -> Path:
        """Another certificate in a service's place."""
        path = self.folder / f"{service}.pem"
        return (company or self.company).issue(path, [spiffe(service)], **more)

    def configuration(self, **flags: Any) -> Configuration:
        chosen = {
            "system.name": "town",
            "internal.tls.ca": str(self.company.path),
            "internal.tls.certificate": "{service}.pem",
            **{name.replace("__", "."): value for name, value in flags.items()},
        }
        return Configuration.load(self.folder, {}, chosen)

    async def start(
        self,
        services: Sequence[type[Service]] = ALL,
        clock: Clock | None = None,
        **flags: str | None,
    ) -> Process:
        """A process whose internal listener speaks TLS."""
        process = Process(
            System(list(services), configuration=self.configuration(**flags)),
            clock=clock or SystemClock(),
            data_folder=self.folder / "data",
            internal_port=free_port(),
            make_transport="wire",
        )
        await process.start()
        self.processes.append(process)
        return process

    def caller(self, service: str, **flags: Any) -> "CallerElsewhere":
        """A service of another process, with the certificate that lies there now."""
        proof = ServiceCertificates(self.configuration(**flags), SystemClock())
        proof.open([service])
        client = proof.client(service)
        self.clients.append(client)
        return CallerElsewhere(proof, client)

    def showing(self, certificate: Path | None) -> HttpClient:
        """A client that shows any certificate, or none, and believes any of the company's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.company.path)
        if certificate is not None:
            context.load_cert_chain(certificate)
        client = HttpClient(ssl=lambda: context)
        self.clients.append(client)
        return client

    async def close(self) -> None:
        for client in self.clients:
            await client.close()
        for process in self.processes:
            await process.stop()


class CallerElsewhere:
    """What another process does on account of a service."""

    def __init__(self, proof: ServiceCertificates, client: HttpClient) -> None:
        self.proof = proof
        self.client = client

    async def call(
        self,
        process: Process,
        request: tuple[str, str] = BURN,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> ClientResponse:
        service = request[1].split("/")[1]
        origin = self.proof.origin(service, *process.internal_origin)
        async with asyncio.timeout(SOON_S):
            return await self.client.send(origin, *request, headers)
