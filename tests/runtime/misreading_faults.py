"""Service classes that say what wiring would pass over, each with one fault; read as in `wiring_faults.py`."""

MISREADINGS: dict[str, tuple[str, str, str]] = {
    "an optional database": (
        """
class Asking(Service):
    db: Database | None = None  # <-
""",
        "Asking.db is annotated with borough.services.data.Database | None",
        "Annotate it with the class itself: a dependency is always there",
    ),
    "a dependency that is assigned": (
        """
class Asking(Service):  # <-
    db = Database
""",
        "Asking.db is the class Database itself",
        "Write `db: Database`",
    ),
    "a route in a service": (
        """
class Asking(Service):
    @get("/answers", allow=ANYONE)  # <-
    async def answers(self) -> int:
        return 1
""",
        "Asking.answers has a route, which nobody serves",
        "Routes stand in the contract: declare the operation there, and implement it here without",
    ),
    "a service of a contract that is not marked": (
        """
class Answers(Protocol):  # <-
    @get("/answers", allow=ANYONE)
    async def answers(self) -> int: ...

class Asking(Service, Answers):
    async def answers(self) -> int:
        return 1
""",
        "Asking inherits Answers, which has routes and is no contract",
        'Mark Answers with @contract("SERVICE", version="1.0")',
    ),
    "a dependency on a contract that is not marked": (
        """
class Answers(Protocol):
    @get("/answers", allow=ANYONE)
    async def answers(self) -> int: ...

class Asking(Service):
    clock: Clock
    answers: Answers  # <-
""",
        "Asking.answers is annotated with Answers, which has routes and is no contract",
        'Mark Answers with @contract("SERVICE", version="1.0")',
    ),
    "an attribute that is called as an operation": (
        """
class Storing(Service, Post):
    send: Database  # <-
""",
        "Storing.send is an attribute and an operation",
        "Rename the attribute, which would be there in place of the operation",
    ),
    "an open that is no coroutine": (
        """
class Asking(Service):
    def open(self) -> None:  # <-
        pass
""",
        "Asking.open has the wrong form",
        "Write `async def open(self) -> None`; what it needs is an attribute of the class",
    ),
    "a close that takes something": (
        """
class Asking(Service):
    async def close(self, app: object) -> None:  # <-
        pass
""",
        "Asking.close has the wrong form",
        "Write `async def close(self) -> None`; what it needs is an attribute of the class",
    ),
    "another default than the contract's": (
        """
@contract("shout", version="1.0")
class Shout(Protocol):
    @get("/log")
    async def log(self, first: int = 20, last: int | None = None) -> int: ...

class Shouting(Service, Shout):
    async def log(self, first: int = 50, last: int | None = None) -> int:  # <-
        return first
""",
        "Shouting.log has the default 50 for first, its contract 20",
        "Use the contract's, which every caller is given",
    ),
    "an operation that is called as a service's own name": (
        """
@contract("names", version="1.0")
class Names(Protocol):
    @get("/name")  # <-
    async def service_name(self) -> str: ...

class Naming(Service, Names):
    async def service_name(self) -> str:
        return "naming"
""",
        "Names.service_name has the name of what every service does",
        "Rename it; Service.service_name says how a service is called",
    ),
    "a setting's default that does not fit": (
        """
class Mood(enum.Enum):
    GOOD = "good"

class Wishes(Settings):
    pause_s: float = 3
    password: Secret = Secret("none here")
    token: Secret | None = None
    mood: Mood = Mood.GOOD
    host: int = "localhost"  # <-

class Asking(Service):
    wishes: Wishes
    others: Wishes
""",
        "Wishes.host: the default 'localhost' does not fit: Expected `int`, got `str`",
        "Mend it, or the type",
    ),
    "a setting without a type": (
        """
class Wishes(Settings):
    host = "localhost"  # <-
    port: int = 25

class Asking(Service):
    wishes: Wishes
""",
        "Wishes.host has a value and no type, so it is no setting",
        "Annotate it; with ClassVar[...] where it is no setting",
    ),
}
