"""The shop with its notifications in TypeScript: four services in one process, the fifth in Node, and the
public door. What each is started with; whoever starts them knows nothing else of them."""

import base64
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from borough.errors import ConfigurationError
from shop.demo.flags import as_flags, of_services
from shop.demo.places import SERVICES, Places
from shop.demo.processes import PYTHON, free_port

FOREIGN = "notifications"
OURS = tuple(name for name in SERVICES if name != FOREIGN)
INTERNAL_PORT, FOREIGN_PORT, OTLP_PORT = 9001, 8090, 4318
"""What borough.toml says; others where these are taken."""


class Command(NamedTuple):
    """How one process is started: a program, and what it is told."""

    name: str
    program: Sequence[str]
    arguments: Sequence[str]


class Parts:
    """The processes of the shop, in the order in which they are started; they are stopped in reverse."""

    def __init__(self, shop: Path, places: Places, more: Sequence[str] = ()) -> None:
        """`more` are further services of the first process. Raises `ConfigurationError`."""
        node = shutil.which("node")
        if node is None:
            raise ConfigurationError("node was not found; install Node.js 20 or newer")
        self._node = node
        self.system = shop.parent / "shop-polyglot"
        self._built = shop.parents[1] / "build" / "polyglot" / "dist" / "main.js"
        if not self._built.is_file() or not self.system.is_dir():
            raise ConfigurationError(
                "the TypeScript service is not built; run `make polyglot` in a checkout of Borough"
            )
        self._places = places
        self._services = (*OURS, *more)
        self._internal, self._foreign = free_port(INTERNAL_PORT), free_port(FOREIGN_PORT)
        self._otlp = free_port(OTLP_PORT)
        self._is_pushed = True
        self._stores: Mapping[str, str] = {}
        self._secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()

    def environment(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """What they share; `options` say what carries events. From RabbitMQ the TypeScript service takes
        them itself, all others push them to it."""
        self._is_pushed = options.get("events.broker") != "rabbitmq"
        self._stores = of_services(options)
        how = (
            {"SHOP_PUSH_SECRET": self._secret}
            if self._is_pushed
            else {"NOTIFICATIONS_AMQP_URL": options["events.rabbitmq.url"]}
        )
        return {
            **how,
            "NOTIFICATIONS_PORT": str(self._foreign),
            "NOTIFICATIONS_OTLP": self._keeper,
            "NOTIFICATIONS_DATABASE": str(self._places.data / f"{FOREIGN}.db"),
            "NOTIFICATIONS_MAILBOX": str(self._places.mailbox),
            "NOTIFICATIONS_TOKENS": str(self._places.data / "tokens"),
        }

    @property
    def _keeper(self) -> str:
        """The public door keeps what all of them see."""
        return f"http://127.0.0.1:{self._otlp}"

    @property
    def foreign(self) -> Command:
        """The TypeScript service."""
        self._places.data.mkdir(parents=True, exist_ok=True)
        return Command(FOREIGN, (self._node,), (str(self._built),))

    @property
    def services(self) -> Command:
        """All others."""
        return self._borough("server", self.of_services)

    @property
    def door(self) -> Command:
        """The public door."""
        return self._borough("edge", self.of_door)

    def _borough(self, name: str, arguments: Sequence[str]) -> Command:
        run = ("-m", "borough", "run", str(self.system), "--json")
        return Command(name, PYTHON, (*run, *arguments))

    @property
    def of_services(self) -> Sequence[str]:
        """What `borough run SYSTEM` is told for all others."""
        names, port = ",".join(self._services), str(self._internal)
        return ("--only", names, "--internal-port", port, *self._settings)

    @property
    def of_door(self) -> Sequence[str]:
        """What `borough run SYSTEM` is told for the public door."""
        return ("--only", "edge", *self._settings)

    @property
    def _settings(self) -> Sequence[str]:
        where = dict.fromkeys(self._services, self._internal) | {FOREIGN: self._foreign}
        options = {f"discovery.static.{name}": f"127.0.0.1:{port}" for name, port in where.items()}
        options |= {"telemetry.port": str(self._otlp), "telemetry.keeper": self._keeper}
        options[f"push.{FOREIGN}.url"] = f"http://127.0.0.1:{self._foreign}/events"
        if not self._is_pushed:
            options[f"push.{FOREIGN}.paused"] = "true"
        return as_flags({**options, **self._stores})
