"""One team ships three times on a Tuesday; the other one, whose code it has never seen, does not notice."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.fleet.traffic import Asked, traffic
from tests.fleet.tuesday import Repository, payments_at, search_at
from tests.fleet.village import run_village, until

TOML = """
[system]
name = "shop"

[edge]
rate_limit = ""

[fleet]
watch_s = 0.5

[services.search]
distribution = "search"

[services.payments]
distribution = "payments"
"""
FIND: Asked = ("GET", "/search/found/tea", None)
PUT: Asked = ("POST", "/search/things", {"word": "green tea"})
CHARGE: Asked = ("POST", "/payments/charges", {"cents": 5})


def connections(port: int) -> set[str]:
    """The other ends of the established connections to a local port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[2] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}


def test_search_ships_three_times_and_payments_does_not_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = Repository(tmp_path / "repositories/search", "search")
    payments = Repository(tmp_path / "repositories/payments", "payments")
    payments.commit(payments_at(0), "1.0")
    wheels = []
    for release in range(4):
        search.commit(search_at(release), f"1.{release}")
        wheels.append(search.build(f"1.{release}", tmp_path / "dist"))
    site = tmp_path / "site"
    for wheel in (wheels[0], payments.build("1.0", tmp_path / "dist")):
        with zipfile.ZipFile(wheel) as archive:
            own = wheel.name.partition("-")[0]
            assert {name.partition("/")[0].partition("-")[0] for name in archive.namelist()} == {
                own
            }
            archive.extractall(site)
    root = tmp_path / "shop"
    root.mkdir()
    (root / "borough.toml").write_text(TOML)
    monkeypatch.setenv("PYTHONPATH", str(site))
    with (
        run_village(root, "fleet") as shop,
        traffic(shop.ready["edge"], [FIND, PUT, CHARGE, CHARGE]) as asked,
    ):
        beside = next(r for r in shop.ready["replicas"] if r["replica"] == "payments.1")
        port = int(beside["internal"].rpartition(":")[2])
        until(lambda: len(asked.answers.get("POST /payments/charges", ())) > 20)
        before = connections(port)
        assert before
        for release, wheel in enumerate(wheels[1:], 1):
            served = len(asked.answers["GET /search/found/tea"])
            done = shop.command("rollout", "search", "--from", str(wheel), "--json")
            assert done.stdout, done.stderr
            said = json.loads(done.stdout)
            assert (done.returncode, said["state"], said["after"]) == (0, "done", f"1.{release}")
            lately = asked.answers["GET /search/found/tea"][served:]
            assert {each["release"] for each in lately} == {f"1.{release - 1}", f"1.{release}"}
        assert before <= connections(port)  # the door may look at it over one more
        process = Path(f"/proc/{beside['pid']}/cmdline").read_bytes()
        assert b"payments.1" in process
        assert "payments.1 | drains" not in shop.said
    assert not asked.failures
    for key in ("POST /search/things", "POST /payments/charges"):
        numbers = asked.answers[key]
        assert sorted(numbers) == list(range(1, len(numbers) + 1))  # none lost, none doubled
