"""What a rig has tried: one line of JSON for each episode, on disk before the next one begins.

An episode has a seed, and belongs to a commit: what was tried with other code proves nothing about
this one. A run of `--count N --seed S` wants the seeds S to S+N-1, and leaves out those that are good
already. So a run that was broken off goes on where it was, and `--seed X --count 1` repeats one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

__all__ = ["Episode", "Episodes", "Fault", "Rig", "commit_of", "prove", "try_all"]

ROOT = Path(__file__).resolve().parents[1]
MOST_SENTENCES = 20
Say = Callable[[str], None]


@dataclass(frozen=True)
class Episode:
    """One trial that is over. `wrong` says in sentences what broke a promise; nothing: it is good."""

    seed: int
    wrong: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


Run = Callable[[Any, Sequence[int], str | None], Iterator[Episode]]


@dataclass(frozen=True)
class Fault:
    """A fault that a rig can plant. It is seen when a sentence begins so, within so many episodes.

    Anything else that goes wrong is no proof: a rig that cannot even start would pass for one.
    """

    within: int
    seen_as: str

    def is_seen(self, episode: Episode) -> bool:
        """Whether this episode shows it."""
        return any(sentence.startswith(self.seen_as) for sentence in episode.wrong)


@dataclass(frozen=True)
class Rig:
    """What a module of this package offers as `RIG`; the module's first line says what it tries."""

    counts: str
    """What `--count` counts, in the plural: "kills"."""

    run: Run
    """`run(options, seeds, planted)` tries the seeds in turn, with a planted fault or none, and yields
    each episode once it is judged. A generator: it ends its processes in `finally`."""

    planted: Mapping[str, Fault] = field(default_factory=dict)
    """Faults that it can plant, by name, and must see."""

    per_episode: int = 1
    """How many of what is counted make one episode."""

    is_finite: bool = False
    """Whether it has a last seed of its own, and ends there when asked for more."""

    variant: str = ""
    """The option of its own that makes what it tries another thing: what is good for one value is not for others."""

    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    """Add what only this rig takes."""


class Episodes:
    """The file of one rig, and what stands in it about one commit."""

    def __init__(self, path: Path, rig: str, commit: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._rig = rig
        self._commit = commit
        self.good: set[int] = set()
        """Seeds that are good, of this commit."""
        self.caught: set[str] = set()
        """Planted faults that were seen, of this commit."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._read(path)

    def _read(self, path: Path) -> None:
        """Learn what is known. A line that was torn when a run was broken off is ended and ignored."""
        text = path.read_bytes()
        if text and not text.endswith(b"\n"):
            os.write(self._file, b"\n")
        for line in text.splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if found.get("rig") != self._rig or found.get("commit") != self._commit:
                continue
            if found["verdict"] == "caught":
                self.caught.add(found["planted"])
            elif found["verdict"] == "good":
                self.good.add(found["seed"])
            elif found["verdict"] == "bad":
                self.good.discard(found["seed"])

    def wanted(self, first: int, count: int) -> list[int]:
        """The seeds that are not good yet."""
        return [seed for seed in range(first, first + count) if seed not in self.good]

    def add(self, episode: Episode, planted: str | None = None, *, caught: bool = False) -> None:
        """Append an episode; it is on disk when this returns."""
        if planted is not None:
            verdict = "caught" if caught else "unseen"
        else:
            verdict = "bad" if episode.wrong else "good"
        line: dict[str, Any] = {
            "rig": self._rig,
            "commit": self._commit,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seed": episode.seed,
            "verdict": verdict,
        }
        if planted is not None:
            line["planted"] = planted
        if episode.wrong:
            line["wrong"] = list(episode.wrong[:MOST_SENTENCES])
        text = json.dumps(line | dict(episode.facts)).encode() + b"\n"
        while text:
            text = text[os.write(self._file, text) :]
        os.fsync(self._file)
        if verdict == "good":
            self.good.add(episode.seed)
        elif verdict == "caught" and planted is not None:
            self.caught.add(planted)

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


def prove(rig: Rig, options: Any, episodes: Episodes, faults: Sequence[str], say: Say) -> bool:
    """Plant each fault, and see that the rig finds it."""
    are_seen = True
    for name in faults:
        fault = rig.planted[name]
        trials = rig.run(options, range(options.seed, options.seed + fault.within), name)
        tried = 0
        seen: Episode | None = None
        others: list[str] = []
        try:
            for episode in trials:
                tried += 1
                episodes.add(episode, name, caught=fault.is_seen(episode))
                if fault.is_seen(episode):
                    seen = episode
                    break
                others += episode.wrong
        finally:
            _close(trials)
        if seen is None:
            are_seen = False
            say(f"NOT seen within {tried} episodes, so this rig proves nothing: planted {name}")
            for sentence in others[:MOST_SENTENCES]:
                say(f"  other than expected: {sentence}")
        else:
            sentence = next(text for text in seen.wrong if text.startswith(fault.seen_as))
            say(f"planted {name}: seen in episode {tried}: {sentence}")
    return are_seen


def try_all(
    rig: Rig, options: Any, episodes: Episodes, seeds: Sequence[int], say: Say
) -> tuple[int, int]:
    """Try every seed; returns how many were tried and were bad. A bad one does not end the run."""
    tried = bad = 0
    trials = rig.run(options, seeds, None)
    try:
        for episode in trials:
            episodes.add(episode)
            tried += 1
            if episode.wrong:
                bad += 1
                say(f"BAD seed {episode.seed}")
                for sentence in episode.wrong[:MOST_SENTENCES]:
                    say(f"  ! {sentence}")
    finally:
        _close(trials)
    return tried, bad


def _close(trials: Iterator[Episode]) -> None:
    close = getattr(trials, "close", None)
    if close is not None:
        close()


def commit_of(folder: Path = ROOT) -> str:
    """Which code this is. Changes that are not committed are marked, and told apart by a digest."""
    head = _git(folder, "rev-parse", "HEAD").decode().strip()
    if not head:
        return "unknown"
    changes = hashlib.sha256(_git(folder, "diff", "HEAD", "--binary"))
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
    for name in filter(None, sorted(untracked)):
        path = folder / os.fsdecode(name)
        changes.update(name + b"\0" + (path.read_bytes() if path.is_file() else b""))
    is_clean = changes.digest() == hashlib.sha256().digest()
    return head if is_clean else f"{head}-dirty-{changes.hexdigest()[:12]}"


def _git(folder: Path, *arguments: str) -> bytes:
    """What git says; nothing where there is no repository, as in an unpacked source archive."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, check=False
        )
    except FileNotFoundError:
        return b""
    return done.stdout if done.returncode == 0 else b""
