"""Where `borough run` keeps what it sees: batches as they came, in one bounded SQLite file.

Writing is an append. Who looks reads batches into rows, the newest first: a process under load pays
nothing for searches that nobody makes. The oldest goes first when the file is full.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from borough.errors import ConfigurationError
from borough.ports import Signal
from borough.telemetry.otlp_reading import ReadLine, ReadSpan, read_logs, read_traces

__all__ = ["FILE", "TelemetryFile"]

_log = logging.getLogger("borough.telemetry")
FILE = "borough.telemetry.db"
"""No service can have this name."""
_VERSION = 1
_WAIT_MS = 5000
_SHARE_LEFT = 0.9
_AHEAD_NS = 60 * 10**9
"""What is dated so much later than now has been dated by a wrong clock."""
_PAGE = 4096
_SCHEMA = """
create table batches (id integer primary key, signal text not null, at_ns integer not null, body blob not null);
create index batches_by_signal on batches (signal, id);
create table spans (
    trace_id text not null, span_id text not null, parent text not null, service text not null,
    instance text not null, name text not null, kind integer not null, began_ns integer not null,
    ended_ns integer not null, status integer not null, message text not null,
    attributes text not null, links text not null,
    primary key (trace_id, span_id)
) without rowid;
create index spans_by_time on spans (began_ns);
create index roots_by_time on spans (began_ns) where parent = '';
create table words (word text not null, trace_id text not null, began_ns integer not null,
    primary key (word, trace_id)) without rowid;
create index words_by_time on words (began_ns);
create table lines (
    at_ns integer not null, severity integer not null, level text not null, text text not null,
    service text not null, trace_id text not null, span_id text not null, attributes text not null
);
create index lines_by_trace on lines (trace_id) where trace_id <> '';
create index lines_by_time on lines (at_ns);
"""
_TIMES = {"batches": "at_ns", "spans": "began_ns", "words": "began_ns", "lines": "at_ns"}
_SPAN = "insert or replace into spans values (?,?,?,?,?,?,?,?,?,?,?,?,?)"
_LINE = "insert into lines values (?,?,?,?,?,?,?,?)"
_WORD = "insert or ignore into words values (?,?,?)"
_LONGEST_WORD = 128
_READ_AT_ONCE = 8 * 1024 * 1024
"""About a second's worth of reading."""
_json = msgspec.json.Encoder().encode


class TelemetryFile:
    """The file, for one thread at a time. Several processes may have it open.

    `most_bytes` bounds it. Raises `ConfigurationError` where it cannot be had.
    """

    def __init__(self, path: Path, most_bytes: int = 256 * 1024 * 1024) -> None:
        self._most_bytes = most_bytes
        try:
            self.connection: Any = apsw.Connection(str(path))  # its stubs leave types open
            self.connection.set_busy_timeout(_WAIT_MS)
            self._run("pragma journal_mode = wal")
            self._run("pragma synchronous = off")  # it survives a killed process, and need no more
            self._prepare()
        except apsw.Error as error:
            raise ConfigurationError(
                f"{path} cannot be used: {error}; remove it, or switch it off: telemetry.keep = false"
            ) from error

    def _prepare(self) -> None:
        with self.connection:  # one of several processes makes the tables
            version = self._one("pragma user_version")
            if version not in (0, _VERSION):
                raise ConfigurationError(
                    f"{FILE} was written by another version of Borough; remove it"
                )
            if not version:
                self._run(_SCHEMA)
                self._run(f"pragma user_version = {_VERSION}")

    def write(self, signal: Signal, data: bytes, at_ns: int) -> None:
        """Keep a batch."""
        self._run(
            "insert into batches (signal, at_ns, body) values (?, ?, ?)", (signal, at_ns, data)
        )
        if self.size() > self._most_bytes:
            self._make_room(at_ns)

    def size(self) -> int:
        """How many bytes are in use."""
        return (self._one("pragma page_count") - self._one("pragma freelist_count")) * _PAGE

    def _make_room(self, now_ns: int) -> None:
        """Remove the oldest until a tenth is free again; what is dated ahead of now counts as older than all else.

        Otherwise it stayed for ever, and after a clock was put back what is new would be the first to go. A tenth
        of the rows at a time, not of the years: clocks of others may be wrong by any of them.
        """
        while self.size() > self._most_bytes * _SHARE_LEFT:
            if not (self._remove_tenth(now_ns + _AHEAD_NS) or self._remove_tenth(-1)):
                return

    def _remove_tenth(self, after_ns: int) -> bool:
        """Of what is dated later than that, remove the oldest tenth. Whether there was any."""
        found = [self._tenth(table, after_ns) for table in _TIMES]
        tenths = [until_ns for until_ns in found if until_ns is not None]
        if not tenths:
            return False
        with self.connection:
            for table, column in _TIMES.items():
                self._run(
                    f"delete from {table} where {column} > ? and {column} <= ?",
                    (after_ns, min(tenths)),
                )
        return True

    def _tenth(self, table: str, after_ns: int) -> int | None:
        """Until when the oldest tenth of its rows goes; None without any."""
        column = _TIMES[table]
        rows = f"from {table} where {column} > ?1"
        found = self.rows(
            f"select {column} {rows} order by {column} limit 1 offset (select count(*) / 10 {rows})",
            (after_ns,),
        )
        return int(found[0][0]) if found else None

    def settle(
        self, signal: Signal, *, containing: Sequence[bytes] = (), most_bytes: int = _READ_AT_ONCE
    ) -> bool:
        """Read batches into rows, the newest first, about `most_bytes` of them.

        Of `containing`, any must be in them. Returns whether all such have been read.
        """
        wanted = " or ".join(["instr(body, ?) > 0"] * len(containing))
        found = self.rows(
            "select id, length(body) from batches where signal = ? "
            f"{f'and ({wanted})' if wanted else ''} order by id desc",
            (signal, *containing),
        )
        for number, length in found:
            if most_bytes <= 0:
                return False
            most_bytes -= length
            with self.connection:
                taken = self.rows("delete from batches where id = ? returning body", (number,))
                if taken:  # another process may have been first
                    self._read(signal, taken[0][0])
        return True

    def _read(self, signal: Signal, body: bytes) -> None:
        try:
            if signal == "traces":
                self._keep_spans(list(read_traces(body)))
            else:
                self._keep_lines(read_logs(body))
        except apsw.Error:
            raise  # the disk's fault, not the batch's
        except Exception as error:  # it was let in unread, and must not be in the way of others
            _log.debug("a batch of %s cannot be read, and is dropped: %s", signal, error)

    def _keep_spans(self, spans: Sequence[ReadSpan]) -> None:
        self.connection.executemany(_SPAN, [_row(span) for span in spans])
        self.connection.executemany(
            _WORD, [(word, s.trace_id, s.began_ns) for s in spans for word in _words(s)]
        )

    def _keep_lines(self, lines: Iterable[ReadLine]) -> None:
        self.connection.executemany(
            _LINE,
            [
                (
                    line.at_ns,
                    line.severity,
                    line.level,
                    line.text,
                    line.service,
                    line.trace_id,
                    line.span_id,
                    _json(line.attributes).decode(),
                )
                for line in lines
            ],
        )

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """The rows of a query."""
        return list(self.connection.execute(sql, tuple(values)))

    def _one(self, sql: str) -> int:
        return int(self.rows(sql)[0][0])

    def _run(self, sql: str, values: Sequence[Any] = ()) -> None:
        for _ in self.connection.execute(sql, tuple(values) if values else None):
            pass

    def close(self) -> None:
        """Release it. Idempotent."""
        self.connection.close()


def _row(span: ReadSpan) -> tuple[Any, ...]:
    return (
        span.trace_id,
        span.span_id,
        span.parent,
        span.service,
        span.instance,
        span.name,
        span.kind,
        span.began_ns,
        span.ended_ns,
        span.status,
        span.message,
        _json(span.attributes).decode(),
        _json(span.links).decode(),
    )


def _words(span: ReadSpan) -> list[str]:
    """What a trace can be found by: each value that names a thing, alone and with its attribute."""
    found: list[str] = []
    for name, value in span.attributes.items():
        if name.startswith(("app.", "borough.event.key", "messaging.message.id")):
            text = str(value)[:_LONGEST_WORD]
            found += [text, f"{name}={text}", f"{name.rpartition('.')[2]}={text}"]
    return found
