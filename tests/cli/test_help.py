"""The examples that `--help` shows are commands."""

import re
import shlex

import pytest

from borough import cli


@pytest.mark.parametrize("name", sorted(cli._COMMANDS))
def test_an_example_of_the_help_is_understood(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    lines = [
        line.strip().removeprefix("example: ") for line in capsys.readouterr().out.splitlines()
    ]
    shown = [re.split(r"\s{2,}", line)[0] for line in lines if line.startswith(f"borough {name} ")]
    for example in shown:
        words = shlex.split(example.partition(" > ")[0])[1:]
        assert cli._parser(name).parse_args(words).command == name
