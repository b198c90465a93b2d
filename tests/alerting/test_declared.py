"""What borough.toml says of alerts, and what is told where it says something wrong."""

from pathlib import Path

import pytest

from borough.alerting.declared import Declared, declared_in
from borough.errors import ConfigurationError
from borough.runtime.configuration import Configuration

SERVICES = ("orders", "payments")
KEY = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="


def declared(folder: Path, toml: str, **environment: str) -> Declared:
    (folder / "borough.toml").write_text(toml, encoding="utf-8")
    return declared_in(Configuration.load(folder, environment), SERVICES)


def test_a_rule_by_the_name_of_a_default_one_changes_it(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        '[alerts.rules.slow-calls]\nabove = "1.5s"\nfor = "2m"\nrunbook = "https://wiki.example/slow"\n',
    )
    rule = next(rule for rule in found.rules if rule.name == "slow-calls")
    assert rule.condition.endswith("in a minute > 1500 ms for 120 s")
    assert (rule.source, rule.severity, rule.runbook) == (
        "borough.toml",
        "ticket",
        "https://wiki.example/slow",
    )


def test_a_default_rule_can_be_switched_off(tmp_path: Path) -> None:
    found = declared(tmp_path, "[alerts.rules.refusals]\nenabled = false\n")
    assert "refusals" not in {rule.name for rule in found.rules}


def test_a_rule_of_ones_own_has_a_metric_and_a_bound(tmp_path: Path) -> None:
    toml = '[alerts.rules.long-queue]\nmetric = "lag"\nabove = 1000\nservices = ["orders"]\nseverity = "page"\n'
    rule = declared(tmp_path, toml).rules[-1]
    assert (rule.name, rule.above, rule.for_s, rule.services) == (
        "long-queue",
        1000,
        30,
        ("orders",),
    )


def test_a_team_is_told_where_it_says(tmp_path: Path) -> None:
    toml = """
[teams.checkout]
alerts = "env:CHAT"
alerts_secret = "env:KEY"

[teams.identity]
alerts = "mailto:night@shop.example"

[teams.catalogue]
size = 2

[alerts.mail]
host = "mail.example"
"""
    routes = declared(tmp_path, toml, CHAT="https://chat.example/hooks/s3cret", KEY=KEY).routes
    assert {name: (route.channel, route.shown) for name, route in routes.items()} == {
        "checkout": ("webhook", "https://chat.example/…"),
        "identity": ("mail", "n…@shop.example"),
        "catalogue": ("none", ""),
    }
    assert len(routes["checkout"].keys) == 1


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        (
            "[alerts.rules.slow-call]\nabove = 1\n",
            r"alerts\.rules\.slow-call is no default rule; did you mean slow-calls\?; one of your own says its metric",
        ),
        (
            '[alerts.rules.mine]\nmetric = "latencies"\nabove = 1\n',
            r"alerts\.rules\.mine\.metric: there is no latencies; did you mean latency\?",
        ),
        (
            '[alerts.rules.mine]\nmetric = "latency"\n',
            r"alerts\.rules\.mine\.above is missing; say above which latency it fires",
        ),
        (
            '[alerts.rules.slow-calls]\nabove = "5%"\n',
            r"alerts\.rules\.slow-calls\.above: '5%' is no bound of latency; write it as \"250ms\"",
        ),
        (
            '[alerts.rules.slow-calls]\nservices = ["payment"]\n',
            r"alerts\.rules\.slow-calls\.services: there is no payment; did you mean payments\?",
        ),
        (
            '[alerts.rules.slow-calls]\nmetric = "lag"\n',
            r"alerts\.rules\.slow-calls\.metric is latency; give a rule of your own another name",
        ),
        (
            '[alerts.rules.slow-calls]\nrunbook = "javascript:alert(1)"\n',
            r"alerts\.rules\.slow-calls\.runbook",
        ),
        (
            '[alerts.rules.availability-fast-burn]\nmetric = "lag"\nabove = 1\n',
            r"alerts\.rules\.availability-fast-burn is an alert on an objective, .* another name",
        ),
        ("[alerts.rules.Slow]\nabove = 1\n", r"alerts\.rules\.Slow is no name: use lower-case"),
        (
            '[services.payments.objectives]\navailability = "99,9"\n',
            r"services\.payments\.objectives\.availability: '99,9' is no availability; .* \"99\.9%\"",
        ),
        (
            '[services.payments.objectives]\nlatency = "250ms"\n',
            r"services\.payments\.objectives\.latency: '250ms' is no latency; .* \"p99 < 250ms\"",
        ),
        (
            '[teams.checkout]\nalerts = "chat.example"\n',
            r"teams\.checkout\.alerts must begin with https:// or mailto:",
        ),
        (
            '[teams.checkout]\nalerts = "http://chat.example/x"\n',
            r"teams\.checkout\.alerts is clear text to another machine",
        ),
        (
            '[teams.checkout]\nalerts = "mailto:night"\n[alerts.mail]\nhost = "m.example"\n',
            r"teams\.checkout\.alerts is no address for mail; write it as mailto:NAME@HOST",
        ),
        (
            '[teams.checkout]\nalerts = "mailto:night@shop.example"\n',
            r"alerts\.mail\.host does not say by which server; set it",
        ),
        (
            '[teams.checkout]\nalerts = "mailto:night@shop.example"\n'
            '[alerts.mail]\nhost = "m.example"\nsecurity = "none"\n',
            r"for a server on this machine only",
        ),
        *(
            (
                '[teams.checkout]\nalerts = "mailto:night@shop.example"\n'
                f'[alerts.mail]\nhost = "m.example"\nsender = "{sender}"\n',
                r"alerts\.mail\.sender is no address for mail: .*; write it as NAME@HOST",
            )
            for sender in ("", "not an address", "a@b\\nBcc: x")
        ),
        (
            '[teams.checkout]\nalerts = "https://chat.example/x"\nalerts_secret = "hunter2"\n',
            r"teams\.checkout\.alerts_secret \(borough\.toml\) is a secret in clear",
        ),
        (
            '[teams.checkout]\nalerts = "https://chat.example/x"\nalerts_secret = "env:SHORT"\n',
            r"teams\.checkout\.alerts_secret is no secret of Standard Webhooks",
        ),
        (
            '[alerts.mail]\npassword = "hunter2"\n',
            r"alerts\.mail\.password \(borough\.toml\) is a secret in clear",
        ),
        (
            '[alerts.rules.slow-calls]\nfor = "soon"\n',
            r"alerts\.rules.*for: 'soon' is no length of time",
        ),
        (
            "[alerts.rules.slow-calls]\nlasting = 3\n",
            r"alerts\.rules\.slow-calls\.lasting is no option; it has .*for",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_remedy(tmp_path: Path, toml: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        declared(tmp_path, toml, SHORT="whsec_QUJD")


def test_what_has_no_owner_is_told_to_the_team_that_is_named_for_it(tmp_path: Path) -> None:
    toml = '[alerts]\nteam = "night"\n[teams.night]\n[services.payments]\nteam = "checkout"\n'
    found = declared(tmp_path, toml)
    assert (found.team(None), found.team("orders"), found.team("payments")) == (
        "night",
        "night",
        "checkout",
    )
    assert declared(tmp_path, "").team(None) is None


def test_a_team_for_what_has_no_owner_that_there_is_not_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no team nigt; did you mean night"):
        declared(tmp_path, '[alerts]\nteam = "nigt"\n[teams.night]\n')
