"""Disks that fail as real ones do: mounted for one trial, by root, on this machine's own kernel.

`SmallDisk` is a tmpfs that can be full or mounted read-only. `FailingDisk` is an ext file system on a sparse
image whose own disk can be full: then a write succeeds and its fsync fails, and what it wrote is lost; or
the kernel can be told of an error, upon which it goes read-only under whoever has files open.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["FailingDisk", "SmallDisk", "can_fail", "can_mount", "failing_disk", "small_disk"]

_MIB = 1 << 20
_BLOCK = bytes(64 * 1024)


def can_mount() -> bool:
    """Whether this process may mount a file system: root, with the kernel's leave."""
    if os.geteuid() or shutil.which("mount") is None:
        return False
    tried = _run_quietly("unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt")
    return tried == 0


def can_fail() -> bool:
    """Whether images can be mounted and made to fail here."""
    has_tools = all(map(shutil.which, ("mkfs.ext2", "losetup", "unshare")))
    return has_tools and os.path.exists("/dev/loop-control") and can_mount()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _run_quietly(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


def _fill(path: Path) -> None:
    """Write a file until the last byte of its disk is taken."""
    with path.open("ab", buffering=0) as filler:
        size = len(_BLOCK)
        while size:
            try:
                filler.write(_BLOCK[:size])
            except OSError:
                size //= 2


class SmallDisk:
    """A tmpfs of `mib` MiB, mounted on `folder`."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        self._filler = folder / "filler"
        folder.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0755", "borough-small", str(folder))

    def fill(self) -> None:
        """Take all the space that is left."""
        _fill(self._filler)

    def free(self) -> None:
        """Give the space back."""
        self._filler.unlink(missing_ok=True)

    def grow(self, mib: int) -> None:
        """Make it larger."""
        _run("mount", "-o", f"remount,size={mib}m", str(self.folder))

    def remount(self, *, read_only: bool) -> bool:
        """Mount it anew; False where the kernel refuses, because files are open for writing."""
        option = "remount,ro" if read_only else "remount,rw"
        return _run_quietly("mount", "-o", option, str(self.folder)) == 0

    def unmount(self) -> None:
        """Take it away, with all that is on it."""
        _run("umount", "--lazy", str(self.folder))


class FailingDisk:
    """The kernel's ext4 on a sparse image of `mib` MiB that stands on a tmpfs of that size.

    In ext2's format: no journal, no extents, so that a failed write spoils no more than itself.
    """

    def __init__(self, folder: Path, mib: int, errors: str) -> None:
        self.folder = folder
        self._errors = errors
        self._below = SmallDisk(folder.with_name(f"{folder.name}-below"), mib)
        self._image = self._below.folder / "image"
        with self._image.open("wb") as image:
            image.truncate(mib * _MIB)
        try:
            _run("mkfs.ext2", "-q", "-b", "4096", str(self._image))
            folder.mkdir(parents=True, exist_ok=True)
            self.mount()
        except BaseException:
            self._below.unmount()
            raise

    def mount(self) -> None:
        """Mount the image; what was lost on the way to it is seen then."""
        loop = _run("losetup", "--find", "--show", str(self._image)).strip()
        self._loop = loop
        # A request of one page: the loop device takes a short write for a whole one.
        Path(f"/sys/block/{os.path.basename(loop)}/queue/max_sectors_kb").write_text("4")
        try:
            _run("mount", "-t", "ext4", "-o", f"errors={self._errors}", loop, str(self.folder))
        except OSError:
            _run("losetup", "--detach", loop)
            raise

    def fail_syncs(self) -> None:
        """From now on a write goes well and its fsync fails."""
        self._below.fill()

    def mend(self) -> None:
        """What is written from now on reaches the image; what had failed does not."""
        self._below.free()

    def break_down(self) -> None:
        """Let the kernel find an error: with `remount-ro` it goes read-only, whoever has files open."""
        device = os.path.basename(self._loop)
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")

    def repair(self) -> None:
        """Unmount, check and mount again. Nobody may have files open."""
        self.unmount_image()
        subprocess.run(["e2fsck", "-fy", str(self._image)], capture_output=True, check=False)
        self.mount()

    def unmount_image(self) -> None:
        """Take it away; the image stays."""
        _run("umount", str(self.folder))
        _run("losetup", "--detach", self._loop)

    def unmount(self) -> None:
        """Take all of it away."""
        if os.path.ismount(self.folder):
            _run("umount", "--lazy", str(self.folder))
            _run_quietly("losetup", "--detach", self._loop)
        self._below.unmount()


@contextlib.contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[SmallDisk]:
    """A small disk, unmounted at the end."""
    disk = SmallDisk(folder, mib)
    try:
        yield disk
    finally:
        disk.unmount()


@contextlib.contextmanager
def failing_disk(folder: Path, mib: int = 32, *, errors: str = "continue") -> Iterator[FailingDisk]:
    """A disk that can fail, unmounted at the end. `errors` is what the kernel does about one."""
    disk = FailingDisk(folder, mib, errors)
    try:
        yield disk
    finally:
        disk.unmount()
