"""The shop against its own OpenAPI document: generated requests, every answer judged.

An episode starts a fresh shop with customers and orders, and makes requests until there are enough.
Each fourth seed goes through every border value of the document as well. Then doors are tried without
a key or with a wrong one, the shop is stopped, and its log and its files are searched for secrets.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rigs.episodes import Episode, Fault, Rig

__all__ = ["RIG"]

CASES = 500
LEAST_GOOD = 0.5
FAULTS = {
    "failure": "not_a_server_error: GET /search/items: ",
    "wrong-type": "response_schema_conformance: PUT /orders/basket/{sku}: ",
    "status": "status_code_conformance: POST /orders/{order_id}/cancel: ",
    "traceback": "nothing_inside_is_shown: ",
    "secret": "nothing_inside_is_shown: POST /accounts/sessions: ",
    "open-door": "GET /orders/basket with no Authorization was answered 200",
    "logged": "a password is in the log",
}
"""What `planted_answers` plants, and how the sentence begins that tells of it."""


def run(
    options: argparse.Namespace, seeds: Sequence[int], planted: str | None
) -> Iterator[Episode]:
    """One episode for each seed."""
    for seed in seeds:
        folder = Path(tempfile.mkdtemp(prefix="borough-openapi-"))
        episode = _try(folder, seed, planted)
        if episode.wrong and planted is None and options.keep:
            wrong = [*episode.wrong, f"its log and data are kept in {folder}"]
            yield Episode(seed, wrong, episode.facts)
        else:
            shutil.rmtree(folder)
            yield episode


def _try(folder: Path, seed: int, planted: str | None) -> Episode:
    # Not before it is asked for: other rigs need not wait for Schemathesis.
    from rigs.fuzzed_shop import FuzzedShop
    from rigs.openapi_trial import FEED, Trial

    shop = FuzzedShop(folder, seed, planted)
    try:
        FEED.shop, FEED.hidden = shop, shop.secrets()
        trial = Trial(shop, seed, planted)
        trial.run(CASES)
        trial.try_doors()
        wrong = [*trial.wrong, *shop.stop()]
    finally:
        shop.kill()
    if trial.good < LEAST_GOOD * trial.cases and planted is None:
        wrong.append(f"only {trial.good} of {trial.cases} cases were answered 2xx")
    return Episode(seed, wrong, trial.facts())


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", action="store_true", help="keep log and data of a bad episode")


RIG = Rig(
    counts="cases",
    run=run,
    planted={fault: Fault(2, words) for fault, words in FAULTS.items()},
    per_episode=CASES,
    add_arguments=_add_arguments,
)
