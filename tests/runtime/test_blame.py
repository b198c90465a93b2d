"""An error is told at the line where a team can mend it."""

import sysconfig
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from borough.runtime.blame import own_place

TEAMS = "/srv/shop/orders/contract.py"
INSTALLED = f"{sysconfig.get_path('purelib')}/shop_orders/contract.py"
PYTHON = f"{sysconfig.get_path('stdlib')}/json/decoder.py"


def calling(file: str, call: Callable[[], object]) -> Callable[[], object]:
    """A function of a file, which makes the call in its second line."""
    made: dict[str, Any] = {"call": call}
    exec(compile("def act():\n    call()", file, "exec"), made)
    act: Callable[[], object] = made["act"]
    return act


def raised_through(files: Sequence[str]) -> BaseException:
    """An error of the last file, each of which was called by the one before."""
    act: Callable[[], object] = partial(int, "none")
    for file in reversed(files):
        act = calling(file, act)
    with pytest.raises(ValueError, match="none") as caught:
        act()
    return caught.value.with_traceback(caught.tb.tb_next)  # without the frame of this file


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ((TEAMS, INSTALLED, PYTHON), TEAMS),
        ((INSTALLED, PYTHON), INSTALLED),
        ((PYTHON,), PYTHON),
    ],
    ids=["a library", "installed code of a team", "Python alone"],
)
def test_an_error_is_told_where_the_teams_code_called_what_raised_it(
    files: Sequence[str], told: str
) -> None:
    assert own_place(raised_through(files)) == (told, 2)
