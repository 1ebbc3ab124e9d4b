"""The supervisor's view of the processes below it: a child that answers, a zygote that forks children ahead."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections import deque

from . import leftovers, wire
from .capture import Capture

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .limits import Limits

FOREVER_MS = 1e9  # poll(2) takes no longer waits than 24 days; who waits for one looks at the clock again
ENVELOPE_BYTES = 1 << 21  # what a frame may have beside its result: the error text and the fields


class RunnerGone(Exception):
    """A runner ended, or broke the protocol; the session cannot go on."""


class NotStarted(RunnerGone):
    """A runner ended before it had read its request: nothing of the program ran, and another runner may take it."""


class Deadline:
    """A moment on the monotonic clock, or never."""

    __slots__ = ("at",)

    def __init__(self, timeout_ms: float | None) -> None:
        """Start counting now."""
        self.at = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000

    def left_ms(self) -> float | None:
        """Return the milliseconds left, at least 0 and at most what poll can take; None for never."""
        return None if self.at is None else min(max(0.0, (self.at - time.monotonic()) * 1000), FOREVER_MS)

    @property
    def passed(self) -> bool:
        """Whether the moment is over."""
        return self.at is not None and time.monotonic() >= self.at


class Child:
    """One process that answers inputs: its channel, its two pipes and what came through them.

    Args:
        pid: its number.
        pidfd: readable when it has ended.
        channel: where frames go and come from.
        out: the read end of its stdout.
        err: the read end of its stderr.
        limits: how much of each is kept, and how long an answer may be.
    """

    def __init__(self, pid: int, pidfd: int, channel: socket.socket, out: int, err: int, *, limits: Limits) -> None:
        """Take ownership of the descriptors."""
        self.pid = pid
        self.pidfd = pidfd
        self.channel = channel
        self.out = Capture(out, limits.output_bytes)
        self.err = Capture(err, limits.output_bytes)
        self._frames = wire.FrameReader(limits.result_bytes + ENVELOPE_BYTES)
        self._nonce = ""
        self._unsent = memoryview(b"")
        channel.setblocking(False)  # noqa: FBT003 - it has no name to call it by

    def ask(self, head: wire.Head, body: bytes) -> bool:
        """Begin to send one request; False when `send_more` has to follow as the child reads."""
        for stream in (self.out, self.err):
            stream.drain()  # what a thread of the last item printed after its answer belongs to nobody
            stream.take()
        self._nonce = os.urandom(8).hex()
        self._unsent = memoryview(wire.pack(head | {"nonce": self._nonce}, body))
        return self.send_more()

    def send_more(self) -> bool:
        """Send what the child takes now; True when all is sent."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self.channel.send(self._unsent) :]
        except BlockingIOError:
            return False
        except OSError as error:
            message = f"it took no input: {error.strerror}"
            raise NotStarted(message) from error
        return True

    def receive(self) -> tuple[wire.Head, bytes] | None:
        """Return the answer when it is whole.

        Raises:
            RunnerGone: the stream ended, or holds something that is not the answer.
            NotStarted: it was ended with our request still in it, which a Unix socket tells by a reset.
        """
        while True:
            try:
                data = self.channel.recv(1 << 18)
            except BlockingIOError:
                return None
            except ConnectionResetError as error:
                message = "it ended before it had read its input"
                raise NotStarted(message) from error
            if not data:
                message = "it ended without an answer"
                raise RunnerGone(message)
            self._frames.feed(data)
            if frame := self._checked():
                return frame

    def _checked(self) -> tuple[wire.Head, bytes] | None:
        """Return the next frame, if it has come and is ours: a program can find this channel and write to it."""
        try:
            frame = self._frames.next_frame()
        except wire.BrokenFrame as error:
            message = f"it broke the protocol: {error}"
            raise RunnerGone(message) from error
        if frame and (frame[0].pop("nonce", None) != self._nonce or frame[0].get("status") not in {"success", "error"}):
            message = "it broke the protocol: an answer that nobody asked for"
            raise RunnerGone(message)
        return frame

    def printed(self) -> wire.Head:
        """Return what was printed since the request."""
        self.out.drain()
        self.err.drain()
        stdout, cut_out = self.out.take()
        stderr, cut_err = self.err.take()
        return {"stdout": stdout, "stderr": stderr, "truncated": cut_out or cut_err}

    def kill(self) -> None:
        """Kill the process and its group."""
        for send in (os.killpg, os.kill):
            try:
                send(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def close(self) -> None:
        """Close our ends."""
        os.close(self.pidfd)
        self.channel.close()
        self.out.close()
        self.err.close()


class ZygoteLink:
    """The supervisor's side of a zygote: the children that it forked ahead, and how they ended."""

    def __init__(self, pid: int, channel: socket.socket, limits: Limits) -> None:
        """Expect the zygote's word on loading first."""
        self.pid = pid
        self.channel = channel
        self.spares: deque[Child] = deque()
        self.exits: dict[int, int] = {}
        self.loaded: wire.Head | None = None
        self._limits = limits
        self._reaped = False
        self._status: int | None = None

    def fork_ahead(self) -> None:
        """Ask for one more child."""
        try:
            self.channel.send(b"f")
        except OSError as error:
            message = f"the zygote is gone: {error.strerror}"
            raise RunnerGone(message) from error

    def receive(self) -> None:
        """Take in one message."""
        try:
            data, fds, _, _ = socket.recv_fds(self.channel, 1 << 16, 4)
            said = json.loads(data)
        except (OSError, ValueError) as error:  # no data is the end of the stream, and no JSON either
            message = "the zygote of the program ended: something killed it"
            raise RunnerGone(message) from error
        if "forked" in said:
            channel = socket.socket(fileno=fds[0])
            self.spares.append(Child(said["forked"], fds[3], channel, fds[1], fds[2], limits=self._limits))
        elif "exited" in said:
            self.exits[said["exited"]] = said["status"]
        else:
            self.loaded = said

    @property
    def is_gone(self) -> bool:
        """Whether it has been seen to be dead."""
        return self._reaped

    def reap(self) -> int | None:
        """End the zygote, and return how it ended; its number is not touched again, it may be another's by then."""
        if not self._reaped:
            self._reaped = True
            self._status = leftovers.kill_and_reap(self.pid)
        return self._status

    def close(self) -> None:
        """End the zygote and its spare children."""
        self.channel.close()
        for spare in self.spares:
            spare.kill()
            spare.close()
        self.spares.clear()
        self.reap()


def describe_end(who: str, status: int | None, reason: str) -> wire.Head:
    """Return the head of an answer that says how a process ended: its exit code or its signal."""
    reply: wire.Head = {"status": "error", "errorType": "ProcessDied", "ended": True}
    if status is None:
        return reply | {"error": f"{who} was ended: {reason}"}
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return reply | {"exitCode": code, "error": f"{who} exited with code {code}; {reason}"}
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal has no name
        name = f"signal {-code}"
    text = f"{who} was killed by {name} (signal {-code}); {reason}"
    if -code == signal.SIGKILL:
        text += ". If it did not do so itself, the machine ran out of memory"
    return reply | {"signal": name, "error": text}
