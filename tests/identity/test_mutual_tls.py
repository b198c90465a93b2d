"""Services that prove themselves by certificates: real files, real sockets, both event loops."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from borough import Service, System
from borough.clock import Clock, SystemClock
from borough.errors import CallError, ConfigurationError, Forbidden, Unavailable
from borough.gateway.mutual_tls import ServiceCertificates
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.services.context import Principal
from borough.testing import free_port
from borough.testing.clock import ManualClock
from borough.transports.http import wire
from borough.transports.http.client import ClientResponse, HttpClient
from tests.gateway.library import Library
from tests.identity.company import HOUR, Company, lasting
from tests.identity.lending import BankService, LibraryService, Readers, ReadersService

ALL: Sequence[type[Service]] = (LibraryService, ReadersService, BankService)
BURN = ("DELETE", "/library/books/emma")
SOON_S = 5.0
LOOK_S = 2.0


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
            calls="wire",
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


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    made = Town(tmp_path)
    yield made
    async with asyncio.timeout(2 * SOON_S):  # nothing that was refused keeps a process from ending
        await made.close()


async def test_the_caller_is_the_service_of_the_certificate(town: Town) -> None:
    process = await town.start()
    assert process.internal_url.startswith("https://")
    answer = await town.caller("readers").call(process)
    assert answer.body == b'{"service":"readers","user":null,"scopes":[]}'


async def test_headers_say_nothing_about_the_caller(town: Town) -> None:
    process = await town.start()
    process.tokens.open(["library"])
    forged = process.tokens.first_headers("library")
    caller = town.caller("bank")
    assert (await caller.call(process, headers=forged)).status == 403
    answer = await town.caller("readers").call(process, headers=forged)
    assert b'"service":"readers"' in answer.body


async def test_an_undeclared_dependency_is_named(town: Town) -> None:
    process = await town.start()
    answer = await town.caller("bank").call(process)
    assert answer.status == 403
    assert (
        b"bank does not declare library.Library: add an attribute annotated with Library"
        in answer.body
    )
    with pytest.raises(Forbidden, match=r"bank does not declare library\.Library"):
        process.host.client(Library, caller="bank")


async def test_a_typed_call_goes_from_service_to_service(town: Town) -> None:
    process = await town.start()
    client = process.host.client(Readers, principal=Principal("anna", ("read",)))
    seen = await client.lend("emma")
    assert (seen.service, seen.user, seen.scopes) == ("readers", "anna", ("read",))


@pytest.mark.parametrize(
    ("case", "told_here", "told_there"),
    [
        ("none", "it was shown none", "no certificate was shown"),
        (
            "foreign",
            "does not come from the CA that is trusted there",
            "unable to get local issuer",
        ),
        ("expired", "it has expired, or does not count yet", "certificate has expired"),
        ("not yet", "it does not count", "certificate is not yet valid"),
    ],
)
@pytest.mark.parametrize("newest", [True, False])
async def test_both_sides_say_why_a_certificate_is_refused(
    town: Town,
    caplog: pytest.LogCaptureFixture,
    case: str,
    told_here: str,
    told_there: str,
    newest: bool,
) -> None:
    process = await town.start()
    path: Path | None = town.folder / "shown.pem"
    assert path is not None
    if case == "none":
        path = None
    elif case == "foreign":
        Company(town.folder, "other").issue(path, [spiffe("readers")])
    elif case == "expired":
        town.company.issue(path, [spiffe("readers")], lasting(-2 * HOUR, HOUR))
    else:
        town.company.issue(path, [spiffe("readers")], lasting(HOUR, HOUR))
    client = town.showing(path)
    if not newest:
        context = client._ssl() if client._ssl is not None else None
        assert context is not None
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            async with asyncio.timeout(SOON_S):
                await client.send(process.internal_origin, *BURN)
        assert told_here in caught.value.detail
    told = [each.message for each in caplog.records if each.name == "borough.tls"]
    assert len(told) == 1
    assert told_there in told[0]


@pytest.mark.parametrize(
    ("uris", "reason"),
    [
        (
            [spiffe("readers", "bank")],
            "it names spiffe://bank/service/readers, and the services of",
        ),
        ([spiffe("readers"), spiffe("bank")], "it names 2 URIs, where a SPIFFE id is the only one"),
        ([], "it names 0 URIs"),
    ],
)
async def test_a_certificate_of_another_system_is_refused_in_words(
    town: Town, caplog: pytest.LogCaptureFixture, uris: list[str], reason: str
) -> None:
    process = await town.start()
    client = town.showing(town.company.issue(town.folder / "shown.pem", uris))
    for target in (BURN, ("GET", "/library/who")):
        answer = await client.send(process.internal_origin, *target)
        assert answer.status == 401
        assert reason.encode() in answer.body
    assert reason in caplog.text


async def test_a_service_that_does_not_exist_has_declared_nothing(town: Town) -> None:
    process = await town.start()
    client = town.showing(town.company.issue(town.folder / "shown.pem", [spiffe("ghost")]))
    answer = await client.send(process.internal_origin, *BURN)
    assert answer.status == 403
    assert b"ghost does not declare library.Library" in answer.body


async def test_only_the_service_that_is_called_is_talked_to(town: Town) -> None:
    process = await town.start([BankService])
    with pytest.raises(Unavailable) as caught:
        await town.caller("readers").call(process)
    assert caught.value.detail.endswith(
        "cannot be reached: the certificate of the other side does not count: "
        "it is that of bank, and library was called"
    )


async def test_a_listener_of_another_ca_is_not_talked_to(town: Town) -> None:
    process = await town.start()
    other = Company(town.folder, "other")
    town.issue("readers", other)
    caller = town.caller("readers", internal__tls__ca=str(other.path))
    with pytest.raises(Unavailable, match="does not come from the CA that is trusted here"):
        await caller.call(process)


async def test_a_process_with_several_services_shows_the_one_that_is_called(town: Town) -> None:
    process = await town.start()
    readers = town.caller("readers")
    for service in ("library", "readers", "bank"):
        await readers.call(process, ("GET", f"/{service}/nothing"))
        (connection,) = readers.client._pools[
            readers.proof.origin(service, *process.internal_origin)
        ].members
        shown = connection._transport.get_extra_info("peercert")
        assert ("URI", spiffe(service)) in shown["subjectAltName"]


async def test_clear_text_and_tls_do_not_wait_for_each_other(town: Town) -> None:
    process = await town.start()
    plain = HttpClient()
    town.clients.append(plain)
    async with asyncio.timeout(SOON_S):
        with pytest.raises(CallError):
            await plain.send(process.internal_origin, *BURN)

    def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    readers = town.caller("readers")
    async with asyncio.timeout(SOON_S):
        with pytest.raises(Unavailable, match="the other side does not speak TLS"):
            await readers.client.send((host, port, "library.town"), *BURN)
    server.close()
    await server.wait_closed()


async def test_who_connects_and_says_nothing_does_not_keep_the_process_from_ending(
    town: Town,
) -> None:
    process = await town.start()
    _, silent = await asyncio.open_connection(*process.internal_origin)
    await town.caller("readers").call(process)
    async with asyncio.timeout(SOON_S):
        await process.stop()
    silent.close()


async def test_a_certificate_that_expires_ends_what_its_connection_may_do(town: Town) -> None:
    clock = ManualClock(lasting(-HOUR, HOUR)[1])
    process = await town.start([LibraryService, ReadersService], clock)
    readers = town.caller("readers")
    assert (await readers.call(process)).status == 200
    clock.advance(2 * HOUR.total_seconds())
    answer = await readers.call(process)
    assert answer.status == 401
    assert b"with which readers opened this connection has expired" in answer.body


# --- files that change ----------------------------------------------------------------------------


class LookClock(ManualClock):
    """Tells when the process has looked at its files and waits until it looks again."""

    def __init__(self) -> None:
        super().__init__(lasting(-HOUR, HOUR)[1])
        self._has_looked = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds == LOOK_S:
            self._has_looked.set()
        await super().sleep(seconds)

    async def look(self) -> None:
        """Let the process look once, and do what follows from it."""
        async with asyncio.timeout(SOON_S):
            await self._has_looked.wait()
            self._has_looked.clear()
            self.advance(LOOK_S)
            await self._has_looked.wait()


async def shown_by(town: Town, process: Process, service: str) -> int:
    """The serial number of the certificate that a new connection meets."""
    caller = town.caller("bank")
    await caller.call(process, ("GET", f"/{service}/nothing"))
    (pool,) = caller.client._pools.values()
    (connection,) = pool.members
    return int(connection._transport.get_extra_info("peercert")["serialNumber"], 16)


async def test_renewed_certificates_are_used_and_no_call_fails(town: Town) -> None:
    clock = LookClock()
    process = await town.start(clock=clock)
    client = process.host.client(Readers, principal=Principal("anna"))
    stopping = False
    answered = asyncio.Semaphore(0)

    async def lend() -> None:
        while not stopping:
            assert (await client.lend("emma")).user == "anna"
            answered.release()

    tasks = [asyncio.create_task(lend()) for _ in range(8)]
    serials = {await shown_by(town, process, "library")}
    for _ in range(5):
        for service in ("library", "readers", "bank"):
            town.issue(service)
        await clock.look()
        async with asyncio.timeout(SOON_S):
            for _ in range(20):
                await answered.acquire()
        serials.add(await shown_by(town, process, "library"))
    stopping = True
    await asyncio.gather(*tasks)  # raises what failed
    assert len(serials) == 6


async def test_after_a_renewal_no_call_goes_over_an_older_connection(town: Town) -> None:
    clock = LookClock()
    process = await town.start(clock=clock)
    client = process.host.client(Readers, principal=Principal("anna"))
    await client.lend("emma")
    (http,) = process.proof._clients["readers"]  # type: ignore[attr-defined]
    before = {each for pool in http._pools.values() for each in pool.members}
    town.issue("readers")
    await clock.look()
    await client.lend("emma")
    after = [each for pool in http._pools.values() for each in pool.members if each.is_fit]
    assert after
    assert before.isdisjoint(after)


async def test_a_broken_file_changes_nothing_and_is_told_once(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LookClock()
    process = await town.start(clock=clock)
    serial = await shown_by(town, process, "library")
    (town.folder / "library.pem").write_text("half a certifi")
    await clock.look()
    await clock.look()
    told = [each.message for each in caplog.records if each.levelno == logging.ERROR]
    assert len(told) == 1
    assert told[0].startswith("library goes on with the certificate it has: ")
    (town.folder / "bank.pem").unlink()
    await clock.look()
    assert "bank goes on with the certificate it has" in caplog.text
    for path in ("library", "bank"):
        town.issue(path)
    await clock.look()
    assert await shown_by(town, process, "library") != serial


async def test_a_certificate_of_another_ca_is_not_taken_up(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LookClock()
    process = await town.start(clock=clock)
    serial = await shown_by(town, process, "library")
    town.issue("library", Company(town.folder, "other"))
    await clock.look()
    assert "unable to get local issuer certificate" in caplog.text
    assert await shown_by(town, process, "library") == serial


async def test_a_certificate_that_is_late_is_warned_of_once(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    clock = LookClock()
    await town.start(clock=clock)
    await clock.look()
    assert "expires at" not in caplog.text
    clock.advance(timedelta(minutes=55).total_seconds())
    await clock.look()
    await clock.look()
    told = [each.message for each in caplog.records if "expires at" in each.message]
    assert len(told) == 3


# --- what borough.toml says -----------------------------------------------------------------------


async def test_a_missing_option_is_named(town: Town) -> None:
    for name in ("ca", "certificate"):
        with pytest.raises(ConfigurationError, match=rf"internal\.tls\.{name} is missing"):
            await town.start(ALL, None, **{f"internal__tls__{name}": None})  # None: not given


async def test_several_services_need_several_certificates(town: Town) -> None:
    with pytest.raises(ConfigurationError, match=r"write \{service\} into the path"):
        await town.start(internal__tls__certificate="library.pem")
    process = await town.start([LibraryService], internal__tls__certificate="library.pem")
    assert (await town.caller("readers").call(process)).status in (200, 403)


async def test_a_system_whose_name_is_no_trust_domain_is_given_one(town: Town) -> None:
    with pytest.raises(ConfigurationError, match=r"set internal\.tls\.trust_domain to lower-case"):
        await town.start(system__name="Our Town")
    process = await town.start(system__name="Our Town", internal__tls__trust_domain="town")
    assert (await town.caller("readers").call(process)).status == 200


async def test_clear_text_stays_on_this_machine_unless_switched_on_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def process(**flags: str) -> Process:
        chosen = {f"internal.{name}": value for name, value in flags.items()}
        system = System([LibraryService], configuration=Configuration.load(tmp_path, {}, chosen))
        return Process(system, data_folder=tmp_path / "data", internal_port=free_port())

    with pytest.raises(ConfigurationError) as caught:
        await process(host="0.0.0.0").start()
    assert str(caught.value) == (
        "internal.host is 0.0.0.0, which other machines reach, and services would talk there in "
        "clear text: fill in [internal.tls] (`borough certs` makes certificates for development), "
        'listen on 127.0.0.1, or set internal.clear_text to "anywhere"'
    )
    assert not (tmp_path / "data").exists()
    assert "CLEAR TEXT" not in caplog.text
    loud = process(host="0.0.0.0", clear_text="anywhere")
    await loud.start()
    await loud.stop()
    assert "CLEAR TEXT: services talk on 0.0.0.0 without TLS" in caplog.text


async def test_a_token_does_not_travel_to_another_machine(town: Town) -> None:
    process = await town.start()
    for host in ("192.0.2.1", "library.example"):
        with pytest.raises(ConfigurationError, match=r"would talk to library at .* in clear text"):
            process.tokens.origin("library", host, 80)
    for host in ("127.0.0.2", "::1", "localhost"):
        assert process.tokens.origin("library", host, 80) == (host, 80)


# --- end users ------------------------------------------------------------------------------------


async def test_an_end_user_travels_with_a_proven_service_only(town: Town) -> None:
    process = await town.start()
    user = (wire.PRINCIPAL.encode(), wire.write_principal(Principal("anna", ("read",))))
    answer = await town.caller("readers").call(process, headers=[user])
    assert answer.body == b'{"service":"readers","user":"anna","scopes":["read"]}'
    foreign = town.showing(
        town.company.issue(town.folder / "shown.pem", [spiffe("readers", "bank")])
    )
    for target in (BURN, ("GET", "/library/who"), ("GET", "/library/shelf")):
        assert (await foreign.send(process.internal_origin, *target, [user])).status == 401


async def test_a_handler_calls_on_as_what_it_was_called(town: Town) -> None:
    process = await town.start()
    anna = Principal("anna", ("read",), {"role": "reader"})
    seen = await process.host.client(Readers, principal=anna).greed("emma")
    assert (seen.service, seen.user, seen.scopes) == ("readers", "anna", ("read",))
    assert anna.claims == {"role": "reader"}


async def test_nobody_is_nobody_at_the_next_service_too(town: Town) -> None:
    process = await town.start()
    seen = await process.host.client(Library, caller="readers").shelf()
    assert (seen.service, seen.user) == ("readers", None)
