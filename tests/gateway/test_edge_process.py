"""The public door of a fleet as a process: what it says of services that run elsewhere."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest

from borough import ANYONE, System, contract, get
from borough.clock import SystemClock
from borough.console.many_processes import fleet_mounts
from borough.console.one_process import tells
from borough.contracts.descriptor import describe, fingerprint, to_json
from borough.contracts.reading import read_contract
from borough.gateway.edge_process import EdgeProcess
from borough.gateway.process import Process
from borough.gateway.published import Published
from borough.ports import Replica
from borough.runtime.configuration import Configuration
from borough.runtime.discovery import Directory
from borough.transports.http.client import ClientResponse, HttpClient
from borough.transports.http.greeting import Hello, Offer
from borough.transports.http.message import Headers
from tests.gateway.library import Library, LibraryService

SERVICES = ("library", "payments")


class Town:
    """Replicas of the library, and their edge."""

    def __init__(self, folder: Path, toml: str) -> None:
        (folder / "borough.toml").write_text(toml)
        self.configuration = Configuration.load(folder, {})
        self.directory = Directory()
        self.edge = EdgeProcess(
            self.configuration, SERVICES, self.directory, port=0, mounts=fleet_mounts
        )
        self.replicas: list[Process] = []
        self.client = HttpClient()

    async def begin_replica(self) -> None:
        system = System([LibraryService], configuration=self.configuration)
        replica = Process(system, clock=SystemClock(), internal_port=0, tells=tells)
        await replica.start()
        self.replicas.append(replica)
        found = [
            Replica(f"library.{number}", *each.internal_origin)
            for number, each in enumerate(self.replicas, 1)
        ]
        self.directory.update({"library": found})

    async def get(self, target: str, *headers: tuple[bytes, bytes]) -> ClientResponse:
        url = self.edge.edge_url
        assert url is not None
        host, _, port = url.removeprefix("http://").partition(":")
        return await self.client.send((host, int(port)), "GET", target, headers)

    async def json(self, target: str) -> Any:
        return msgspec.json.decode((await self.get(target)).body)


@asynccontextmanager
async def town(folder: Path, toml: str = "", replicas: int = 1) -> AsyncGenerator[Town]:
    found = Town(folder, toml)
    await found.edge.start()
    try:
        for _ in range(replicas):
            await found.begin_replica()
        yield found
    finally:
        await found.client.close()
        await found.edge.stop()
        for replica in found.replicas:
            await replica.stop()


async def test_a_call_goes_through_the_edge_to_a_replica(tmp_path: Path) -> None:
    async with town(tmp_path) as found:
        assert await found.json("/library/who") == {"service": None, "user": None, "scopes": []}
        assert (await found.get("/payments/x")).status == 503
        assert (await found.get("/nowhere")).status == 404
        assert found.edge.requests == 2
        assert found.edge.in_flight == 0


async def test_the_span_of_the_door_says_more_of_a_refusal_than_the_public_is_told(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, toml="[telemetry]\nevery_s = 60.0\n", replicas=0) as found:
        assert b"payments cannot take calls now" in (await found.get("/payments/x")).body
        assert found.edge.recorder is not None
        (span,) = (each for each in found.edge.recorder.take() if each.shape.service == "edge")
        assert span.failure is not None
        assert span.failure.detail == "No replica of payments takes calls now"


async def test_a_user_of_own_tokens_is_known_to_services(tmp_path: Path) -> None:
    async with town(tmp_path) as found:
        token = await found.replicas[0].front.own_issuer.issue("anna")
        answer = await found.get("/library/shelf", (b"authorization", b"Bearer " + token.encode()))
        assert msgspec.json.decode(answer.body)["user"] == "anna"
        keys = await found.json("/.well-known/jwks.json")
        assert len(keys["keys"]) == 1


async def test_readiness_tells_which_service_has_no_replica(tmp_path: Path) -> None:
    async with town(tmp_path) as found:
        answer = await found.get("/readyz")
        assert answer.status == 503
        assert msgspec.json.decode(answer.body)["services"] == {
            "library": "ready",
            "payments": "unavailable",
        }
        assert (await found.get("/livez")).status == 200


async def test_the_console_adds_up_what_replicas_tell(tmp_path: Path) -> None:
    async with town(tmp_path, replicas=2) as found:
        for _ in range(6):
            await found.get("/library/who")
        state = await found.json("/console/api/state")
        assert state["state"] == "not ready"
        assert state["services"]["library"]["calls"] == 6
        assert [each["version"] for each in state["services"]["library"]["processes"]] == [
            "0.1.0"
        ] * 2
        assert state["operations"]["library.Library.who"] == {"calls": 6, "failures": 0}
        facts = await found.json("/console/api/system")
        assert [(each["name"], each["runs"]) for each in facts["services"]] == [
            ("library", "here"),
            ("payments", "here"),
        ]
        await found.replicas[0].stop()
        left = await found.json("/console/api/state")
        assert len(left["services"]["library"]["processes"]) == 1
        assert await found.json("/console/api/system") == facts


async def test_the_openapi_document_is_that_of_the_replicas(tmp_path: Path) -> None:
    async with town(tmp_path) as found:
        document = await found.json("/openapi.json")
        assert document == found.replicas[0].document()
        assert (await found.get("/docs")).status == 200


async def test_the_asyncapi_document_is_that_of_the_replicas(tmp_path: Path) -> None:
    async with town(tmp_path) as found:
        document = await found.json("/asyncapi.json")
        assert document == found.replicas[0].events_document()
        assert document["asyncapi"] == "3.0.0"


async def test_what_replicas_tell_the_edge_is_told_nobody_else(tmp_path: Path) -> None:
    async with town(tmp_path) as found:
        assert (await found.get("/borough/system/state.json")).status == 404
        origin = found.replicas[0].internal_origin
        answer = await found.client.send(origin, "GET", "/borough/system/state.json")
        assert answer.status == 404


async def test_the_console_can_be_switched_off_in_a_fleet_too(tmp_path: Path) -> None:
    async with town(tmp_path, "[console]\nserve = false\n") as found:
        assert (await found.get("/console/api/state")).status == 404


# --- what they publish ----------------------------------------------------------------------------


class Publishing:
    """Replicas that answer for their contracts, and how often they were asked."""

    def __init__(self) -> None:
        self.descriptor = describe(read_contract(Library))
        self.asked: list[str] = []

    async def answer(self, _service: str, replica: Replica, target: str) -> ClientResponse:
        self.asked.append(f"{replica.id} {target}")
        offer = Offer("1.0", fingerprint(self.descriptor))
        hello = msgspec.json.encode(Hello("p", "town", {}, {"library.Library": offer}))
        body = hello if target == "/borough/hello" else to_json(self.descriptor)
        return ClientResponse(200, Headers({}), body)


async def test_a_contract_is_fetched_once_however_many_publish_it() -> None:
    publishing = Publishing()
    directory = Directory()
    published = Published(SERVICES, directory, publishing.answer, title="town", version="1.2")
    empty = msgspec.json.decode(await published.document())
    assert (empty["info"], publishing.asked) == ({"title": "town", "version": "1.2"}, [])
    document = empty
    for replicas in (["a"], ["a"], ["a", "b"]):
        directory.update({"library": [Replica(name, "127.0.0.1", 1) for name in replicas]})
        document = msgspec.json.decode(await published.document())
    assert "/library/who" in document["paths"]
    assert "/library/books/{title}" not in document["paths"]
    assert publishing.asked == [
        "a /borough/hello",
        "a /borough/contracts/library.Library",
        "b /borough/hello",
    ]
    directory.update({})
    assert msgspec.json.decode(await published.document()) == document


@contract("library", version="1.0")
class Opening(Protocol):
    """Says when the library is open."""

    @get("/hours", allow=ANYONE)
    async def hours(self) -> str:
        """Say it."""
        ...


@contract("payments", version="1.0")
class Fines(Protocol):
    """Says what a late book costs."""

    @get("/fines", allow=ANYONE)
    async def fine(self) -> int:
        """Say it."""
        ...


class Meeting:
    """Replicas of two services, one of them with two contracts; some questions are answered when they may be."""

    def __init__(self, *held: str) -> None:
        contracts = map(read_contract, (Library, Opening, Fines))
        self.descriptors = {each.wire_name: describe(each) for each in contracts}
        self.may_answer = {question: asyncio.Event() for question in held}
        self.is_asked = {question: asyncio.Event() for question in held}

    async def answer(self, service: str, _replica: Replica, target: str) -> ClientResponse:
        question = f"{service} {target}"
        if question in self.may_answer:
            self.is_asked[question].set()
            await self.may_answer[question].wait()
        if target != "/borough/hello":
            return ClientResponse(
                200, Headers({}), to_json(self.descriptors[target.rpartition("/")[2]])
            )
        offers = {
            name: Offer("1.0", fingerprint(each))
            for name, each in self.descriptors.items()
            if each.service == service
        }
        return ClientResponse(200, Headers({}), msgspec.json.encode(Hello("p", "town", {}, offers)))


async def test_one_document_forgets_nothing_that_another_one_is_just_learning() -> None:
    of_payments, of_library = (
        "payments /borough/hello",
        "library /borough/contracts/library.Opening",
    )
    meeting = Meeting(of_payments, of_library)
    directory = Directory()
    published = Published(SERVICES, directory, meeting.answer, title="town", version="1.2")
    directory.update({"payments": [Replica("p", "127.0.0.1", 1)]})
    async with asyncio.TaskGroup() as asking:
        events = asking.create_task(published.events())
        await meeting.is_asked[of_payments].wait()
        directory.update({each: [Replica(each, "127.0.0.1", 1)] for each in SERVICES})
        document = asking.create_task(published.document())
        for _ in range(20):  # turns in which it may ask: nobody but the two questions waits here
            await asyncio.sleep(0)
        meeting.may_answer[of_payments].set()
        await events
        meeting.may_answer[of_library].set()
    paths = msgspec.json.decode(document.result())["paths"]
    assert {"/library/who", "/library/hours", "/payments/fines"} <= set(paths)


async def test_a_service_says_nothing_of_what_another_one_publishes() -> None:
    meeting = Meeting()
    false = msgspec.structs.replace(meeting.descriptors["library.Library"], operations=())

    async def answer(service: str, replica: Replica, target: str) -> ClientResponse:
        if service == "library":
            for _ in range(20):  # turns in which the other one has long been heard
                await asyncio.sleep(0)
            return await meeting.answer(service, replica, target)
        if target.endswith("library.Library"):
            return ClientResponse(200, Headers({}), to_json(false))
        if target != "/borough/hello":
            return await meeting.answer(service, replica, target)
        names = ("library.Library", "payments.Fines")
        offers = {name: Offer("1.0", fingerprint(meeting.descriptors[name])) for name in names}
        return ClientResponse(200, Headers({}), msgspec.json.encode(Hello("p", "town", {}, offers)))

    directory = Directory()
    published = Published(SERVICES, directory, answer, title="town", version="1.2")
    directory.update({each: [Replica(each, "127.0.0.1", 1)] for each in SERVICES})
    paths = msgspec.json.decode(await published.document())["paths"]
    assert {"/library/who", "/payments/fines"} <= set(paths)


@pytest.mark.parametrize(
    "said", [b'{"process":"\xff"}', b'{"a":' * 100_000], ids=["no text", "deep"]
)
async def test_a_service_whose_hello_cannot_be_read_keeps_others_from_nothing(said: bytes) -> None:
    meeting = Meeting()

    async def answer(service: str, replica: Replica, target: str) -> ClientResponse:
        if service == "payments":
            return ClientResponse(200, Headers({}), said)
        return await meeting.answer(service, replica, target)

    directory = Directory()
    published = Published(SERVICES, directory, answer, title="town", version="1.2")
    directory.update({each: [Replica(each, "127.0.0.1", 1)] for each in SERVICES})
    assert "/library/who" in msgspec.json.decode(await published.document())["paths"]
