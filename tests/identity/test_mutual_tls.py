"""Services that prove themselves by certificates: real files, real sockets, both event loops."""

import asyncio
import ssl
from pathlib import Path

import pytest

from borough import System
from borough.errors import CallError, ConfigurationError, Forbidden, Unavailable
from borough.gateway.process import Process
from borough.runtime.configuration import Configuration
from borough.services.context import Principal
from borough.testing import free_port
from borough.testing.clock import ManualClock
from borough.transports.http import wire
from borough.transports.http.client import HttpClient
from tests.gateway.library import Library
from tests.identity.company import HOUR, Company, lasting
from tests.identity.lending import BankService, LibraryService, Readers, ReadersService
from tests.identity.town import ALL, BURN, SOON_S, Town, spiffe


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
