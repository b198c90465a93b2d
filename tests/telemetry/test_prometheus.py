"""Prometheus scrapes the shop and finds it unwell; Alertmanager tells the team that Borough tells, too."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from borough.engines.ports import free_port
from tests.docs.pages import DOCS
from tests.servers.prometheus import Monitor, alertmanager, checked, prometheus
from tests.telemetry.test_exports import questions
from tests.telemetry.webhook import Webhook

ROOT = Path(__file__).parents[2]
GUIDE = DOCS / "guides" / "observing-with-prometheus.md"
PATIENCE_S = 120.0
ALERT = "dead-letters"


def make_shop(folder: Path, webhook: str) -> Path:
    """The shop, whose mail server is away, and whose team for that is told of it."""
    shop = folder / "shop"
    shutil.copytree(
        ROOT / "examples" / "shop", shop, ignore=shutil.ignore_patterns("tests", "__pycache__")
    )
    facts = (shop / "borough.toml").read_text()
    facts = facts.replace("[teams.identity]\n", f'[teams.identity]\nalerts = "{webhook}"\n')
    facts += f"""
[events]
attempts = 1

[services.orders.objectives]
availability = "99.9%"

[services.notifications.settings]
smtp_host = "127.0.0.1"
smtp_port = {free_port()}
"""
    (shop / "borough.toml").write_text(facts)
    return shop


def borough(*words: str | Path) -> list[str]:
    """A command."""
    return [sys.executable, "-m", "borough", *map(str, words)]


@asynccontextmanager
async def running(shop: Path) -> AsyncIterator[str]:
    """The shop as `borough run` serves it; gives the address of its edge."""
    process = await asyncio.create_subprocess_exec(
        *borough("run", shop, "--port", "0", "--json"), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        document = json.loads(await process.stdout.readline())
        yield document["edge"]
    finally:
        process.terminate()
        await process.communicate()


def sign_up(edge: str, name: str) -> None:
    """A customer comes; the shop owes a letter of welcome."""
    body = {"email": f"{name}@shop.example", "name": name, "password": "correct horse"}
    request = urllib.request.Request(
        f"{edge}/accounts", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert answer.status == 201


async def export(shop: Path, form: str) -> str:
    """What `borough alerts export` writes."""
    process = await asyncio.create_subprocess_exec(
        *borough("alerts", "export", "--format", form, "--system", shop), stdout=subprocess.PIPE
    )
    text, _ = await process.communicate()
    assert process.returncode == 0
    return text.decode()


async def write_exports(shop: Path, folder: Path) -> dict[str, Any]:
    """The rules and the routes, as files; gives the dashboard."""
    forms = ("prometheus", "alertmanager", "grafana")
    rules, routes, panels = await asyncio.gather(*[export(shop, form) for form in forms])
    (folder / "rules.yml").write_text(rules)
    assert routes.count('group_wait: "5s"') == 1
    routes = routes.replace('group_wait: "5s"', 'group_wait: "0s"')
    (folder / "alertmanager.yml").write_text(routes)
    found: dict[str, Any] = json.loads(panels)
    return found


def settings_of_the_guide(folder: Path, shop: Path, manager: Monitor) -> Path:
    """The guide's prometheus.yml, with the places of this test, and looking more often."""
    (text,) = re.findall(r"```yaml file=prometheus.yml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    for there, here in (
        ("/srv/shop/.borough/prometheus.json", str(shop / ".borough" / "prometheus.json")),
        ("127.0.0.1:9093", f"127.0.0.1:{manager.port}"),
        ("scrape_interval: 15s", "scrape_interval: 200ms"),
        ("evaluation_interval: 15s", "evaluation_interval: 200ms"),
    ):
        assert text.count(there) == 1, there
        text = text.replace(there, here)
    configuration = folder / "prometheus.yml"
    configuration.write_text(text)
    return configuration


async def test_an_alert_of_borough_fires_in_prometheus_and_reaches_the_team(tmp_path: Path) -> None:
    webhook = Webhook()
    await webhook.open()
    shop = make_shop(tmp_path, webhook.url)
    try:
        async with asyncio.timeout(PATIENCE_S), running(shop) as edge:
            panels = await write_exports(shop, tmp_path)
            with alertmanager(tmp_path, tmp_path / "alertmanager.yml") as manager:
                configuration = settings_of_the_guide(tmp_path, shop, manager)
                checked("promtool", "check", "config", configuration)
                with prometheus(tmp_path, configuration) as monitor:
                    await asyncio.to_thread(sign_up, edge, "ada")
                    told = await webhook.until(lambda each: each.get("receiver") == "identity")
                    own = await webhook.until(lambda each: ALERT in rules_of(each))
                    await fully_shown(monitor, panels, edge)
                    await has_exemplars(monitor)
    finally:
        await webhook.close()
    (alert,) = told["alerts"]
    assert (alert["status"], alert["labels"]["alertname"]) == ("firing", ALERT)
    assert alert["labels"]["messaging_consumer_group_name"] == "notifications.say_welcome"
    assert (own["team"], own["system"]) == ("identity", "shop")
    assert "notifications.say_welcome has given up 1 events" in alert["annotations"]["summary"]


def rules_of(message: dict[str, Any]) -> set[str]:
    """What fires in a message of Borough's own."""
    return {each["rule"] for each in message.get("firing", ())}


async def fully_shown(monitor: Monitor, panels: dict[str, Any], edge: str) -> None:
    """Every panel has something to show of this shop, as long as customers come."""
    waiting = questions(panels)
    for number in itertools.count():
        waiting = [each for each in waiting if not await monitor.query(each)]
        if not waiting:
            return
        await asyncio.to_thread(sign_up, edge, f"customer-{number}")


async def has_exemplars(monitor: Monitor) -> None:
    """A bucket of a duration leads to a trace."""
    found = await asyncio.to_thread(
        monitor.ask,
        "/api/v1/query_exemplars",
        query="rpc_server_call_duration_seconds_bucket",
        start="0",
        end="9999999999",
    )
    assert all(
        re.fullmatch("[0-9a-f]{32}", each["exemplars"][0]["labels"]["trace_id"]) for each in found
    )
    assert found
