"""What the console's pages make of what they are told, where no browser is needed."""

import json
from pathlib import Path
from typing import Any

from tests.node.tools import require_node, run_node

PAGE = Path(__file__).parents[2] / "src" / "borough" / "console" / "page"


def made(module: str, script: str) -> Any:
    """What a script prints of what it makes with `page`, a module of the console's."""
    whole = f"const page = await import({json.dumps((PAGE / module).as_uri())});\n{script}"
    return json.loads(run_node(require_node(), "--input-type=module", "--eval", whole))


ROWS = """
const replica = (name, ended_at) => ({ name, state: "ready", restarts: 1, ended_at, why: "has ended", last_words: [] });
const now = (replicas, was_down) => ({ processes: [{ pid: 2 }], down_since: null, was_down, replicas });
const shared = [replica("shop.1", 970), replica("shop.2", null), replica("shop.3", 100)];
const search = now([replica("search.1", 990)], true);
const services = new Map(Object.entries({ orders: now(shared, false), payments: now(shared, false), search }));
const declared = [...services.keys()].map((name) => ({ name, runs: "here" }));
const rows = page.rowsOf(declared, services, 1000);
console.log(JSON.stringify(rows.map(({ name, state, isBad }) => [name, state, isBad])));
"""


def test_a_replica_that_has_ended_is_told_once_and_its_services_are_not_called_down() -> None:
    assert made("down.js", ROWS) == [
        ["search", "has been down", True],
        ["orders", "a replica has ended", False],
    ]


DEATHS = """
globalThis.document = { createElement: () => ({ setAttribute() {}, append() {} }) };
const shown = [];
const item = (text) => ({ text, remove: () => shown.splice(shown.indexOf(text), 1) });
const card = { group: {}, known: new Map(), letters: { append: ({ text }) => shown.push(text) } };
const looks = [["first", 1000, "A"], ["first", 1000, "A"], ["first", 2000, "B"]].map(([event_id, died_at, cause]) =>
  ({ letters: [{ event_id, died_at, cause }], more: false }));
const dead = new (class extends page.Dead {
  letter = ({ cause }) => item(cause);
})({ api: { get: async () => looks.shift() } }, {});
const seen = [];
while (looks.length) {
  await dead.load(card);
  seen.push([...shown]);
}
console.log(JSON.stringify(seen));
"""


def test_an_event_that_was_replayed_and_dies_again_is_shown_as_it_died_last() -> None:
    assert made("dead.js", DEATHS) == [["A"], ["A"], ["B"]]


FOLLOWING = """
const followed = [];
const live = { follow: (topics) => {
  followed.push(...topics);
  return () => followed.splice(followed.indexOf(topics[0]), 1);
} };
const own = new page.Followed(live);
own.follow(["alerts"]);
const before = [...followed];
own.end();
own.follow(["edges"]);
console.log(JSON.stringify([before, followed]));
"""


def test_a_page_that_is_over_follows_nothing_more() -> None:
    assert made("live.js", FOLLOWING) == [["alerts"], []]


FIRST_CALL = """
const body = (example) => ({ content: { "application/json": { example } } });
const known = (method, path, parameters = [], requestBody = null, security = []) =>
  ({ method, path, parameters, requestBody, security });
const needed = (name, where, example) => ({ name, in: where, required: true, example });
const own = known("GET", "/orders", [], null, [{ bearer: [] }]);
const operations = [
  own,
  known("POST", "/accounts", [], body({ name: "Ada's" })),
  known("GET", "/search/items", [needed("q", "query", "a cup"), { name: "limit", in: "query", example: 5 }]),
  known("GET", "/search/{page}/{sku}", [needed("page", "path", 1), needed("sku", "path", "a b")]),
  known("GET", "/search/lost", [needed("q", "query")]),
];
const told = (found) => found && page.commandOf("http://localhost:8080", found);
const easiest = [page.easiest(operations), page.easiest(operations, ["accounts"]), page.easiest([own])];
console.log(JSON.stringify([...easiest, operations[3]].map(told)));
"""


def test_a_first_call_is_one_that_anybody_may_make_with_what_is_known_by_example() -> None:
    assert made("first_call.js", FIRST_CALL) == [
        "curl 'http://localhost:8080/search/items?q=a+cup'",
        "curl -X POST http://localhost:8080/accounts -H 'content-type: application/json' "
        """-d '{"name":"Ada'\\''s"}'""",
        None,
        "curl http://localhost:8080/search/1/a%20b",
    ]


UNHEARD = """
const span = (span_id, kind, service, parent, attributes = {}) =>
  ({ span: { span_id, kind, service, parent, attributes } });
const made = { "messaging.operation.name": "create", "borough.event.type": "orders.Orders.OrderPaid" };
const published = [span("a", 2, "orders", ""), span("b", 4, "orders", "a", made)];
const hearings = [
  { publisher: "orders", subscriber: "search", events: ["orders.Orders.OrderPaid"] },
  { publisher: "orders", subscriber: "mail", events: ["orders.Orders.OrderPaid", "orders.Orders.OrderPlaced"] },
  { publisher: "orders", subscriber: "bank", events: ["orders.Orders.OrderPlaced"] },
];
const handled = [...published, span("c", 5, "mail", "b")];
const pushed = [...handled, span("d", 5, "orders", "b", { "messaging.consumer.group.name": "orders.push-search" })];
const told = [published, handled, pushed].map((rows) => page.unheard({ rows, is_partial: false }, hearings));
console.log(JSON.stringify([...told, page.unheard({ rows: published, is_partial: true }, hearings)]));
"""


def test_a_trace_tells_who_has_not_been_seen_handling_its_events() -> None:
    assert made("waterfall.js", UNHEARD) == [["search", "mail"], ["search"], [], []]


DEAD = """
const row = (event, attempt, is_error, offset_ms, kind = 5) => ({ is_error, offset_ms, span: { kind, attributes: {
  "messaging.consumer.group.name": "mail.send", "messaging.message.id": event,
  "borough.attempt": attempt, "borough.attempts": 3 } } });
const failed = row("e1", 3, true, 9);
const looks = [[row("e1", 2, true, 4)], [failed, row("e1", 2, true, 4)], [failed, row("e1", 1, false, 20)],
  [row("e2", 1, false, 1), failed], [row("e1", 3, true, 9, 4)]];
console.log(JSON.stringify(looks.map(page.deadIn)));
"""


def test_a_trace_leads_to_the_event_that_was_given_up_and_not_handled_since() -> None:
    place = "#/events?dead=mail.send&event=e1"
    assert made("waterfall.js", DEAD) == [None, place, None, place, None]
