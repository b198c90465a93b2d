"""Wirings with one fault each: the text, what is said of it, and the remedy.

A line that ends with `# <-` is where the fault is expected.
"""

SHARED = """
class Paid(Event):
    id: Key[int]

class Sent(Event):
    id: int

@contract("pay", version="1.0", publishes=[Paid])
class Pay(Protocol):
    '''Takes money.'''

    @post("/charges")
    async def charge(self, cents: int, note: str = "") -> int: ...

    @get("/log")
    def log(self) -> AsyncIterator[int]: ...

@contract("post", version="1.0", publishes=[Sent])
class Post(Protocol):
    '''Sends letters.'''

    @post("/letters", idempotent_by="number")
    async def send(self, number: int) -> int: ...

class PayService(Service, Pay):
    async def charge(self, cents: int, note: str = "") -> int:
        return cents

    async def log(self) -> AsyncIterator[int]:
        yield 1
"""

FAULTS: dict[str, tuple[str, str, str]] = {
    "two services of one name": (
        """
class Other(Service, name="pay"):  # <-
    pass
""",
        "two services are named pay (PayService, Other)",
        "Rename one",
    ),
    "a missing operation": (
        """
class PostService(Service, Post):  # <-
    db: Database
""",
        "PostService does not implement Post.send",
        "Write `async def send(self, ...)`",
    ),
    "an operation that is no method": (
        """
class PostService(Service, Post):  # <-
    db: Database
    send = None
""",
        "PostService.send is no method, and Post has that operation",
        "Write it as a method, or give the attribute another name",
    ),
    "parameters of another name": (
        """
class PostService(Service, Post):
    db: Database
    async def send(self, count: int) -> int:  # <-
        return 1
""",
        "PostService.send takes (count), its contract (number)",
        "Use the contract's parameters",
    ),
    "a parameter that nobody gives": (
        """
class PostService(Service, Post):
    db: Database
    async def send(self, number: int, urgent: bool) -> int:  # <-
        return 1
""",
        "PostService.send takes (number, urgent), its contract (number)",
        "Use the contract's parameters",
    ),
    "a parameter that cannot be given by position": (
        """
class PostService(Service, Post):
    db: Database
    async def send(self, *, number: int) -> int:  # <-
        return 1
""",
        "PostService.send takes number by its name only",
        "Remove the `*`: a method is given its parameters in their order",
    ),
    "a sync operation": (
        """
class PostService(Service, Post):
    db: Database
    def send(self, number: int) -> int:  # <-
        return 1
""",
        "PostService.send is not `async def`",
        "Make it so",
    ),
    "an awaited stream": (
        """
@contract("news", version="1.0")
class News(Protocol):
    '''Tells.'''
    @get("/all")
    def all(self) -> AsyncIterator[int]: ...

class NewsService(Service, News):
    async def all(self) -> AsyncIterator[int]:  # <-
        return self.charge()
""",
        "NewsService.all is not a plain `def` or an async generator",
        "Make it so",
    ),
    "a dependency that nobody provides": (
        """
ALONE = True
class Asking(Service):
    post: Post  # <-
""",
        "Asking.post needs Post, which no service here provides",
        "Add the service to the system, or [external.post] for one elsewhere, or run it with --mock post",
    ),
    "an optional dependency": (
        """
class Asking(Service):
    pay: Pay | None  # <-
""",
        "Asking.pay is annotated with {module}.Pay | None",
        "Annotate it with the contract itself: a dependency is always there",
    ),
    "an annotation that cannot be read": (
        """
class Asking(Service):  # <-
    clerk: "Clerk"
""",
        "an annotation of Asking cannot be read: name 'Clerk' is not defined",
        "Import the name at the top of its module, and not under TYPE_CHECKING",
    ),
    "an annotation that is no Python": (
        """
class Asking(Service):  # <-
    clerk: "a clerk"
""",
        "an annotation of Asking cannot be read: "
        "Forward reference must be an expression -- got 'a clerk'",
        "Import the name at the top of its module, and not under TYPE_CHECKING",
    ),
    "a service in place of its contract": (
        """
class Asking(Service):  # <-
    pay: PayService
""",
        "Asking.pay is annotated with the service PayService",
        "Annotate it with the contract; only contracts of another service may be used",
    ),
    "an event that no contract publishes": (
        """
class Lost(Event):
    id: int

class Hearing(Service):
    @on(Lost)  # <-
    async def heard(self, event: Lost) -> None: ...
""",
        "Hearing.heard hears Lost, which no contract here publishes",
        "Name it in `publishes=[...]` of the contract that it belongs to",
    ),
    "events of two contracts in one handler": (
        """
class Hearing(Service):
    @on(Paid, Sent)  # <-
    async def heard(self, event: Any) -> None: ...
""",
        "Hearing.heard hears events of several contracts, between which there is no order",
        "Write one handler for each contract",
    ),
    "a projection without a transaction": (
        """
class Hearing(Service):
    @projection(Paid, tables=["paid"])  # <-
    async def paid(self, event: Paid) -> None: ...
""",
        "Hearing.paid is a projection without a transaction",
        "Write `async def name(self, event, tx)`: its rows commit with its place in the topic",
    ),
    "a projection without tables": (
        """
class Hearing(Service):
    @projection(Paid, tables=[])  # <-
    async def paid(self, event: Paid, tx: Transaction) -> None: ...
""",
        "Hearing.paid is a projection without tables",
        'Name those that it writes: tables=["prices"]',
    ),
    "a projection of a table that is no name": (
        """
class Hearing(Service):
    @projection(Paid, tables=["paid; drop"])  # <-
    async def paid(self, event: Paid, tx: Transaction) -> None: ...
""",
        "Hearing.paid names the table 'paid; drop'",
        "Use letters, digits and _",
    ),
    "a projection of a table of Borough's": (
        """
class Hearing(Service):
    @projection(Paid, tables=["Borough_inbox"])  # <-
    async def paid(self, event: Paid, tx: Transaction) -> None: ...
""",
        "Hearing.paid names the table Borough_inbox, which is not the service's own",
        "Name its own tables",
    ),
    "a projection of no generation": (
        """
class Hearing(Service):
    @projection(Paid, tables=["paid"], generation=0)  # <-
    async def paid(self, event: Paid, tx: Transaction) -> None: ...
""",
        "Hearing.paid is of generation 0",
        "Write a whole number, 1 or more",
    ),
    "two projections of one table": (
        """
class Hearing(Service):
    @projection(Paid, tables=["paid", "sums"])
    async def first(self, event: Paid, tx: Transaction) -> None: ...

    @projection(Paid, tables=["PAID"])  # <-
    async def second(self, event: Paid, tx: Transaction) -> None: ...
""",
        "Hearing.second and first both make the table PAID",
        "Give each projection tables of its own",
    ),
    "a handler of no event": (
        """
class Hearing(Service):
    @on()  # <-
    async def heard(self, event: Any) -> None: ...
""",
        "Hearing.heard hears no event",
        "Name one: @on(Event)",
    ),
    "a handler of one event that takes another": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    async def heard(self, event: Sent, tx: Transaction) -> None: ...
""",
        "Hearing.heard hears Paid and takes `event: Sent`",
        "Write `event: Paid`",
    ),
    "a handler of two events that takes one": (
        """
class Void(Event):
    id: Key[int]

@contract("void", version="1.0", publishes=[Void])
class Voids(Protocol):
    '''Two.'''

class Hearing(Service):
    @on(Void, Paid)
    async def heard(self, event: "Void | Sent") -> None: ...
""",
        "Hearing.heard hears Paid and takes `event: {module}.Void | {module}.Sent`",
        "Write `event: Void | Paid`",
    ),
    "a handler that takes its transaction first": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    async def heard(self, tx: Transaction, event: Paid) -> None: ...
""",
        "Hearing.heard hears Paid and takes `tx: Transaction`",
        "Write `tx: Paid`",
    ),
    "a handler that takes something else": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    async def heard(self, event: Paid, db: Database) -> None: ...
""",
        "Hearing.heard takes `db: Database` where it is given a transaction",
        "Write `async def heard(self, event) or (self, event, tx)`, and ask for all else by attributes",
    ),
    "a schedule that takes a client": (
        """
class Waking(Service):
    @every("1s")  # <-
    async def wake(self, pay: Pay) -> None: ...
""",
        "Waking.wake takes `pay: Pay` where it is given a transaction",
        "Write `async def wake(self) or (self, tx)`",
    ),
    "a sync handler": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    def heard(self, event: Any) -> None: ...
""",
        "Hearing.heard has the wrong form",
        "Write `async def heard(self, event) or (self, event, tx)`",
    ),
    "a handler without an event": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    async def heard(self) -> None: ...
""",
        "Hearing.heard has the wrong form",
        "Write `async def heard(self, event) or (self, event, tx)`",
    ),
    "a handler that wants too much": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    async def heard(self, event: Any, tx: Any, more: Any) -> None: ...
""",
        "Hearing.heard has the wrong form",
        "Write `async def heard(self, event) or (self, event, tx)`",
    ),
    "a handler whose transaction has no position": (
        """
class Hearing(Service):
    @on(Paid)  # <-
    async def heard(self, event: Any, *, tx: Any) -> None: ...
""",
        "Hearing.heard has the wrong form",
        "Write `async def heard(self, event) or (self, event, tx)`",
    ),
    "a schedule that wants too much": (
        """
class Waking(Service):
    @every("1h")  # <-
    async def wake(self, tx: Any, more: Any) -> None: ...
""",
        "Waking.wake has the wrong form",
        "Write `async def wake(self) or (self, tx)`",
    ),
    "two handlers of one name": (
        """
class Hearing(Service):
    @on(Paid, name="money")
    async def first(self, event: Any) -> None: ...
    @on(Paid, name="money")  # <-
    async def second(self, event: Any) -> None: ...
""",
        "two handlers are named {service}.money",
        "Give one `name=`",
    ),
    "two schedules of one name": (
        """
class Waking(Service):
    @every("1h", name="hourly")
    async def first(self) -> None: ...
    @every("1h", name="hourly")  # <-
    async def second(self) -> None: ...
""",
        "two schedules are named {service}.hourly",
        "Give one `name=`",
    ),
    "equal routes of two contracts": (
        """
@contract("pay", version="1.0")  # <-
class Fees(Protocol):
    '''Takes fees.'''
    @post("/charges")
    async def fee(self) -> int: ...
""",
        "pay.Fees.fee and pay.Pay.charge both answer POST /pay/charges",
        "Give one of them another path",
    ),
    "a keyed operation without a database": (
        """
class PostService(Service, Post):  # <-
    async def send(self, number: int) -> int:
        return 1
""",
        "post.Post.send is idempotent by a key, and PostService has no database to keep the answer",
        "Add `db: Database`, and end the operation with `tx.answer(...)`",
    ),
    "an event of two contracts": (
        """
@contract("copies", version="1.0", publishes=[Paid])  # <-
class Copies(Protocol):
    '''Copies.'''
""",
        "the event Paid is published by Pay and Copies",
        "An event belongs to one contract; give each its own",
    ),
    "two contracts of one name": (
        """
FIRST = Post
@contract("post", version="1.1")
class Post(Protocol):
    '''Sends parcels.'''
    @post("/parcels")
    async def send(self) -> int: ...
""",
        "two contracts are named post.Post",
        "Rename one",
    ),
    "a contract of two services": (
        """
class Second(Service, Pay, name="pay2"):  # <-
    async def charge(self, cents: int, note: str = "") -> int:
        return cents
    async def log(self) -> AsyncIterator[int]:
        yield 1
""",
        "Second and PayService both provide Pay",
        "Keep one",
    ),
    "contracts of two services in one": (
        """
class PostService(Service, Post, name="mail"):  # <-
    db: Database
    async def send(self, number: int) -> int:
        return 1
""",
        "PostService is the service 'mail' and provides Post of 'post'",
        "Name the same service in both",
    ),
    "a service with an odd name": (
        """
class Asking(Service, name="../Asking"):  # <-
    pass
""",
        "Asking is the service '../Asking'",
        "Use lower-case letters, digits, - and _; `class X(Service, name=...)` gives a name",
    ),
    "a service named as the edge is": (
        """
class Asking(Service, name="edge"):  # <-
    pass
""",
        "Asking is the service 'edge', which is how the public door of a fleet proves itself "
        "to services",
        "Give the service another name",
    ),
    "a service with Borough's own name": (
        """
class Asking(Service, name="borough"):  # <-
    pass
""",
        "Asking is the service 'borough', below which Borough answers itself",
        "Give the service another name",
    ),
    "two settings classes": (
        """
class One(Settings):
    a: int = 1

class Two(Settings):
    b: int = 1

class Asking(Service):  # <-
    one: One
    two: Two
""",
        "Asking.two is a second settings class",
        "Write one class with all of its settings",
    ),
    "two raw applications at one path": (
        """
class Asking(Service):
    @raw("/app", allow=ANYONE)
    def first(self) -> Any: ...
    @raw("/app", allow=ANYONE)  # <-
    def second(self) -> Any: ...
""",
        "two raw applications are mounted at /{service}/app",
        "Move one",
    ),
    "a raw application below a slot": (
        """
class Asking(Service):
    @raw("/{id}/app", allow=ANYONE)  # <-
    def first(self) -> Any: ...
""",
        "Asking.first is mounted at '/{service}/{id}/app'",
        "Write /segments without slots",
    ),
    "a raw application that is awaited": (
        """
class Asking(Service):
    @raw("/app", allow=ANYONE)  # <-
    async def first(self) -> Any: ...
""",
        "Asking.first has the wrong form",
        "Write `def first(self)`, which returns the ASGI application",
    ),
}
