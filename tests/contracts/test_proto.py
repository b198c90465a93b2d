"""A contract as protobuf: a text that buf and protoc take, numbers that stay, and values that survive."""

from __future__ import annotations

import enum
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import pytest
from google.protobuf import descriptor_pb2

from borough import ANYONE, Struct, contract, get, post
from borough.contracts.descriptor import describe
from borough.contracts.proto import ProtoFile, proto_file
from borough.contracts.proto_lock import ProtoLock, numbered, read_lock, write_lock
from borough.contracts.proto_names import pascal, snake
from borough.contracts.proto_text import proto_text
from borough.contracts.reading import read_contract
from borough.errors import ConfigurationError
from borough.transports.grpc.pool import MessagePool, file_descriptor
from shop.orders.contract import Orders
from shop.payments.contract import Payments
from tests.contracts.bazaar import Bazaar

CONTRACTS = (Bazaar, Orders, Payments)
BUF = Path(sys.executable).parent / "buf"


def made(cls: type[Any], lock: ProtoLock | None = None) -> tuple[ProtoFile, ProtoLock]:
    """The file of a contract, and its lock."""
    return numbered(proto_file(describe(read_contract(cls))), lock or ProtoLock(), "the lock")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The texts of some contracts, each at its place."""
    for cls in CONTRACTS:
        file, _ = made(cls)
        path = tmp_path / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(proto_text(file))
    return tmp_path


def test_buf_finds_nothing_against_its_standard_rules(folder: Path) -> None:
    found = subprocess.run([BUF, "lint", folder], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_protoc_makes_of_the_text_what_the_door_serves(folder: Path) -> None:
    files = [made(cls)[0] for cls in CONTRACTS]
    out = folder / "all.bin"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}"]
    command += [f"--descriptor_set_out={out}", *(file.path for file in files)]
    subprocess.run(command, check=True)
    compiled = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    for file, found in zip(files, compiled.file, strict=True):
        for message in found.message_type:
            _without_json_names(message)
        assert file_descriptor(file) == found


def _without_json_names(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        field.ClearField("json_name")
    for nested in message.nested_type:
        _without_json_names(nested)


class CourtService(Struct):
    """Named as the service of the contract is."""

    open: bool


class Ball(enum.Enum):
    STATE_NEW = "new"


class BallState(enum.Enum):
    NEW = "new"


@contract("court", version="1.0")
class Court(Protocol):
    """What has one name in protobuf, and several in Python."""

    @get("/one")
    async def a_b(self, ball: Ball, state: BallState) -> CourtService: ...

    @get("/two")
    async def a__b(self) -> int: ...


def test_what_protobuf_would_call_alike_has_names_of_its_own() -> None:
    file, _ = made(Court)
    pool = MessagePool([file])  # which refuses a name that is there twice
    assert pool.message(file, "CourtServiceMessage")(open=True).open
    assert [method.name for method in file.methods] == ["AB", "AB2"]
    assert [each.name for each in file.enums["BallState"].values] == [
        "BALL_STATE_UNSPECIFIED",
        "BALL_STATE_NEW2",
    ]


def test_the_same_contract_has_the_same_bytes() -> None:
    for cls in CONTRACTS:
        (file, lock), (again, second) = made(cls), made(cls)
        assert proto_text(file) == proto_text(again)
        assert write_lock(lock) == write_lock(second)
        assert write_lock(read_lock(write_lock(lock), "the lock")) == write_lock(lock)


def test_the_public_part_keeps_its_numbers_and_has_nothing_internal() -> None:
    file, _ = made(Bazaar)
    public = file.public()
    names = {method.name for method in public.methods}
    assert names < {method.name for method in file.methods}
    for name, message in public.messages.items():
        assert message == file.messages[name]
    text = proto_text(public)
    assert "rpc One" in text
    assert all(f"rpc {each.name}(" not in text for each in file.methods if each.name not in names)


class Parcel(Struct):
    weight: int
    colour: str = "brown"


class Renamed(Struct):
    weight: int
    shade: str = "brown"
    fragile: bool = False


class Retyped(Struct):
    weight: str


def _post(kind: Any) -> type[Any]:
    """The same contract around another struct of the same name."""
    kind.__name__ = "Parcel"

    @contract("mail", version="1.0")
    class Mail(Protocol):
        @post("/parcels", allow=ANYONE)
        async def send(self, parcel: Any) -> Any: ...

        send.__annotations__.update({"parcel": kind, "return": kind})

    return Mail


def _silent() -> type[Any]:
    """The same contract without parcels."""

    @contract("mail", version="1.0")
    class Mail(Protocol):
        @post("/pings", allow=ANYONE)
        async def ping(self) -> None: ...

    return Mail


def test_a_renamed_field_is_a_new_number_and_the_old_one_is_reserved() -> None:
    _, lock = made(_post(Parcel))
    file, lock = made(_post(Renamed), lock)
    fields = {field.name: field.number for field in file.messages["Parcel"].fields}
    assert fields == {"weight": 1, "shade": 3, "fragile": 4}
    text = proto_text(file)
    assert "  reserved 2;\n" in text
    assert '  reserved "colour";\n' in text
    # And when the name comes back, it does so with a number of its own.
    file, lock = made(_post(Parcel), lock)
    fields = {field.name: field.number for field in file.messages["Parcel"].fields}
    assert fields == {"weight": 1, "colour": 5}
    assert "  reserved 2, 3, 4;\n" in proto_text(file)
    assert '"colour"' not in proto_text(file)


def test_a_type_that_goes_leaves_its_numbers_behind() -> None:
    _, lock = made(_post(Parcel))
    _, lock = made(_silent(), lock)
    file, _ = made(_post(Parcel), lock)
    numbers = {field.name: field.number for field in file.messages["Parcel"].fields}
    assert numbers == {"weight": 3, "colour": 4}


def test_a_field_of_another_type_is_refused() -> None:
    _, lock = made(_post(Parcel))
    with pytest.raises(
        ConfigurationError,
        match=r"mail\.Mail: Parcel\.weight is string now, and int64 in the lock: .* another name",
    ):
        made(_post(Retyped), lock)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "no lock of field numbers"),
        (b'{"format": 9, "contracts": {}}', "has format 9"),
        (
            b'{"contracts": {"a.A": {"B": {"fields": {"x": "int64 = 1", "y": "int64 = 1"}}}}}',
            "twice",
        ),
        (b'{"contracts": {"a.A": {"B": {"fields": {"x": "int64"}}}}}', "one that cannot be"),
        (b'{"contracts": {"a.A": {"B": {"reserved": ["x = 0"]}}}}', "one that cannot be"),
    ],
)
def test_a_broken_lock_is_refused_with_the_remedy(text: bytes, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        read_lock(text, "the lock")


@pytest.mark.parametrize(
    ("name", "snaked", "pascaled"),
    [
        ("orderId", "order_id", "OrderId"),
        ("put_in_basket", "put_in_basket", "PutInBasket"),
        ("HTTPState", "http_state", "HTTPState"),
        ("Page_Order", "page_order", "PageOrder"),
        ("@type", "type", "Type"),
        ("2nd", "field_2nd", "Type2nd"),
    ],
)
def test_names_are_made_as_protobuf_has_them(name: str, snaked: str, pascaled: str) -> None:
    assert (snake(name), pascal(name)) == (snaked, pascaled)
