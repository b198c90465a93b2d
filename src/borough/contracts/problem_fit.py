"""Whether a problem holds what its class declares: one look where it leaves its service, in the process as at a door.

An exception is made by hand, and nothing checks its fields then. What no reader would find in its document is a
failure of the service, as it is in an answer.
"""

from __future__ import annotations

import msgspec

from borough.contracts.codec import JSON
from borough.contracts.finite import find_unfit
from borough.contracts.problem import Problem, members_of

__all__ = ["ProblemFit"]


class ProblemFit:
    """The look at problems of one class."""

    __slots__ = ("_decode", "_look")

    def __init__(self, kind: type[Problem]) -> None:
        self._decode = msgspec.json.Decoder(kind.payload).decode
        self._look = find_unfit(kind.payload)

    def misfit(self, problem: Problem) -> str | None:
        """What is wrong with its fields; None where all of them can be read as they are declared."""
        if not problem.payload.__struct_fields__:
            return None
        try:
            if self._look is not None:
                found = self._look(problem.payload(**problem.values))
                if found is not None:
                    return f"{found[0]} at #{found[1]}"
            self._decode(JSON.encode(members_of(problem)))
        except Exception as error:  # also what a value of a class of its own raises
            return str(error) or type(error).__name__
        return None
