"""What the demo shows: one block that renews itself on a terminal, a line each second elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

QUIET_LINE_S = 1.0


class Screen:
    """Progress on a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._height = 0
        self._said_s = 0.0

    def say(self, text: str) -> None:
        """A line that stays."""
        self._height = 0
        print(text, file=self._stream, flush=True)

    def show(self, block: Sequence[str], now_s: float) -> None:
        """How it stands now."""
        if self._is_terminal:
            up = f"\x1b[{self._height}A" if self._height else ""
            self._stream.write(up + "".join(f"\x1b[2K{line}\n" for line in block))
            self._stream.flush()
            self._height = len(block)
        elif now_s - self._said_s >= QUIET_LINE_S:
            self._said_s = now_s
            print(" | ".join(line.strip() for line in block), file=self._stream, flush=True)


def progress_block(
    seconds: float, tally: Mapping[str, Any], events: tuple[int, int], mib: float
) -> list[str]:
    """How it stands, in a few lines."""
    scenario = tally.get("scenario", {})
    return [
        f"  {seconds:6.1f} s   {tally.get('requests', 0):>8,} requests"
        f"   {tally.get('requests_per_s', 0.0):>7,.0f}/s"
        f"   p50 {tally.get('p50_ms', 0.0):.1f} ms   p99 {tally.get('p99_ms', 0.0):.1f} ms",
        f"  orders {tally.get('orders', 0):,}   paid {tally.get('paid', 0):,}"
        f"   declined {tally.get('declined', 0):,}   sold out {tally.get('sold_out', 0):,}"
        f"   cancelled {tally.get('cancelled', 0):,}   sent twice {tally.get('repeats', 0):,}",
        f"  events published {events[0]:,}   handled {events[1]:,}",
        f"  errors {tally.get('errors', 0):,}   memory {mib:.0f} MiB",
        *map(_phase_line, scenario.get("phases", ())[-1:]),
    ]


def summary_block(summary: Mapping[str, Any], memory: Mapping[str, float]) -> list[str]:
    """What it came to, for people."""
    fine = not (summary["lost"] or summary["doubled"] or summary["errors"])
    return [
        f"  {summary['orders']:,} orders: {summary['paid']:,} paid,"
        f" {summary['declined']:,} declined",
        f"  {summary['events_published']:,} events published, "
        f"{summary['events_handled']:,} times one was handled",
        f"  {summary['requests_per_s']:,.0f} requests/s, half within {summary['p50_ms']} ms,"
        f" 99 % within {summary['p99_ms']} ms",
        f"  server ready after {summary['ready_ms']:.0f} ms"
        f" with {memory['server_ready_mib']:.0f} MiB; at most {memory['server_peak_mib']:.0f} MiB,"
        f" with issuer and customers {memory['peak_mib']:.0f} MiB",
        f"  lost {summary['lost']}, doubled {summary['doubled']}, errors {summary['errors']}"
        + (": five databases and three ledgers agree" if fine else ""),
        *(_scenario_block(summary["scenario"]) if "scenario" in summary else ()),
    ]


def _scenario_block(scenario: Mapping[str, Any]) -> list[str]:
    phases = ["  " + _phase_line(phase) for phase in scenario["phases"]]
    if not scenario["throughput_x"]:
        return [f"  {scenario['name']}: cut short", *phases]
    return [
        f"  {scenario['name']}: {'met' if scenario['met'] else 'NOT MET'}",
        *phases,
        f"    replicas: {scenario['throughput_x']} times the searches"
        f" (at least {scenario['throughput_at_least']}); a checkout took {scenario['checkout_x']}"
        f" times as long (at most {scenario['checkout_at_most']});"
        f" {scenario['failed']} requests failed",
    ]


def _phase_line(phase: Mapping[str, Any]) -> str:
    return (
        f"  {phase['name']}, {phase['replicas']} of search:"
        f" {phase['searches_per_s']:,.0f} searches/s, half within {phase['search_p50_ms']:.1f} ms;"
        f" {phase['checkouts']} checkouts, half within {phase['checkout_p50_ms']:.1f} ms"
    )
