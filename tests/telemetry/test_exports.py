"""What is watched, written for other tools, is what those tools themselves find right."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from borough.contracts.objective import read_availability, read_latency
from borough.observing.exports.dashboard import dashboard
from borough.observing.exports.routes import Mail, Told, routes_document
from borough.observing.exports.rules import Owned, Promised, rules_document
from borough.observing.exports.yaml_text import yaml_text
from borough.reliability.alert_rules import DEFAULT_RULES, METRICS, Rule
from tests.servers.prometheus import checked

OWNED = [Owned("checkout", ("orders", "payments")), Owned(None, ("search",))]
OBJECTIVES = [
    read_availability("orders", "99.9%"),
    read_availability("payments", "99.5%"),
    read_latency("orders", "p99 < 250ms"),
]


def own(metric: str, above: float, for_s: float = 5, runbook: str | None = None) -> Rule:
    return Rule(
        name="own", metric=metric, above=above, for_s=for_s, severity="page", runbook=runbook
    )


def one_of_each_metric() -> list[Rule]:
    return [
        Rule(name=f"own-{name}", metric=name, above=30, for_s=0, severity="ticket")
        for name in METRICS
    ]


def lines_of(rules: list[Rule]) -> list[Any]:
    document = rules_document("shop", rules, OBJECTIVES, OWNED)
    return [line for group in document["groups"] for line in group["rules"]]


def test_prometheus_finds_the_rules_of_every_metric_and_of_objectives_right(
    tmp_path: Path,
) -> None:
    rules = [*DEFAULT_RULES, *one_of_each_metric()]
    (tmp_path / "rules.yml").write_text(
        yaml_text(rules_document("shop", rules, OBJECTIVES, OWNED), "the shop's\nrules")
    )
    said = checked("promtool", "check", "rules", tmp_path / "rules.yml")
    assert f"SUCCESS: {len(lines_of(rules))} rules found" in said


@pytest.mark.parametrize(
    ("rule", "written"),
    [
        (own("lag_age", 1.5), "offset 1500ms"),
        (own("lag_age", 1_080_000), "offset 1080000s"),
        (own("lag_age", 0), "> 0"),
        (own("lag", 5, for_s=1_036_800), 'for: "1036800s"'),
        (own("lag", 1_234_567), "> 1234567"),
        (own("error_rate", 0.00001), "> 1e-05"),
        (own("lag", 5, runbook="https://w/{{x}}"), """https://w/{{"{{"}}x}}"""),
        (own("lag", 5, runbook="https://w/\U0001f600\x85\u2028"), "https://w/\U0001f600"),
    ],
)
def test_prometheus_finds_a_rule_right_whatever_its_figures_and_texts_are(
    tmp_path: Path, rule: Rule, written: str
) -> None:
    text = yaml_text(rules_document("shop", [rule], [], OWNED))
    assert written in text
    (tmp_path / "rules.yml").write_text(text, encoding="utf-8")
    assert "SUCCESS" in checked("promtool", "check", "rules", tmp_path / "rules.yml")


@pytest.mark.parametrize(
    ("ready", "fires"), [({"a": 0}, True), ({"a": 0, "b": 1}, False), ({}, True)]
)
def test_nobody_is_ready_where_no_process_says_that_it_answers(
    tmp_path: Path, ready: dict[str, int], fires: bool
) -> None:
    rule = next(each for each in DEFAULT_RULES if each.metric == "not_ready")
    document = rules_document("shop", [rule], [], [Owned("checkout", ("orders",))])
    (tmp_path / "rules.yml").write_text(yaml_text(document))
    labels = {"severity": "page", "team": "checkout", "service_name": "orders"}
    notes = document["groups"][0]["rules"][0]["annotations"]
    fired = [{"exp_labels": labels, "exp_annotations": notes}] if fires else []
    series = [
        {
            "series": f'borough_ready{{service_name="orders",instance="{name}"}}',
            "values": f"{is_ready}+0x8",
        }
        for name, is_ready in ready.items()
    ]
    asked = {"eval_time": "1m", "alertname": "not-ready", "exp_alerts": fired}
    trial: Any = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "15s",
        "tests": [{"interval": "15s", "input_series": series, "alert_rule_test": [asked]}],
    }
    (tmp_path / "trial.yml").write_text(yaml_text(trial))
    checked("promtool", "test", "rules", tmp_path / "trial.yml")


def test_a_rule_stands_once_for_each_team_with_its_services() -> None:
    found = [each for each in lines_of(list(DEFAULT_RULES)) if each["alert"] == "dead-letters"]
    assert [each["labels"].get("team") for each in found] == ["checkout", None]
    assert 'service_name=~"orders|payments"' in found[0]["expr"]
    assert 'service_name=~"search"' in found[1]["expr"]


def test_a_rule_about_one_service_is_its_teams_alone() -> None:
    rule = Rule(
        name="busy", metric="lag", above=5, for_s=60, severity="page", services=("payments",)
    )
    (line,) = [each for each in lines_of([rule]) if each["alert"] == "busy"]
    assert line["expr"].endswith('{service_name=~"payments"}) > 5')
    assert (line["for"], line["labels"]) == ("60s", {"severity": "page", "team": "checkout"})


def test_an_objective_burns_over_a_long_window_and_a_short_one() -> None:
    found = {
        each["alert"]: each["expr"]
        for each in lines_of([])
        if each["labels"]["service_name"] == "orders"
    }
    fast = found["availability-fast-burn"]
    assert re.findall(r"faults_total\{[^}]*\}\[(\w+)\]", fast) == ["1h", "5m"]
    assert fast.count("> 0.0144") == 2
    slow = found["latency-fast-burn"]
    assert re.findall(r"call_slow_total\{[^}]*\}\[(\w+)\]", slow) == ["1h", "5m"]


def test_what_a_contract_aims_at_counts_where_borough_toml_says_nothing() -> None:
    aims = (read_latency("orders", "p99 < 1s"), read_availability("search", "99%"))
    promises = Promised(objectives=aims, streams={"orders": ("follow",)})
    document = rules_document("shop", [], OBJECTIVES, OWNED, promises)
    orders, search = (
        {
            each["alert"]: each["expr"]
            for each in group["rules"]
            if each["labels"]["service_name"] != "payments"
        }
        for group in document["groups"]
    )
    select = 'service_name=~"orders", rpc_method!~"follow"'
    assert f"call_slow_total{{{select}}}" in orders["latency-fast-burn"]
    assert list(search) == [f"availability-{name}-burn" for name in ("fast", "slow", "creeping")]


def test_alertmanager_finds_the_routes_of_teams_right(tmp_path: Path) -> None:
    told = [
        Told("checkout", url="http://127.0.0.1:1/alerts"),
        Told("catalogue", mail="night@shop.example"),
        Told("identity"),
    ]
    mail = Mail("mail.shop.example", 587, "borough@shop.example", True, "borough", 'a "secret"')
    (tmp_path / "a.yml").write_text(yaml_text(routes_document(told, mail, 14_400)))
    assert "3 receivers" in checked("amtool", "check-config", tmp_path / "a.yml")
    config = f"--config.file={tmp_path / 'a.yml'}"
    for team, receiver in (("checkout", "checkout"), ("identity", "nobody")):
        said = checked("amtool", "config", "routes", "test", config, f"team={team}")
        assert said.splitlines()[0] == receiver


def test_every_question_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    found = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(questions(dashboard("shop", ["orders"])))
    ]
    document: Any = {"groups": [{"name": "panels", "rules": found}]}
    (tmp_path / "panels.yml").write_text(yaml_text(document))
    checked("promtool", "check", "rules", tmp_path / "panels.yml")


def test_a_dashboard_has_its_services_to_choose_from_and_panels_that_do_not_overlap() -> None:
    document = dashboard("shop", ["search", "orders"])
    (_, service) = document["templating"]["list"]
    assert service["query"] == "orders,search"
    assert [each["value"] for each in service["options"]] == ["$__all", "orders", "search"]
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    assert json.loads(json.dumps(document)) == document


def questions(document: dict[str, Any]) -> list[str]:
    """What the panels ask Prometheus, for all services and over a minute."""
    return [
        target["expr"].replace("$service", ".*").replace("$__rate_interval", "1m")
        for panel in document["panels"]
        for target in panel.get("targets", ())
    ]


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ({"a": 1, "b": [True, None]}, "a: 1\nb:\n  - true\n  - null\n"),
        ([{"a": "x", "b": {}}, []], '- a: "x"\n  b: {}\n- []\n'),
        ({"says": 'it\'s "so"'}, "says: 'it''s \"so\"'\n"),
        ({"says": 'two "lines"\n'}, 'says: "two \\"lines\\"\\n"\n'),
        ({"says": "\U0001f600 and \x85\u2028"}, 'says: "\U0001f600 and \\u0085\\u2028"\n'),
    ],
)
def test_values_are_written_as_yaml(node: Any, text: str) -> None:
    assert yaml_text(node) == text
