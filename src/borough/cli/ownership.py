"""Whose the data are: what root makes among somebody else's files, those cannot go on with."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

__all__ = ["told_of_owner"]


def told_of_owner(folder: Path) -> list[str]:
    """What is said at a start as root on data of another owner: one sentence, or none."""
    if os.geteuid() != 0:
        return []  # who may not write there is told so by the file
    try:
        owner = folder.stat().st_uid
    except OSError:  # not made yet
        return []
    if owner == 0:
        return []
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"user {owner}"
    return [
        f"root runs on data of {name}, who cannot go on with files that are made now; "
        f"run this as {name}, or give all of {folder} to root"
    ]
