"""PostgreSQL on this machine: one server for all services, each of which has its own database in it.

It never runs as root. Where root starts it, it is an account without rights, and its data may have to lie
outside of a folder that is closed to others: below /var/lib/borough, under a name that nobody guesses and the
folder keeps. Such data are never deleted here; a file beside them names their folder. A cluster is made under
another name and renamed when it is whole, so that an interrupted start leaves nothing that is taken for one.
Text sorts by code point, as on SQLite.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from borough.clock import SystemClock
from borough.engines.ports import free_port
from borough.engines.process import ServerProcess, found_program
from borough.errors import ConfigurationError

__all__ = ["PostgresServer", "postgres_is_installed"]

_REMEDY = "install PostgreSQL 13 or newer (Debian: apt-get install postgresql), or name one by data.postgres.url"
_ROLE = "borough"
_READY_S = 60.0
_FIRST_S = 15.0  # what a killed server's last children may take to leave its memory
_AGAIN_S = 0.2
_ELSEWHERE = Path("/var/lib/borough")
_PREFIX = "postgres-"
_PLACE = "data-folder"  # says where the data lie, when that is elsewhere
_ACCOUNTS = ("postgres", "nobody")
_NONE: Mapping[str, str] = {}


class PostgresServer:
    """A server that runs. `url` has no database: each service's own is named behind it."""

    def __init__(self, folder: Path, data: Path, account: str | None, password: str) -> None:
        self._folder = folder
        self._data = data
        self._account = account
        self._settings: Mapping[str, str] = _NONE
        self._process: ServerProcess | None = None
        self.port = free_port()
        self.url = f"postgresql://{_ROLE}:{password}@127.0.0.1:{self.port}"

    @classmethod
    def start(cls, folder: Path, settings: Mapping[str, str] = _NONE) -> PostgresServer:
        """Run a server with its data below `folder`, made at the first time; `settings` are PostgreSQL's.

        Raises `ConfigurationError` where PostgreSQL is not installed or does not start.
        """
        account = _account()
        data = _data_folder(folder, account)
        secret = folder / "password"
        if not data.exists():
            _refuse_to_begin_anew(folder, data)
            _write_private(secret, secrets.token_urlsafe(24))
            _make(data, secret, folder, account)
        server = cls(folder, data, account, secret.read_text(encoding="utf-8").strip())
        server._settings = settings
        _write_private(folder / "url", server.url)
        server._run()
        return server

    @property
    def address(self) -> str:
        """The option `data.postgres.url`."""
        return f"file:{self._folder / 'url'}"

    def _run(self) -> None:
        clock = SystemClock()
        until = clock.monotonic() + _FIRST_S
        while True:
            try:
                self._process = self._started()
                return
            except ConfigurationError as error:
                if "shared memory" not in str(error) or clock.monotonic() > until:
                    raise
                time.sleep(_AGAIN_S)

    def _started(self) -> ServerProcess:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            **self._settings,
        }
        process = ServerProcess(
            "postgres",
            [_program("postgres"), "-D", self._data, *_flags(settings)],
            self._folder,
            user=self._account,
            stop_signal=signal.SIGINT,
        )
        process.wait_until(lambda: self._is_ready(process.pid), _READY_S)
        return process

    def _is_ready(self, pid: int) -> bool:
        """Whether the server says so itself, in the file that it keeps for that."""
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").split("\n")
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def watch(self) -> None:
        """From now on, say it when it ends without having been asked to."""
        if self._process is not None:
            self._process.watch()

    def stop(self) -> None:
        """End it in order: who is connected is cut off, what has committed is kept. Idempotent."""
        if self._process is not None:
            self._process.stop()

    def stop_at_once(self) -> None:
        """End it without a checkpoint (PostgreSQL's immediate shutdown): it recovers at its next start."""
        if self._process is not None and self._process.is_running:
            os.kill(self._process.pid, signal.SIGQUIT)
            self._process.stop()

    def kill(self) -> None:
        """End it at once, as `kill -9` does."""
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        """Let it take no new connection (SIGSTOP to the process that accepts them)."""
        if self._process is not None:
            self._process.pause()

    def go_on(self) -> None:
        """Let it run again."""
        if self._process is not None:
            self._process.go_on()

    def restart(self) -> None:
        """Run it again with the same data, port and password."""
        self.stop()
        self._run()


def postgres_is_installed() -> bool:
    """Whether the programs are on this machine."""
    try:
        _program("initdb")
        _program("postgres")
    except ConfigurationError:
        return False
    return True


def _program(name: str) -> Path:
    found = Path("/usr/lib/postgresql").glob("*/bin")
    newest_first = sorted(found, key=lambda path: _version(path.parent.name), reverse=True)
    return found_program(name, newest_first, _REMEDY)


def _version(name: str) -> int:
    return int(name) if name.isdigit() else 0


def _flags(settings: Mapping[str, str]) -> Sequence[str]:
    return [flag for name, value in settings.items() for flag in ("-c", f"{name}={value}")]


def _account() -> str | None:
    """As whom the server runs: this process's own account, unless that is root."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and this machine has no account "
        f"{' or '.join(_ACCOUNTS)}; add one, or run as another user"
    )


def _data_folder(folder: Path, account: str | None) -> Path:
    """Where the server's data lies: below `folder`, unless its account cannot come there."""
    place = folder / _PLACE
    if account is not None and place.exists():
        data = Path(place.read_text(encoding="utf-8").strip())
        if data.parent != _ELSEWHERE or not data.name.startswith(_PREFIX):
            raise ConfigurationError(f"{place} names {data}, which is not below {_ELSEWHERE}")
        _make_elsewhere()
        return data
    if account is None or all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents)):
        return folder / "data"
    _make_elsewhere()
    data = _ELSEWHERE / f"{_PREFIX}{secrets.token_hex(8)}"
    place.write_text(f"{data}\n", encoding="utf-8")
    return data


def _make_elsewhere() -> None:
    """Raises `ConfigurationError` unless it is a folder that nobody but root can have put there or write to."""
    try:
        _ELSEWHERE.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{_ELSEWHERE} cannot be made ({error.strerror}), and PostgreSQL's account cannot come into the data "
            "folder; run as another user than root"
        ) from None
    found = _ELSEWHERE.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid or found.st_mode & 0o022:
        raise ConfigurationError(
            f"{_ELSEWHERE} is no folder of root alone; look who made it, and move it away"
        )


def _refuse_to_begin_anew(folder: Path, data: Path) -> None:
    """Data that were elsewhere and are not there are not replaced by none without a word."""
    if data.parent != folder and (folder / "url").exists():
        raise ConfigurationError(
            f"the data of {folder} were in {data}, which is not there: bring it back, or delete {folder} to begin "
            "with empty databases"
        )


def _make(data: Path, secret: Path, folder: Path, account: str | None) -> None:
    """A cluster at `data`, which is not there yet: whole or not at all."""
    made = data.with_name(f"{data.name}.new")
    if made.is_dir() and not made.is_symlink():
        shutil.rmtree(made)  # of a start that was interrupted
    made.mkdir(mode=0o700)
    handed: list[int] = []
    source = str(secret)
    if account is not None:
        owner = pwd.getpwnam(account)
        os.chown(made, owner.pw_uid, owner.pw_gid, follow_symlinks=False)
        reading, writing = os.pipe()  # the account cannot read the file
        os.fchown(reading, owner.pw_uid, owner.pw_gid)
        os.write(writing, secret.read_bytes() + b"\n")
        os.close(writing)
        handed, source = [reading], f"/dev/fd/{reading}"
    with (folder / "initdb.log").open("ab") as log:
        try:
            result = subprocess.run(
                [
                    _program("initdb"),
                    f"--pgdata={made}",
                    f"--username={_ROLE}",
                    f"--pwfile={source}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--lc-collate=C",
                    "--lc-ctype=C.UTF-8",
                ],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=account,
                pass_fds=handed,
            )
        finally:
            for descriptor in handed:
                os.close(descriptor)
    if result.returncode:
        raise ConfigurationError(f"initdb failed; {folder / 'initdb.log'} says why")
    if data.parent != folder:
        data.with_name(f"{data.name}.owner").write_text(f"{folder.resolve()}\n", encoding="utf-8")
    made.rename(data)


def _write_private(path: Path, text: str) -> None:
    """A file for its owner alone."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
