"""Parts of a system as processes that nobody supervises: found by a list or by name, proven, told apart."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from borough.testing import free_port
from tests.cli.terminal import PATIENCE_S, Ran, borough, ready_line, spawned
from tests.docs.pages import DOCS
from tests.fleet.village import LEDGER_SERVICE, Village, until, write_village

Start = Callable[..., Ran]
SHOP = DOCS.parent / "examples" / "shop"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a part that is then ready; ended at the end if it still runs."""
    with ExitStack() as ended:

        def begin(root: Path, *words: str) -> Ran:
            process = ended.enter_context(spawned("run", str(root), "--json", *words))
            return Ran(process, ready_line(process))

        yield begin


def village(folder: Path) -> Path:
    """A system whose services leave standard output alone."""
    silent = LEDGER_SERVICE.replace('print("the ledger is open")', "pass")
    return write_village(folder, ledger__service=silent)


def refused(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A part that ends by itself."""
    command = borough("run", str(root), *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def add_to(root: Path, text: str) -> None:
    with (root / "borough.toml").open("a", encoding="utf-8") as toml:
        toml.write(text)


def listed(root: Path, *services: str) -> dict[str, str]:
    """Write a list of one replica for each service; the ports, as words of a command."""
    ports = {service: free_port() for service in services}
    lines = [f'{service} = ["127.0.0.1:{port}"]\n' for service, port in ports.items()]
    add_to(root, "\n[discovery.static]\n" + "".join(lines))
    return {service: str(port) for service, port in ports.items()}


def door_of(root: Path, ran: Ran) -> Village:
    """The door, asked as a fleet is."""
    village = Village.__new__(Village)
    village.root, village.process, village.ready = root, ran.process, ran.ready
    return village


def test_door_and_services_find_each_other_by_a_list(tmp_path: Path, start: Start) -> None:
    root = village(tmp_path)
    ports = listed(root, "ledger", "clerk")
    ledger = start(root, "--only", "ledger", "--internal-port", ports["ledger"])
    clerk = start(root, "--only", "clerk", "--internal-port", ports["clerk"])
    edge = start(root, "--only", "edge", "--port", "0")
    assert (edge.ready["services"], edge.ready["internal"]) == (["clerk", "ledger"], None)
    assert (ledger.ready["services"], ledger.ready["edge"]) == (["ledger"], None)
    door = door_of(root, edge)
    pids = {"clerk": clerk.process.pid, "ledger": ledger.process.pid}
    assert door.ask("/clerk/pids") == (200, pids)
    assert door.ask("/ledger/secret")[0] == 404
    assert door.ask("/readyz")[0] == 200
    with urllib.request.urlopen(ledger.ready["internal"] + "/readyz") as probe:
        assert json.load(probe) == {"status": "ready", "services": {"ledger": "ready"}}
    written = door.ask("/clerk/write", {"text": "a"})[1]
    until(lambda: [each["id"] for each in door.ask("/clerk/heard")[1]] == [written])
    called = door.command("call", "ledger.secret", "--as", "clerk", "--system", str(root))
    assert (called.returncode, called.stdout) == (0, "42\n"), called.stderr
    denied = door.command("call", "clerk.heard", "--as", "ledger", "--system", str(root))
    assert "ledger does not declare clerk.Clerk" in denied.stderr
    ledger.process.kill()
    ledger.process.wait(PATIENCE_S)
    assert door.ask("/clerk/pids")[0] == 503
    again = start(root, "--only", "ledger", "--internal-port", ports["ledger"])
    found = until(lambda: (answer := door.ask("/clerk/pids"))[0] == 200 and answer[1])
    assert found == {**pids, "ledger": again.process.pid}
    assert [part.stop()[0] for part in (edge, clerk, again)] == [0, 0, 0]
    assert not (root / ".borough" / "running.json").exists()


def test_a_service_is_found_by_its_name(tmp_path: Path, start: Start) -> None:
    """Every machine resolves the name `localhost`, so the ledger is called so."""
    root = village(tmp_path)
    contract = root / "ledger" / "contract.py"
    contract.write_text(contract.read_text().replace('@contract("ledger"', '@contract("localhost"'))
    port, clerks = free_port(), free_port()
    add_to(root, f'\n[discovery]\ndns = "{{service}}:{port}"\n')
    add_to(root, f'\n[discovery.static]\nclerk = ["127.0.0.1:{clerks}"]\n')
    ledger = start(root, "--only", "localhost", "--internal-port", str(port))
    clerk = start(root, "--only", "clerk", "--internal-port", str(clerks))
    edge = start(root, "--only", "edge", "--port", "0")
    assert edge.ready["services"] == ["clerk", "localhost"]
    door = door_of(root, edge)
    pids = {"clerk": clerk.process.pid, "ledger": ledger.process.pid}
    assert door.ask("/clerk/pids") == (200, pids)
    assert door.ask("/localhost/pid") == (200, ledger.process.pid)


def test_hosts_that_share_nothing_prove_themselves_by_certificates(
    tmp_path: Path, start: Start
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    ledgers, clerks = village(here), village(there)
    made = subprocess.run(
        borough("certs", str(clerks), "--folder", str(tmp_path / "certs")),
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    assert made.returncode == 0
    shutil.rmtree(ledgers / "clerk")
    (clerks / "ledger" / "service.py").unlink()
    for root, services in ((ledgers, ["ledger"]), (clerks, ["clerk", "edge"])):
        (root / "certs").mkdir()
        files = [f"{service}.{kind}" for service in services for kind in ("pem", "key")]
        for name in ("ca.pem", *files):
            shutil.copy(tmp_path / "certs" / name, root / "certs" / name)
        add_to(root, '\n[internal.tls]\nca = "certs/ca.pem"\ncertificate = "certs/{service}.pem"\n')
        add_to(root, 'key = "certs/{service}.key"\n')
    ports = listed(clerks, "ledger", "clerk")
    run_ledger = (ledgers, "--only", "ledger", "--internal-port", ports["ledger"])
    run_clerk = ("--only", "clerk", "--internal-port", ports["clerk"])
    with spawned("run", str(ledgers), "--json", *run_ledger[1:]) as unknowing:
        assert ready_line(unknowing)["internal"].startswith("https://")
        denied = refused(clerks, *run_clerk)
        assert denied.returncode == 1
        assert "clerk does not declare ledger.Ledger" in denied.stderr
    for root in (ledgers, clerks):  # one borough.toml for both
        add_to(root, '\n[services.clerk]\nneeds = ["ledger.Ledger"]\n')
    ledger = start(*run_ledger)
    clerk = start(clerks, *run_clerk)
    door = door_of(clerks, start(clerks, "--only", "edge", "--port", "0"))
    pids = {"clerk": clerk.process.pid, "ledger": ledger.process.pid}
    assert door.ask("/clerk/pids") == (200, pids)
    called = door.command("call", "ledger.secret", "--as", "clerk", "--system", str(clerks))
    assert (called.returncode, called.stdout) == (0, "42\n"), called.stderr
    status, said = clerk.stop()
    assert status == 0
    assert "EVENTS: clerk.note hears ledger, which does not run here and has no database" in said


def test_a_part_may_be_a_deployable_of_a_topology(tmp_path: Path, start: Start) -> None:
    root = village(tmp_path)
    both = start(root, "--only", "all", "--topology", "together")
    assert both.ready["services"] == ["ledger", "clerk"]
    assert both.ready["internal"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("clerks", "--only clerks: there is no service 'clerks' here; did you mean clerk?"),
        (
            "ledger --topology together",
            "there is no deployable of the topology together 'ledger' here",
        ),
        ("edge,clerk", "the public door is a process of its own; start it with --only edge"),
        (",", "--only ',' names nothing"),
        ("clerk", "clerk calls ledger, which does not run in this process, and nothing says where"),
        ("edge", "the public door forwards to nobody"),
        ("ledger --port 8080", "--port is nothing for a process of services"),
        (
            "edge --internal-port 9001",
            "--internal-port is nothing for a process of the public door",
        ),
        (
            "clerk --set discovery.dns=ledger:9000",
            "discovery.dns is 'ledger:9000', which names the same host for each service",
        ),
    ],
)
def test_what_cannot_be_run_apart_is_said(tmp_path: Path, words: str, sentence: str) -> None:
    ended = refused(village(tmp_path), "--only", *words.split())
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_token_does_not_leave_the_machine(tmp_path: Path) -> None:
    root = village(tmp_path)
    add_to(root, '\n[discovery.static]\nledger = ["10.0.0.5:9001"]\n')
    for part in ("clerk", "edge"):
        ended = refused(root, "--only", part)
        assert ended.returncode == 2
        assert "would talk to ledger at 10.0.0.5 in clear text" in ended.stderr


def test_needs_that_differ_from_the_class_are_refused(tmp_path: Path) -> None:
    root = village(tmp_path)
    add_to(root, '\n[services.clerk]\nneeds = ["ledger.Ledger", "ledger.Other"]\n')
    ended = refused(root, "--only", "ledger")
    assert ended.returncode == 2
    assert "needs is ledger.Ledger, ledger.Other, and ClerkService declares ledger.Ledger" in (
        ended.stderr
    )


def test_the_commands_of_the_page_run(tmp_path: Path, start: Start) -> None:
    page = (DOCS / "reference" / "fleet.md").read_text(encoding="utf-8")
    section = page.partition("## Without the supervisor")[2]
    toml = section.partition("```toml\n")[2].partition("```")[0]
    commands = re.findall(r"^\$ borough run examples/shop (.+)$", section, re.MULTILINE)
    for port in sorted(set(re.findall(r"\b[89]\d{3}\b", toml + " ".join(commands)))):
        free = str(free_port())
        toml, commands = toml.replace(port, free), [each.replace(port, free) for each in commands]
    root = tmp_path / "shop"
    shutil.copytree(SHOP, root, ignore=shutil.ignore_patterns(".borough", "__pycache__"))
    add_to(root, "\n" + toml)
    assert len(commands) == 4
    parts = [start(root, *command.split()) for command in commands]
    door = parts[-1]
    url = door.ready["edge"]

    def ask(method: str, target: str, body: Any = None, token: str = "") -> Any:
        fields = {"content-type": "application/json"}
        if token:
            fields["authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url + target, data, fields, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    anna = {"email": "anna@shop.example", "password": "correct horse", "name": "Anna"}
    ask("POST", "/accounts", anna)
    opened = ask("POST", "/accounts/sessions", {k: anna[k] for k in ("email", "password")})
    sku = ask("GET", "/search/items")["items"][0]["sku"]
    basket = ask("PUT", f"/orders/basket/{sku}", {"quantity": 2}, opened["token"])
    assert [line["sku"] for line in basket["lines"]] == [sku]
    assert [part.stop()[0] for part in reversed(parts)] == [0, 0, 0, 0]
