"""Where Kafka's programs lie, and how Java is told to run them.

A home looks like an unpacked distribution of Apache: its jars lie in `libs`. One that
`python -m borough.engines.kafka` has made also has an archive of loaded classes, which halves the time
of a start, and a folder of data that was formatted once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from borough.engines.process import found_program
from borough.errors import ConfigurationError

__all__ = ["ARCHIVE", "FORMATTED", "VERSION", "cache_folder", "found_home", "java_command"]

VERSION: Final = "4.3.1"
ARCHIVE: Final = "classes.jsa"
FORMATTED: Final = "formatted"
_REMEDY: Final = (
    "`python -m borough.engines.kafka` fetches it (`make kafka` in a checkout), KAFKA_HOME names an unpacked "
    "distribution, or name a cluster in [events.kafka] servers"
)
_JAVA_REMEDY: Final = (
    "Kafka needs Java 17 or newer (`apt-get install openjdk-17-jre-headless`), or name a cluster in "
    "[events.kafka] servers"
)
_CHECKOUT: Final = Path(__file__).parents[4]
_HEAP: Final = "256m"


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where it is kept for all systems of a user."""
    kept = environment.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(kept) / "borough"


def found_home(environment: Mapping[str, str]) -> Path:
    """The folder whose `libs` has Kafka's jars. Raises `ConfigurationError` where there is none."""
    asked = environment.get("KAFKA_HOME")
    name = f"kafka-{VERSION}"
    places = [Path.cwd() / ".tools", _CHECKOUT / ".tools", cache_folder(environment)]
    for home in [Path(asked)] if asked else [place / name for place in places]:
        if any((home / "libs").glob("kafka_2.13-*.jar")):
            return home.resolve()
    where = f" in {asked} (KAFKA_HOME)" if asked else ""
    raise ConfigurationError(f"Apache Kafka was not found{where}: {_REMEDY}")


def java_command(home: Path, main: str, *, record: Path | None = None) -> list[str]:
    """The command that runs a class of Kafka; `record` is where the classes that it loads are archived."""
    java = found_program("java", [Path(os.environ.get("JAVA_HOME", "/")) / "bin"], _JAVA_REMEDY)
    command = [
        str(java),
        f"-Xms{_HEAP}",
        f"-Xmx{_HEAP}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # a laptop's broker lives for seconds: compiled soon, not best
        "-Xshare:auto",
        "-Djava.awt.headless=true",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    ]
    if record is not None:
        command.append(f"-XX:ArchiveClassesAtExit={record}")
    elif (home / ARCHIVE).exists():
        command.append(f"-XX:SharedArchiveFile={home / ARCHIVE}")
    jars = sorted(str(jar) for jar in (home / "libs").glob("*.jar"))
    return [*command, "-cp", os.pathsep.join(jars), main]
