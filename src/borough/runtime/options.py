"""All that borough.toml may say, as types: each option with its default, its bounds and what it is for.

The sentence below a field is its entry in docs/reference/configuration.md.
"""

# ruff: noqa: RUF012 - msgspec copies them
from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from borough.reliability.backoff import Backoff
from borough.reliability.balance import BalanceTerms
from borough.reliability.enough_time import enough_s
from borough.reliability.repeats import RepeatTerms
from borough.reliability.throttle import ThrottleTerms
from borough.runtime.alert_options import AlertOptions
from borough.runtime.data_options import DataOptions, EventOptions
from borough.runtime.duration import Duration
from borough.runtime.service_facts import ServiceFacts
from borough.runtime.table import AtLeastOne, Filled, Port, Replicas, Seconds, Share, Table
from borough.transports.http.limits import ClientLimits, DependencyLimits, ServerLimits

__all__ = [
    "ConsoleOptions",
    "DeployableFacts",
    "DiscoveryOptions",
    "EdgeLimits",
    "EdgeOptions",
    "ExternalOptions",
    "FleetOptions",
    "GrpcOptions",
    "InternalOptions",
    "InternalTlsOptions",
    "LimitOptions",
    "Options",
    "PushOptions",
    "SystemFacts",
    "TeamFacts",
    "TelemetryOptions",
    "TokenOptions",
]

_SERVER = ServerLimits()
_TO_SAY_SO_S = 1.0
"""A caller waits that much longer for a silent stream than whoever sends it, and so hears what became of it."""


class SystemFacts(Table, frozen=True):
    """What the whole is called."""

    name: Filled = "system"
    """The name of the whole, in tables, titles and events."""
    version: str = "0.1.0"
    """The version in the merged OpenAPI document."""


class TeamFacts(Table, frozen=True):
    """People who own services."""

    size: int = 0
    """How many people."""
    on_call: bool | str = False
    """Whether, or where, somebody can be called at night."""
    time_zone: str = "UTC"
    """Where they work."""
    release_days: tuple[str, ...] = ()
    """The days on which they release."""
    alerts: str | None = None
    """Where they are told of alerts: `https://`, `mailto:`, or such an address by `env:NAME` or `file:PATH`."""
    alerts_secret: str | None = None
    """What signs those that go to a URL, by reference: `whsec_` and base64, as of `[push]`."""


class ExternalOptions(Table, frozen=True):
    """A service elsewhere, that is no process of this system."""

    url: str
    """Where its own paths begin, `http://` or `https://`: `https://pay.example/v1` for `/v1/charges`. Of a gRPC
    server its address, `grpc://` or `grpcs://`: `grpcs://rates.example:443`."""
    descriptor: str | None = None
    """A file with the descriptor of its contract, by which this system's view of it is checked at the start."""
    openapi: str | None = None
    """The same by its OpenAPI document: a file or a URL."""
    proto: str | None = None
    """Of a gRPC server the file `.binpb` that `borough contracts import` has written beside its contract."""
    headers: dict[str, str] = {}
    """Fields of every request to it, each by reference: `authorization = "env:TOKEN"` or `file:PATH`."""


class PushOptions(Table, frozen=True):
    """A receiver of events that is no service of Borough."""

    url: str
    """Where each event is sent, `https://`; `http://` on this machine only."""
    secret: str
    """What signs them, by reference, `env:NAME` or `file:PATH`: `whsec_` and base64; several with spaces between."""
    events: tuple[str, ...] = ()
    """The events that are sent: `orders.Orders.OrderPaid`."""
    topics: tuple[str, ...] = ()
    """Topics of which all events are sent: `orders.Orders`."""
    at_once: AtLeastOne = 16
    """How many are under way at once; those of one key never are."""
    timeout_s: Seconds = 10.0
    """How long the receiver may take to answer, in seconds."""
    paused: bool = False
    """Whether nothing is sent for now: its events wait in the topic, from where it has come to."""


class TokenOptions(Table, frozen=True):
    """Whose tokens the edge takes."""

    issuer: str = "own"
    """`own` for tokens that this system signs, else the `iss` of another issuer."""
    audience: str | None = None
    """What `aud` must contain; the system's name if not given."""
    jwks: str | None = None
    """URL or file of another issuer's keys."""
    algorithms: tuple[str, ...] = ("EdDSA", "ES256", "RS256")
    """Signatures that count."""


class EdgeLimits(Table, frozen=True):
    """What clients may ask of the public listener."""

    body_bytes: AtLeastOne = _SERVER.body_bytes
    """The body of a request; one above it is refused (413), at the internal listener too."""
    connections: AtLeastOne = _SERVER.connections
    """Open connections, by gRPC too; one more is refused (503). The file limit of the process may allow for fewer."""
    connections_per_address: AtLeastOne = _SERVER.connections_per_address
    """Those of one address that is none of `edge.proxies`; one more is refused (429)."""
    header_s: Seconds = _SERVER.header_s
    """How long the head of a request may take, in seconds; then it is refused (408)."""
    body_bytes_per_s: AtLeastOne = _SERVER.body_bytes_per_s
    """The rate that a body must keep on average after ten seconds; below it, it is refused (408)."""
    keep_alive_s: Seconds = _SERVER.keep_alive_s
    """How long a connection may stay open without a request, in seconds; more than a proxy in front keeps it."""
    write_idle_s: Seconds = _SERVER.write_idle_s
    """How long an answer may be left unread, in seconds; then the connection is dropped, by gRPC the call."""
    held_bytes: AtLeastOne = _SERVER.held_bytes
    """What is kept in memory for all slow clients together, by gRPC too; above it the slowest are dropped."""

    def __post_init__(self) -> None:
        if self.body_bytes > self.held_bytes:
            raise ValueError(
                f"body_bytes ({self.body_bytes}) is above held_bytes ({self.held_bytes}), so a body that "
                "large would be dropped on its way; let held_bytes be several times that"
            )

    def for_server(self) -> ServerLimits:
        """These, and the limits that nobody needs to set."""
        return ServerLimits(**msgspec.structs.asdict(self))


class EdgeOptions(Table, frozen=True):
    """The public listener."""

    host: Filled = "127.0.0.1"
    """The address it listens on; `0.0.0.0` for all."""
    port: Port = 8080
    """Its port; 0 takes a free one."""
    pages: str | None = None
    """A folder of static files, served at `/`."""
    cors: tuple[str, ...] = ()
    """Origins of other pages that may call, or `*`."""
    cors_credentials: bool = False
    """Whether those pages may send cookies."""
    proxies: tuple[str, ...] = ()
    """Networks of proxies whose `X-Forwarded-...` is believed, such as `10.0.0.0/8`; `unix` for a Unix socket."""
    rate_limit: str | None = "100/s"
    """Requests per client in /s, /m or /h; an empty text switches it off."""
    streams_per_client: AtLeastOne = 128
    """Streams, and other answers sent piece by piece, that one client has open at once, by HTTP and gRPC together;
    one more is refused (429)."""
    tokens: TokenOptions = TokenOptions()
    limits: EdgeLimits = EdgeLimits()


class ConsoleOptions(Table, frozen=True):
    """The console, at `/console` of the public listener."""

    serve: bool = True
    """Whether there is one; without a password it is shown on this machine only."""
    password: str | None = None
    """What whoever looks must know, as `env:NAME` or `file:PATH`; other machines reach it only with one."""
    session_s: Seconds = 43200.0
    """How long a login lasts, in seconds."""
    hosts_outside: AtLeastOne = 200
    """Hosts outside on the map, each with who asks it; of more, those go first that were not asked for longest."""


class InternalTlsOptions(Table, frozen=True):
    """Certificates by which services prove themselves; `ca` and `certificate` switch TLS on."""

    ca: str | None = None
    """File of the CA, in PEM, whose certificates count; all paths are relative to the system's folder."""
    certificate: str | None = None
    """File of a service's certificate, in PEM; `{service}` in it stands for the service's name."""
    key: str | None = None
    """File of its key; if not given, it lies in the file of the certificate."""
    trust_domain: str | None = None
    """The trust domain of SPIFFE ids; the system's name if not given."""

    @property
    def is_on(self) -> bool:
        """Whether any file is named."""
        return any((self.ca, self.certificate, self.key))


class InternalOptions(Table, frozen=True):
    """The listener for services of this system."""

    host: Filled = "127.0.0.1"
    """The address it listens on; one that other machines reach needs TLS."""
    port: Port = 0
    """Its port; 0 takes a free one."""
    clear_text: Literal["loopback", "anywhere"] = "loopback"
    """Where services may talk without TLS; `anywhere` is warned of at each start."""
    tls: InternalTlsOptions = InternalTlsOptions()


class GrpcOptions(Table, frozen=True):
    """The listeners for gRPC: of the public, and of services of this system; each is there where its port is set."""

    host: Filled = "127.0.0.1"
    """The address of the public one."""
    port: Port | None = None
    """Its port; if not given, there is none; 0 takes a free one. It serves what `edge` does, by the same rules."""
    internal_port: Port | None = None
    """The port of the one for services, at `internal.host` and with `internal.tls`; a replica takes a free one."""
    certificate: str | None = None
    """File of the public one's certificate, in PEM, relative to the system's folder; it switches TLS on."""
    key: str | None = None
    """File of its key; if not given, it lies in the file of the certificate."""
    streams: AtLeastOne = 128
    """Calls at once on one connection; one more waits at the caller."""


class LimitOptions(Table, frozen=True):
    """Limits that hold for each service."""

    calls_in_flight: AtLeastOne = 512
    """Calls at work at once; one more from outside of the process waits, one from inside is refused (503)."""
    calls_in_flight_least: AtLeastOne = 2
    """How far that falls, for calls from outside, while too many of them are answered late."""
    streams: AtLeastOne = 1024
    """Streams that have sent their first item, open at once; beyond them no other one begins (503)."""
    after_answers: AtLeastOne = 256
    """Requests for which an application (`@raw`, a plain one) goes on after its last byte; then it takes none (429)."""
    after_answer_s: Seconds = 60.0
    """How long it may go on for each, in seconds; then that is cancelled."""
    calls_waiting: Annotated[int, msgspec.Meta(ge=0)] = 64
    """Calls from outside that may wait under overload, newest first; for one more the oldest is refused (503)."""
    calls_waiting_s: Seconds = 0.1
    """How long each may then wait, in seconds, and never longer than half of its time; then it is refused (503)."""
    burst_waiting: AtLeastOne = 512
    """Calls that may wait in a burst, the oldest goes first; one more is refused. None may if `calls_waiting` is 0."""
    burst_s: Seconds = 1.0
    """How long a burst may last, and a call wait in it (at most a tenth of its time), in s; then it is overload."""
    threads: AtLeastOne = 8
    """Threads for blocking work (`in_thread`)."""
    thread_queue: Annotated[int, msgspec.Meta(ge=0)] = 256
    """Blocking work that may wait for a thread; one more is refused (503)."""
    default_timeout_s: Seconds = 10.0
    """The deadline of a call without one, in seconds. One with less than half of this, and than 1 s, blames nobody."""
    longest_timeout_s: Seconds = 60.0
    """The longest deadline that a request may ask for, in seconds."""
    drain_s: Seconds = 20.0
    """How long running work may take to end when the process stops, in seconds."""
    stream_idle_s: Seconds = 60.0
    """How long a stream may send nothing after its first item, in seconds."""
    answers_for: Duration = Duration("15d")
    """How long the answer of a keyed operation is kept for repeats; never shorter than events may come again."""
    dependency_calls: AtLeastOne = 256
    """Calls of one service to another one under way at once; one more waits in a burst, or is refused (503)."""
    dependency_burst_waiting: AtLeastOne = 128
    """Calls to one service that may so wait, for `limits.burst_s` or a tenth of their time; one more is refused."""
    dependency_connections: AtLeastOne = 128
    """Connections of one service to a replica of another one."""
    connect_s: Seconds = 3.0
    """How long opening a connection to a replica may take, in seconds."""
    attempts: AtLeastOne = 3
    """How often a call is sent in all, where it surely did not run before or may run twice."""
    repeated_share: Share = 0.2
    """The share of answered calls that may be repeats, per dependency."""
    repeat_first_s: Seconds = 0.05
    """The longest wait before a call is sent for the second time, in seconds; each next one may be twice as long."""
    repeat_last_s: Seconds = 2.0
    """The longest wait before a call is sent again, in seconds."""
    throttle_s: Seconds = 2.0
    """Within that time, in seconds, a dependency that refuses is sent about twice what it takes, and no more."""
    failures: AtLeastOne = 5
    """After so many failures in a row a replica is left out, though never more than half of them for that."""
    left_out_first_s: Seconds = 1.0
    """How long a replica is left out at first, at most, in seconds; each next time may be twice as long."""
    left_out_last_s: Seconds = 30.0
    """The longest time for which a replica is left out, in seconds."""

    def for_client(self) -> ClientLimits:
        """What the connections to a dependency are bounded by."""
        return ClientLimits(
            connections_per_origin=self.dependency_connections,
            connect_s=self.connect_s,
            stream_idle_s=self.stream_idle_s + _TO_SAY_SO_S,
        )

    def for_dependency(self) -> DependencyLimits:
        """What the calls to a dependency are bounded by."""
        waits = Backoff(self.repeat_first_s, self.repeat_last_s)
        out = Backoff(self.left_out_first_s, self.left_out_last_s)
        return DependencyLimits(
            calls_in_flight=self.dependency_calls,
            burst_waiting=self.dependency_burst_waiting,
            burst_s=self.burst_s,
            enough_s=enough_s(self.default_timeout_s),
            repeats=RepeatTerms(self.attempts, self.repeated_share, waits=waits),
            throttle=ThrottleTerms(self.throttle_s),
            balance=BalanceTerms(self.failures, out),
        )


class FleetOptions(Table, frozen=True):
    """How `borough run --topology` keeps its processes running."""

    start_within_s: Seconds = 60.0
    """How long a process may take to become ready, in seconds; then it is ended and begun anew."""
    silent_s: Seconds = 30.0
    """How long a process may give no sign of life once it is ready, in seconds; then it is ended and begun anew."""
    restarts: AtLeastOne = 5
    """How often a process may end by itself within `restarts_within_s`; once more and it stays down."""
    restarts_within_s: Seconds = 60.0
    """The time in which restarts are counted, in seconds."""
    restart_first_s: Seconds = 0.2
    """The longest wait before the first restart, in seconds; each next one may be twice as long."""
    restart_last_s: Seconds = 10.0
    """The longest wait before a restart, in seconds."""
    watch_s: Seconds = 3.0
    """How long `borough rollout` watches each new replica beside the old ones, in seconds, before one leaves."""


class TelemetryOptions(Table, frozen=True):
    """How the system is seen: traces, metrics, logs."""

    record: bool = True
    """Whether calls, statements and events are recorded at all."""
    ratio: Share | None = None
    """The share of traces that are recorded; `OTEL_TRACES_SAMPLER` where it is not given, else all."""
    slow_s: Seconds = 1.0
    """A call that takes so long, in seconds, or fails, is recorded though its trace is not."""
    endpoint: str | None = None
    """Where an OpenTelemetry collector takes OTLP over HTTP; `OTEL_EXPORTER_OTLP_ENDPOINT` where it is not given."""
    headers: dict[str, str] = {}
    """Fields of every request to it, each by reference: `dd-api-key = "env:DD_API_KEY"` or `file:PATH`."""
    every_s: Seconds = 1.0
    """How often spans and logs are sent, in seconds."""
    metrics_every_s: Seconds = 15.0
    """How often metrics are sent, in seconds."""
    keep: bool = True
    """Whether `borough run` keeps what happens in a file of the data folder, to be looked at."""
    keep_mib: AtLeastOne = 256
    """The most that this file holds, in MiB; the oldest goes first."""
    port: Port = 0
    """The port on which `borough run` takes OTLP on this machine, also from other languages; 0 takes a free one."""
    keeper: str | None = None
    """Where else spans go that are kept: `borough run` tells the processes of a fleet, as it keeps for all of them."""
    bridge: bool = False
    """Whether libraries that are instrumented with OpenTelemetry record into the same traces; needs `borough[otel]`."""
    public_metrics: bool = False
    """Whether the public listener answers `/metrics`, as the internal one does."""
    logs: Literal["text", "json"] = "text"
    """How log lines look: `text`, in colour on a terminal, or `json`, one object a line."""


class DeployableFacts(Table, frozen=True):
    """Services that ship and run together in one process."""

    services: tuple[str, ...] = ()
    """The services that run in it."""
    replicas: Replicas = 1
    """How many processes of it there are."""


class DiscoveryOptions(Table, frozen=True):
    """Where services of other processes are found, where no supervisor tells."""

    static: dict[str, tuple[str, ...]] = {}
    """The replicas of each service, by `host:port`: `search = ["10.0.0.5:9001"]`."""
    dns: str | None = None
    """The name whose addresses are the replicas of a service, with a port: `{service}.shop.svc:9000`."""
    dns_every_s: Seconds = 5.0
    """How often such names are resolved, in seconds."""


class Options(Table, frozen=True):
    """Everything that borough.toml may say."""

    system: SystemFacts = SystemFacts()
    teams: dict[str, TeamFacts] = {}
    services: dict[str, ServiceFacts] = {}
    external: dict[str, ExternalOptions] = {}
    edge: EdgeOptions = EdgeOptions()
    console: ConsoleOptions = ConsoleOptions()
    internal: InternalOptions = InternalOptions()
    grpc: GrpcOptions = GrpcOptions()
    limits: LimitOptions = LimitOptions()
    data: DataOptions = DataOptions()
    events: EventOptions = EventOptions()
    telemetry: TelemetryOptions = TelemetryOptions()
    alerts: AlertOptions = AlertOptions()
    fleet: FleetOptions = FleetOptions()
    topologies: dict[str, dict[str, DeployableFacts]] = {}
    discovery: DiscoveryOptions = DiscoveryOptions()
    push: dict[str, PushOptions] = {}
