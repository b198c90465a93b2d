"""The shop with its notifications in TypeScript: which system that is, and what it is started with."""

import base64
import os
from collections.abc import Mapping
from pathlib import Path

from borough.errors import ConfigurationError
from shop.demo.places import Places
from shop.demo.processes import free_port

FOREIGN = "notifications"
PORT = 8090
"""Where it listens; elsewhere if that is taken."""


class Polyglot:
    """That system. `borough run` starts all of it, the TypeScript service too."""

    def __init__(self, shop: Path, places: Places) -> None:
        """Raises `ConfigurationError` where it is not built."""
        self.system = shop.parent / "shop-polyglot"
        built = shop.parents[1] / "build" / "polyglot" / "dist" / "main.js"
        if not built.is_file() or not self.system.is_dir():
            raise ConfigurationError(
                "the TypeScript service is not built; run `make polyglot` in a checkout of Borough"
            )
        self._places = places
        self._port = free_port(PORT)
        self._secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()

    def environment(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Further variables; `options` say what carries events. From RabbitMQ the TypeScript service takes
        them itself, all others push them to it."""
        how = (
            {"SHOP_PUSH_SECRET": self._secret}
            if _is_pushed(options)
            else {"NOTIFICATIONS_AMQP_URL": options["events.rabbitmq.url"]}
        )
        return {**how, "NOTIFICATIONS_MAILBOX": str(self._places.mailbox)}

    def flags(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Further options of borough.toml."""
        found = {
            f"services.{FOREIGN}.port": str(self._port),
            f"push.{FOREIGN}.url": f"http://127.0.0.1:{self._port}/events",
        }
        return found if _is_pushed(options) else {**found, f"push.{FOREIGN}.paused": "true"}


def _is_pushed(options: Mapping[str, str]) -> bool:
    return options.get("events.broker") != "rabbitmq"
