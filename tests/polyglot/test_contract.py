"""The TypeScript service answers its contract word for word as the Python one does."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from borough.contracts.descriptor import describe, fingerprint, to_json
from borough.contracts.reading import read_contract
from shop.notifications.contract import Notifications as Contract
from tests.identity.company import Company
from tests.polyglot.test_events import ADA, OPENED
from tests.polyglot.typescript import ROOT, SOURCES, Answer, Notifications, ask, require_typescript

DESCRIPTOR = describe(read_contract(Contract))
MAILS = "/notifications/mails"


def speaking_for(subject: str) -> dict[str, str]:
    """The field by which the edge says who is signed in."""
    principal = json.dumps({"subject": subject, "scopes": [], "claims": {}}).encode()
    return {"borough-principal": base64.urlsafe_b64encode(principal).rstrip(b"=").decode()}


class Both:
    """The two services, on the same tokens and the same mails."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._python = subprocess.Popen(
            [
                *(sys.executable, "-m", "borough", "run", str(ROOT / "examples" / "shop")),
                *("--only", "notifications", "--internal-port", "0", "--data", str(folder)),
                *("--json",),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ},
        )
        assert self._python.stdout is not None
        said = json.loads(self._python.stdout.readline())
        self.python = int(said["internal"].rpartition(":")[2])
        self.service = Notifications(folder)
        self.typescript = self.service.port

    def fill(self, count: int) -> None:
        """Mails to Ada and one to another, in both."""
        for number in range(count):
            assert self.service.push(f"e{number}", OPENED, ADA).status == 204
        assert self.service.push("other", OPENED, {**ADA, "account_id": "b"}).status == 204
        rows = self.service.rows("select * from mails")
        connection = apsw.Connection(str(self.folder / "notifications.db"))
        connection.execute("begin immediate")
        connection.executemany("insert into mails values (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.execute("commit")
        connection.close()

    def proof(self, service: str) -> dict[str, str]:
        """What a service proves itself with."""
        token = (self.folder / "tokens" / f"{service}.token").read_text().strip()
        return {"borough-service": service, "borough-proof": token}

    def ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[Answer, Answer]:
        """The answers of the Python service and of the TypeScript one."""
        return ask(self.python, method, path, headers), ask(self.typescript, method, path, headers)

    def close(self) -> None:
        self.service.close()
        self._python.terminate()
        self._python.wait(30)
        assert self._python.stdout is not None
        self._python.stdout.close()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    require_typescript()
    found = Both(tmp_path_factory.mktemp("both"))
    try:
        found.fill(3)
        yield found
    finally:
        found.close()


def same(answers: tuple[Answer, Answer]) -> Any:
    """That both say the same, but for the trace that each began; returns the document."""
    python, typescript = answers
    assert typescript.status == python.status
    fields = ("content-type", "allow", "www-authenticate", "retry-after")
    assert [typescript.headers.get(name) for name in fields] == [
        python.headers.get(name) for name in fields
    ]
    if not python.body:
        assert not typescript.body
        return None
    told, said = python.document, typescript.document
    for document in (told, said):
        document.pop("trace_id", None)
        for mail in document.get("items", ()):  # with more digits, or fewer
            mail["sent_at"] = datetime.fromisoformat(mail["sent_at"])
    assert said == told
    return told


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", ""),
        ("HEAD", ""),
        ("GET", "?limit=2"),
        ("GET", "?limit=3"),
        ("GET", "?limit=1&after=e1"),
        ("GET", "?after=none"),
        ("GET", "?after="),
        ("GET", "?limit=0"),
        ("GET", "?limit=101"),
        ("GET", "?limit=-1"),
        ("GET", "?limit=abc"),
        ("GET", "?limit=1.5"),
        ("GET", "?limit=05"),
        ("GET", "?limit=%205"),
        ("GET", "?limit="),
        ("GET", "?limit=1&limit=2"),
        ("GET", "?other=1"),
        ("POST", ""),
        ("DELETE", ""),
        ("GET", "/none"),
    ],
)
def test_what_the_public_asks_is_answered_alike(both: Both, method: str, target: str) -> None:
    for account in ("a1", "b", "nobody"):
        headers = both.proof("edge") | speaking_for(account)
        same(both.ask(method, MAILS + target, headers))


def test_a_customer_sees_the_own_mails_page_by_page_the_latest_first(both: Both) -> None:
    headers = both.proof("edge") | speaking_for("a1")
    first = same(both.ask("GET", f"{MAILS}?limit=2", headers))
    assert [mail["mail_id"] for mail in first["items"]] == ["e2", "e1"]
    rest = same(both.ask("GET", f"{MAILS}?limit=2&after={first['next']}", headers))
    assert [mail["mail_id"] for mail in rest["items"]] == ["e0"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("nobody", 401),
        ("the edge for nobody", 401),
        ("a principal without proof", 401),
        ("the edge with a wrong proof", 401),
        ("the edge without a proof", 401),
        ("a service that nobody knows", 401),
        ("a service that does not declare it", 403),
        ("a principal that cannot be read", 400),
        ("a time that is none", 400),
    ],
)
def test_who_may_not_ask_is_told_alike(both: Both, case: str, status: int) -> None:
    edge, ada = both.proof("edge"), speaking_for("a1")
    headers: dict[str, str] = {
        "nobody": {},
        "the edge for nobody": edge,
        "a principal without proof": ada,
        "the edge with a wrong proof": {**edge, **ada, "borough-proof": "0" * 64},
        "the edge without a proof": {"borough-service": "edge", **ada},
        "a service that nobody knows": {"borough-service": "x", "borough-proof": "0" * 64},
        "a service that does not declare it": both.proof("orders"),
        "a principal that cannot be read": {**edge, "borough-principal": "%%"},
        "a time that is none": {**edge, **ada, "borough-timeout-ms": "soon"},
    }[case]
    answers = both.ask("GET", MAILS, headers)
    assert answers[1].status == status
    same(answers)


def test_without_time_nothing_is_begun(both: Both) -> None:
    late = both.proof("edge") | speaking_for("a1") | {"borough-timeout-ms": "0"}
    python, typescript = both.ask("GET", MAILS, late)
    assert python.status in (503, 504)  # a busy process sees it before it looks who calls
    assert typescript.status == 504


def test_health_is_told_alike(both: Both) -> None:
    for path in ("/livez", "/readyz"):
        same(both.ask("GET", path, {}))


def test_it_publishes_the_contract_that_the_shop_has(both: Both) -> None:
    published = json.loads((SOURCES / "contract.json").read_text())
    assert published == json.loads(to_json(DESCRIPTOR)), (
        "borough contracts export notifications --format descriptor --system examples/shop "
        "> examples/shop-polyglot/notifications/contract.json"
    )
    python, typescript = both.ask("GET", "/borough/hello", both.proof("edge"))
    name = DESCRIPTOR.wire_name
    assert typescript.document["contracts"] == python.document["contracts"]
    assert typescript.document["contracts"][name]["fingerprint"] == fingerprint(DESCRIPTOR)
    same(both.ask("GET", f"/borough/contracts/{name}", both.proof("edge")))


def test_with_certificates_a_service_is_who_its_certificate_names(tmp_path: Path) -> None:
    require_typescript()
    company = Company(tmp_path)

    def certificate(service: str) -> Path:
        return company.issue(tmp_path / f"{service}.pem", [f"spiffe://shop/service/{service}"])

    service = Notifications(
        tmp_path,
        BOROUGH_TLS_CA=str(company.path),
        BOROUGH_TLS_CERTIFICATE=str(certificate("notifications")),
    )
    try:
        for caller, status in {"edge": 200, "orders": 403, None: 401}.items():
            tls = ssl.create_default_context(cafile=str(company.path))
            tls.check_hostname = False
            if caller is not None:
                tls.load_cert_chain(certificate(caller))
            claims = {"borough-service": "edge", "borough-proof": "0" * 64, **speaking_for("a1")}
            assert ask(service.port, "GET", MAILS, claims, tls=tls).status == status
    finally:
        service.close()
