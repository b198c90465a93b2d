"""A flash sale: what counts as kept, and that search alone goes to three replicas and back."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from borough.testing import free_port
from shop.demo.flash_sale import PHASES, Phase, Seen, verdict

KEPT = ((100.0, 20.0), (400.0, 22.0), (1000.0, 24.0), (100.0, 22.0))


def phases(*figures: tuple[float, float]) -> list[dict[str, Any]]:
    """Phases with these searches/s and checkout medians."""
    return [{"searches_per_s": rate, "checkout_p50_ms": ms} for rate, ms in figures]


def test_it_is_met_by_throughput_while_checkouts_take_as_long_as_in_the_calm_around_it() -> None:
    found = verdict(phases(*KEPT), 0)
    assert (found["met"], found["throughput_x"], found["checkout_x"]) == (True, 2.5, 1.143)


@pytest.mark.parametrize(
    ("figures", "failed"),
    [
        ((*KEPT[:2], (990.0, 24.0), KEPT[3]), 0),
        ((*KEPT[:2], (1000.0, 24.5), KEPT[3]), 0),
        ((*KEPT[:2], (1000.0, 0.0), KEPT[3]), 0),
        (KEPT[:3], 0),
        (KEPT, 1),
    ],
    ids=["searches", "checkouts", "nobody bought", "cut short", "a failed request"],
)
def test_it_is_not_met_where_one_thing_is_missing(
    figures: tuple[tuple[float, float], ...], failed: int
) -> None:
    assert verdict(phases(*figures), failed)["met"] is False


def test_a_phase_counts_what_was_seen_until_its_end() -> None:
    seen = Seen(Phase("calm", 8, 1), 10.0)
    seen.searches += [0.01, 0.02, 0.03]
    seen.end(12.0)
    assert seen.report(99.0) == {
        "name": "calm",
        "replicas": 1,
        "seconds": 2.0,
        "searches_per_s": 1.5,
        "search_p50_ms": 20.0,
        "checkouts": 0,
        "checkout_p50_ms": 0.0,
    }


def run_demo(*options: str) -> subprocess.CompletedProcess[str]:
    """`borough demo` for a flash sale, to its end."""
    port = str(free_port())
    command = [sys.executable, "-m", "borough", "demo", "--scenario", "flash-sale", "--port", port]
    return subprocess.run([*command, *options], capture_output=True, text=True)


def test_one_process_has_no_service_to_scale_and_that_is_said() -> None:
    done = run_demo()
    assert (done.returncode, done.stderr) == (
        2,
        "borough: flash-sale gives replicas to one service, and there is one process; "
        "add --topology fleet\n",
    )


def test_search_goes_to_three_replicas_and_back_and_no_request_fails(tmp_path: Path) -> None:
    done = run_demo("--topology", "fleet", "--for", "4s", "--json", "--data", str(tmp_path))
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["lost"], summary["doubled"], summary["errors"]) == (0, 0, 0), done.stderr
    found = summary["scenario"]
    assert found["failed"] == 0
    assert [phase["replicas"] for phase in found["phases"]] == [each.replicas for each in PHASES]
    assert all(phase["searches_per_s"] > 0 for phase in found["phases"])
    assert found["throughput_x"] > 1
    assert done.returncode == (0 if found["met"] else 1)
