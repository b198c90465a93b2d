"""Running a conformance suite without a test framework, and the checks that its tests are made of.

Checks raise `AssertionError` with a sentence, also under `python -O`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

import msgspec

__all__ = ["Verdict", "check", "equal", "names_of", "raising", "run_conformance"]

_PATIENCE_S = 60.0


class Verdict(msgspec.Struct, frozen=True):
    """How one test of a suite ended; `error` is None for a promise that is kept."""

    test: str
    error: BaseException | None = None

    def __str__(self) -> str:
        if self.error is None:
            return f"kept    {self.test}"
        return f"BROKEN  {self.test}: {type(self.error).__name__}: {self.error}"


def names_of(suite: object) -> list[str]:
    """The tests of a suite, in the order of their names."""
    return [name for name in dir(suite) if name.startswith("test_")]


async def run_conformance(
    suite: object, say: Callable[[str], object] = print, *, patience_s: float = _PATIENCE_S
) -> list[Verdict]:
    """Run every test of a suite and say how each ended; a test beyond its patience has failed."""
    verdicts: list[Verdict] = []
    for name in names_of(suite):
        try:
            async with asyncio.timeout(patience_s):
                await getattr(suite, name)()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            verdicts.append(Verdict(name, error))
        else:
            verdicts.append(Verdict(name))
        say(str(verdicts[-1]))
    broken = sum(verdict.error is not None for verdict in verdicts)
    say(f"{len(verdicts) - broken} of {len(verdicts)} promises kept")
    return verdicts


def check(holds: bool, sentence: str) -> None:
    """Raise `AssertionError` with the sentence unless it holds."""
    if not holds:
        raise AssertionError(sentence)


def equal(found: object, wanted: object, what: str) -> None:
    """Raise `AssertionError` unless both are equal."""
    if found != wanted:
        raise AssertionError(f"{what}: {_short(found)}, and not {_short(wanted)}")


class _Raising:
    """A block that must raise."""

    def __init__(self, kind: type[BaseException], what: str) -> None:
        self._kind = kind
        self._what = what

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if isinstance(error, self._kind):
            return True
        if error is None or isinstance(error, Exception):
            raised = "nothing" if error is None else repr(error)
            raise AssertionError(
                f"{self._what} raised {raised}, and not {self._kind.__name__}"
            ) from error
        return False


def raising(kind: type[BaseException], what: str) -> _Raising:
    """Raise `AssertionError` unless the block raises this kind of error."""
    return _Raising(kind, what)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}..."
