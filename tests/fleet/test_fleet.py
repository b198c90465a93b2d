"""The same code as many processes: started in order, found by each other, begun anew, seen off."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from borough.fleet.commands import Members, ask_fleet
from borough.testing import free_port
from tests.cli.terminal import PATIENCE_S, borough
from tests.fleet.village import (
    LEDGER_CONTRACT,
    LEDGER_SERVICE,
    Village,
    is_alive,
    run_village,
    until,
    write_elsewhere,
    write_village,
)

NO_LEDGER = "borough: no replica of ledger takes calls now\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_village(tmp_path)


def test_each_service_has_a_process_and_finds_the_others(root: Path) -> None:
    with run_village(root, "fleet") as village:
        ready = village.ready
        assert (ready["system"], ready["topology"]) == ("village", "fleet")
        assert [replica["replica"] for replica in ready["replicas"]] == [
            "ledger.1", "clerk.1", "edge.1",
        ]  # fmt: skip
        assert village.ask("/clerk/pids") == (
            200,
            {"clerk": village.pid("clerk.1"), "ledger": village.pid("ledger.1")},
        )
        assert len({*village.pids, village.process.pid}) == 4
        assert village.ask("/ledger/secret")[0] == 404
        assert village.ask("/readyz") == (
            200,
            {"status": "ready", "services": {"clerk": "ready", "ledger": "ready"}},
        )
        village.hears("ledger.1 | the ledger is open\n")
        assert village.stop() == 0
        assert [pid for pid in village.pids if is_alive(pid)] == []
        assert not (village.data / "running.json").exists()
        assert not (village.data / "fleet.sock").exists()


def test_services_of_one_deployable_share_a_process(root: Path) -> None:
    with run_village(root, "together") as village:
        status, pids = village.ask("/clerk/pids")
        assert (status, pids["clerk"]) == (200, pids["ledger"])
        assert len(village.pids) == 2


def test_events_reach_a_handler_once_among_replicas_even_when_one_is_killed(root: Path) -> None:
    with run_village(root, "pairs", "--set", "events.lease_s=1") as village:

        def write() -> int:
            """An entry that was surely added; one that is answered by a killed process may be."""
            return int(
                until(lambda: (a := village.ask("/clerk/write", {"text": "a"}))[0] == 200 and a[1])
            )

        def heard_of(ids: list[int]) -> list[dict[str, int]]:
            found: list[dict[str, int]] = village.ask("/clerk/heard")[1]
            return found if {each["id"] for each in found} >= set(ids) else []

        before = [write() for _ in range(10)]
        holder = until(lambda: heard_of(before))[0]["pid"]
        os.kill(holder, signal.SIGKILL)
        after = [write() for _ in range(10)]
        heard = until(lambda: heard_of([*before, *after]))
        assert len({each["id"] for each in heard}) == len(heard)
        assert {each["pid"] for each in heard[10:]} != {holder}


def test_a_killed_process_is_begun_anew_and_found_again(root: Path) -> None:
    with run_village(root, "fleet") as village:
        os.kill(village.pid("ledger.1"), signal.SIGKILL)
        pids = until(lambda: (found := village.ask("/clerk/pids"))[0] == 200 and found[1])
        assert pids["ledger"] != village.pid("ledger.1")
        assert pids["clerk"] == village.pid("clerk.1")
        village.hears("ledger.1 | was ended by SIGKILL; begun anew in ")
        members = ask_fleet(village.data, Members()).facts["members"]
        (ledger,) = (each for each in members if each["name"] == "ledger.1")
        assert (ledger["restarts"], ledger["why"]) == (1, "was ended by SIGKILL")
        assert "the ledger is open" in ledger["last_words"]
        address = json.loads((village.data / "running.json").read_bytes())
        assert address["pid"] == village.process.pid
        targets = json.loads((village.data / "prometheus.json").read_bytes())
        places = {each["labels"]["instance"]: each["targets"] for each in targets}
        assert places["ledger.1"] == [address["services"]["ledger"].removeprefix("http://")]
        called = village.command(
            "call", "ledger.secret", "--as", "clerk", "--system", str(village.root)
        )
        assert (called.returncode, called.stdout) == (0, "42\n"), called.stderr
        refused = village.command(
            "call", "clerk.heard", "--as", "ledger", "--system", str(village.root)
        )
        assert refused.returncode == 1
        assert "ledger does not declare clerk.Clerk" in refused.stderr


def test_another_version_is_met_as_it_is_and_only_what_breaks_is_refused(root: Path) -> None:
    with run_village(root, "fleet") as village:
        assert village.ask("/clerk/pids")[0] == 200
        contract, service = root / "ledger" / "contract.py", root / "ledger" / "service.py"
        newer = LEDGER_CONTRACT.replace("pid(self) -> int", "pid(self) -> str")
        # Python tells files apart by their second and their size, and a fleet may start within a second.
        contract.write_text(newer.replace('version="1.3"', 'version="1.4"') + "# the next one\n")
        service.write_text(LEDGER_SERVICE.replace("return os.getpid()", "return str(os.getpid())"))
        os.kill(village.pid("ledger.1"), signal.SIGKILL)
        until(lambda: village.said.count("ledger.1 | is ready") == 2)
        until(lambda: village.ask("/clerk/pids")[0] == 500)
        assert village.ask("/clerk/write", {"text": "a"})[0] == 200
        village.hears("ledger.Ledger 1.4 meets 1.3 here: 1 operations are refused there")


def test_no_process_outlives_a_supervisor_that_was_killed(root: Path) -> None:
    with run_village(root, "fleet") as village:
        village.process.kill()
        until(lambda: not any(is_alive(pid) for pid in village.pids))


def test_a_process_that_is_told_to_stop_by_somebody_else_drains_first(root: Path) -> None:
    with run_village(root, "pairs") as village:
        os.kill(village.pid("ledger.1"), signal.SIGTERM)
        until(lambda: not is_alive(village.pid("ledger.1")))
        assert {village.ask("/clerk/pids")[0] for _ in range(20)} == {200}
        until(lambda: village.said.count("ledger.1 | is ready") == 2)


def test_the_first_signal_drains_and_a_second_one_ends_at_once(root: Path) -> None:
    with run_village(root, "fleet") as village:
        pipe = village.data / "ledger" / "pipe"
        os.mkfifo(pipe)
        answers: list[object] = []
        asking = threading.Thread(target=lambda: answers.append(village.ask("/ledger/hold/pipe")))
        asking.start()
        with pipe.open("w") as writing:
            village.process.send_signal(signal.SIGTERM)
            village.hears("stopping; once more exits at once")
            writing.write("done")
        asking.join(PATIENCE_S)
        assert answers == [(200, "done")]
        assert village.process.wait(PATIENCE_S) == 0
    with run_village(root, "fleet") as village:
        village.process.send_signal(signal.SIGTERM)
        village.hears("stopping")
        village.process.send_signal(signal.SIGTERM)
        assert village.process.wait(PATIENCE_S) in (0, 130)
        until(lambda: not any(is_alive(pid) for pid in village.pids))


def test_replicas_come_and_go_under_traffic_without_a_failed_request(root: Path) -> None:
    with run_village(root, "fleet") as village:
        stopping, seen, statuses = threading.Event(), set[int](), set[int]()

        def ask() -> None:
            while not stopping.is_set():
                status, pids = village.ask("/clerk/pids")
                statuses.add(status)
                seen.add(pids["ledger"] if status == 200 else -1)

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for thread in asking:
            thread.start()
        grown = village.command("scale", "ledger=3", "--json")
        replicas = json.loads(grown.stdout)["ledger"]
        until(lambda: seen >= {replica["pid"] for replica in replicas})
        shrunk = village.command("scale", "ledger=1")
        stopping.set()
        for thread in asking:
            thread.join(PATIENCE_S)
        assert shrunk.stdout == "ledger has 1 replica\n"
        assert statuses == {200}
        assert [is_alive(replica["pid"]) for replica in replicas] == [True, False, False]


def test_what_cannot_be_scaled_is_said(root: Path) -> None:
    with run_village(root, "together") as village:
        for words, sentence in (
            ("ledger=2", "ledger runs in the deployable all; scale that"),
            ("nobody=2", "there is no deployable 'nobody' in the topology together; there are all"),
            ("all=0", "all=0: a deployable has at least 1 replica"),
            ("all=257", "all=257: a deployable has at most 256 replicas on one machine"),
            ("all", "'all': write NAME=COUNT, such as search=3"),
        ):
            refused = village.command("scale", words)
            assert (refused.returncode, refused.stderr) == (2, f"borough: {sentence}\n")
        collector = (village.data / "borough.otlp").read_text()
        second = refused_run(root, "together", "--data", str(village.data))
        assert (second.returncode, "already" in second.stderr) == (2, True)
        assert (village.data / "borough.otlp").read_text() == collector
        assert village.stop() == 0
        gone = village.command("scale", "all=2")
        assert (gone.returncode, "no fleet is known in" in gone.stderr) == (2, True)


def test_a_mocked_service_has_a_process_that_answers_from_examples(root: Path) -> None:
    with run_village(root, "fleet", "--mock", "ledger") as village:
        assert [replica["services"] for replica in village.ready["replicas"][:2]] == [
            ["ledger"], ["clerk"],
        ]  # fmt: skip
        assert village.ask("/ledger/pid")[0] == 200
        assert village.ask("/clerk/pids")[1]["ledger"] != village.pid("mock.1")


def test_a_mock_of_a_service_elsewhere_is_asked_and_the_real_one_is_not(tmp_path: Path) -> None:
    with run_village(write_elsewhere(tmp_path, "mocked_market"), "fleet", "--mock", "deals") as run:
        assert run.ask("/camera")[0] == 200


def refused_run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A fleet that ends by itself."""
    command = borough("run", str(root), "--port", str(free_port()), "--topology", *words)
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_process_that_cannot_start_is_told_with_its_own_sentence(root: Path) -> None:
    busy = free_port()
    with run_village(root, "fleet") as village:
        taken = village.ready["edge"].rpartition(":")[2]
        refused = refused_run(
            root, "fleet", "--port", taken, "--data", str(root.parent / f"other{busy}")
        )
        assert refused.returncode == 2
        sentence = f"borough: Port {taken} on 127.0.0.1 is in use; stop what listens there, or choose another port\n"
        assert refused.stderr == sentence  # and nothing was started before
    (root / "ledger/migrations/sqlite/0001_entries.sql").write_text(
        "create table other (id integer);"
    )
    refused = refused_run(root, "fleet")
    assert refused.returncode == 2
    assert "borough: ledger.1: ledger: " in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_process_that_always_ends_is_given_up_within_its_budget(tmp_path: Path) -> None:
    crashing = LEDGER_SERVICE.replace('print("the ledger is open")', "os._exit(9)")
    root = write_village(tmp_path, ledger__service=crashing)
    quick = ("--set", "fleet.restarts=2", "--set", "fleet.restart_first_s=0.01")
    refused = refused_run(root, "fleet", *quick)
    assert refused.returncode == 1
    assert "borough: ledger.1: has ended by itself with status 9" in refused.stderr
    assert refused.stderr.count("begun anew in") == 2


def test_with_certificates_commands_find_services_by_their_https_address(root: Path) -> None:
    made = subprocess.run(borough("certs", str(root)), capture_output=True, text=True, check=True)
    lines = made.stderr[made.stderr.index("[internal.tls]") :]
    (root / "borough.toml").write_text((root / "borough.toml").read_text() + lines)
    with run_village(root, "fleet") as village:
        told = {each["replica"]: each["internal"] for each in village.ready["replicas"]}
        assert told["ledger.1"].startswith("https://")
        asked = village.command("call", "ledger.secret", "--as", "clerk", "--system", str(root))
        assert (asked.returncode, asked.stdout, asked.stderr) == (0, "42\n", "")


def test_a_process_that_is_never_ready_is_given_up_however_long_each_start_takes(
    tmp_path: Path,
) -> None:
    hanging = LEDGER_SERVICE.replace('print("the ledger is open")', "os.read(os.pipe()[0], 1)")
    root = write_village(tmp_path, ledger__service=hanging)
    slow = ["start_within_s=1", "restarts=1", "restarts_within_s=0.5", "restart_first_s=0.01"]
    refused = refused_run(root, "fleet", *(f"--set=fleet.{each}" for each in slow))
    assert refused.returncode == 1
    assert "borough: ledger.1: has not been ready within 1 s" in refused.stderr


def test_a_token_that_others_may_read_ends_the_start_with_its_remedy(
    root: Path, tmp_path: Path
) -> None:
    token = tmp_path / "kept" / "tokens" / "ledger.token"
    token.parent.mkdir(parents=True)
    token.write_text("0" * 64)
    refused = refused_run(root, "fleet", "--data", str(tmp_path / "kept"))
    assert refused.returncode == 2
    assert f"may be read by others; run `chmod 600 {token}`" in refused.stderr
    assert "begun anew" not in refused.stderr


def test_an_open_that_fails_is_told_at_once_as_in_one_process(tmp_path: Path) -> None:
    failing = LEDGER_SERVICE.replace('print("the ledger is open")', "raise ValueError('no ink')")
    refused = refused_run(write_village(tmp_path, ledger__service=failing), "fleet")
    assert refused.returncode == 1
    assert "borough: ledger.1: ledger could not be opened: ValueError: no ink" in refused.stderr
    assert "begun anew" not in refused.stderr


def test_a_database_that_is_away_when_a_fleet_starts_is_worth_another_start(root: Path) -> None:
    address = f"data.postgres.url=postgresql://127.0.0.1:{free_port()}/v_{{service}}"
    quick = ("--set", "fleet.restarts=1", "--set", address)
    refused = refused_run(root, "fleet", "--store", "postgres", *quick)
    assert "cannot be reached: " in refused.stderr
    assert refused.returncode == 1


def test_a_process_that_gives_no_sign_of_life_is_begun_anew(root: Path) -> None:
    with run_village(root, "fleet", "--set", "fleet.silent_s=1") as village:
        os.kill(village.pid("ledger.1"), signal.SIGSTOP)
        village.hears("ledger.1 | has given no sign of life for 1 s; begun anew")
        pids = until(lambda: (found := village.ask("/clerk/pids"))[0] == 200 and found[1])
        assert pids["ledger"] != village.pid("ledger.1")


def test_a_process_that_stands_still_while_it_drains_is_begun_anew(root: Path) -> None:
    with run_village(root, "fleet", "--set", "fleet.silent_s=1") as village:
        os.kill(village.pid("ledger.1"), signal.SIGTERM)
        village.hears("ledger.1 | was told by a signal to stop, and drains")
        os.kill(village.pid("ledger.1"), signal.SIGSTOP)
        village.hears("ledger.1 | has given no sign of life for 1 s; begun anew")
        until(lambda: village.said.count("ledger.1 | is ready") == 2)


def test_a_process_that_stands_still_does_not_outlive_a_supervisor_that_was_killed(
    root: Path,
) -> None:
    mark = root / "stands-still"
    work = f"import pathlib, time; pathlib.Path({str(mark)!r}).touch(); time.sleep(3600)"
    still = LEDGER_SERVICE.replace("return os.getpid()", work)
    (root / "ledger" / "service.py").write_text(still)
    with run_village(root, "fleet", "--set", "fleet.silent_s=3") as village:
        asking = threading.Thread(target=_asked, args=(village,), daemon=True)
        asking.start()
        until(mark.exists)
        village.process.kill()
        until(lambda: not any(is_alive(pid) for pid in village.pids))
        asking.join(PATIENCE_S)


def _asked(village: Village) -> None:
    """Ask for what never comes; the door goes meanwhile."""
    with suppress(OSError):
        village.ask("/ledger/pid")


def test_one_that_stays_down_leaves_the_others_running_and_is_told_at_the_end(
    root: Path,
) -> None:
    with run_village(root, "fleet", "--set", "fleet.restarts=1") as village:
        (root / "ledger" / "service.py").write_text("raise SystemExit('no')")
        os.kill(village.pid("ledger.1"), signal.SIGKILL)
        village.hears(f"was changed since the fleet started ({root / 'ledger/service.py'})")
        village.hears("it stays down; once the cause is mended, `borough scale ledger=1 --data ")
        assert village.ask("/clerk/pids")[0] == 503
        assert village.ask("/clerk/heard")[0] == 200
        assert village.ask("/readyz")[0] == 503
        village.hears("alert crash-loop fires: ledger.1, which runs ledger")
        alerts = village.command("alerts", "--json", "--system", str(root))
        assert alerts.returncode == 1
        (alert,) = [
            each for each in json.loads(alerts.stdout)["alerts"] if each["state"] == "firing"
        ]
        assert (alert["rule"], alert["service"]) == ("crash-loop", "ledger")
        assert "stays down" in alert["summary"]
        (root / "ledger" / "service.py").write_text(LEDGER_SERVICE)
        asked = village.command("call", "ledger.pid", "--as", "clerk", "--system", str(root))
        assert (asked.returncode, asked.stderr) == (1, NO_LEDGER)
        assert village.command("scale", "ledger=1").returncode == 0
        assert village.ask("/clerk/pids")[0] == 200
        assert village.stop() == 0


def test_a_door_that_stays_down_is_opened_again_beside_what_runs(root: Path) -> None:

    def door(count: int) -> int:
        """The process of the door that was ready as the first or second."""

        def found() -> list[str]:
            return re.findall(r"edge\.1 +\| is ready \(pid (\d+)", village.said)

        return int(until(lambda: len(found()) >= count and found()[count - 1]))

    with run_village(root, "fleet", "--port", "0", "--set", "fleet.restarts=1") as village:
        os.kill(door(1), signal.SIGKILL)
        os.kill(door(2), signal.SIGKILL)
        village.hears("it stays down; once the cause is mended, `borough scale edge=1 --data ")
        refused = village.command("scale", "edge=2")
        assert (refused.returncode, "is one process" in refused.stderr) == (2, True)
        opened = village.command("scale", "edge=1")
        assert (opened.returncode, opened.stdout) == (0, "edge has 1 replica\n"), opened.stderr
        place = json.loads((village.data / "running.json").read_bytes())
        village.ready["edge"] = place["edge"]  # it took a free port, which is another one
        assert village.ask("/clerk/pids")[1]["clerk"] == village.pid("clerk.1")
        assert village.stop() == 0


def test_a_person_gets_the_addresses(root: Path) -> None:
    port = free_port()
    command = borough("run", str(root), "--topology", "fleet", "--port", str(port))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        table = "".join(iter(process.stdout.readline, "Ctrl-C stops.\n"))
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    assert f"village runs as 4 processes (fleet), data in {root}/.borough" in table
    assert f"\n  edge.1    http://127.0.0.1:{port} (pid " in table
    assert "\n  ledger.1  http://127.0.0.1:" in table
