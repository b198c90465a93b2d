"""Fetches Apache Kafka from Maven Central: a fixed list of jars, each known by its SHA-256.

`python -m borough.engines.kafka [FOLDER]` brings them into FOLDER (a cache of the user's, if not given)
and makes the first start quick. MAVEN_MIRROR_URL, or a mirror in ~/.m2/settings.xml, stands in for Maven
Central. `--lock` resolves the list anew with Maven and writes it; nothing of it needs Maven otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from borough.clock import SystemClock
from borough.engines.kafka.home import ARCHIVE, FORMATTED, VERSION, cache_folder
from borough.engines.kafka.server import KafkaServer
from borough.errors import ConfigurationError

_LOCK: Final = Path(__file__).with_name("jars.lock")
_CENTRAL: Final = "https://repo1.maven.org/maven2"
_ATTEMPTS: Final = 3
_ANSWER_S: Final = 60.0
_AT_ONCE: Final = 4
_POM: Final = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>borough</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch, or `--lock`; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m borough.engines.kafka",
        description=f"Fetches Apache Kafka {VERSION} for this machine; it runs on Java 17 or newer.",
        epilog="example:\n  python -m borough.engines.kafka .tools",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=cache_folder(os.environ),
        help="where to put it (default: a cache of yours)",
    )
    parser.add_argument(
        "--lock", action="store_true", help="resolve the list of jars anew, with Maven"
    )
    options = parser.parse_args(arguments)
    try:
        if options.lock:
            _LOCK.write_text(_resolved(), encoding="utf-8")
        else:
            _install(options.folder / f"kafka-{VERSION}")
    except (ConfigurationError, OSError, subprocess.SubprocessError) as error:
        print(f"Kafka could not be brought here: {error}", file=sys.stderr)
        return 2
    return 0


def _install(home: Path) -> None:
    """Bring all jars, then put them in their place together."""
    if (home / ARCHIVE).exists():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    print(f"Kafka {VERSION} -> {home}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="kafka-", dir=home.parent) as name:
        libs = Path(name) / "libs"
        libs.mkdir()
        source = _source(os.environ)
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            for fetching in [threads.submit(_fetch, source, jar, libs) for jar in _listed()]:
                fetching.result()
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        libs.rename(home / "libs")
    _prepare(home)


def _prepare(home: Path) -> None:
    """Start a broker once: what it formats, and which classes it loads, is kept for those to come."""
    os.environ["KAFKA_HOME"] = str(home)
    with tempfile.TemporaryDirectory(prefix="borough-kafka-") as name:
        folder = Path(name)
        server = KafkaServer(folder, SystemClock(), record=home.resolve() / ARCHIVE)
        formatted = home / FORMATTED
        formatted.mkdir()
        for each in ("meta.properties", "bootstrap.checkpoint"):
            shutil.copy(folder / "data" / each, formatted / each)
        server.stop()


def _listed() -> list[tuple[str, str]]:
    """SHA-256 and path of each jar."""
    lines = _LOCK.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("  ") for line in lines if not line.startswith("#"))
    return [(digest, path) for digest, _, path in pairs]


def _fetch(source: str, jar: tuple[str, str], folder: Path) -> None:
    """Raises `ConfigurationError` where it cannot be had, or is not what the list says."""
    digest, path = jar
    problem: object = "it was not tried"
    for _ in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(f"{source}/{path}", timeout=_ANSWER_S) as answer:
                body: bytes = answer.read()
        except (OSError, urllib.error.URLError) as error:
            problem = error
            continue
        found = hashlib.sha256(body).hexdigest()
        if found != digest:
            raise ConfigurationError(f"{path} is not the file of the list (its SHA-256 is {found})")
        (folder / Path(path).name).write_bytes(body)
        return
    raise ConfigurationError(
        f"{source}/{path} cannot be had ({problem}); MAVEN_MIRROR_URL names another source"
    )


def _source(environment: Mapping[str, str]) -> str:
    """Where jars come from."""
    asked = environment.get("MAVEN_MIRROR_URL")
    if asked:
        return asked.rstrip("/")
    settings = Path("~/.m2/settings.xml").expanduser()
    if settings.exists():
        text = re.sub(r'\sxmlns="[^"]*"', "", settings.read_text(encoding="utf-8"), count=1)
        for mirror in ElementTree.fromstring(text).iter("mirror"):
            covers, url = mirror.findtext("mirrorOf", ""), mirror.findtext("url")
            if url and covers.split(",")[0].strip() in ("*", "central", "external:*"):
                return url.rstrip("/")
    return _CENTRAL


def _resolved() -> str:
    """The list, as Maven resolves it."""
    with tempfile.TemporaryDirectory(prefix="borough-kafka-") as name:
        folder = Path(name)
        (folder / "pom.xml").write_text(_POM, encoding="utf-8")
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=jars"]
        command = ["mvn", "-q", "-B", *goal, "-Dmdep.useRepositoryLayout=true"]
        subprocess.run(command, cwd=folder, check=True)
        jars = sorted((folder / "jars").rglob("*.jar"))
        lines = [
            f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  "
            f"{jar.relative_to(folder / 'jars').as_posix()}"
            for jar in jars
        ]
    head = f"# Apache Kafka {VERSION} with all it needs: SHA-256 and path in a Maven repository."
    return "\n".join(
        [head, "# python -m borough.engines.kafka --lock writes this list.", *lines, ""]
    )


if __name__ == "__main__":
    sys.exit(main())
