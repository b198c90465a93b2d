"""Runs one rig: first it must see its planted faults, then it tries what is not good yet.

Exit status 1 when an episode is bad or a planted fault is not seen, 2 for wrong use.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rigs.episodes import ROOT, Episodes, Rig, commit_of, prove, try_all

ALL = 100_000
NAMES: tuple[str, ...] = (
    "collector_away",
    "crash",
    "crash_points",
    "dependency",
    "disk",
    "engine_restarts",
    "fleet_crash",
    "fleet_links",
    "openapi",
    "overload",
    "raw_http",
    "duplicates",
    "links",
    "poison",
    "polyglot",
    "rollouts",
    "shared_group",
    "slow_clients",
    "span_loss",
    "volume",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    sys.path.append(str(ROOT / "examples"))
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["planted_faults"]:  # for a person to look at: it has no episodes
        return int(importlib.import_module("rigs.planted_faults").main(given[1:]))
    parser = argparse.ArgumentParser(prog="python -m rigs", description=__doc__)
    subparsers = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    rigs: dict[str, Rig] = {}
    for name in NAMES:
        module = importlib.import_module(f"rigs.{name}")
        rig = rigs[name] = module.RIG
        add_rig(subparsers, name, rig, (module.__doc__ or "").partition("\n")[0])
    options = parser.parse_args(given)
    return run_rig(options.name, rigs[options.name], options)


def add_rig(subparsers: Any, name: str, rig: Rig, what: str) -> None:
    """Add a rig as a command: what every rig takes, and what only this one takes."""
    what = what.replace("%", "%%")  # for argparse
    parser = subparsers.add_parser(name, help=what, description=what)
    default = ALL if rig.is_finite else rig.per_episode
    parser.add_argument("--count", type=int, default=default, help=f"{rig.counts}, in all")
    parser.add_argument("--seed", type=int, default=1, help="of the first episode (1)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / ".rigs" / f"{name}.jsonl", help=f".rigs/{name}.jsonl"
    )
    parser.add_argument(
        "--planted", choices=sorted(rig.planted), help="only see this fault, and try nothing"
    )
    parser.add_argument("--unproven", action="store_true", help="plant nothing first")
    rig.add_arguments(parser)


def run_rig(name: str, rig: Rig, options: argparse.Namespace) -> int:
    """Prove the rig, then try what is wanted; returns the exit status."""

    def say(line: str) -> None:
        print(f"{name}: {line}", flush=True)

    began_s = time.monotonic()
    commit = commit_of()
    title = f"{name} {getattr(options, rig.variant)}" if rig.variant else name
    episodes = Episodes(options.out, title, commit)
    say(f"commit {commit}, seed {options.seed}, to {options.out}")
    try:
        if options.planted is not None:
            return int(not prove(rig, options, episodes, [options.planted], say))
        unseen = [fault for fault in rig.planted if fault not in episodes.caught]
        if not options.unproven and not prove(rig, options, episodes, unseen, say):
            return 1
        count = -(-options.count // rig.per_episode)
        wanted = episodes.wanted(options.seed, count)
        if len(wanted) < count:
            say(f"{count - len(wanted)} episodes were good before")
        tried, bad = try_all(rig, options, episodes, wanted, say) if wanted else (0, 0)
        good = count - len(episodes.wanted(options.seed, count))
        if rig.is_finite:
            count -= len(wanted) - tried
    finally:
        episodes.close()
    took_s = time.monotonic() - began_s
    each = "" if rig.per_episode == 1 else f" of {rig.per_episode} {rig.counts}"
    say(f"{good} of {count} episodes{each} good, {bad} bad, {took_s:.0f} s")
    return int(good < count)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # what ran has been ended; the next run goes on from here
        sys.exit(130)
