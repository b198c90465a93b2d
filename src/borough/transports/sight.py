"""How the calls of one operation are seen: spans of both sides, and how long they took, by caller.

A call in a sampled trace is a span. Any other is only timed; where it ends badly or late, it is
recorded all the same, marked partial, and so are those that led to it, as the answer passes back:
each gets its span id when somebody below first needs it as a parent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf
from typing import Any, cast

from msgspec.structs import force_setattr

from borough.contracts.catalog import first_sentence, own_doc
from borough.contracts.objective import read_latency
from borough.contracts.operation import Operation
from borough.contracts.problem import Problem
from borough.errors import CallError
from borough.reliability.enough_time import TOO_LITTLE_TIME, enough_s, is_hurried
from borough.services.context import CURRENT, Call
from borough.telemetry.durations import RecentDurations
from borough.telemetry.masking import masked, without_secrets
from borough.telemetry.recorder import Recorder
from borough.telemetry.span import Failure, Kind, Shape, Span, Value
from borough.telemetry.trace import TraceContext
from borough.transports.identifiers import identifiers_of

__all__ = ["Edge", "Sight", "failure_of", "least_time_s", "partial_of", "unless_hurried"]

_FAULT = 500
_REFUSALS = (CallError, Problem)
_LONGEST_MEANING = 160
_CANCELLED = Failure("cancelled", "", is_fault=False)
Times = tuple[float, float]
"""When it began, and when it ended."""


class Edge(RecentDurations):
    """The calls of one caller to an operation."""

    __slots__ = ("local", "measured", "remote")

    def __init__(
        self,
        local: Shape,
        remote: Shape,
        recorder: Recorder,
        caller: str | None,
        bound_s: float = inf,
    ) -> None:
        super().__init__(bound_s)
        self.local = local
        self.remote = remote
        facts = dict(local.attributes)
        if caller is not None:
            facts["borough.caller"] = caller
        self.measured = recorder.measures.add(
            "rpc.server.call.duration", "Calls, where they are answered", local.service, facts, self
        )


class Sight:
    """One operation's calls, as whoever answers them sees them."""

    __slots__ = ("_bound_s", "_least_s", "_operation", "_read", "edges", "recorder", "slow_s")

    def __init__(self, operation: Operation, recorder: Recorder) -> None:
        self._operation = operation
        self._read = identifiers_of(operation)
        self._bound_s = _bound_s(operation, recorder)
        self._least_s = least_time_s(operation, recorder)
        self.recorder = recorder
        self.slow_s = recorder.slow_s
        self.edges: dict[str | None, Edge] = {}
        """By caller."""

    def edge(self, call: Call) -> Edge:
        """The edge from who calls."""
        caller = call.caller
        found = self.edges.get(caller)
        if found is None:
            local, remote = self._shape(caller, is_local=True), self._shape(caller, is_local=False)
            found = self.edges[caller] = Edge(local, remote, self.recorder, caller, self._bound_s)
        return found

    def _shape(self, caller: str | None, *, is_local: bool) -> Shape:
        service = self._operation.contract.service
        attributes = attributes_of(self._operation)
        twin = None
        if caller is not None and caller != service:
            attributes["borough.caller"] = caller
            if is_local:  # over a wire the other side is recorded there
                twin = client_shape(self._operation, caller)
        names = () if self._read is None else self._read.names
        return Shape(service, span_name(self._operation), Kind.SERVER, attributes, names, twin)

    def ended(
        self,
        edge: Edge,
        call: Call,
        parent: TraceContext,
        times: Times,
        arguments: Sequence[Any],
        failure: Failure | None = None,
    ) -> None:
        """A sampled call has ended."""
        read = self._read
        values = () if read is None else read(arguments)
        own = cast(TraceContext, call.trace)
        began, ended = times
        shape = edge.remote if call.is_remote else edge.local
        span = Span(shape, own, parent.parent, began, ended, failure, values)
        edge.measured.exemplar = span
        self.recorder.add(span)

    def passed(
        self,
        edge: Edge,
        call: Call,
        times: Times,
        arguments: Sequence[Any],
        failure: Failure | None = None,
    ) -> None:
        """A call that is not sampled has ended badly or late, or one below it has."""
        trace = call.trace
        if trace is None:
            return
        parent, outer = trace.parent, CURRENT.get()
        if not call.is_remote and outer is not None and outer.operation:
            parent = partial_of(outer, self.recorder)
        values = () if self._read is None else self._read(arguments)
        own = trace.child(partial_of(call, self.recorder))
        began, ended = times
        shape = edge.remote if call.is_remote else edge.local
        self.recorder.add(Span(shape, own, parent, began, ended, failure, values, is_partial=True))

    def failed(
        self,
        call: Call,
        parent: TraceContext | None,
        times: Times,
        arguments: Sequence[Any],
        error: BaseException,
    ) -> None:
        """A call has ended by an error; `parent` is None where it is not sampled."""
        failure, is_refused = failure_of(error, self._operation), isinstance(error, _REFUSALS)
        failure = unless_hurried(failure, call, times, self._least_s, is_refused=is_refused)
        edge, took = self.edge(call), times[1] - times[0]
        edge.add(took)
        edge.measured.fail(failure)
        if parent is not None:
            self.ended(edge, call, parent, times, arguments, failure)
        elif failure.is_fault or call.partial or took >= self.slow_s:
            self.passed(edge, call, times, arguments, failure)

    def refused(self, call: Call, now: float, arguments: Sequence[Any], error: CallError) -> None:
        """A call has not been begun, as it is too late or too much."""
        trace = call.trace
        parent = trace if trace is not None and trace.is_sampled else None
        if parent is not None:
            force_setattr(call, "trace", parent.child(self.recorder.new_id()))
        self.failed(call, parent, (now, now), arguments, error)

    def streamed(
        self,
        call: Call,
        parent: TraceContext | None,
        times: Times,
        arguments: Sequence[Any],
        error: BaseException | None,
    ) -> None:
        """A stream has ended. Its length says nothing of its speed, so none is late."""
        if error is not None:
            self.failed(call, parent, times, arguments, error)
            return
        edge = self.edge(call)
        edge.add(times[1] - times[0])
        if parent is not None:
            self.ended(edge, call, parent, times, arguments)
        elif call.partial:
            self.passed(edge, call, times, arguments)


def _bound_s(operation: Operation, recorder: Recorder) -> float:
    """In how many seconds it should be answered, where anybody says so. A stream has no usual length."""
    mark = operation.contract.mark
    if operation.stream:
        return inf
    if mark.service in recorder.bounds:
        return recorder.bounds[mark.service]
    bound_s = None if mark.latency is None else read_latency(mark.service, mark.latency).bound_s
    return inf if bound_s is None else bound_s


def partial_of(call: Call, recorder: Recorder) -> str:
    """The span id of a call that is not sampled, from the moment that somebody needs it."""
    if not call.partial:
        force_setattr(call, "partial", recorder.new_id())
    return call.partial


def failure_of(error: BaseException, operation: Operation | None = None) -> Failure:
    """How a span says that it ended by an error.

    What a caller brought about, or a contract declares, is no fault of who answers.
    """
    if isinstance(error, asyncio.CancelledError):
        return _CANCELLED
    if isinstance(error, Problem):
        is_declared = operation is None or isinstance(error, operation.mark.raises)
        kind = type(error)
        return Failure(kind.__name__, _meaning(kind), error.status >= _FAULT or not is_declared)
    if isinstance(error, CallError):
        return Failure(error.code, without_secrets(error.detail), error.status >= _FAULT)
    return Failure(type(error).__name__, masked(str(error)))


def least_time_s(operation: Operation, recorder: Recorder) -> float:
    """How much time a call must have for its failure to be a fault, in seconds."""
    return enough_s(recorder.default_timeout_s, operation.mark.timeout_s)


def unless_hurried(
    failure: Failure, call: Call, times: Times, least_s: float, *, is_refused: bool = True
) -> Failure:
    """The same failure; nobody's fault where the call had less time than that, and failed for want of it."""
    began, ended = times
    given_s = call.deadline - began
    if not failure.is_fault or not is_hurried(
        given_s, ended - began, least_s, is_refused=is_refused
    ):
        return failure
    said = f"{failure.kind}: {failure.detail}; it had {max(given_s, 0.0) * 1e3:.3g} ms in all"
    return Failure(TOO_LITTLE_TIME, said, is_fault=False)


_MEANINGS: dict[type[Problem], str] = {}


def _meaning(kind: type[Problem]) -> str:
    """What a problem means, by the first sentence of its contract; its fields may hold what is secret."""
    found = _MEANINGS.get(kind)
    if found is None:
        found = first_sentence(own_doc(kind)).rstrip(" .")[:_LONGEST_MEANING]
        _MEANINGS[kind] = found
    return found


def span_name(operation: Operation) -> str:
    """`orders.Orders/place`, as the conventions for calls ask."""
    service, _, method = operation.wire_name.rpartition(".")
    return f"{service}/{method}"


def attributes_of(operation: Operation) -> dict[str, Value]:
    """What both sides of a call say, by OpenTelemetry's conventions for RPC."""
    service, _, method = operation.wire_name.rpartition(".")
    return {
        "rpc.system": "borough",
        "rpc.service": service,
        "rpc.method": method,
        "http.request.method": operation.mark.method,
        "http.route": operation.path,
    }


def client_shape(operation: Operation, caller: str) -> Shape:
    """The caller's side of the calls to an operation."""
    attributes = attributes_of(operation)
    attributes["peer.service"] = operation.contract.service
    return Shape(caller, span_name(operation), Kind.CLIENT, attributes)
