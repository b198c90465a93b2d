"""A server program as a child: it ends with its parent, and its end is noticed."""

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from borough.engines.process import ServerProcess

_PARENT = """
import signal, sys
from pathlib import Path
from borough.engines.process import ServerProcess
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = ServerProcess("sleep", ["sleep", "60"], Path(sys.argv[1]), stop_signal=signal.SIGINT)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_server_ends_with_a_killed_parent_that_ignored_its_signal(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    with parent.stdin, parent.stdout:
        server = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        try:
            assert select.select([server], [], [], 20.0)[0]
        except AssertionError:
            signal.pidfd_send_signal(server, signal.SIGKILL)
            raise
        finally:
            os.close(server)


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux one can wait beside another")
@pytest.mark.parametrize("is_asked", [True, False])
def test_a_server_that_ends_by_itself_is_told_and_one_that_is_stopped_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_asked: bool
) -> None:
    before = set(threading.enumerate())
    server = ServerProcess("sleep", ["sleep", "60"], tmp_path)
    server.watch()
    (watching,) = set(threading.enumerate()) - before
    if is_asked:
        server.stop()
    else:
        os.kill(server.pid, signal.SIGKILL)
    watching.join(20.0)
    server.kill()
    assert ("has ended by itself" in caplog.text) is not is_asked


def test_a_server_whose_start_is_interrupted_is_stopped(tmp_path: Path) -> None:
    server = ServerProcess("sleep", ["sleep", "60"], tmp_path)

    def is_interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        server.wait_until(is_interrupted, 60.0)
    try:
        assert not server.is_running
    finally:
        server.kill()
