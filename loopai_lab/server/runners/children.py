"""The supervisor's view of the processes below it: a child that answers, a zygote that forks children ahead."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import time
from collections import deque

import capture
import wire


class RunnerGone(Exception):  # noqa: N818 - a fact, as ConnectionResetError is
    """A runner ended, or broke the protocol; the session cannot go on."""


class Deadline:
    """A moment on the monotonic clock, or never."""

    __slots__ = ("at",)

    def __init__(self, timeout_ms: float | None) -> None:
        """Start counting now."""
        self.at = None if timeout_ms is None else time.monotonic() + timeout_ms / 1000

    def left_ms(self) -> float | None:
        """Return the milliseconds left, at least 0; None for never."""
        return None if self.at is None else max(0.0, (self.at - time.monotonic()) * 1000)

    @property
    def passed(self) -> bool:
        """Whether the moment is over."""
        return self.at is not None and time.monotonic() >= self.at


class Child:
    """One process that answers inputs: its channel, its two pipes and what came through them."""

    def __init__(self, pid: int, channel: socket.socket, out: int, err: int, kept_bytes: int) -> None:
        """Take ownership of the descriptors."""
        self.pid = pid
        self.channel = channel
        self.out = capture.Capture(out, kept_bytes)
        self.err = capture.Capture(err, kept_bytes)
        self.frames = wire.FrameReader()
        self.nonce = ""
        channel.setblocking(False)

    def ask(self, head: wire.Head, body: bytes) -> None:
        """Send one request; the child is waiting for it, so a large one goes out as fast as it reads."""
        self.nonce = secrets.token_hex(8)
        self.channel.setblocking(True)
        try:
            self.channel.sendall(wire.pack(head | {"nonce": self.nonce}, body))
        except OSError as error:
            message = f"the runner took no input: {error}"
            raise RunnerGone(message) from error
        finally:
            self.channel.setblocking(False)

    def receive(self) -> tuple[wire.Head, bytes] | None:
        """Return the answer when it is whole; RunnerGone at the end of the stream or on a frame that is not the answer."""
        try:
            data = self.channel.recv(1 << 18)
        except BlockingIOError:
            return None
        except ConnectionResetError:
            data = b""
        if not data:
            message = "the runner ended without an answer"
            raise RunnerGone(message)
        self.frames.feed(data)
        try:
            frame = self.frames.next_frame()
        except wire.BrokenFrame as error:
            raise RunnerGone(str(error)) from error
        if frame and frame[0].get("nonce") != self.nonce:
            message = "the runner sent an answer that nobody asked for"
            raise RunnerGone(message)
        return frame

    def printed(self) -> wire.Head:
        """Return what was printed since the last answer."""
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
        self.channel.close()
        self.out.close()
        self.err.close()


class ZygoteLink:
    """The supervisor's side of a zygote: the children that it forked ahead, and how they ended."""

    def __init__(self, pid: int, channel: socket.socket, kept_bytes: int) -> None:
        """Expect the zygote's word on loading first."""
        self.pid = pid
        self.channel = channel
        self.spares: deque[Child] = deque()
        self.exits: dict[int, int] = {}
        self.loaded: wire.Head | None = None
        self._kept_bytes = kept_bytes

    def fork_ahead(self) -> None:
        """Ask for one more child."""
        try:
            self.channel.send(b"f")
        except OSError as error:
            message = f"the zygote is gone: {error}"
            raise RunnerGone(message) from error

    def receive(self) -> None:
        """Take in one message."""
        data, fds, _, _ = socket.recv_fds(self.channel, 1 << 16, 3)
        if not data:
            message = "the program's zygote ended: something killed it"
            raise RunnerGone(message)
        message = json.loads(data)
        if "forked" in message:
            channel = socket.socket(fileno=fds[0])
            self.spares.append(Child(message["forked"], channel, fds[1], fds[2], self._kept_bytes))
        elif "exited" in message:
            self.exits[message["exited"]] = message["status"]
        else:
            self.loaded = message

    def close(self) -> None:
        """Let the zygote end, and its spare children with it."""
        self.channel.close()
        for spare in self.spares:
            spare.close()
