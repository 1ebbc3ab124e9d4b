"""What a fork does to become a program's process: descriptors, streams, signals, and its one way to answer."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import sys

from . import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from .program import Program

DESCRIPTORS_FROM = 64


def become_program(channel: socket.socket, out: int, err: int) -> socket.socket:
    """Make this fork a process of its own, with nothing open but its two pipes and a channel that is hard to find."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # our own processes ignore them; a program's children must not
        signal.signal(number, signal.SIG_DFL)
    for target, fd in ((1, out), (2, err)):
        os.dup2(fd, target)
    _renew_stream("stdout", 1)
    _renew_stream("stderr", 2)
    hidden = _hide(channel.detach())
    close_all_but(hidden)
    return type(channel)(fileno=hidden)


def _renew_stream(name: str, fd: int) -> None:
    """Put a new object in the place of a stream: the old one remembers what the old descriptor could do."""
    raw = io.FileIO(fd, "w", closefd=False)
    # Line by line, so that a kill loses little.
    stream = io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", errors="backslashreplace", line_buffering=True)
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def _hide(fd: int) -> int:
    """Move a descriptor to a number that a program cannot guess, closed on exec."""
    hidden = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, DESCRIPTORS_FROM + os.urandom(1)[0] % 64)
    os.close(fd)
    return hidden


def close_all_but(kept: int) -> None:
    """Close every descriptor above stderr but one."""
    os.closerange(3, kept)
    os.closerange(kept + 1, 4096)


def flush_streams() -> None:
    """Push out what the program printed; it may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


def answer(channel: socket.socket, frame: tuple[wire.Head, bytes], program: Program, namespace: dict[str, Any]) -> None:
    """Run the program on the input of one frame and send the answer, with the frame's nonce as proof."""
    head, body = frame
    me = os.getpid()
    reply, text = program.run(namespace, body.decode(), script=head["script"])
    flush_streams()
    if os.getpid() != me:
        _end_copy(reply)
    raw, limit = text.encode(), head["resultBytes"]
    if len(raw) > limit:
        message = f"the result has {len(raw)} bytes, the limit is {limit}"
        reply, raw = reply | {"status": "error", "errorType": "OutputLimit", "error": message}, b""
    channel.sendall(wire.pack(reply | {"nonce": head["nonce"]}, raw))


def _end_copy(reply: wire.Head) -> None:
    """End a process that the program forked and that came to the program's end: the answer is its parent's to give."""
    if reply["status"] == "error" and "exitCode" not in reply and reply["errorType"] != "NoResult":
        os.write(2, f"{reply['error']}\n".encode(errors="backslashreplace"))
        os._exit(1)
    os._exit(reply.get("exitCode", 0))
