"""What Borough measures, asked for in PromQL: one function a question, for rules and for dashboards alike.

`select` is what stands between the braces, `by` the labels that stay, `window` how far back a rate looks.
What replicas read from one database is the same in each of them, so the highest counts, not their sum.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "CALLER",
    "HANDLER",
    "OPERATION",
    "PROCESS",
    "absent",
    "call_rate",
    "failing_share",
    "fault_rate",
    "fault_share",
    "full_share",
    "handler_gauge",
    "handler_rate",
    "late_lag",
    "latency",
    "of_services",
    "outbox",
    "refusals",
    "restarts",
    "service_restarts",
    "slow_share",
    "unsent",
]

OPERATION = "service_name, rpc_service, rpc_method"
CALLER = "borough_caller, service_name"
HANDLER = "service_name, messaging_consumer_group_name, messaging_destination_name"
PROCESS = 'service_name="borough"'
"""A process tells of itself under this name."""
_SERVICE = "service_name"
_CALLS = "rpc_server_call"
_BUSY = {"calls": "in_flight", "threads": "busy"}


def of_services(names: Iterable[str]) -> str:
    """A selection of these services; their names have nothing that a regular expression would read."""
    return f'service_name=~"{"|".join(sorted(names))}"'


def call_rate(select: str, window: str, by: str = _SERVICE) -> str:
    """Calls a second."""
    return f"sum by ({by}) (rate({_CALLS}_duration_seconds_count{{{select}}}[{window}]))"


def fault_rate(select: str, window: str, by: str = _SERVICE) -> str:
    """Calls a second that failed by the fault of who answers."""
    return f"sum by ({by}) (rate({_CALLS}_faults_total{{{select}}}[{window}]))"


def fault_share(select: str, window: str, by: str = _SERVICE) -> str:
    """The share (0 to 1) of calls that failed so; nothing where there were no calls."""
    calls = call_rate(select, window, by)
    return f"{fault_rate(select, window, by)} / ({calls} > 0)"


def latency(select: str, window: str, share: float, by: str = _SERVICE) -> str:
    """How long that share (0 to 1) of calls took at most, in seconds."""
    buckets = f"rate({_CALLS}_duration_seconds_bucket{{{select}}}[{window}])"
    return f"histogram_quantile({share:g}, sum by ({by}, le) ({buckets}))"


def handler_gauge(name: str, select: str) -> str:
    """`lag`, `dead` or `parked` events of each handler and topic."""
    return f"max by ({HANDLER}) (borough_events_{name}{{{select}}})"


def handler_rate(name: str, select: str, window: str) -> str:
    """`handled`, `retried`, `duplicate` or `missed` events a second of each handler and topic."""
    return f"sum by ({HANDLER}) (rate(borough_events_{name}_total{{{select}}}[{window}]))"


def outbox(select: str) -> str:
    """Committed events that the broker has not yet."""
    return f"max by ({_SERVICE}) (borough_outbox_waiting{{{select}}})"


def unsent(select: str) -> str:
    """Committed events that wait while the broker takes none."""
    return f"max by ({_SERVICE}) (borough_outbox_unsent{{{select}}})"


def full_share(kind: str, select: str) -> str:
    """How full the fullest process of a service is, of `calls` or `threads`; above 1 some wait."""
    busy, waiting = f"borough_{kind}_{_BUSY[kind]}", f"borough_{kind}_waiting"
    taken = f"({busy}{{{select}}} + {waiting}{{{select}}})"
    return f"max by ({_SERVICE}) ({taken} / borough_{kind}_limit{{{select}}})"


def restarts(select: str, window: str) -> str:
    """How often the process of each replica began anew, by its name."""
    return f"sum by (instance) (changes(process_start_time_seconds{{{select}}}[{window}]))"


def service_restarts(select: str, window: str) -> str:
    """How often a replica of each service began anew, of that replica which did most."""
    runs = f"0 * max_over_time(borough_calls_limit{{{select}}}[{window}])"
    return f"max by ({_SERVICE}) ({runs} + on (instance) group_left () {restarts(PROCESS, window)})"


def late_lag(select: str, age: str) -> str:
    """Events that have waited for a handler for longer than `age`: what waited then, less what was handled since."""
    waited = f"max by ({HANDLER}) (borough_events_lag{{{select}}} offset {age})"
    done = f"sum by ({HANDLER}) (increase(borough_events_handled_total{{{select}}}[{age}]))"
    return f"{waited} - {done}"


def slow_share(select: str, window: str, by: str = _SERVICE) -> str:
    """The share (0 to 1) of calls that took as long as the bound of their objective, or longer."""
    slow = f"sum by ({by}) (rate({_CALLS}_slow_total{{{select}}}[{window}]))"
    return f"{slow} / ({call_rate(select, window, by)} > 0)"


def failing_share(select: str, window: str, errors: str, by: str = OPERATION) -> str:
    """The share (0 to 1) of calls that ended with one of these kinds of errors (a regular expression)."""
    failed = f'rate({_CALLS}_failures_total{{{select}, error_type=~"{errors}"}}[{window}])'
    return f"sum by ({by}) ({failed}) / ({call_rate(select, window, by)} > 0)"


def refusals(select: str, window: str) -> str:
    """Calls and blocking work a second that were refused for lack of room."""
    rates = [
        f"rate(borough_{kind}_refused_total{{{select}}}[{window}])" for kind in ("calls", "threads")
    ]
    return f"sum by ({_SERVICE}) ({' + '.join(rates)})"


def absent(service: str) -> str:
    """1 where no process says that it answers for the service."""
    return f'absent(borough_ready{{service_name="{service}"}} == 1)'
