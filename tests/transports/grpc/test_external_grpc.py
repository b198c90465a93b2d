"""A gRPC server that knows nothing of Borough is called by the contract that was written of its `.proto`."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass

from borough import Service, System, cli
from borough.contracts.descriptor import describe
from borough.contracts.reading import read_contract
from borough.contracts.shapes import EnumShape
from borough.errors import (
    CallError,
    ConfigurationError,
    DeadlineExceeded,
    Forbidden,
    InvalidRequest,
    ServiceFailure,
    Unavailable,
)
from borough.runtime.configuration import Configuration
from borough.services.context import CURRENT, NO_DEADLINE, Call
from borough.testing import free_port, start

PROTO = Path(__file__).parent / "rates.proto"
GOLD = {
    "currency": "XAU",
    "micros": str(2**62),
    "quality": "QUALITY_FIRM",
    "at": "2026-11-26T05:00:00Z",
    "others": {"EUR": 1.5},
    "sources": [{"name": "mint", "from": [{"currency": "XAG"}]}],
    "raw": "AAE=",
    "volume": 7,
}


class Bank:
    """The server elsewhere; `says` changes its answer, `status` refuses."""

    def __init__(self, compiled: bytes) -> None:
        pool = DescriptorPool()
        for file in FileDescriptorSet.FromString(compiled).file:
            pool.Add(file)
        service = pool.FindServiceByName("bank.rates.v1.RateService")
        self.asked: list[Any] = []
        self.metadata: dict[str, Any] = {}
        self.says: Any = GOLD
        self.status: grpc.StatusCode | None = None
        self.pause_s = 0.0
        self.left = asyncio.Event()
        self.answer = GetMessageClass(service.FindMethodByName("GetRate").output_type)
        methods: dict[str, Any] = {
            name: make(
                getattr(self, name),
                request_deserializer=GetMessageClass(
                    service.FindMethodByName(name).input_type
                ).FromString,
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, make in {
                "GetRate": grpc.unary_unary_rpc_method_handler,
                "WatchRate": grpc.unary_stream_rpc_method_handler,
                "Reset": grpc.unary_unary_rpc_method_handler,
            }.items()
        }
        self.handlers = grpc.method_handlers_generic_handler(service.full_name, methods)

    async def GetRate(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        self.metadata = dict(context.invocation_metadata())
        await asyncio.sleep(self.pause_s)
        if self.status is not None:
            await context.abort(self.status, "not now")
        return ParseDict(self.says, self.answer())

    async def WatchRate(self, request: Any, context: Any) -> Any:
        try:
            for micros in range(3):
                await asyncio.sleep(self.pause_s)
                yield self.answer(currency=request.currency, micros=micros)
            if self.status is not None:
                await context.abort(self.status, "not now")
            await asyncio.sleep(60 if self.says == "nothing" else 0)
        finally:
            self.left.set()

    async def Reset(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return request


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the command writes, ready to be imported."""
    folder = tmp_path_factory.mktemp("rates")
    words = ["contracts", "import", str(PROTO), "--service", "rates", "--out", str(folder)]
    assert cli.main(words) == 0
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.split(".")[0] == "rates_contract"]:
        del sys.modules[name]


@asynccontextmanager
async def calling(package: Path, **settings: object) -> AsyncIterator[tuple[Bank, Any, Any]]:
    """The bank, a client of it, and the written module."""
    compiled = package / "rates_contract" / "rates.binpb"
    bank = Bank(compiled.read_bytes())
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((bank.handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    flags = {
        "external.rates.url": f"grpc://127.0.0.1:{port}",
        "external.rates.proto": str(compiled),
        "external.rates.headers": {"x-who": "env:WHO"},
        **settings,
    }
    written: Any = importlib.import_module("rates_contract.rate_service")
    kind = type("Desk", (Service,), {"__annotations__": {"rates": written.RateService}})
    try:
        configuration = Configuration.load(package, {"WHO": "desk"}).with_flags(flags)
        system = System([kind], configuration=configuration, contracts=[written.RateService])
        async with start(system) as running:
            yield bank, running.service("desk").rates, written
    finally:
        await server.stop(None)


def test_a_proto_file_is_a_contract(package: Path) -> None:
    written: Any = importlib.import_module("rates_contract.rate_service")
    descriptor = describe(read_contract(written.RateService))
    assert descriptor.doc == "Knows what money is worth."
    assert {each.name: each.path for each in descriptor.operations} == {
        "get_rate": "/rates/bank.rates.v1.RateService/GetRate",
        "reset": "/rates/bank.rates.v1.RateService/Reset",
        "watch_rate": "/rates/bank.rates.v1.RateService/WatchRate",
    }
    assert descriptor.operation("watch_rate").stream
    quality = descriptor.types["Quality"]
    assert isinstance(quality, EnumShape)
    assert [(each.name, each.value) for each in quality.members] == [
        ("UNSPECIFIED", "QUALITY_UNSPECIFIED"),
        ("FIRM", "QUALITY_FIRM"),
        ("UNKNOWN", "UNKNOWN"),
    ]


async def test_a_call_carries_every_kind_of_value(package: Path) -> None:
    async with calling(package) as (bank, rates, written):
        rate = await rates.get_rate(written.RateRequest(currency="XAU", digits=0))
        assert rate == written.Rate(
            currency="XAU",
            micros=2**62,
            quality=written.Quality.FIRM,
            at=datetime(2026, 11, 26, 5, tzinfo=UTC),
            others={"EUR": 1.5},
            sources=(written.Source(name="mint", from_=(written.Rate(currency="XAG"),)),),
            text=None,
            raw=b"\x00\x01",
            volume=7,
        )
        (asked,) = bank.asked
        assert (asked.currency, asked.HasField("digits"), asked.digits) == ("XAU", True, 0)
        assert bank.metadata["x-who"] == "desk"
        assert await rates.reset() is None


async def test_a_value_that_is_not_known_yet_is_read_as_unknown(package: Path) -> None:
    async with calling(package) as (bank, rates, written):
        bank.says = {"quality": 99}
        rate = await rates.get_rate(written.RateRequest(currency="XAU"))
        assert rate.quality is written.Quality.UNKNOWN
        assert not bank.asked[0].HasField("digits")


async def test_a_stream_ends_and_whoever_leaves_it_ends_it_there(package: Path) -> None:
    async with calling(package) as (bank, rates, written):
        request = written.RateRequest(currency="XAU")
        assert [each.micros async for each in rates.watch_rate(request)] == [0, 1, 2]
        bank.left.clear()
        bank.says = "nothing"
        stream = rates.watch_rate(request)
        assert (await anext(stream)).micros == 0
        await stream.aclose()
        async with asyncio.timeout(10):
            await bank.left.wait()


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, Forbidden, False),
        (grpc.StatusCode.UNAVAILABLE, Unavailable, False),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest, False),
        (grpc.StatusCode.DATA_LOSS, ServiceFailure, False),
    ],
)
async def test_a_status_is_the_error_that_it_means(
    package: Path, status: grpc.StatusCode, kind: type[CallError], retryable: bool
) -> None:
    async with calling(package) as (bank, rates, written):
        bank.status = status
        with pytest.raises(kind, match="not now") as caught:
            await rates.get_rate(written.RateRequest())
        assert caught.value.retryable is retryable
        with pytest.raises(kind):
            assert [each async for each in rates.watch_rate(written.RateRequest())]


async def test_the_time_left_is_that_of_the_call(package: Path) -> None:
    async with calling(package, **{"limits.default_timeout_s": 0.3}) as (bank, rates, written):
        bank.pause_s = 30.0
        with pytest.raises(DeadlineExceeded):
            await rates.get_rate(written.RateRequest())
        with pytest.raises(DeadlineExceeded):
            await anext(rates.watch_rate(written.RateRequest()))


async def test_a_handler_whose_stream_has_begun_may_call_it(package: Path) -> None:
    async with calling(package) as (_, rates, written):
        CURRENT.set(Call("desk.Desk.watch", "desk", None, None, NO_DEADLINE, None))
        assert (await rates.get_rate(written.RateRequest())).currency == "XAU"
        stream = rates.watch_rate(written.RateRequest())
        assert [each.micros async for each in stream] == [0, 1, 2]


async def test_a_stream_that_says_nothing_more_is_not_waited_for(package: Path) -> None:
    async with calling(package, **{"limits.stream_idle_s": 1.0}) as (bank, rates, written):
        bank.says = "nothing"
        stream = rates.watch_rate(written.RateRequest())
        assert [(await anext(stream)).micros for _ in range(3)] == [0, 1, 2]
        with pytest.raises(ServiceFailure, match="fell silent"):
            await anext(stream)
        async with asyncio.timeout(10):
            await bank.left.wait()


async def test_what_is_not_reached_has_surely_not_run(package: Path) -> None:
    url = {"external.rates.url": f"grpc://127.0.0.1:{free_port()}"}
    async with calling(package, **url) as (_, rates, written):
        with pytest.raises(Unavailable) as caught:
            await rates.get_rate(written.RateRequest())
        assert caught.value.retryable


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"external.rates.proto": None}, "external.rates.proto is missing; name the .binpb"),
        ({"external.rates.proto": "none.binpb"}, "none.binpb, which cannot be read"),
        ({"external.rates.proto": str(PROTO)}, "is no compiled .proto file"),
        ({"external.rates.url": "grpc://x:1/path"}, "has a path, and a gRPC server has none"),
        ({"external.rates.url": "http://127.0.0.1:1"}, "external.rates.url is none; write grpc://"),
    ],
)
async def test_what_cannot_be_called_is_said_at_the_start(
    package: Path, settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        async with calling(package, **settings):
            pass


def test_a_file_that_the_compiler_refuses_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.proto"
    wrong.write_text('syntax = "proto3"; message {', encoding="utf-8")
    assert cli.main(["contracts", "import", str(wrong)]) == 2
    assert (
        "wrong.proto is refused by the compiler: 1:28: Expected message name; mend it"
        in capsys.readouterr().err
    )
    assert cli.main(["contracts", "import", str(tmp_path / "none.proto")]) == 2
    assert cli.main(["contracts", "import", str(PROTO), "--contract", "Other"]) == 2
    assert "has the services RateService; name one by --contract" in capsys.readouterr().err
