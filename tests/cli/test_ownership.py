"""Root is told before it makes files among somebody else's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from borough.cli.ownership import told_of_owner

NOBODY = pwd.getpwnam("nobody")


@pytest.mark.parametrize(
    ("owner", "name"), [(NOBODY.pw_uid, "nobody"), (54_321, "user 54321"), (0, None)]
)
def test_who_starts_as_root_is_told_whose_the_data_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, name: str | None
) -> None:
    found = list(tmp_path.stat())
    found[4] = owner
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Path, "stat", lambda _: os.stat_result(found))
    said = told_of_owner(tmp_path)
    assert [each.partition(",")[0] for each in said] == (
        [f"root runs on data of {name}"] if name else []
    )


def test_nothing_is_said_to_others_and_of_data_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert told_of_owner(tmp_path / "data") == []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert told_of_owner(tmp_path) == []
