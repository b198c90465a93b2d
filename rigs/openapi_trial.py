"""Generated requests to the shop, each judged against its OpenAPI document (Schemathesis).

Wrong ones on purpose; right ones, into which existing items, orders, cards and logins are fed so that
they get somewhere; and sequences along the links of the document.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import requests
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.specs.openapi.schemas import OpenApiSchema

from rigs.fuzzed_shop import REQUEST_S, Customer, FuzzedShop

__all__ = ["FEED", "Trial"]

BORDERS_EACH = 4
MOST_PASSES = 20
DECLINED = "4000000000000002"
_INSIDE = re.compile(
    r'Traceback \(most recent|File \\?"[^"]*\.py|\.py\\?", line \d|(?:apsw|msgspec)\.'
)


class Feed:
    """Puts what exists into requests that are otherwise made up; switched off for wrong ones."""

    def __init__(self) -> None:
        self.is_on = False
        self.shop: FuzzedShop | None = None
        self.hidden: Mapping[str, Sequence[str]] = {}

    @property
    def customer(self) -> Customer:
        assert self.shop is not None
        return self.shop.customers[0]

    def path(self, _context: HookContext, given: dict[str, Any]) -> dict[str, Any]:
        """Existing items and orders, four times of five."""
        if not self.is_on or self.shop is None or not given:
            return given
        choice = zlib.crc32(repr(given).encode())
        if choice % 5:
            pools = {"sku": self.shop.skus, "order_id": self.customer.orders}
            return {
                name: pools[name][choice % len(pools[name])] if name in pools else value
                for name, value in given.items()
            }
        return given

    def body(self, context: HookContext, given: Any) -> Any:
        """Cards that pay, addresses that are free, and the right password."""
        if not self.is_on or not isinstance(given, dict):
            return given
        choice = zlib.crc32(repr(given).encode())
        match context.operation.label if context.operation is not None else "":
            case "POST /orders":
                card = self.customer.cards[choice % 3] if choice % 10 else DECLINED
                return {**given, "card": card}
            case "POST /accounts" if choice % 4:
                return {**given, "email": f"{choice:x}@new.example"}
            case "POST /accounts/sessions" if choice % 5:
                customer = self.customer
                return {"email": customer.email, "password": customer.password}
        return given

    def before(self, _context: HookContext, case: Case[Any], _request: dict[str, Any]) -> None:
        """A basket with something in it, where something is about to be ordered."""
        if self.is_on and self.shop is not None and case.operation.label == "POST /orders":
            choice = zlib.crc32(repr(case.body).encode())
            if choice % 20:
                self.customer.put(self.shop.skus[choice % len(self.shop.skus)])

    def judge(self, _context: CheckContext, response: Response, case: Case[Any]) -> None:
        """Refuse an answer that shows the inside, or what is hidden."""
        text = response.content.decode(errors="replace")
        found = _INSIDE.search(text)
        if found:
            raise AssertionError(f"the answer shows the inside: {found[0]}")
        is_login = case.operation.label == "POST /accounts/sessions"
        for what, values in self.hidden.items():
            if any(value in text for value in values) and not (is_login and what == "a token"):
                raise AssertionError(f"the answer shows {what}")


FEED = Feed()


def _register() -> None:
    """Schemathesis knows hooks and checks by the process, so they are registered once."""
    hooks = schemathesis.hook

    @hooks("map_path_parameters")
    def path(context: HookContext, path_parameters: dict[str, Any]) -> dict[str, Any]:
        return FEED.path(context, path_parameters)

    @hooks("map_body")
    def body(context: HookContext, body: Any) -> Any:
        return FEED.body(context, body)

    @hooks("before_call")
    def before(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
        FEED.before(context, case, kwargs)

    @schemathesis.check
    def nothing_inside_is_shown(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
        FEED.judge(ctx, response, case)


def _config(shop: FuzzedShop, seed: int, kind: str, planted: str | None) -> SchemathesisConfig:
    phases: dict[str, Any] = {
        "examples": {"enabled": kind == "borders"},
        "coverage": {"enabled": kind == "borders"},
        "fuzzing": {"enabled": kind != "borders"},
        "stateful": {"enabled": kind == "right"},
    }
    if kind == "wrong":
        phases["fuzzing"]["generation"] = {"mode": "negative", "max-examples": 5}
    elif kind == "right":
        phases["fuzzing"]["generation"] = {"mode": "positive", "max-examples": 40}
        phases["stateful"]["generation"] = {"mode": "positive", "max-examples": 15}
    slow = {"generation": {"max-examples": 5}}  # a password is hashed for each of them
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "max-failures": 20 if planted is None else 1,
            "cache": {"enabled": False},
            "suppress-health-check": ["all"],
            "continue-on-failure": True,
            "request-timeout": REQUEST_S,
            "headers": {"Authorization": f"Bearer {shop.customers[0].token}"},
            "generation": {"database": "none", "no-shrink": planted is not None},
            "checks": {
                "positive_data_acceptance": {
                    # 402: the card was declined; 422: the key has answered another request.
                    "expected-statuses": ["2xx", "3xx", "401", "402", "404", "409", "422"]
                }
            },
            "phases": phases,
            "operations": [
                {"include-name": "POST /accounts", **slow},
                {"include-name": "POST /accounts/sessions", **slow},
            ],
        }
    )


class Trial:
    """One episode: what was asked, how it was answered, and what was wrong with that."""

    def __init__(self, shop: FuzzedShop, seed: int, planted: str | None) -> None:
        self._shop = shop
        self._seed = seed
        self._planted = planted
        self.answers: Counter[tuple[str, int]] = Counter()
        self.wrong: dict[str, None] = {}

    @property
    def cases(self) -> int:
        """How many requests there were."""
        return sum(self.answers.values())

    @property
    def good(self) -> int:
        """How many of them were answered 2xx."""
        return sum(count for (_, status), count in self.answers.items() if 200 <= status < 300)

    def run(self, wanted: int) -> None:
        """Make requests until there are enough, or one of a planted fault was seen."""
        if self._seed % BORDERS_EACH == 1 and self._planted is None:
            self._pass("borders", 0)
        for number in range(1, MOST_PASSES):
            for kind in ("wrong", "right"):
                if self.cases < wanted and not (self._planted and self.wrong):
                    self._pass(kind, number)

    def _pass(self, kind: str, number: int) -> None:
        config = _config(self._shop, self._seed * MOST_PASSES + number, kind, self._planted)
        schema: OpenApiSchema = schemathesis.openapi.from_url(
            f"{self._shop.edge}/openapi.json", config=config
        )
        FEED.is_on = kind == "right"
        for event in from_schema(schema).execute():
            match event:
                case events.ScenarioFinished():
                    self._count(event)
                case events.NonFatalError():
                    self.wrong[f"{event.label}: {event.info.title}: {event.info.message}"] = None
                case events.FatalError():
                    raise event.exception
                case _:
                    pass

    def _count(self, scenario: events.ScenarioFinished) -> None:
        recorder = scenario.recorder
        for case_id, interaction in recorder.interactions.items():
            label = recorder.cases[case_id].value.operation.label
            response = interaction.response
            self.answers[label, response.status_code if response is not None else 0] += 1
            if response is None:
                self.wrong[f"{label} was not answered"] = None
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    about = recorder.interactions[failure.case_id or case_id].response
                    told = (
                        about
                        and f"{about.status_code} {about.content[:300].decode(errors='replace')}"
                    )
                    self.wrong[
                        f"{check.name}: {failure.operation}: {failure.title}: {failure.message}\n"
                        f"    {check.failure_info.code_sample}\n    {told}"
                    ] = None

    def try_doors(self) -> None:
        """Every operation that asks who calls, without a key, with a wrong one, with somebody else's."""
        customer, other = self._shop.customers
        document = requests.get(f"{self._shop.edge}/openapi.json", timeout=REQUEST_S).json()
        head, payload, signature = customer.token.split(".")
        refused = [
            None, "Bearer ", "Bearer garbage", "Basic Zm9vOmJhcg==", customer.token,
            f"Bearer {head}.{payload}.", f"Bearer {head}.{payload}.{signature[::-1]}",
            f"Bearer eyJhbGciOiJub25lIn0.{payload}.",
        ]  # fmt: skip
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if operation["security"]:
                    target = path.replace("{sku}", self._shop.skus[0])
                    target = target.replace("{order_id}", customer.orders[0])
                    for key in refused:
                        self._refused(method, target, key)
        for order_id in other.orders:
            for method, path in (("GET", ""), ("GET", "/progress"), ("POST", "/cancel")):
                status = customer.status(method, f"/orders/{order_id}{path}")
                if status != 404:
                    self.wrong[f"{method} of somebody else's order was answered {status}"] = None

    def _refused(self, method: str, path: str, key: str | None) -> None:
        headers = {} if key is None else {"Authorization": key}
        answer = requests.request(
            method, self._shop.edge + path, headers=headers, json={}, timeout=REQUEST_S
        )
        if answer.status_code != 401 or "WWW-Authenticate" not in answer.headers:
            shown = "no Authorization" if key is None else f"Authorization {key[:12]!r}"
            self.wrong[
                f"{method.upper()} {path} with {shown} was answered {answer.status_code}"
            ] = None

    def facts(self) -> dict[str, Any]:
        """What is written down of it."""
        by_operation: dict[str, dict[str, int]] = {}
        for (label, status), count in sorted(self.answers.items()):
            by_operation.setdefault(label, {})[str(status)] = count
        return {"cases": self.cases, "good": self.good, "answers": by_operation}


_register()
