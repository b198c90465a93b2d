"""One mail to the SMTP server, on a thread of its own: what blocks there holds up nobody else.

The threads that a loop shares find addresses and write files; a server that trickles would take them all. And a
timeout of a socket is for each read: only who waits can end the whole, by cutting the connection.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from functools import partial
from typing import Any

from borough.runtime.alert_options import AlertMailOptions

__all__ = ["deliver"]


async def deliver(
    mail: EmailMessage, options: AlertMailOptions, password: str | None, within_s: float
) -> None:
    """Return once the server has taken the mail. Raises `TimeoutError`, or what `smtplib` raises."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    line = _Line()

    def end(error: Exception | None) -> None:
        if ended.done():
            return
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def work() -> None:
        error: Exception | None = None
        try:
            _send(mail, options, password, within_s, line)
        except Exception as caught:
            error = caught
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(end, error)

    threading.Thread(target=work, name="alert mail", daemon=True).start()
    try:
        async with asyncio.timeout(within_s):
            await ended
    except TimeoutError:
        if not line.is_sent:
            raise TimeoutError(f"no end after {within_s:g} s") from None
    finally:
        line.cut()


class _Line:
    """The connection as who waits for it has it. A copy of the socket, as TLS takes the first one over."""

    def __init__(self) -> None:
        self.is_sent = False
        self._lock = threading.Lock()
        self._is_cut = False
        self._copy: socket.socket | None = None

    def opened(self, made: socket.socket) -> None:
        """Called on the thread."""
        with self._lock:
            if self._is_cut:
                made.close()
                raise TimeoutError
            self._copy = made.dup()

    def cut(self) -> None:
        """Whoever reads from it reads its end. Idempotent."""
        with self._lock:
            self._is_cut = True
            copy, self._copy = self._copy, None
        if copy is not None:
            with suppress(OSError), copy:
                copy.shutdown(socket.SHUT_RDWR)


class _Server(smtplib.SMTP):
    def __init__(self, opened: Callable[[socket.socket], None], *place: Any, **more: Any) -> None:
        self._opened = opened
        super().__init__(*place, **more)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        parent: Any = super()
        made: socket.socket = parent._get_socket(host, port, timeout)
        self._opened(made)
        return made


class _EncryptedServer(smtplib.SMTP_SSL, _Server):
    """Between the two, so that the socket is known before the first byte of TLS."""

    def __init__(self, opened: Callable[[socket.socket], None], *place: Any, **more: Any) -> None:
        self._opened = opened
        smtplib.SMTP_SSL.__init__(self, *place, **more)


def _send(
    mail: EmailMessage,
    options: AlertMailOptions,
    password: str | None,
    timeout_s: float,
    line: _Line,
) -> None:
    connect: Callable[..., smtplib.SMTP] = partial(_Server, line.opened)
    if options.security == "tls":
        connect = partial(_EncryptedServer, line.opened, context=ssl.create_default_context())
    server = connect(options.host or "", options.port, timeout=timeout_s)
    try:
        if options.security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if options.user is not None and password is not None:
            server.login(options.user, password)
        server.send_message(mail)
        line.is_sent = True
        with suppress(OSError, smtplib.SMTPException):  # it has the mail, however it says goodbye
            server.quit()
    finally:
        server.close()
