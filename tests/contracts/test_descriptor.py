"""A descriptor: canonical bytes, read back without the code, with a fingerprint that ignores words."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from borough.contracts.descriptor import describe, fingerprint, from_json, to_json
from borough.contracts.reading import read_contract
from borough.errors import ConfigurationError
from tests.contracts.bazaar import Bazaar
from tests.contracts.planted import module_of

ROOT = Path(__file__).parent.parent.parent
BAZAAR = describe(read_contract(Bazaar))
WRITE = """
import sys
from tests.contracts.bazaar import Bazaar
from borough.contracts.descriptor import describe, to_json
from borough.contracts.reading import read_contract
sys.stdout.buffer.write(to_json(describe(read_contract(Bazaar))))
"""


def test_a_descriptor_is_read_back_without_its_code() -> None:
    text = to_json(BAZAAR)
    again = from_json(text)
    assert again == BAZAAR
    assert to_json(again) == text
    read = "import sys; from borough.contracts.descriptor import from_json, to_json\n"
    read += "text = sys.stdin.buffer.read(); assert to_json(from_json(text)) == text\n"
    read += "assert 'tests' not in ''.join(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", read], input=text, check=True, env=environment)


def test_the_bytes_are_the_same_under_every_hash_seed() -> None:
    for seed in ("0", "1", "4242"):
        paths = os.pathsep.join(map(str, (ROOT, ROOT / "src")))
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-W", "error", "-c", WRITE]
        written = subprocess.run(command, capture_output=True, check=True, env=environment)
        assert written.stdout == to_json(BAZAAR)


def test_the_bytes_are_the_same_in_every_version_of_python() -> None:
    # Written once by Python 3.11; each version that runs this test must write the same.
    expected = (Path(__file__).parent / "bazaar.json").read_bytes()
    assert to_json(BAZAAR) + b"\n" == expected


def test_the_json_is_canonical() -> None:
    text = to_json(BAZAAR)
    plain = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert text.decode() == plain


def test_names_carry_the_major_version() -> None:
    assert BAZAAR.wire_name == "bazaar.Bazaar.v2"
    assert BAZAAR.operation("sell").wire_name == "bazaar.Bazaar.v2.sell"
    assert BAZAAR.operation("sell").path == "/bazaar/v2/{sku}/sales"
    assert [event.topic for event in BAZAAR.events] == ["bazaar.Bazaar.v2"] * 2


def test_it_tells_what_an_operation_promises() -> None:
    sell = BAZAAR.operation("sell")
    assert (sell.method, sell.status, sell.idempotent_by) == ("POST", 200, "buyer")
    assert (sell.timeout_s, sell.doc, sell.example) == (2.0, "Sell it.", {"buyer": "ada"})
    assert [(p.name, p.place, p.required) for p in sell.parameters] == [
        ("sku", "path", True),
        ("buyer", "field", True),
        ("count", "field", False),
    ]
    one = BAZAAR.operation("one")
    assert (one.reply, one.raises) == (True, ("bazaar.Gone", "bazaar.Shut"))
    assert BAZAAR.problem("bazaar.Gone").title == "It is gone."
    sold = next(event for event in BAZAAR.events if event.name == "Sold")
    assert (sold.wire_name, sold.key) == ("bazaar.Bazaar.v2.Sold", "sku")
    assert BAZAAR.operation("visitors").stream
    assert set(BAZAAR.types) == {
        *("Bottle", "ChangeRequest", "Crate", "Everything", "Gone", "Opened"),
        *("Page_Everything", "Rank", "SellRequest", "Shut", "Size", "Sold", "State"),
    }


def changed(old: str, new: str, folder: Path) -> str:
    """The fingerprint of the bazaar when its text is another."""
    source = (Path(__file__).parent / "bazaar.py").read_text(encoding="utf-8")
    assert old in source
    with module_of(source.replace(old, new), folder) as module:
        return fingerprint(describe(read_contract(module.Bazaar)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Sells everything.", "Sells anything."),
        ("Goods in a crate.", "Goods."),
        ("Somebody was faster.", "Too late."),
        ('description="Another name."', 'description="A name."'),
        ('examples=["x", "y"]', 'examples=["z"]'),
        ('example={"buyer": "ada"}', 'example={"buyer": "bob"}'),
    ],
)
def test_words_do_not_change_a_fingerprint(old: str, new: str, tmp_path: Path) -> None:
    assert changed(old, new, tmp_path) == fingerprint(BAZAAR)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('version="2.3"', 'version="2.4"'),
        ("since 2.1, use sell", "since 2.2, use sell"),
        ("le=40_000", "le=30_000"),
        ('SMALL = "S"', 'SMALL = "s"'),
        ("limit: Annotated[int, Meta(ge=1, le=50)] = 10", "limit: int = 10"),
        ("class Gone(Problem, status=404)", "class Gone(Problem, status=410)"),
        ("sku: Key[Sku]", "sku: Sku"),
        ('default="x"', 'default="y"'),
        ("State(OpenEnum)", "State(enum.Enum)"),
    ],
)
def test_facts_change_a_fingerprint(old: str, new: str, tmp_path: Path) -> None:
    assert changed(old, new, tmp_path) != fingerprint(BAZAAR)


def test_a_fingerprint_is_the_same_after_a_round_trip() -> None:
    assert fingerprint(from_json(to_json(BAZAAR))) == fingerprint(BAZAAR)
    assert len(fingerprint(BAZAAR)) == 64


def test_the_order_of_declaration_does_not_matter(tmp_path: Path) -> None:
    same = changed("publishes=[Sold, Opened]", "publishes=[Opened, Sold]", tmp_path)
    assert same == fingerprint(BAZAAR)


def broken(**changes: Any) -> bytes:
    """The bazaar's JSON with other members at its top."""
    return msgspec.json.encode({**json.loads(to_json(BAZAAR)), **changes})


def without_type(name: str) -> bytes:
    types = json.loads(to_json(BAZAAR))["types"]
    del types[name]
    return broken(types=types)


def changed_text(old: bytes, new: bytes) -> bytes:
    text = to_json(BAZAAR)
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "This is no contract descriptor: Input data was truncated"),
        (b"[1]", "This is no contract descriptor: Expected `object`, got `array`"),
        (b"\xff{}", "This is no contract descriptor: JSON is malformed"),
        (
            b'{"format":1,"x":' + b"[" * 600,
            "This is no contract descriptor: it has more than 64 lev",
        ),
        (b"{}", "This is no contract descriptor: Object missing required field `format`"),
        (broken(format=99), "The descriptor has format 99, this Borough reads format 1"),
        (broken(service=1), r"The descriptor is broken: Expected `str`, got `int` - at `\$.serv"),
        (broken(color="red"), "The descriptor is broken: Object contains unknown field `color`"),
        (
            broken(problems=[]),
            r"The descriptor is broken: bazaar\.Bazaar\.v2\.many raises bazaar\.Shut, which",
        ),
        (without_type("Size"), "The descriptor is broken: the type Size is not described"),
        (without_type("Sold"), "The descriptor is broken: the struct Sold is not described"),
        (
            changed_text(b'"name":"sku","place":"path"', b'"name":"sku","place":"query"'),
            r"bazaar\.Bazaar\.v2\.change has other parameters than its path /bazaar/v2/\{sku\}\.",
        ),
        (
            changed_text(b'"name":"words","place":"query"', b'"name":"limit","place":"query"'),
            r"the parameter of many 'limit' is there twice",
        ),
        (changed_text(b'"name":"text"', b'"name":"whole"'), "of Everything 'whole' is there twice"),
        (changed_text(b'"value":"L"', b'"value":"S"'), "the member of Size 'S' is there twice"),
        (
            changed_text(b'{"default":10,', b'{"default":51,'),
            r"the default of limit of many does not fit: Expected `int` <= 50\.",
        ),
        (
            changed_text(b'{"default":"x",', b'{"default":1,'),
            r"the default of Everything\.renamed does not fit: Expected `str`, got `int`\.",
        ),
        (
            changed_text(b'["x","y"],"kind":"str"', b'["x","y"],"kind":"str","pattern":"("'),
            r"'\(' is no pattern: missing \), unterminated",
        ),
        (changed_text(b'"key":"sku"', b'"key":"price_"'), "Sold has no field 'price_' to keep its"),
        (changed_text(b'"values":["a","b"]', b'"values":[]'), "a literal has no values"),
        (changed_text(b'"le":50', b'"le":9223372036854775808'), "a limit beyond 64 bits"),
        (changed_text(b'"le":50', b'"le":1' + b"0" * 400), "a limit beyond 64 bits"),
        (changed_text(b'"name":"buyer"', b'"name":"self"'), "sell is called 'self'"),
    ],
)
def test_a_broken_descriptor_is_refused_with_a_clear_sentence(text: bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        from_json(text)
    assert str(caught.value).endswith(".")


def test_a_default_is_not_held_against_a_pattern_of_somebody_elses() -> None:
    """With some more letters that search would take years, and nothing else would run meanwhile."""
    text = changed_text(b'["x","y"],"kind":"str"', b'["x","y"],"kind":"str","pattern":"^(a+)+$"')
    assert from_json(text).wire_name == "bazaar.Bazaar.v2"
