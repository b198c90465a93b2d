"""Local calls that pay what a wire would cost: encoded and decoded both ways, delayed, made to fail.

Co-location must never hide a distributed bug: what works here works when the services are split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import force_setattr

from borough.clock import Clock
from borough.contracts.codec import JSON, Codec, problem_document, reply_fields
from borough.contracts.marks import Reply
from borough.contracts.operation import Operation
from borough.contracts.problem import Problem
from borough.errors import CallError
from borough.ports import Send
from borough.services.context import Call
from borough.transports.callee import Callee, unreached
from borough.transports.http.router import split_target

__all__ = ["Hardship", "HonestTransport"]


class Hardship(msgspec.Struct, frozen=True):
    """What honest calls suffer: a delay in seconds before each, and the share (0 to 1) that never arrives."""

    delay_s: float = 0.0
    failure_share: float = 0.0

    def __post_init__(self) -> None:
        """Raises `ValueError` for what cannot be."""
        if not 0 <= self.failure_share <= 1:
            raise ValueError(f"failure_share={self.failure_share!r} is no share; write 0 to 1")
        if not 0 <= self.delay_s < math.inf:
            raise ValueError(f"delay_s={self.delay_s!r} is no delay; write seconds from 0 on")


class HonestTransport:
    """Calls the callees of this process through the codec."""

    def __init__(
        self, callees: Mapping[str, Callee], clock: Clock, hardship: Hardship | None = None
    ) -> None:
        self._callees = callees
        self._clock = clock
        self._hardship = hardship or Hardship()

    def bind(self, operation: Operation) -> Send:
        """See `Transport`."""
        codec = Codec(operation)
        return self._stream(operation, codec) if operation.stream else self._call(operation, codec)

    async def close(self) -> None:
        """Nothing is held open."""

    async def _travel(self, operation: Operation) -> Callee:
        if self._hardship.delay_s:
            await self._clock.sleep(self._hardship.delay_s)
        if (
            self._hardship.failure_share
            and self._clock.random.random() < self._hardship.failure_share
        ):
            raise unreached(operation, f"{operation.wire_name} was not reached (injected)")
        callee = self._callees.get(operation.wire_name)
        if callee is None:
            raise unreached(operation, f"{operation.wire_name} is answered by nobody here")
        return callee

    def _call(self, operation: Operation, codec: Codec) -> Send:
        async def send(arguments: Sequence[Any], call: Call) -> Any:
            callee = await self._travel(operation)
            received = _carried(codec, arguments)
            # The deadline travels as time left, so the callee's timer is its own.
            force_setattr(call, "armed", float("inf"))
            try:
                result = await callee.run(received, call)
            except Problem as problem:
                raise _carried_problem(codec, problem) from None
            headers = reply_fields(cast("Any", result)) if isinstance(result, Reply) else ()
            return _answered(codec, result, headers)

        return send

    def _stream(self, operation: Operation, codec: Codec) -> Send:
        async def items(arguments: Sequence[Any], call: Call) -> Any:
            callee = await self._travel(operation)
            stream = callee.stream(_carried(codec, arguments), call)
            try:
                async for item in stream:
                    yield _answered(codec, item)
            except Problem as problem:
                raise _carried_problem(codec, problem) from None
            finally:
                await stream.aclose()

        return items


def _carried(codec: Codec, arguments: Sequence[Any]) -> tuple[Any, ...]:
    try:
        sent = codec.write_arguments(arguments)
        path, query = split_target(codec.operation.path, sent.target)
        headers = {name.decode(): value.decode("latin-1") for name, value in sent.headers}
        return codec.read_arguments(
            path, query, lambda name: headers.get(name.lower()), sent.body or b"", strict=False
        )
    except CallError as error:
        error.about = codec.operation.wire_name
        raise


def _answered(codec: Codec, result: Any, headers: Sequence[tuple[str, str]] = ()) -> Any:
    try:
        return codec.read_result(codec.write_result(result), headers)
    except CallError as error:
        error.about = codec.operation.wire_name
        raise


def _carried_problem(codec: Codec, problem: Problem) -> Problem:
    code = codec.code_of(problem)
    if code is None:
        return problem
    return codec.read_problem(code, JSON.encode(problem_document(problem, code, None))) or problem
