"""One session on the server: a sandboxed process tree, its books, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import ServerUnavailable, SessionLost
from loopai_lab.server.link import Answer, SupervisorLink
from loopai_lab.server.runners import leftovers

if TYPE_CHECKING:
    from loopai_lab.server.sandbox.launch import Limits, Sandbox
    from loopai_lab.server.strays import Strays

START_TIMEOUT_S = 20.0
END_GRACE_S = 2.0
WORDS = "supervisor.err"


@dataclass(slots=True, eq=False)
class Session:
    """Hold what the server knows of one session; `start` makes one.

    Args:
        id: 32 hexadecimal digits that cannot be guessed.
        language: the language's own name.
        folder: private to the session; removed with it.
        strays: told of our process, and asked at the end to look for what outlived it.
        idle_timeout_s: how long it may lie unused.
        lifetime_s: how old it may become.
    """

    language: str
    folder: Path
    strays: Strays
    idle_timeout_s: float = 1800.0
    lifetime_s: float = 7200.0
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    state: str = "Creating"
    executions: int = 0
    sandbox: str = ""
    loaded: set[tuple[str, str]] = field(default_factory=set)
    _born: float = field(default_factory=time.monotonic)
    _touched: float = field(default_factory=time.monotonic)
    _running: int = 0
    _link: SupervisorLink | None = None
    _process: subprocess.Popen[bytes] | None = None
    _ended: asyncio.Task[None] | None = None

    async def start(self, sandbox: Sandbox, limits: Limits) -> None:
        """Start the supervisor in its sandbox and wait for its first word.

        Raises:
            ServerUnavailable: the sandbox or the supervisor does not start; the message holds what it wrote.
        """
        self.sandbox = sandbox.name
        try:
            ours = self._spawn(sandbox, limits)
            self._link = await SupervisorLink.over(ours)
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.shield(self._link.ready)
        except (SessionLost, TimeoutError, OSError) as error:
            said = self._last_words()
            await self.end()
            # The last line of a traceback comes first: clients show one line.
            reason = f"{said.splitlines()[-1]}\n{said}" if said else error
            message = f"a {self.language} session did not start in the {sandbox.name} sandbox: {reason}"
            raise ServerUnavailable(message) from error
        except asyncio.CancelledError:
            await self.end()
            raise
        if self._ended:  # the server began to shut down meanwhile
            await self.end()
            message = f"session {self.id} was closed before it had started"
            raise ServerUnavailable(message)
        self.state = "Idle"

    def _spawn(self, sandbox: Sandbox, limits: Limits) -> socket.socket:
        """Start the supervisor, and return our end of its control channel."""
        self.folder.mkdir(mode=0o700)
        ours, theirs = socket.socketpair()
        try:
            with theirs, (self.folder / WORDS).open("wb") as errors:
                launch = sandbox.launch(self.folder, theirs.fileno(), limits)
                self._process = subprocess.Popen(
                    launch.argv,
                    env=launch.env,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    cwd="/",
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        self.strays.known.add(self._process.pid)
        return ours

    def _last_words(self) -> str:
        try:
            return (self.folder / WORDS).read_text(errors="replace").strip()[-2000:]
        except OSError:
            return ""

    @property
    def is_ending(self) -> bool:
        """Whether it takes no more requests."""
        return self._ended is not None

    @property
    def lost(self) -> asyncio.Future[None]:
        """Done when the supervisor has gone, whoever ended it."""
        if self._link is None:
            message = "the session has not been started"
            raise SessionLost(message)
        return self._link.lost

    async def request(self, head: dict[str, Any], body: bytes = b"") -> Answer:
        """Ask the supervisor; requests of one session are served one after another.

        A caller that is cancelled ends the session: what it started cannot be taken back otherwise.

        Raises:
            SessionLost: the session ended before it answered.
        """
        if self._link is None or self._ended:
            message = f"session {self.id} has ended"
            raise SessionLost(message)
        self._running += 1
        self.state = "Active"
        try:
            answer = await self._link.request(head, body)
        except asyncio.CancelledError:
            self.end_soon()
            raise
        finally:
            self._running -= 1
            self._touched = time.monotonic()
            if not self._running and self.state == "Active":
                self.state = "Idle"
        if answer[0].get("ended"):
            self.end_soon()
        return answer

    @property
    def expires_in_s(self) -> float:
        """Return the seconds until the session may be closed for its age or idleness; a busy one never may."""
        if self._running:
            return min(self.idle_timeout_s, self.lifetime_s)
        now = time.monotonic()
        return min(self._touched + self.idle_timeout_s, self._born + self.lifetime_s) - now

    @property
    def idle_s(self) -> float:
        """Return the seconds since the last use."""
        return time.monotonic() - self._touched

    @property
    def age_s(self) -> float:
        """Return the seconds since the creation."""
        return time.monotonic() - self._born

    def end_soon(self) -> asyncio.Task[None]:
        """Begin to end the session, once."""
        if self._ended is None:
            self.state = "Closing"
            self._ended = asyncio.create_task(self._end(), name=f"end-{self.id[:8]}")
        return self._ended

    async def end(self) -> None:
        """End the session and return when its whole process tree is gone and its folder removed."""
        await asyncio.shield(self.end_soon())

    async def _end(self) -> None:
        if self._link:
            self._link.close()
        if self._process and not await self._gone_within(END_GRACE_S):
            self._kill(self._process.pid)
            await self._gone_within(END_GRACE_S)
        if self._process:
            self.strays.known.discard(self._process.pid)
        await self.strays.end()
        self._remove_folder()
        self.state = "Closed"

    def _remove_folder(self) -> None:
        try:
            leftovers.empty_folder(str(self.folder))
        except OSError:  # what can be removed, at least; a stray that was not ours to kill may still write
            with contextlib.suppress(RecursionError):
                shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    async def _gone_within(self, seconds: float) -> bool:
        """Wait for the first process of the tree; a pid namespace ends with it, a plain tree is ended by it."""
        assert self._process is not None  # noqa: S101 - our caller has looked
        if self._process.poll() is not None:
            return True
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        pidfd = os.pidfd_open(self._process.pid)
        loop.add_reader(pidfd, gone.set)
        try:
            async with asyncio.timeout(seconds):
                await gone.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)
        self._process.wait()
        return True

    @staticmethod
    def _kill(pid: int) -> None:
        """Kill a supervisor that does not end by itself; process 1 of bubblewrap's namespace is a child of `pid`."""
        victims = [pid]
        with contextlib.suppress(OSError):
            victims += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        for victim in reversed(victims):
            with contextlib.suppress(PermissionError):
                leftovers.kill(victim)
