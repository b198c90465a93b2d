"""Both type checkers run over every declaration form, right and wrong, as a user would run them.

In `wrong/` a comment `# expect-mypy: CODE` or `# expect-pyright: RULE` stands on the line that must
be reported, or alone on the line above it. Nothing else may be reported, and nothing in `right/`.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent
RIGHT = sorted((FOLDER / "right").glob("*.py"))
WRONG = sorted((FOLDER / "wrong").glob("*.py"))

_EXPECTED = re.compile(r"# expect-(mypy|pyright): ([\w-]+)")
_MYPY = re.compile(r"(.+?):(\d+): error: .*\[([\w-]+)\]\Z")

Places = dict[tuple[Path, int], set[str]]
"""What is reported or expected, by file and line."""


def run(*command: str) -> str:
    """What a checker prints. Its exit status says only whether it found something."""
    found = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert found.returncode in (0, 1), found.stdout + found.stderr
    return found.stdout


def mypy() -> Places:
    """What mypy --strict reports."""
    found: Places = {}
    files = map(str, RIGHT + WRONG)
    output = run("mypy", "--strict", "--no-error-summary", "--no-color-output", *files)
    for line in output.splitlines():
        if report := _MYPY.match(line):
            found.setdefault((ROOT / report[1], int(report[2])), set()).add(report[3])
    return found


def pyright() -> Places:
    """What pyright reports in its strict mode."""
    found: Places = {}
    project = str(FOLDER / "pyrightconfig.json")
    output = run("pyright", "--outputjson", "--pythonpath", sys.executable, "-p", project)
    for diagnostic in json.loads(output)["generalDiagnostics"]:
        if diagnostic["severity"] == "error":
            place = Path(diagnostic["file"]), diagnostic["range"]["start"]["line"] + 1
            found.setdefault(place, set()).add(diagnostic.get("rule", "syntax"))
    return found


def expected(checker: str) -> Places:
    """What the comments say."""
    found: Places = {}
    for path in WRONG:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            alone = line.lstrip().startswith("# expect-")
            for name, code in _EXPECTED.findall(line):
                if name == checker:
                    found.setdefault((path, number + alone), set()).add(code)
    return found


def differences(checker: str, reported: Places) -> list[str]:
    """What is reported and should not be, or should be and is not."""
    wanted = expected(checker)
    found = [
        f"{path.name}:{line}: {code} is missing"
        for (path, line), codes in wanted.items()
        for code in sorted(codes - reported.get((path, line), set()))
    ]
    # A mistake may have consequences on its own line ("type is unknown"), and on no other.
    return found + [
        f"{path.parent.name}/{path.name}:{line}: {', '.join(sorted(codes))} is not expected"
        for (path, line), codes in reported.items()
        if (path, line) not in wanted
    ]


def test_mypy_reports_what_is_wrong_and_nothing_else() -> None:
    assert differences("mypy", mypy()) == []


def test_pyright_reports_what_is_wrong_and_nothing_else() -> None:
    assert differences("pyright", pyright()) == []


def test_there_is_much_to_be_reported() -> None:
    assert len(WRONG) >= 4
    assert len(expected("mypy")) >= 35
    assert len(expected("pyright")) >= 35
