"""The shop with its notifications in TypeScript: which system that is, and what it is started with."""

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
        built = shop.parents[1] / "build" / "polyglot"
        made = (built / "dist" / "main.js", built / "push.secret", self.system)
        if not all(each.exists() for each in made):
            raise ConfigurationError(
                "the TypeScript service is not built; run `make polyglot` in a checkout of Borough"
            )
        self._places = places
        self._port = free_port(PORT)

    def environment(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Further variables; `options` say what carries events. From RabbitMQ the TypeScript service takes
        them itself, all others push them to it."""
        found = {"NOTIFICATIONS_MAILBOX": str(self._places.mailbox)}
        if _is_pushed(options):
            return found
        return {**found, "NOTIFICATIONS_AMQP_URL": options["events.rabbitmq.url"]}

    def flags(self, options: Mapping[str, str]) -> Mapping[str, str]:
        """Further options of borough.toml."""
        found = {
            f"services.{FOREIGN}.port": str(self._port),
            f"push.{FOREIGN}.url": f"http://127.0.0.1:{self._port}/events",
        }
        return found if _is_pushed(options) else {**found, f"push.{FOREIGN}.paused": "true"}


def _is_pushed(options: Mapping[str, str]) -> bool:
    return options.get("events.broker") != "rabbitmq"
