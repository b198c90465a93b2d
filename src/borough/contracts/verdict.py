"""Whether one side of a contract can live with the other's version of it: a table over the changes.

A caller compares its own descriptor with the callee's, for one operation, before the first call; a
consumer does so for one event. What stands in `RULES` breaks, everything else is compatible. Each
rule says for which side a kind of change breaks: the `old` or the `new` one of those who read the
values at that place, or rely on the terms. Edges refuse unknown fields, everybody else ignores them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, cast

import msgspec

from borough.contracts.change import Change, Flow, Kind, Side
from borough.contracts.descriptor import Descriptor
from borough.contracts.difference import changes_of_event, changes_of_operation

__all__ = ["RULES", "Breach", "Incompatibility", "Rule", "judge", "verdict", "verdict_on_event"]

_REQUESTS: tuple[Flow, ...] = ("request", "header")
_EVERYWHERE: tuple[Flow, ...] = ("request", "header", "answer", "event", "terms")
_NEW_CONTRACT = "Keep the old one beside it, or go to a new major version"


class Rule(msgspec.Struct, frozen=True):
    """A kind of change breaks for a `reader` in these flows; `edge`: only where unknown fields are refused
    or strangers call. `says` is filled with the sides' names, their values and the place."""

    kind: Kind
    reader: Literal["old", "new", "both"]
    says: str
    remedy: str
    flows: tuple[Flow, ...] = _EVERYWHERE
    edge: bool = False


_DEFAULT = "Give the new field a default"
_KEEP_FIELD = "Keep the field and deprecate it, or go to a new major version"
_WIDEN = "Take more before others send more: ship the readers first, or go to a new major version"
_NARROW = "Go on taking the old values, or go to a new major version"
_OPEN = "Declare the enum as OpenEnum from the start, or ship the readers first"

RULES: tuple[Rule, ...] = (
    Rule("operation-removed", "old", "{writer} does not have it", _NEW_CONTRACT),
    Rule("operation-added", "new", "{writer} does not have it", "Ship the callee first"),
    Rule("method-changed", "both", "its method is {mine} here and {theirs} there", _NEW_CONTRACT),
    Rule("path-changed", "both", "its path is {mine} here and {theirs} there", _NEW_CONTRACT),
    Rule("stream-changed", "both", "it is a stream on one side only", _NEW_CONTRACT),
    Rule("status-changed", "both", "its status is {mine} here and {theirs} there", _NEW_CONTRACT, edge=True),
    Rule(
        "idempotency-dropped", "old", "{writer} no longer promises that twice is as good as once",
        _NEW_CONTRACT,
    ),
    Rule(
        "idempotency-promised", "new", "{writer} does not promise that twice is as good as once",
        "Ship the callee first",
    ),
    Rule("key-dropped", "old", "{writer} does not know a repeat by {old}", _NEW_CONTRACT),
    Rule("key-promised", "new", "{writer} does not know a repeat by {new}", "Ship the callee first"),
    Rule("key-changed", "both", "a repeat is known by {mine} here and {theirs} there", _NEW_CONTRACT),
    Rule("access-narrowed", "old", "{writer} admits fewer", _NEW_CONTRACT, edge=True),
    Rule("access-widened", "new", "{writer} admits fewer", "Ship the callee first", edge=True),
    Rule("access-changed", "both", "others are admitted", _NEW_CONTRACT, edge=True),
    Rule(
        "problem-renamed", "both", "the problem is {mine} here and {theirs} there",
        "Keep its name, or raise the new one beside it",
    ),
    Rule("problem-status-changed", "both", "its status is {mine} here and {theirs} there",
         "Keep the status", edge=True),
    Rule("event-removed", "old", "{writer} does not publish it", _NEW_CONTRACT),
    Rule("event-added", "new", "{writer} does not publish it", "Ship the publisher first"),
    Rule("event-version-raised", "old", "it comes as version {new}, and {reader} knows up to {old}",
         "Ship the consumers first: they read older versions by their upcasts"),
    Rule("event-version-lowered", "new", "it comes as version {old}, and {reader} knows up to {new}",
         "Never lower the version of an event"),
    Rule("event-key-removed", "old", "it no longer keeps its order by {old}", _NEW_CONTRACT),
    Rule("event-key-added", "new", "it does not yet keep its order by {new}", "Ship the publisher first"),
    Rule("event-key-changed", "both", "its order is by {mine} here and by {theirs} there", _NEW_CONTRACT),
    Rule("body-kind-changed", "both", "its body is {mine} here and {theirs} there", _NEW_CONTRACT),
    Rule("result-removed", "old", "{writer} answers nothing", _NEW_CONTRACT),
    Rule("result-added", "new", "{writer} answers nothing", "Ship the callee first"),
    Rule("required-field-added", "new", "{reader} requires it, and {writer} does not know it", _DEFAULT),
    Rule("required-field-removed", "old", "{reader} requires it, and {writer} does not know it", _KEEP_FIELD),
    Rule("required-field-added", "old", "{reader} refuses it as unknown", "Ship the callee first",
         ("request",), edge=True),
    Rule("optional-field-added", "old", "{reader} refuses it as unknown", "Ship the callee first",
         ("request",), edge=True),
    Rule("required-field-removed", "new", "{reader} refuses it as unknown", _KEEP_FIELD,
         ("request",), edge=True),
    Rule("optional-field-removed", "new", "{reader} refuses it as unknown", _KEEP_FIELD,
         ("request",), edge=True),
    Rule("field-required", "new", "{reader} requires it, and {writer} may leave it out", _DEFAULT),
    Rule("field-optional", "old", "{reader} requires it, and {writer} may leave it out", _WIDEN),
    Rule("field-renamed", "both", "it has one name here and another there",
         "Add the new one beside the old one, which stays until nobody needs it"),
    Rule("field-moved", "both", "it travels as {mine} here and as {theirs} there", _NEW_CONTRACT),
    Rule("unset-removed", "new", "{writer} leaves it out for 'as it was', and {reader} reads its default",
         "Keep `| Unset`", _REQUESTS),
    Rule("unset-added", "old", "{writer} leaves it out for 'as it was', and {reader} reads its default",
         "Ship the callee first", _REQUESTS),
    Rule("type-changed", "both", "it is {mine} here and {theirs} there", "Add a field of the new type"),
    Rule("type-widened", "old", "{reader} reads {old}, and {writer} writes {new}", _WIDEN),
    Rule("type-narrowed", "new", "{reader} reads {new}, and {writer} writes {old}", _NARROW),
    Rule("null-added", "old", "{writer} may write null, which {reader} does not take", _WIDEN),
    Rule("null-removed", "new", "{writer} may write null, which {reader} does not take", _NARROW),
    Rule("limit-widened", "old", "{writer} keeps to {new}, and {reader} takes only {old}", _WIDEN),
    Rule("limit-narrowed", "new", "{writer} keeps to {old}, and {reader} takes only {new}", _NARROW),
    Rule("limit-changed", "both", "{old} holds here and {theirs} there", _NARROW),
    Rule("value-added", "old", "{reader} does not know the value {new}", _OPEN),
    Rule("value-removed", "new", "{reader} does not know the value {old}", _NARROW),
    Rule("member-added", "old", "{reader} does not know the member {new}", _WIDEN),
    Rule("member-removed", "new", "{reader} does not know the member {old}", _NARROW),
    Rule("tag-added", "old", "{reader} refuses its tag as unknown", "Ship the callee first",
         ("request",), edge=True),
    Rule("tag-removed", "new", "{reader} refuses its tag as unknown", "Keep the tag",
         ("request",), edge=True),
    Rule("tag-changed", "both", "its tag is {mine} here and {theirs} there", "Keep the tag"),
)  # fmt: skip
"""What breaks. A kind that is not here, or for another reader, is compatible."""


class Breach(msgspec.Struct, frozen=True):
    """A change that one side cannot live with."""

    change: Change
    sentence: str
    remedy: str


class Incompatibility(msgspec.Struct, frozen=True):
    """Why `user` (the caller, the consumer) cannot use what `provider` has. `mine` and `theirs` are versions."""

    contract: str
    mine: str
    theirs: str
    user: str
    provider: str
    breaches: tuple[Breach, ...]

    @property
    def sentence(self) -> str:
        """Both versions, what breaks, and the remedy of the first breach."""
        told = "; ".join(breach.sentence for breach in self.breaches)
        return (
            f"{self.user} has {self.contract} {self.mine} and {self.provider} {self.theirs}: "
            f"{told}. {self.breaches[0].remedy}"
        )


class _Names(msgspec.Struct, frozen=True):
    """How the two sides are called: those who read answers and rely on terms, and the others."""

    user: str
    provider: str


def verdict(
    mine: Descriptor, theirs: Descriptor, operation: str, *, edge: bool = False
) -> Incompatibility | None:
    """Whether a caller that holds `mine` may call this operation of a callee that holds `theirs`.

    `operation` is its wire name; None means compatible. `edge`: the callee is asked at its edge.
    Raises `ValueError` for descriptors of two contracts.
    """
    names = _Names("the caller", "the callee")
    found = changes_of_operation(mine, theirs, operation)
    return _verdict(mine, theirs, names, _judged(found, "old", names, edge=edge))


def verdict_on_event(mine: Descriptor, theirs: Descriptor, event: str) -> Incompatibility | None:
    """Whether a consumer that holds `mine` can read this event, by its wire name, of a publisher that
    holds `theirs`; None means it can. Raises `ValueError` for descriptors of two contracts."""
    names = _Names("the consumer", "the publisher")
    found = changes_of_event(mine, theirs, event)
    return _verdict(mine, theirs, names, _judged(found, "old", names, edge=False))


def judge(changes: Iterable[Change], user: Side, *, edge: bool = False) -> tuple[Breach, ...]:
    """The changes with which a user (a caller, a consumer) of this side cannot live with the other
    side's provider. Asked for both sides it tells whether old and new may run beside each other."""
    other = "new" if user == "old" else "old"
    names = _Names(f"the {user} user", f"the {other} provider")
    return _judged(changes, user, names, edge=edge)


def _verdict(
    mine: Descriptor, theirs: Descriptor, names: _Names, breaches: tuple[Breach, ...]
) -> Incompatibility | None:
    if not breaches:
        return None
    return Incompatibility(
        mine.wire_name, mine.version, theirs.version, names.user, names.provider, breaches
    )


def _judged(
    changes: Iterable[Change], user: Side, names: _Names, *, edge: bool
) -> tuple[Breach, ...]:
    provider: Side = "new" if user == "old" else "old"
    given = tuple(changes)
    raised: Kind = "event-version-raised" if provider == "old" else "event-version-lowered"
    upcast = {change.subject for change in given if change.kind == raised}
    found: list[Breach] = []
    for change in given:
        is_request = change.flow in _REQUESTS
        # The newer version of an event reads the older one by its upcasts, whatever has changed.
        if change.flow == "event" and change.subject in upcast:
            continue
        rule = _rule(change, provider if is_request else user, edge=edge)
        if rule is not None:
            values = change.old, change.new
            mine, theirs = values if user == "old" else values[::-1]
            reader, writer = names.user, names.provider
            if is_request:
                reader, writer = writer, reader
            said = rule.says.format(
                reader=reader,
                writer=writer,
                old=_spoken(change.old),
                new=_spoken(change.new),
                mine=_spoken(mine),
                theirs=_spoken(theirs),
            )
            place = f" at {change.at}" if change.at else ""
            said = f"{change.subject}{place}: {said} ({change.kind})"
            found.append(Breach(change, said, rule.remedy))
    return tuple(found)


def _rule(change: Change, reader: Side, *, edge: bool) -> Rule | None:
    for rule in RULES:
        fits = rule.kind == change.kind and rule.reader in (reader, "both")
        if fits and change.flow in rule.flows and (edge or not rule.edge):
            return rule
    return None


def _spoken(value: Any) -> str:
    """A value of a change in a sentence: a shape by its kind or name, a limit as `minimum 5`."""
    if isinstance(value, msgspec.Struct):
        kind = type(value).__struct_config__.tag
        return str(getattr(value, "name", kind or type(value).__name__))
    if isinstance(value, dict):
        limits = cast("dict[str, Any]", value).items()
        return ", ".join(f"no {name}" if v is None else f"{name} {v}" for name, v in limits)
    return "nothing" if value is None else str(value)
