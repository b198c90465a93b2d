"""A service elsewhere is called by its contract, with its own credentials and nothing of ours."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, final

import msgspec
import pytest

from borough import (
    ANYONE,
    IDEMPOTENCY_KEY,
    USER,
    Problem,
    Service,
    Struct,
    System,
    contract,
    get,
    post,
)
from borough.console.facts import system_view
from borough.contracts.descriptor import describe, to_json
from borough.contracts.openapi import openapi
from borough.contracts.reading import read_contract
from borough.errors import ConfigurationError, DeclarationFaults, ServiceFailure, Unavailable
from borough.runtime.configuration import Configuration
from borough.runtime.host import Host
from borough.runtime.mocks import mocked
from borough.runtime.wiring import make_plan
from borough.testing import fake, start
from borough.transports.http.external import place_at
from borough.transports.http.message import Request, Response
from tests.cli.systems import write_system
from tests.transports.http.certificates import self_signed
from tests.transports.http.listening import Service as Listening


class Charge(Struct):
    cents: int
    paid: bool = False


class Declined(Problem, status=402):
    """The bank says no."""

    reason: str


@contract("pay", version="1.0")
class Pay(Protocol):
    """Takes money, somewhere else."""

    @post("/charges", allow=ANYONE, status=201, raises=[Declined])
    async def charge(self, charge: Charge) -> Charge: ...

    @get("/charges/{id}", allow=ANYONE)
    async def read(self, id: str) -> Charge: ...

    @get("/charges", allow=ANYONE)
    def all(self) -> AsyncIterator[Charge]: ...

    @get("/", allow=ANYONE)
    async def last(self) -> Charge: ...

    @post("/refunds", allow=USER, idempotent_by=IDEMPOTENCY_KEY)
    async def refund(self, charge: Charge) -> Charge: ...


@contract("shop", version="1.0")
class Shop(Protocol):
    """Needs money."""

    @post("/orders", allow=ANYONE)
    async def order(self, cents: int) -> Charge: ...

    @get("/read/{id}", allow=ANYONE)
    async def read(self, id: str) -> Charge: ...

    @get("/sum", allow=ANYONE)
    async def sum(self) -> int: ...


@final
class ShopService(Service, Shop):
    pay: Pay

    async def order(self, cents: int) -> Charge:
        return await self.pay.charge(Charge(cents=cents))

    async def read(self, id: str) -> Charge:
        return await self.pay.read(id)

    async def sum(self) -> int:
        return sum([charge.cents async for charge in self.pay.all()])


JSON = ((b"content-type", b"application/json"),)


class Elsewhere:
    """A foreign server that remembers what it was asked and says what it is told to."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.answers: list[Response] = []

    async def answer(self, request: Request) -> Response:
        self.asked.append(request)
        if self.answers:
            return self.answers.pop(0)
        return Response(201, JSON, request.body or b'{"cents": 7, "paid": true}')


@asynccontextmanager
async def listening(**options: Any) -> AsyncIterator[tuple[Elsewhere, str]]:
    """The foreign server, and its URL below /api."""
    foreign = Elsewhere()
    service = await Listening.open(foreign.answer, **options)
    try:
        yield foreign, f"http://127.0.0.1:{service.origin[1]}/api"
    finally:
        await service.server.close()


def system(folder: Path, url: str, more: str = "", **environment: str) -> System:
    (folder / "borough.toml").write_text(f'[external.pay]\nurl = "{url}"\n{more}')
    configuration = Configuration.load(folder, environment)
    return System([ShopService], configuration=configuration, contracts=[Pay])


async def test_a_call_goes_to_the_url_of_the_service(tmp_path: Path) -> None:
    async with listening() as (foreign, url), start(system(tmp_path, url)) as running:
        assert await running.client(Shop).order(5) == Charge(cents=5)
        assert (await running.client(Shop).read("a/b c")).paid
    assert [(each.method, each.path) for each in foreign.asked] == [
        ("POST", "/api/charges"),
        ("GET", "/api/charges/a%2Fb%20c"),
    ]


@contract("pay", version="1.0")
class Refunds(Protocol):
    """Another contract of the same service."""

    @get("/refunds", allow=ANYONE)
    async def count(self) -> int: ...


def test_a_fake_of_one_contract_of_a_service_elsewhere_is_refused_as_the_rest_is_real(
    tmp_path: Path,
) -> None:
    (tmp_path / "borough.toml").write_text('[external.pay]\nurl = "https://pay.example"\n')
    configuration = Configuration.load(tmp_path, {})
    both = System([ShopService], configuration=configuration, contracts=[Pay, Refunds])
    with pytest.raises(
        ConfigurationError, match=r"pay\.Pay is faked, and pay\.Refunds of the same"
    ):
        Host(both, stand_ins={Pay: fake(Pay)})


@pytest.mark.parametrize(("end", "path"), [("", "/api"), ("/", "/api")])
async def test_a_url_with_a_slash_at_its_end_is_the_same(
    tmp_path: Path, end: str, path: str
) -> None:
    async with listening() as (foreign, url), start(system(tmp_path, url + end)) as running:
        await running.client(Pay).last()
    assert foreign.asked[0].path == path


async def test_a_url_without_a_path_stands_for_the_root(tmp_path: Path) -> None:
    async with (
        listening() as (foreign, url),
        start(system(tmp_path, url.removesuffix("/api"))) as running,
    ):
        await running.client(Pay).last()
    assert foreign.asked[0].path == "/"


async def test_time_and_trace_go_out_and_nothing_that_says_who_we_are(tmp_path: Path) -> None:
    more = '[external.pay.headers]\nauthorization = "env:PAY_TOKEN"\nx-tenant = "file:tenant"\n'
    (tmp_path / "tenant").write_text("shop-7\n")
    async with listening() as (foreign, url):
        built = system(tmp_path, url, more, PAY_TOKEN="Bearer of-pay-alone")
        async with start(built) as running:
            await running.client(Shop, user="ann").order(5)
    (asked,) = foreign.asked
    assert asked.headers.get("authorization") == "Bearer of-pay-alone"
    assert asked.headers.get("x-tenant") == "shop-7"
    assert asked.headers.get("traceparent") is not None
    ours = [name for name, _ in asked.headers.items() if name.startswith("borough-")]
    assert ours == ["borough-timeout-ms"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"title": "Not Found", "detail": "no such charge"}', "404 Not Found: no such charge"),
        (b'{"detail": "no such charge"}', "404 no such charge"),
        (b'{"title": "Not Found"}', "404 Not Found"),
        (b'{"code": "gone", "title": "Not Found", "detail": "sold"}', "404 gone: sold"),
        (b"{}", "404"),
    ],
)
async def test_what_a_problem_that_is_not_ours_says_is_told(
    tmp_path: Path, body: bytes, told: str
) -> None:
    async with listening() as (foreign, url), start(system(tmp_path, url)) as running:
        foreign.answers = [Response(404, JSON, body)]
        with pytest.raises(ServiceFailure) as caught:
            await running.client(Pay).last()
    assert str(caught.value) == f"pay.Pay.last answered {told}"


async def test_a_stream_comes_from_elsewhere_too(tmp_path: Path) -> None:
    lines = b'{"item":{"cents":3}}\n{"item":{"cents":4}}\n{"end":true}\n'
    async with listening() as (foreign, url), start(system(tmp_path, url)) as running:
        foreign.answers = [Response(200, (), lines)]
        assert await running.client(Shop).sum() == 7


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, b'{"code": "no.such.problem", "detail": "x"}'),
        (402, b'{"code": 7}'),
        (500, b"<html>"),
        (404, b'{"type": "about:blank", "title": "Not Found", "errors": "odd"}'),
    ],
)
async def test_a_problem_that_the_contract_does_not_know_is_a_failure_of_the_service(
    tmp_path: Path, status: int, body: bytes
) -> None:
    async with listening() as (foreign, url), start(system(tmp_path, url)) as running:
        foreign.answers = [Response(status, JSON, body)]
        with pytest.raises(ServiceFailure):
            await running.client(Pay).charge(Charge(cents=1))


async def test_a_declared_problem_is_raised(tmp_path: Path) -> None:
    body = b'{"code": "pay.Declined", "title": "x", "status": 402, "reason": "limit"}'
    async with listening() as (foreign, url), start(system(tmp_path, url)) as running:
        foreign.answers = [Response(402, JSON, body)]
        with pytest.raises(Declined) as caught:
            await running.client(Pay).charge(Charge(cents=1))
    assert caught.value.reason == "limit"


async def test_where_nobody_listens_it_is_not_available(tmp_path: Path) -> None:
    async with listening() as (_, url):
        pass
    async with start(system(tmp_path, url)) as running:
        with pytest.raises(Unavailable):
            await running.client(Pay).read("1")


async def test_only_what_may_run_twice_is_sent_again(tmp_path: Path) -> None:
    """A server that closes each kept connection at its second request."""
    counts = {"GET": 0, "POST": 0}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for number in range(2):
                head = await reader.readuntil(b"\r\n\r\n")
                method = head.split(b" ")[0].decode()
                length = [
                    line
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ]
                await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
                counts[method] += 1
                if number == 0:
                    body = b'{"cents": 1}'
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n" + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, start(system(tmp_path, url)) as running:
        client = running.client(Pay)
        await client.read("1")
        await client.read("1")
        assert counts == {"GET": 3, "POST": 0}
        with pytest.raises(ServiceFailure, match="may have run"):
            await client.charge(Charge(cents=1))
        assert counts == {"GET": 3, "POST": 1}


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path))
    async with listening(ssl=context) as (foreign, url):
        async with start(system(tmp_path, url.replace("http:", "https:"))) as running:
            with pytest.raises(Unavailable):
                await running.client(Pay).read("1")
        assert foreign.asked == []


async def test_over_tls_the_name_of_the_host_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))  # the machine trusts it
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with listening(ssl=context) as (_, url):
        secure = url.replace("http:", "https:")
        async with start(system(tmp_path, secure)) as running:
            assert (await running.client(Pay).read("1")).paid
        async with start(system(tmp_path, secure.replace("127.0.0.1", "localhost"))) as running:
            with pytest.raises(Unavailable):
                await running.client(Pay).read("1")


OFFERED = openapi([describe(read_contract(Pay))], title="x", version="1", public_only=True)


def written(folder: Path, name: str, document: Any) -> None:
    (folder / name).write_bytes(msgspec.json.encode(document))


async def test_the_contract_is_checked_by_a_descriptor_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "pay.json").write_bytes(to_json(describe(read_contract(Pay))))
    built = system(tmp_path, "http://127.0.0.1:9/pay", 'descriptor = "pay.json"\n')
    async with start(built):
        pass


async def test_a_descriptor_with_another_type_is_told_with_both_versions(tmp_path: Path) -> None:
    text = to_json(describe(read_contract(Pay))).replace(b'"1.0"', b'"1.7"')
    theirs = json.loads(text)
    theirs["types"]["Charge"]["fields"][0]["shape"] = {"kind": "str"}
    written(tmp_path, "pay.json", theirs)
    built = system(tmp_path, "http://127.0.0.1:9/pay", 'descriptor = "pay.json"\n')
    with pytest.raises(DeclarationFaults, match=r"pay\.Pay 1\.0 and .* 1\.7: pay\.Pay\.charge at "):
        async with start(built):
            pass


async def test_a_descriptor_of_another_contract_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop.json").write_bytes(to_json(describe(read_contract(Shop))))
    built = system(tmp_path, "http://127.0.0.1:9/pay", 'descriptor = "shop.json"\n')
    with pytest.raises(ConfigurationError, match=r"describes shop\.Shop, and pay\.Pay is called"):
        async with start(built):
            pass


async def test_all_that_is_not_offered_is_told_together_with_the_place(tmp_path: Path) -> None:
    less = json.loads(msgspec.json.encode(OFFERED))
    del less["paths"]["/pay/charges"]["post"]
    del less["paths"]["/pay/refunds"]
    written(tmp_path, "pay.json", less)
    built = system(tmp_path, "http://127.0.0.1:9/pay", 'openapi = "pay.json"\n')
    with pytest.raises(DeclarationFaults) as caught:
        async with start(built):
            pass
    first, second = caught.value.faults
    assert first.message.startswith("pay.Pay.charge is POST /pay/charges, and it has only GET")
    assert second.message.startswith("pay.Pay.refund is POST /pay/refunds, and it has no such path")
    assert first.file == __file__
    assert first.remedy.endswith("(pay.json)")


async def test_a_document_comes_from_a_url(tmp_path: Path) -> None:
    async with listening() as (foreign, url):
        foreign.answers = [Response(200, JSON, msgspec.json.encode({"openapi": "3.1.0"}))]
        built = system(tmp_path, url, f'openapi = "{url}/openapi.json?full=1"\n')
        with pytest.raises(DeclarationFaults, match="no such path"):
            async with start(built):
                pass
    assert (foreign.asked[0].path, foreign.asked[0].query) == ("/api/openapi.json", "full=1")


async def test_a_document_that_cannot_be_had_now_keeps_nobody_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as (foreign, url):
        foreign.answers = [Response(503, (), b"")]
        async with start(system(tmp_path, url, f'openapi = "{url}"\n')):
            assert "external.pay.openapi answers 503" in caplog.text
    async with start(system(tmp_path, url, f'openapi = "{url}"\n')):
        assert "external.pay.openapi cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("url", "more", "sentence"),
    [
        ("ftp://x", "", "write https://HOST/PATH"),
        ("https://", "", "write https://HOST/PATH"),
        ("https://x:port", "", "write https://HOST/PATH"),
        ("https://u:p@x", "", "give credentials by reference"),
        ("https://x/#a", "", "has a fragment"),
        ("https://x/?a=1", "", "has a query"),
        ("https://x", '[external.pay.headers]\na = "b"\n', "is a secret in clear"),
        ("http://x", '[external.pay.headers]\na = "env:B"\n', "clear text to another machine"),
        ("https://x", '[external.pay.headers]\na = "env:B"\n', "the environment has no B"),
        ("https://x", '[external.pay.headers]\na = "file:b"\n', "b cannot be read"),
        ("https://x", '[external.pay.headers]\na = "file:odd"\n', "no header field can carry"),
        ("https://x", 'openapi = "none.json"\n', "which cannot be read"),
        ("https://x", 'openapi = "odd"\n', "no JSON document"),
        ("https://x", 'descriptor = "odd"\n', "no contract descriptor"),
        ("https://x", 'descriptor = "odd"\nopenapi = "odd"\n', "leave one"),
    ],
)
async def test_what_is_wrong_with_an_external_service_is_told_at_the_start(
    tmp_path: Path, url: str, more: str, sentence: str
) -> None:
    (tmp_path / "odd").write_text("a\r\nb")
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        async with start(system(tmp_path, url, more)):
            pass
    assert "u:p" not in str(caught.value)


def test_a_url_without_a_port_has_the_usual_one() -> None:
    assert (place_at("https://x/a/", "o").port, place_at("http://x", "o").port) == (443, 80)
    assert place_at("https://x/a/", "o").path == "/a"


async def test_a_fake_answers_in_place_of_a_service_elsewhere(tmp_path: Path) -> None:
    class Fake:
        async def read(self, id: str) -> Charge:
            return Charge(cents=1)

    async with start(system(tmp_path, "https://nowhere.invalid"), fakes={Pay: Fake()}) as running:
        assert (await running.client(Shop).read("1")).cents == 1


def test_it_runs_elsewhere_on_the_console_and_in_the_explanation(tmp_path: Path) -> None:
    more = '[external.pay.headers]\nauthorization = "env:PAY_TOKEN"\n'
    built = system(tmp_path, "https://pay.example", more, PAY_TOKEN="a-secret-of-pay")
    view = system_view(make_plan(built), built.configuration.options, ())
    assert [(each.name, each.runs) for each in view.services] == [
        ("pay", "elsewhere"), ("shop", "here"),
    ]  # fmt: skip
    rows = {name: value for name, value, _ in built.configuration.explain()}
    assert rows["external.pay"] == "elsewhere"
    assert rows["external.pay.url"] == "https://pay.example"
    assert "a-secret-of-pay" not in str(rows)


NEEDY = """
from borough import Service
from tests.runtime.test_external import Pay

class Needy(Service, name="needy"):
    pay: Pay
"""


def test_a_contract_of_another_distribution_is_known_by_who_needs_it(tmp_path: Path) -> None:
    toml = '[external.pay]\nurl = "https://pay.example"\n'
    root = write_system(tmp_path, "needs_elsewhere", toml=toml, files={"needy/service.py": NEEDY})
    loaded = System.load(root)
    assert Pay in loaded.contracts
    make_plan(loaded)


def test_a_contract_of_another_distribution_can_be_mocked(tmp_path: Path) -> None:
    root = write_system(tmp_path, "mocks_elsewhere", files={"needy/service.py": NEEDY})
    narrowed, stand_ins = mocked(System.load(root), ["pay"])
    assert list(stand_ins) == [Pay]
    make_plan(narrowed, stand_ins=stand_ins)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("note", r"external\.note .* did you mean notes\?"), ("notes", "remove one of the two")],
)
def test_an_external_service_that_nobody_knows_or_that_is_here_is_refused(
    tmp_path: Path, name: str, sentence: str
) -> None:
    toml = f'[external.{name}]\nurl = "https://pay.example"\n'
    with pytest.raises(ConfigurationError, match=sentence):
        System.load(write_system(tmp_path, f"odd_{name}", toml=toml))
