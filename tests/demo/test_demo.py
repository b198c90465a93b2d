"""The whole demo, for real: it keeps everything, and what is planted in its files is found."""

import fcntl
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from borough.runtime.host import OWN_RESOURCES
from borough.runtime.system import System
from borough.runtime.wiring import make_plan
from borough.services.identity import TokenIssuer
from borough.testing import free_port
from shop.demo.evidence import read_evidence
from shop.demo.ledger import compare, main
from shop.demo.places import SERVICES, Places
from shop.demo.rules import HEARD_BY
from tests.fleet.village import is_alive, until

SHOP = Path(__file__).resolve().parents[2] / "examples" / "shop"
KEYS = [
    *("orders", "paid", "declined", "events_published", "events_handled"),
    *("lost", "doubled", "errors"),
    *("p50_ms", "p99_ms", "requests_per_s", "ready_ms"),
]


def _command(folder: Path, *more: str) -> list[str]:
    port = str(free_port())
    demo = [sys.executable, "-m", "borough", "demo"]
    return [*demo, "--json", "--port", port, "--data", str(folder), *more]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo that ran for four seconds, with what it said in `said.txt`.

    One run serves all workers of a parallel test run.
    """
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):
        shared = shared.parent
    folder = shared / "demo"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            done = subprocess.run(
                _command(folder, "--for", "4s", "--measure"), capture_output=True, text=True
            )
            said = {"status": done.returncode, "out": done.stdout, "errors": done.stderr}
            (folder / "said.json").write_text(json.dumps(said))
    return folder


def test_the_demo_ends_with_a_summary_in_which_nothing_is_lost(played: Path) -> None:
    said = json.loads((played / "said.json").read_text())
    assert said["status"] == 0, said["errors"]
    summary = json.loads(said["out"].splitlines()[-1])
    assert list(summary) == KEYS
    assert (summary["lost"], summary["doubled"], summary["errors"]) == (0, 0, 0)
    assert summary["orders"] >= 20
    assert summary["paid"] > 0
    assert summary["declined"] > 0
    assert summary["events_handled"] > 0
    assert 0 < summary["p50_ms"] <= summary["p99_ms"]


def test_all_five_services_have_something_to_show(played: Path) -> None:
    found = read_evidence(Places(played))
    assert found.accounts
    assert found.orders
    assert found.payments
    assert found.reservations
    assert found.mails
    assert compare(played) == []


def _sql(service: str, *statements: str) -> Callable[[Places], None]:
    def plant(places: Places) -> None:
        connection = apsw.Connection(str(places.data / f"{service}.db"))
        for statement in statements:
            connection.execute(statement)
            assert connection.changes() > 0, statement
        connection.close()

    return plant


def _repeat_charge(places: Places) -> None:
    lines = places.issuer.read_text().splitlines(keepends=True)
    charge = next(line for line in lines if '"charged"' in line)
    places.issuer.write_text("".join([*lines, charge]))


def _drop_charge(places: Places) -> None:
    lines = places.issuer.read_text().splitlines(keepends=True)
    lines.remove(next(line for line in lines if '"charged"' in line))
    places.issuer.write_text("".join(lines))


def _drop_mail(places: Places) -> None:
    next((places.mailbox / "new").glob("*.eml")).unlink()


def _copy_mail(places: Places) -> None:
    mail = next((places.mailbox / "new").glob("*.eml"))
    shutil.copy(mail, mail.with_name("again.eml"))


ONE_PAID = "(select order_id from orders where state = 'paid' limit 1)"
ONE_MAIL = "(select mail_id from mails limit 1)"

FAULTS: dict[str, tuple[str, Callable[[Places], None]]] = {
    "an order is gone": (
        "order-kept",
        _sql("orders", f"delete from orders where order_id = {ONE_PAID}"),
    ),
    "an order forgot that it was paid": (
        "outcome-kept",
        _sql("orders", f"update orders set state = 'declined' where order_id = {ONE_PAID}"),
    ),
    "an account is gone": (
        "account-kept",
        _sql(
            "accounts",
            "delete from accounts where account_id in (select min(account_id) from accounts)",
        ),
    ),
    "a payment was never captured": (
        "sale-captured",
        _sql("payments", "update payments set state = 'failed' where state = 'captured'"),
    ),
    "a reservation is gone": (
        "sale-held",
        _sql("search", "delete from reservations where released = 0"),
    ),
    "stock has vanished": (
        "stock-kept",
        _sql("search", "update items set stock = stock - 1 where sku = 'KIT-0001'"),
    ),
    "stock was given back twice": (
        "one-return",
        _sql("search", "update items set stock = stock + 1 where sku = 'KIT-0001'"),
    ),
    "an event was not handled": (
        "event-handled",
        _sql(
            "notifications",
            "delete from borough_inbox where event_id in (select min(event_id) from borough_inbox)",
        ),
    ),
    "a mail was not noted": (
        "mail-written",
        _sql("notifications", f"delete from mails where mail_id = {ONE_MAIL}"),
    ),
    "a mail was written twice": (
        "one-mail",
        _sql(
            "notifications",
            "insert into mails select 'again', account_id, recipient, subject, text, about, sent_at"
            f" from mails where mail_id = {ONE_MAIL}",
        ),
    ),
    "a mail was not delivered": ("mail-delivered", _drop_mail),
    "a mail was delivered twice": ("one-delivery", _copy_mail),
    "a card was charged twice": ("one-charge", _repeat_charge),
    "the issuer knows nothing of a charge": ("booking-charged", _drop_charge),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_planted_in_a_copy_is_found(played: Path, tmp_path: Path, fault: str) -> None:
    rule, plant = FAULTS[fault]
    copy = tmp_path / "copy"
    shutil.copytree(played, copy)
    plant(Places(copy))
    assert rule in {breach.rule.name for breach in compare(copy)}


def test_the_comparison_says_what_is_wrong_and_exits_with_1(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(played)]) == 0
    copy = tmp_path / "copy"
    shutil.copytree(played, copy)
    _repeat_charge(Places(copy))
    assert main([str(copy)]) == 1
    assert "doubled: one-charge: order " in capsys.readouterr().out


def test_a_fleet_keeps_everything_with_a_process_for_each_service(tmp_path: Path) -> None:
    done = subprocess.run(
        _command(tmp_path / "fleet", "--for", "2s", "--topology", "fleet"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    pids = summary.pop("pids")
    assert list(summary) == KEYS
    assert (summary["lost"], summary["doubled"], summary["errors"]) == (0, 0, 0)
    assert summary["orders"] > 0
    assert sorted(pids) == sorted([*SERVICES, "edge"])
    assert len(set(pids.values())) == len(pids)
    assert "five databases and three ledgers agree" in done.stderr
    assert not [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_ends_a_demo_that_has_no_end_and_everything_is_still_compared(
    tmp_path: Path,
) -> None:
    demo = subprocess.Popen(
        _command(tmp_path / "demo"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert demo.stderr is not None
    for line in demo.stderr:
        if "requests" in line:
            demo.send_signal(signal.SIGINT)
            break
    out, errors = demo.communicate()
    assert demo.returncode == 0, errors
    summary = json.loads(out.splitlines()[-1])
    assert (summary["lost"], summary["doubled"], summary["errors"]) == (0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_nothing_outlives_a_demo_that_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        _command(tmp_path / "demo"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stderr is not None
        next(line for line in demo.stderr if "requests" in line)
        children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children").read_text().split()
        demo.kill()
    assert len(children) == 3  # the card issuer, the shop, its customers
    until(lambda: not any(is_alive(int(pid)) for pid in children))


def test_a_port_in_use_is_said_in_a_sentence_with_the_remedy(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        demo = [sys.executable, "-m", "borough", "demo", "--port", str(port)]
        done = subprocess.run(demo, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"borough: Port {port} is in use; choose another with --port\n"


def test_the_rules_know_every_handler_of_the_shop() -> None:
    system = System.load(SHOP, environment={})
    plan = make_plan(system, resources=[TokenIssuer, *OWN_RESOURCES])
    assert set(plan.services) == set(SERVICES)
    heard: dict[str, list[str]] = {}
    for service in plan.services.values():
        for handler in service.handlers:
            for event in handler.events:
                heard.setdefault(event.kind.__name__, []).append(handler.name)
    assert {name: tuple(sorted(handlers)) for name, handlers in heard.items()} == HEARD_BY
