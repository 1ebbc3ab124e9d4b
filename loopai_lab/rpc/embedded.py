"""The embedded server's start and end: a child process in a private folder, gone when we are gone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopai_lab import errors
from loopai_lab.errors import ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 10.0
PREFIX = "loopai-lab-"
OWNER = "owner"
WORDS = "server.err"
LONGEST_SOCKET_PATH = 104
# `python -m loopai_lab.server`, but with this very package, wherever it is imported from, and never the working folder.
BOOT = (
    f"import sys; sys.path.append({str(Path(__file__).parents[2])!r}); "
    "from loopai_lab.server.__main__ import main; sys.exit(main())"
)


class EmbeddedServer:
    """Run `python -m loopai_lab.server` as a child; `start` makes one.

    Args:
        process: the child, already said to be ready.
        folder: private (mode 0700), holds the socket and the sessions' folders.
        address: the path of the Unix socket.
    """

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, address: str, owner: int) -> None:
        """Take over a child that is ready."""
        self._process = process
        self._folder = folder
        self._owner = owner
        self._closed = False
        self.address = address

    @classmethod
    async def start(cls, *, sandbox: str = "auto", memory_mb: int = 1024) -> EmbeddedServer:
        """Start the child and wait until it listens.

        Raises:
            ServerUnavailable: it did not come up; the message holds what it wrote.
            SandboxUnavailable: the sandbox that was asked for cannot be had.
        """
        sweep_strays()
        folder = _private_folder()
        owner = _own(folder)
        process = None
        try:
            with (folder / WORDS).open("wb") as stderr:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-c", BOOT, "--child", "--folder", str(folder)),
                    *("--sandbox", sandbox, "--memory-mb", str(memory_mb)),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=stderr,
                    start_new_session=True,  # Ctrl-C is for us: the server ends when we say so
                )
            address = await _first_word(process, folder)
        except BaseException:
            if process is not None:
                await _end(process)
            _remove(folder, owner)
            raise
        return cls(process, folder, address, owner)

    @property
    def is_running(self) -> bool:
        """Whether the child lives."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def close(self) -> None:
        """Let the child end its sessions and itself, and remove the folder; twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.shield(_end(self._process))
        finally:
            _remove(self._folder, self._owner)


async def _first_word(process: asyncio.subprocess.Process, folder: Path) -> str:
    assert process.stdout is not None  # noqa: S101 - we asked for the pipe
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
    except TimeoutError:
        line = b""
    said = _decoded(line)
    if "ready" in said:
        return str(said["ready"])
    if "failed" in said:
        kind = getattr(errors, str(said["failed"]), ServerUnavailable)
        raise kind(said.get("error"))
    wrote = (folder / WORDS).read_text(errors="replace").strip()[-2000:] or line.decode(errors="replace").strip()
    message = f"the embedded session server did not start within {START_TIMEOUT_S:g} s: {wrote or 'it wrote nothing'}"
    raise ServerUnavailable(message)


def _decoded(line: bytes) -> dict[str, Any]:
    """Return the server's first line; anything else that comes on its stdout is shown as what it is, not as this."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(END_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _private_folder() -> Path:
    """Return a new folder of mode 0700 whose socket's path is short enough to bind (sun_path has 108 bytes)."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    if len(os.fsencode(folder / "beaker.sock")) < LONGEST_SOCKET_PATH:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir="/tmp"))


def _own(folder: Path) -> int:
    """Mark a folder as ours for as long as we live: the lock goes with the process, however it ends."""
    fd = os.open(folder / f".{OWNER}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (folder / f".{OWNER}").rename(folder / OWNER)  # nobody sees it unlocked
    return fd


def _remove(folder: Path, owner: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(owner)


def sweep_strays() -> None:
    """Remove the folders of clients and servers that were both killed before they could."""
    for folder in _unowned():
        shutil.rmtree(folder, ignore_errors=True)


def _unowned() -> Iterator[Path]:
    places = {Path(tempfile.gettempdir()), Path("/tmp")}  # noqa: S108 - where `_private_folder` puts it
    for folder in (folder for place in places for folder in place.glob(f"{PREFIX}*")):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue  # somebody else's, in a folder that all may write to
            fd = os.open(folder / OWNER, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # not one of ours, or gone meanwhile
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        except BlockingIOError:
            continue
        finally:
            os.close(fd)
