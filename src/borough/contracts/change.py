"""One difference between two descriptors of a contract, as data: what, where, old and new, and which way.

`flow` says which way values go at that place, so that a change tells for whom it matters: what a
caller writes is read by the callee (`request`, and `header` for headers and cookies), what the
callee answers or publishes is read by the other (`answer`, `event`). `terms` are promises that are
no values, such as a path; whoever calls or consumes relies on them. `difference.py` finds changes,
`verdict.py` judges them. Old and new are sides, not dates: either may be the caller's.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = ["Change", "Flow", "Kind", "Side"]

Flow = Literal["request", "header", "answer", "event", "terms"]
Side = Literal["old", "new"]

Kind = Literal[
    # the contract
    "version-changed",
    "retention-changed",
    "deprecation-changed",
    "operation-added",
    "operation-removed",
    # how an operation is called, and what it promises beside values
    "method-changed",
    "path-changed",
    "status-changed",
    "stream-changed",
    "reply-changed",
    "timeout-changed",
    "idempotency-promised",
    "idempotency-dropped",
    "key-promised",
    "key-dropped",
    "key-changed",
    "access-widened",
    "access-narrowed",
    "access-changed",
    "problem-added",
    "problem-removed",
    "problem-renamed",
    "problem-status-changed",
    # events
    "event-added",
    "event-removed",
    "event-version-raised",
    "event-version-lowered",
    "event-key-added",
    "event-key-removed",
    "event-key-changed",
    # what a place holds
    "body-kind-changed",
    "result-added",
    "result-removed",
    "required-field-added",
    "required-field-removed",
    "optional-field-added",
    "optional-field-removed",
    "field-required",
    "field-optional",
    "field-renamed",
    "field-moved",
    "name-changed",
    "default-changed",
    "unset-added",
    "unset-removed",
    # which values fit there
    "type-widened",
    "type-narrowed",
    "type-changed",
    "type-renamed",
    "null-added",
    "null-removed",
    "limit-widened",
    "limit-narrowed",
    "limit-changed",
    "value-added",
    "value-removed",
    "open-value-added",
    "open-value-removed",
    "choice-opened",
    "choice-closed",
    "member-added",
    "member-removed",
    "tag-added",
    "tag-removed",
    "tag-changed",
]
"""What happened. `required-` and `optional-field` are also parameters; `name-changed` is a name in
code alone, `field-renamed` one on the wire. `open-value-...`: the side that lacks the value is an open
enum. `value` is one of an enum or Literal, `member` one of a union. `widened`: new takes all that old
takes, and more."""


class Change(msgspec.Struct, frozen=True):
    """One difference. `subject` is the wire name of an operation, event or contract.

    `at` leads to the place like a JSON pointer through types: `/request/amount/cents`,
    `/query/limit`, `/answer/items/*/sku`, `/problems/CODE/field`, `/data/at`; `*` is every item of an
    array or map, `<key>` every key, `(Name)` the member of a union. `old` and `new` are a value, a
    shape or a field, None where there is none. Of equal types met at several places of one flow,
    only the first place is told.
    """

    kind: Kind
    subject: str
    flow: Flow
    at: str = ""
    old: Any = None
    new: Any = None
