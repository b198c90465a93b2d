"""A plain ASGI application as a service of the system: `[services.legacy] asgi = "legacy.main:app"`.

It becomes a service class of its own with one raw mount at `/NAME`: wiring, permission, the edge and
the system page treat it as any other. It is imported when it is opened, not when it is known.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, cast

from borough.contracts.marks import ANYONE, RAW_MARK, USER, Allow, RawMark, scope
from borough.contracts.reading import contract_mark, wire_name_of
from borough.errors import ConfigurationError
from borough.runtime.lifespan import Asgi, Lifespan, Message
from borough.runtime.service_facts import ServiceFacts
from borough.services.clients import APPLICATION, ApplicationClients
from borough.services.service import Service

__all__ = ["Application", "asgi_service"]


class Application(Service):
    """A service that is an ASGI application and nothing else."""

    path: ClassVar[str]
    """`module:name` of the application, or of a function that makes it."""
    needs: ClassVar[dict[str, type[Any]]]
    """The contracts that it may call, by attribute."""

    _app: Asgi | None = None
    _lifespan: Lifespan | None = None

    async def open(self) -> None:
        """Import it and run its startup."""
        name = str(self.service_name)
        clients = {contract: getattr(self, attribute) for attribute, contract in self.needs.items()}
        APPLICATION.set(ApplicationClients(name, clients))
        app = _application(name, self.path)
        self._lifespan = Lifespan(name, app)
        await self._lifespan.start()
        self._app = _inside(app, self._lifespan.state, ApplicationClients(name, clients))

    async def close(self) -> None:
        """Run its shutdown."""
        if self._lifespan is not None:
            await self._lifespan.stop()

    def application(self) -> Asgi:
        """The application, once it is open."""
        assert self._app is not None
        return self._app


def asgi_service(name: str, facts: ServiceFacts, known: Sequence[type[Any]]) -> type[Application]:
    """The service class of an application. `known` are the contracts that it may need.

    Raises `ConfigurationError` for facts that name no contract, or nobody who may reach it.
    """
    needs: dict[str, type[Any]] = {}
    for need in facts.needs:
        contract = _contract(name, need, known)
        needs[f"need_{len(needs)}_{contract.__name__}"] = contract

    def application(self: Application) -> Asgi:
        return Application.application(self)

    setattr(application, RAW_MARK, RawMark("/", _allow(name, facts.allow)))
    members = {
        "__module__": __name__,
        "__annotations__": dict(needs),
        "__doc__": f"The ASGI application {facts.asgi}.",
        "application": application,
        "needs": needs,
        "path": facts.asgi,
        "service_name": name,
    }
    return type(f"{name.title()}Application", (Application,), members)


def _allow(name: str, text: str | None) -> Allow:
    words = (text or "").split()
    if not words:
        raise ConfigurationError(
            f"services.{name}.allow is missing: say who may reach the application at /{name}: "
            '"anyone", "user", or the scopes that a token must carry'
        )
    if words == ["anyone"]:
        return ANYONE
    if words == ["user"]:
        return USER
    if "anyone" in words or "user" in words:
        raise ConfigurationError(
            f'services.{name}.allow is {text!r}; write "anyone" or "user" alone, or scopes only'
        )
    return scope(*words)


def _contract(name: str, need: str, known: Sequence[type[Any]]) -> type[Any]:
    """The contract class that a need names."""
    option = f"services.{name}.needs"
    module, colon, class_name = need.partition(":")
    if colon:
        found = _attribute(option, module, class_name)
        if contract_mark(found) is None:
            raise ConfigurationError(f"{option} names {need}, which is no contract; mend the name")
        return cast("type[Any]", found)
    # Faults of the contract itself are told by the wiring, and here would hide behind a false one.
    names = {wire_name_of(contract): contract for contract in known}
    if need not in names:
        close = difflib.get_close_matches(need, names, 1)
        meant = (
            close[0] if close else ", ".join(sorted(names)) or "module:Class of an installed one"
        )
        raise ConfigurationError(
            f"{option} names {need}, which is no contract here; did you mean {meant}?"
        )
    return names[need]


def _attribute(option: str, module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{option} names {module}:{name}, and there is no module {error.name}; "
            "mend the name, or install what it is in"
        ) from None
    except AttributeError:
        raise ConfigurationError(
            f"{option} names {module}:{name}, and {module} has no {name}; mend the name"
        ) from None


def _application(name: str, path: str) -> Asgi:
    """Import an application, or make it where `path` names what makes it."""
    option = f"services.{name}.asgi"
    module, colon, attribute = path.partition(":")
    if not colon or not module or not attribute:
        raise ConfigurationError(f'{option} is {path!r}; write "module:name" of the application')
    found = _attribute(option, module, attribute)
    if callable(found) and _takes_nothing(found):
        found = found()
    if inspect.isawaitable(found):
        cast("Any", found).close()
        raise ConfigurationError(f"{option} names {path}, an async factory; make it a plain one")
    if not callable(found):
        raise ConfigurationError(f"{option} names {path}, which is no ASGI application")
    return cast("Asgi", found)


def _takes_nothing(found: Callable[..., Any]) -> bool:
    """Whether it is called without arguments: an application takes scope, receive and send."""
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True


def _inside(app: Asgi, state: dict[str, Any], clients: ApplicationClients) -> Asgi:
    """The application with what its startup left, and with its clients at hand."""

    async def answer(
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        APPLICATION.set(clients)  # each request has a context of its own
        await app({**scope, "state": {**state, **scope["state"]}}, receive, send)

    return answer
