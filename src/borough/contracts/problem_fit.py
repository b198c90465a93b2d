"""Whether a problem holds what its class declares: one look where it leaves its service, in the process as at a door.

An exception is made by hand, and nothing checks its fields then. What no reader would find in its document is a
failure of the service, as it is in an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from borough.contracts.codec import JSON
from borough.contracts.finite import Look, find_unfit
from borough.contracts.problem import Problem, made_of, members_of

__all__ = ["as_read", "find_misfit"]


def find_misfit(problem: Problem) -> str | None:
    """What is wrong with its fields; None where all of them can be read as they are declared."""
    try:
        as_read(problem)
    except ValueError as error:
        return str(error)
    return None


def as_read(problem: Problem) -> Problem:
    """The problem as a reader on the other side of a wire finds it. Raises `ValueError` where none would."""
    payload = problem.payload
    if not payload.__struct_fields__:
        return problem
    decode, look = _compiled(payload)
    try:
        if look is not None:
            found = look(payload(**problem.values))
            if found is not None:
                raise msgspec.ValidationError(f"{found[0]} at #{found[1]}")
        read = decode(JSON.encode(members_of(problem)))
        return made_of(type(problem), read).with_traceback(problem.__traceback__)
    except (msgspec.MsgspecError, TypeError) as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # of a class of the service's own, whose insides no caller sees
        raise ValueError(type(error).__name__) from None


@cache  # there are as many as contracts declare
def _compiled(payload: type[msgspec.Struct]) -> tuple[Callable[[bytes], Any], Look | None]:
    return msgspec.json.Decoder(payload).decode, find_unfit(payload)
