"""A dashboard of Grafana over the metrics that Borough has, for the services that a system has.

Where nothing is chosen it shows all services. Prometheus is its only source; what it asks there is in `promql`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from borough.observing.exports import promql

__all__ = ["dashboard"]

_SELECT = 'service_name=~"$service"'
_WINDOW = "$__rate_interval"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_SCHEMA = 39
_WIDTH, _HEIGHT = 8, 8
_ACROSS = 3
_CALLEE = "{{service_name}}"
_OPERATION = "{{rpc_service}}.{{rpc_method}}"
_HANDLER = "{{messaging_consumer_group_name}} < {{messaging_destination_name}}"
_REPLICA = "{{instance}}"
_PROCESS = promql.PROCESS


class _Panel(msgspec.Struct, frozen=True):
    title: str
    says: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    """Each a query, and what a line of its answer is called."""


def dashboard(system: str, services: Sequence[str]) -> dict[str, Any]:
    """The document that Grafana imports, or finds in a folder of its provisioning."""
    return {
        "uid": f"borough-{system}"[:40],
        "title": f"{system}: services",
        "tags": ["borough"],
        "timezone": "browser",
        "editable": True,
        "schemaVersion": _SCHEMA,
        "version": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_source_variable(), _service_variable(sorted(services))]},
        "annotations": {"list": []},
        "panels": list(_placed()),
    }


def _source_variable() -> dict[str, Any]:
    return {
        "name": "datasource",
        "type": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
    }


def _service_variable(services: Sequence[str]) -> dict[str, Any]:
    chosen = {"text": ["All"], "value": ["$__all"]}
    options = [{"text": name, "value": name, "selected": False} for name in services]
    return {
        "name": "service",
        "type": "custom",
        "label": "Service",
        "query": ",".join(services),
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": chosen,
        "options": [{"text": "All", "value": "$__all", "selected": True}, *options],
    }


def _placed() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, panels in _rows():
        number += 1
        place = {"x": 0, "y": top, "w": 24, "h": 1}
        yield {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}
        top += 1
        for index, panel in enumerate(panels):
            number += 1
            down, across = divmod(index, _ACROSS)
            yield _drawn(panel, number, across * _WIDTH, top + down * _HEIGHT)
        top += -(-len(panels) // _ACROSS) * _HEIGHT


def _drawn(panel: _Panel, number: int, left: int, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "gridPos": {"x": left, "y": top, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 8}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query,
                "legendFormat": legend,
                "exemplar": "_bucket" in query,
                "range": True,
            }
            for index, (query, legend) in enumerate(panel.lines)
        ],
    }


def _rows() -> Sequence[tuple[str, Sequence[_Panel]]]:
    return (
        ("Services", _of_services()),
        ("Operations", _of_operations()),
        ("Events", _of_events()),
        ("Processes", _of_processes()),
    )


def _of_services() -> Sequence[_Panel]:
    return (
        _Panel(
            "Calls",
            "Calls a second that each service has answered.",
            "reqps",
            ((promql.call_rate(_SELECT, _WINDOW), _CALLEE),),
        ),
        _Panel(
            "Failing calls",
            "The share of calls that failed by the fault of the service; declared problems are none.",
            "percentunit",
            ((promql.fault_share(_SELECT, _WINDOW), _CALLEE),),
        ),
        _Panel(
            "Latency, p99",
            "How long 99 of 100 calls took at most.",
            "s",
            ((promql.latency(_SELECT, _WINDOW, 0.99), _CALLEE),),
        ),
        _Panel(
            "Who calls whom",
            "Calls a second by caller; the public has no name.",
            "reqps",
            (
                (
                    promql.call_rate(_SELECT, _WINDOW, promql.CALLER),
                    "{{borough_caller}} > {{service_name}}",
                ),
            ),
        ),
        _Panel(
            "Calls at work, of their limit",
            "The fullest process of each service, what waits among it: above 100 % calls wait, or are refused.",
            "percentunit",
            ((promql.full_share("calls", _SELECT), _CALLEE),),
        ),
        _Panel(
            "Threads at work, of their limit",
            "Blocking work, what waits among it: above 100 % some waits for a thread.",
            "percentunit",
            ((promql.full_share("threads", _SELECT), _CALLEE),),
        ),
    )


def _of_operations() -> Sequence[_Panel]:
    return (
        _Panel(
            "Calls",
            "Calls a second of each operation.",
            "reqps",
            ((promql.call_rate(_SELECT, _WINDOW, promql.OPERATION), _OPERATION),),
        ),
        _Panel(
            "Failing calls",
            "Calls a second that failed by the fault of the service.",
            "reqps",
            ((promql.fault_rate(_SELECT, _WINDOW, promql.OPERATION), _OPERATION),),
        ),
        _Panel(
            "Latency, p50 and p99",
            "Of each operation.",
            "s",
            tuple(
                (
                    promql.latency(_SELECT, _WINDOW, share, promql.OPERATION),
                    f"{_OPERATION} p{share:.0%}".rstrip("%"),
                )
                for share in (0.5, 0.99)
            ),
        ),
    )


def _of_events() -> Sequence[_Panel]:
    return (
        _Panel(
            "Events not yet handled",
            "How many events each handler has before it.",
            "short",
            ((promql.handler_gauge("lag", _SELECT), _HANDLER),),
        ),
        _Panel(
            "Dead letters",
            "Events given up after their last attempt; look, replay or drop them in the console.",
            "short",
            ((promql.handler_gauge("dead", _SELECT), _HANDLER),),
        ),
        _Panel(
            "Parked events",
            "Events that have failed and are tried again later, and those that wait behind them under their keys.",
            "short",
            ((promql.handler_gauge("parked", _SELECT), _HANDLER),),
        ),
        _Panel(
            "Handled events",
            "Events a second, and attempts after the first.",
            "ops",
            (
                (promql.handler_rate("handled", _SELECT, _WINDOW), _HANDLER),
                (promql.handler_rate("retried", _SELECT, _WINDOW), f"{_HANDLER}, again"),
            ),
        ),
        _Panel(
            "Outbox",
            "Committed events that the broker has not yet.",
            "short",
            ((promql.outbox(_SELECT), _CALLEE),),
        ),
    )


def _of_processes() -> Sequence[_Panel]:
    cpu = f"sum by (instance) (rate(process_cpu_time_seconds_total{{{_PROCESS}}}[{_WINDOW}]))"
    delay = f"rate(borough_loop_delay_seconds_bucket{{{_PROCESS}}}[{_WINDOW}])"
    return (
        _Panel("CPU", "Cores that each process uses.", "none", ((cpu, _REPLICA),)),
        _Panel(
            "Memory",
            "Resident memory of each process.",
            "bytes",
            ((f"process_memory_usage_bytes{{{_PROCESS}}}", _REPLICA),),
        ),
        _Panel(
            "Delay of the event loop, p99",
            "How much later than asked for a process wakes: above 0.1 s something blocks it.",
            "s",
            ((f"histogram_quantile(0.99, sum by (instance, le) ({delay}))", _REPLICA),),
        ),
        _Panel(
            "Restarts",
            "How often each replica's process began anew within ten minutes.",
            "short",
            ((promql.restarts(_PROCESS, "10m"), _REPLICA),),
        ),
    )
