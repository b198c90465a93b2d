"""A service of a running fleet comes to another version, or stays, and nobody who asks it notices."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from borough.errors import ConfigurationError
from borough.fleet.commands import Answer, Rollout, Scale, ask_fleet
from borough.runtime.code import Code, Kept, keep, kept, reminders
from tests.fleet.traffic import Asked, traffic
from tests.fleet.versions import (
    QUICK,
    rolled,
    write_broken,
    write_contracting,
    write_grown,
    write_incompatible,
)
from tests.fleet.village import (
    CLERK_SERVICE,
    LEDGER_SERVICE,
    Village,
    run_village,
    until,
    write_village,
)

WRITE: Asked = ("POST", "/clerk/write", {"text": "a"})
ADD: Asked = ("POST", "/ledger/entries", {"text": "b"})


def pids(village: Village) -> Any:
    status, found = village.ask("/clerk/pids")
    assert status == 200
    return found


def copies(village: Village) -> list[Path]:
    """What is kept of versions that were rolled out."""
    return [path for path in (village.data / "releases").iterdir() if path.is_dir()]


def test_versions_take_over_under_traffic_and_the_next_start_runs_the_last(tmp_path: Path) -> None:
    # The earlier version reads whole rows, and so sees a column that it does not know.
    whole = LEDGER_SERVICE.replace("returning id, text", "returning *")
    root = write_village(tmp_path / "now", ledger__service=whole)
    grown = write_grown(tmp_path / "next")
    with run_village(root, "fleet", *QUICK) as village:
        before = pids(village)
        with traffic(village.ready["edge"], [WRITE, ADD], clients=2) as asked:
            for source, versions in ((grown, ("1.3", "1.4")), (root, ("1.4", "1.3"))):
                status, said = rolled(village, source)
                assert (status, said["state"]) == (0, "done"), said
                assert (said["before"], said["after"]) == versions
            status, said = rolled(village, grown)
            assert (status, said["after"]) == (0, "1.4")
            back = copies(village)
            assert len(back) == 2  # of the one that runs, and of the one before it
            assert rolled(village, grown)[1]["state"] == "done"
            assert copies(village) == back
        assert not asked.failures
        moods = asked.kinds("POST /ledger/entries", "mood")
        assert moods["calm"] > 10 < moods[None]
        now = pids(village)
        assert (now["clerk"], now["ledger"]) == (before["clerk"], now["ledger"])
        assert now["ledger"] != before["ledger"]
        ids = [
            *asked.answers["POST /clerk/write"],
            *(e["id"] for e in asked.answers["POST /ledger/entries"]),
        ]
        assert len(set(ids)) == len(ids)
        rows = apsw.Connection(str(village.data / "ledger.db")).execute(
            "select count(*) from entries"
        )
        assert list(rows) == [(len(ids),)]
        assert village.stop() == 0
    with run_village(root, "fleet") as village:
        assert village.ask("/ledger/entries", {"text": "c", "mood": "glad"})[1]["mood"] == "glad"
        village.hears("ledger 1.4: runs from ")
        village.hears("current.json and start anew to run that")


def test_what_does_not_fit_what_runs_is_refused_with_the_reason(tmp_path: Path) -> None:
    root = write_village(tmp_path / "now")
    changed = write_village(tmp_path / "d")
    applied = changed / "ledger/migrations/sqlite/0001_entries.sql"
    applied.write_text(applied.read_text() + "create table more (id integer primary key);")
    with run_village(root, "fleet", *QUICK) as village:
        before = pids(village)
        for source, reasons in (
            (changed, [f"{applied} was changed after it was applied. Restore the file"]),
            (write_broken(tmp_path / "a"), ["No module named 'nowhere'"]),
            (
                write_incompatible(tmp_path / "b"),
                [
                    "clerk calls ledger: the caller has ledger.Ledger 1.3 and the callee 1.4",
                    "/request/mood",
                ],
            ),
            (
                write_contracting(tmp_path / "c"),
                [
                    "0002_said.sql: the column entries.text is named said now, and the running version uses it"
                ],
            ),
        ):
            status, said = rolled(village, source)
            assert (status, said["state"]) == (1, "refused")
            assert all(reason in "; ".join(said["reasons"]) for reason in reasons), said
            assert said["replicas"] == ["ledger.1"]
            assert said["code"] == str(source)
        assert pids(village) == before
        assert list((village.data / "releases").iterdir()) == []  # what was refused leaves no copy
        rows = apsw.Connection(str(village.data / "ledger.db")).execute(
            "select name from borough_migrations where space = 'service'"
        )
        assert list(rows) == [("0001_entries.sql",)]
        for words, sentence in (
            (
                ("nobody", "--from", str(root)),
                "no service 'nobody' runs in this fleet; there are clerk, ledger",
            ),
            (
                ("ledger", "--from", str(tmp_path / "gone")),
                "name a wheel, or the folder of a system",
            ),
            (("ledger", "--from", str(tmp_path)), "has no ledger/service.py"),
        ):
            refused = village.command("rollout", *words)
            assert (refused.returncode, sentence in refused.stderr) == (2, True), refused.stderr


BAD = {
    "does not open": ('raise RuntimeError("no ledger today")', "no ledger today"),
    "ends soon after": (
        "asyncio.get_running_loop().call_later(0.2, os._exit, 3)",
        "ended by itself with status 3",
    ),
}


def test_a_version_that_fails_is_rolled_back_by_itself(tmp_path: Path) -> None:
    root = write_village(tmp_path / "now")
    failing = write_grown(tmp_path / "failing")
    service = failing / "ledger/service.py"
    service.write_text(
        service.read_text().replace(
            "async with self.db", "raise KeyError(text)\n        async with self.db"
        )
    )
    with run_village(root, "fleet", "--set", "fleet.watch_s=4") as village:
        before = pids(village)
        for name, (opens, reason) in BAD.items():
            source = write_grown(tmp_path / name, opens=opens)
            place = source / "ledger/service.py"
            place.write_text("import asyncio\n" + place.read_text())
            status, said = rolled(village, source)
            assert (status, said["state"], said["replicas"]) == (1, "rolled back", ["ledger.1"])
            assert reason in said["reasons"][0], said
        with traffic(village.ready["edge"], [ADD], clients=2):
            status, said = rolled(village, failing)
        assert (status, said["state"]) == (1, "rolled back")
        assert "requests failed with 1.4, and 0 of" in said["reasons"][0]
        assert pids(village) == before
        assert list((village.data / "releases").iterdir()) == []


def test_an_old_replica_that_came_to_stay_down_is_back_after_a_rollback(tmp_path: Path) -> None:
    root = write_village(tmp_path / "now")
    grown = write_grown(tmp_path / "next")
    terms = ("--set", "fleet.watch_s=600", "--set", "fleet.restarts=1")
    with run_village(root, "fleet", *terms) as village:

        def process(name: str, count: int) -> int:
            """Of a replica, that which was ready as its first or second."""

            def found() -> list[str]:
                return re.findall(rf"{name} +\| is ready \(pid (\d+)", village.said)

            return int(until(lambda: len(found()) >= count and found()[count - 1]))

        became: list[tuple[int, dict[str, Any]]] = []
        rolling = threading.Thread(target=lambda: became.append(rolled(village, grown)))
        rolling.start()
        new = process("ledger.2", 1)
        for count in (1, 2):
            os.kill(process("ledger.1", count), signal.SIGKILL)
        village.hears("it stays down")
        os.kill(new, signal.SIGKILL)
        rolling.join()
        ((status, said),) = became
        assert (status, said["state"], said["replicas"]) == (1, "rolled back", ["ledger.1"])
        answered, entry = village.ask("/ledger/entries", {"text": "a"})
        assert (answered, entry.get("mood")) == (201, None)


def test_replicas_that_had_gone_come_back_when_a_later_one_fails(tmp_path: Path) -> None:
    root = write_village(tmp_path / "now")
    mark = tmp_path / "first"
    opens = f"Path({str(mark)!r}).open('x').close()"  # the second one finds it there
    with run_village(root, "pairs", *QUICK) as village:
        with traffic(village.ready["edge"], [WRITE, ADD], clients=2) as asked:
            status, said = rolled(village, write_grown(tmp_path / "next", opens=opens))
        assert (status, said["state"]) == (1, "rolled back")
        assert "FileExistsError" in said["reasons"][0]
        assert len(said["replicas"]) == 2
        assert not asked.failures
        assert asked.kinds("POST /ledger/entries", "mood")["calm"] > 0
        assert {
            village.ask("/ledger/entries", {"text": "z"})[1].get("mood") for _ in range(20)
        } == {None}


def test_code_that_could_not_be_rolled_back_is_kept_while_a_replica_runs_it(tmp_path: Path) -> None:
    root = write_village(tmp_path / "now")
    opens = f"Path({str(tmp_path / 'first')!r}).open('x').close()"  # the second one finds it there
    grown = write_grown(tmp_path / "next", opens=opens)
    with run_village(root, "pairs", *QUICK) as village:
        (root / "ledger/service.py").write_text("raise SystemExit('no')")
        assert rolled(village, grown)[1]["state"] == "stuck"
        run = copies(village)
        assert rolled(village, grown)[1]["state"] == "rolled back"
        assert copies(village) == run != []


def test_a_record_that_cannot_be_read_hides_no_outcome(tmp_path: Path) -> None:
    root = write_village(tmp_path / "now")
    with run_village(root, "fleet", *QUICK) as village:
        (village.data / "releases").mkdir()
        (village.data / "releases/current.json").write_text("{")
        status, said = rolled(village, write_broken(tmp_path / "next"))
        assert (status, said["state"]) == (1, "refused")


def test_one_service_of_a_shared_process_comes_to_another_version(tmp_path: Path) -> None:
    root = write_village(tmp_path / "now")
    broken = write_village(tmp_path / "next", clerk__service="import nowhere\n")
    write_grown(tmp_path / "other")
    for name in ("contract.py", "service.py", "migrations/sqlite/0002_moods.sql"):
        text = (tmp_path / "other/village/ledger" / name).read_text()
        (broken / "ledger" / name).write_text(text)
    with run_village(root, "together", *QUICK) as village:
        status, said = rolled(village, broken)
        assert (status, said["state"]) == (0, "done"), said
        assert village.ask("/ledger/entries", {"text": "a"})[1]["mood"] == "calm"
        assert village.ask("/clerk/write", {"text": "a"})[0] == 200
        (village.data / "releases/current.new").mkdir()  # as a full disk would be in the way
        done = village.command("rollout", "ledger", "--from", str(root))
        assert done.returncode == 1
        assert "ledger runs 1.3 instead of 1.4" in done.stderr
        assert "and the next start of the fleet will not: " in done.stderr


def test_a_second_rollout_is_refused_while_one_runs_and_who_scales_waits_and_is_told(
    tmp_path: Path,
) -> None:
    root = write_village(tmp_path / "now")
    grown = write_grown(tmp_path / "next")
    with run_village(root, "fleet", "--set", "fleet.watch_s=3") as village:
        with traffic(village.ready["edge"], [ADD]) as asked:
            first = threading.Thread(target=rolled, args=(village, grown))
            first.start()
            until(lambda: asked.kinds("POST /ledger/entries", "mood")["calm"])
            said: list[str] = []
            scale = (village.data, Scale({"clerk": 1}), said.append)
            scaling = threading.Thread(target=ask_fleet, args=scale, kwargs={"silent_s": 60.0})
            scaling.start()
            refused = village.command("rollout", "clerk", "--from", str(root))
            assert refused.returncode == 2
            assert "another rollout runs in this fleet; wait for its end" in refused.stderr
            for each in (first, scaling):
                each.join()
            assert said == ["the end of a rollout is waited for"]
        assert not asked.failures


def test_a_caller_refuses_an_operation_that_the_callees_version_does_not_fit(
    tmp_path: Path,
) -> None:
    root = write_village(tmp_path / "now")
    other = write_incompatible(tmp_path / "next")
    releases = root / ".borough" / "releases"
    releases.mkdir(parents=True)
    keep(root / ".borough", {"ledger": Kept(("ledger",), Code(str(other)), topology="fleet")})
    with run_village(root, "fleet") as village:
        assert village.ask("/clerk/write", {"text": "a"})[0] == 500
        refused = "clerk.Clerk.write failed in ledger.Ledger.add: the caller has ledger.Ledger 1.3 and the callee 1.4: "
        village.hears(refused + "ledger.Ledger.add at /request/mood: the callee")
        assert village.ask("/clerk/pids")[0] == 200


def test_a_record_whose_code_is_gone_is_told_with_the_remedy(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "releases").mkdir(parents=True)
    gone = Code(str(tmp_path / "gone"))
    keep(data, {"ledger": Kept(("ledger",), gone, topology="fleet")})
    with pytest.raises(
        ConfigurationError, match=r"gone, which was rolled out, is gone; remove .*current.json"
    ):
        kept(data, "fleet", {"ledger": ("ledger",)})
    assert kept(data, "fleet", {"ledger": ("ledger", "clerk")}) == {}


def test_a_record_of_an_earlier_version_is_in_force_still(tmp_path: Path) -> None:
    (tmp_path / "releases").mkdir()
    alone = Kept(("ledger",), Code(str(tmp_path)), {"ledger": "1.4"}, "fleet")
    record = tmp_path / "releases" / "current.json"
    record.write_bytes(msgspec.json.encode({"ledger": alone}))  # before, without its topology
    assert kept(tmp_path, "fleet", {"ledger": ("ledger",)}) == {"ledger": alone}
    keep(tmp_path, {"ledger": alone})
    assert len(msgspec.json.decode(record.read_bytes())) == 1


def test_a_record_of_before_topologies_were_noted_is_in_force_until_the_next_rollout(
    tmp_path: Path,
) -> None:
    record = tmp_path / "releases" / "current.json"
    record.parent.mkdir()
    written = {"services": ["ledger"], "code": {"folder": str(tmp_path), "releases": {}}}
    record.write_bytes(msgspec.json.encode({"ledger": written}))
    first = Kept(("ledger",), Code(str(tmp_path)))
    assert kept(tmp_path, "fleet", {"ledger": ("ledger",)}) == {"ledger": first}
    assert kept(tmp_path, "fleet", {"ledger": ("ledger", "clerk")}) == {}
    assert reminders(tmp_path, {}) == [
        f"ledger: was rolled out, and this start runs the system's own code; remove {record} to forget the rollout"
    ]
    keep(tmp_path, {"ledger": first})  # as a rollout of another deployable does
    assert kept(tmp_path, "fleet", {"ledger": ("ledger",)}) == {"ledger": first}
    later = Kept(("ledger",), Code(str(tmp_path)), {"ledger": "1.4"}, "fleet")
    keep(tmp_path, {"ledger": later})
    assert list(msgspec.json.decode(record.read_bytes())) == ["fleet/ledger"]


def test_a_record_stays_in_force_where_the_data_are_moved(tmp_path: Path) -> None:
    before, now = tmp_path / "before", tmp_path / "now"
    (before / "releases/village-1/village").mkdir(parents=True)
    record = {
        "ledger": Kept(("ledger",), Code(f"{before}/releases/village-1/village"), {}, "fleet")
    }
    keep(before, record)
    before.rename(now)
    moved = Code(f"{now}/releases/village-1/village")
    assert kept(now, "fleet", {"ledger": ("ledger",)})["ledger"].code == moved
    (now / "releases/current.json").write_bytes(msgspec.json.encode(record))  # of earlier versions
    before.symlink_to(now)
    assert kept(now, "fleet", {"ledger": ("ledger",)})["ledger"].code == moved


@pytest.mark.parametrize("name", ["all", "ledger"])
def test_a_rollout_in_one_topology_forgets_none_that_was_made_in_another(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "releases").mkdir()
    alone = Kept(("ledger",), Code(str(tmp_path)), {"ledger": "1.4"}, "fleet")
    shared = Kept(("ledger", "clerk"), Code(str(tmp_path)), {"ledger": "1.5"}, "together")
    keep(tmp_path, {"ledger": alone})
    keep(tmp_path, {name: shared})
    fleet = {"ledger": ("ledger",), "clerk": ("clerk",)}
    assert kept(tmp_path, "fleet", fleet) == {"ledger": alone}
    assert kept(tmp_path, "together", {name: ("ledger", "clerk")}) == {name: shared}
    assert kept(tmp_path, "apart", fleet) == {}
    assert ["--topology together" in said for said in reminders(tmp_path, {"ledger": alone})] == [
        False,
        True,
    ]


def test_a_start_says_which_rollouts_it_runs_and_which_it_does_not(tmp_path: Path) -> None:
    (tmp_path / "releases").mkdir()
    place = tmp_path / "releases" / "current.json"
    assert reminders(tmp_path, {}) == []
    left = Kept(("ledger",), Code("/copies/ledger"), {"ledger": "1.4"}, "fleet")
    keep(tmp_path, {"ledger": left})
    assert reminders(tmp_path, {"ledger": left}) == [
        "ledger 1.4: runs from /copies/ledger, as it was rolled out, and not from the system's folder; "
        f"remove {place} and start anew to run that"
    ]
    assert reminders(tmp_path, {}) == [
        "ledger 1.4: was rolled out under --topology fleet, and this start runs the system's own code; "
        f"remove {place} to forget the rollout"
    ]


def test_a_version_that_begins_to_call_a_service_may_do_so_in_its_start_and_starts_after_it(
    tmp_path: Path,
) -> None:
    slow = LEDGER_SERVICE.replace(
        '        print("the ledger is open")',
        "        import asyncio\n        await asyncio.sleep(0.5)\n",
    )
    alone = (
        CLERK_SERVICE.replace("    ledger: Ledger\n", "")
        .replace("await self.ledger.secret()", "pass")
        .replace("(await self.ledger.add(text)).id", "0")
        .replace("await self.ledger.pid()", "0")
    )
    assert "self.ledger" not in alone
    root = write_village(tmp_path / "now", ledger__service=slow, clerk__service=alone)
    calling = write_village(tmp_path / "next", ledger__service=slow)
    with run_village(root, "fleet", *QUICK) as village:
        with traffic(village.ready["edge"], [WRITE], clients=2) as asked:
            status, said = rolled(village, calling, "clerk")
        assert (status, said["state"]) == (0, "done"), said
        assert not asked.failures
        os.kill(pids(village)["clerk"], signal.SIGKILL)  # what is begun anew may, too
        village.hears("clerk.2  | was ended by SIGKILL")
        until(lambda: village.said.count("clerk.2  | is ready") == 2)
        assert village.stop() == 0
    with run_village(root, "fleet") as village:
        assert village.ask("/clerk/write", {"text": "c"})[0] == 200


def test_a_caller_that_is_away_for_a_moment_is_waited_for_and_asked_like_others(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    held = CLERK_SERVICE.replace(
        "        await self.ledger.secret()",
        f"        if Path({str(tmp_path / 'held')!r}).exists():\n"
        f"            await in_thread(Path({str(gate)!r}).read_text)",
    ).replace("Database, Service, on", "Database, Service, in_thread, on\nfrom pathlib import Path")
    root = write_village(tmp_path / "now", clerk__service=held)
    incompatible = write_incompatible(tmp_path / "next")
    with run_village(root, "fleet", *QUICK) as village:
        (tmp_path / "held").touch()
        os.kill(village.pid("clerk.1"), signal.SIGKILL)
        village.hears("clerk.1  | was ended by SIGKILL")
        said: list[str] = []
        answers: list[Answer] = []

        def roll() -> None:
            request = Rollout("ledger", str(incompatible))
            answers.append(ask_fleet(village.data, request, said.append, silent_s=60.0))

        rolling = threading.Thread(target=roll)
        rolling.start()
        until(lambda: said == ["clerk is waited for: it does not take calls now"])
        gate.write_text("go on")
        rolling.join()
        assert answers[0].facts["state"] == "refused"
        assert "clerk calls ledger" in answers[0].sentence


def test_a_caller_that_stays_down_is_named_and_keeps_nobody_from_a_rollout(tmp_path: Path) -> None:
    root = write_village(tmp_path / "now")
    grown = write_grown(tmp_path / "next")
    with run_village(root, "fleet", *QUICK, "--set", "fleet.restarts=1") as village:
        os.kill(pids(village)["clerk"], signal.SIGKILL)
        until(lambda: village.said.count("clerk.1  | is ready") == 2)
        until(lambda: village.ask("/clerk/pids")[0] == 200)  # the door has heard of it, too
        os.kill(pids(village)["clerk"], signal.SIGKILL)
        village.hears("it stays down")
        status, said = rolled(village, grown)
        assert (status, said["state"]) == (0, "done"), said
        assert said["warnings"] == [
            "clerk does not run, so whether it can live with the new version is not known"
        ]
