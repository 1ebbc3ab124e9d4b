"""The Python runner: a zygote that forks a virgin child per item, and a keeper that answers in one namespace.

Both are forks of the supervisor, which never runs user code itself. The zygote compiles one program, loads its imports and
stays single-threaded, so that a fork is cheap and safe; its children each answer one input and end.
"""

from __future__ import annotations

import gc
import os
import secrets
import select
import socket
import sys
import time
from dataclasses import dataclass
from typing import NoReturn

import program as programs
import wire

DESCRIPTORS_FROM = 64


@dataclass(frozen=True)
class Limits:
    """What every process of a session may use; None is no limit."""

    memory_mb: int | None = None
    open_files: int | None = None
    file_size_mb: int | None = None
    output_bytes: int = 1 << 17
    result_bytes: int = 1 << 26

    def apply(self) -> None:
        """Set the limits of this process and of all that it will fork."""
        import resource

        wanted = {
            resource.RLIMIT_AS: self.memory_mb and self.memory_mb << 20,
            resource.RLIMIT_NOFILE: self.open_files,
            resource.RLIMIT_FSIZE: self.file_size_mb and self.file_size_mb << 20,
            resource.RLIMIT_CORE: 0,
        }
        for kind, figure in wanted.items():
            if figure is not None:
                _, hard = resource.getrlimit(kind)
                ceiling = figure if hard == resource.RLIM_INFINITY else min(figure, hard)
                resource.setrlimit(kind, (ceiling, ceiling))


def hide(fd: int) -> int:
    """Move a descriptor to a number that a program cannot guess, closed on exec."""
    import fcntl

    hidden = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, DESCRIPTORS_FROM + secrets.randbelow(64))
    os.close(fd)
    return hidden


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor above stderr that is not in `keep`."""
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, 4096)


def take_stdio(out: int, err: int) -> None:
    """Make the two pipes stdout and stderr of this process, as programs expect them."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    # New objects: the old ones remember what the old descriptors could do. Line by line, so that a kill loses little.
    options = {"buffering": 1, "encoding": "utf-8", "errors": "backslashreplace", "closefd": False}
    sys.stdout = sys.__stdout__ = open(1, "w", **options)
    sys.stderr = sys.__stderr__ = open(2, "w", **options)


def flush_stdio() -> None:
    """Push out what the program printed; a program may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue


def answer(channel: socket.socket, frame: tuple[wire.Head, bytes], program: programs.Program, namespace: dict) -> None:
    """Run the program on the input of one frame and send the answer, with the frame's nonce as proof."""
    head, body = frame
    limit = head["resultBytes"]
    reply, text = program.run(namespace, body.decode(), script=head["script"])
    flush_stdio()
    raw = text.encode()
    if len(raw) > limit:
        message = f"the result has {len(raw)} bytes, the limit is {limit}"
        reply, raw = reply | {"status": "error", "errorType": "OutputLimit", "error": message}, b""
    channel.sendall(wire.pack(reply | {"nonce": head["nonce"]}, raw))


class Zygote:
    """Hold one loaded program and fork a child ahead whenever the supervisor asks.

    Args:
        channel: a SOCK_SEQPACKET pair's end; one packet is one message.
    """

    def __init__(self, channel: socket.socket, loaded: programs.Program) -> None:
        """Take over the process: this one serves nothing else from here on."""
        self._channel = channel
        self._program = loaded
        self._poll = select.poll()
        self._children: dict[int, int] = {}

    def serve(self) -> NoReturn:
        """Fork on request, and report every child's end, until the supervisor goes away.

        Ends are seen through pidfds, not SIGCHLD: a signal that comes just before a blocking call would go unheard.
        """
        gc.collect()
        gc.freeze()  # the forks' garbage collector shall not touch, and so copy, our pages
        requests = self._channel.fileno()
        self._poll.register(requests, select.POLLIN)
        try:
            while True:
                for fd, _ in self._poll.poll():
                    if fd != requests:
                        self._report_end(fd)
                    elif self._channel.recv(1):
                        self._fork_child()
                    else:
                        os._exit(0)
        except (BrokenPipeError, ConnectionResetError):  # the supervisor has left, or let this zygote go
            os._exit(0)

    def _report_end(self, pidfd: int) -> None:
        pid = self._children.pop(pidfd)
        _, status = os.waitpid(pid, 0)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        self._channel.send(wire.encode_json({"exited": pid, "status": status}).encode())

    def _fork_child(self) -> None:
        mine, theirs = socket.socketpair()
        out_read, out_write = os.pipe()
        err_read, err_write = os.pipe()
        pid = os.fork()
        if not pid:
            self._be_child(theirs, out_write, err_write)
        pidfd = os.pidfd_open(pid)
        self._children[pidfd] = pid
        self._poll.register(pidfd, select.POLLIN)
        message = wire.encode_json({"forked": pid}).encode()
        socket.send_fds(self._channel, [message], [mine.fileno(), out_read, err_read])
        for fd in (out_read, out_write, err_read, err_write):
            os.close(fd)
        mine.close()
        theirs.close()

    def _be_child(self, channel: socket.socket, out: int, err: int) -> NoReturn:
        try:
            os.setsid()
            take_stdio(out, err)
            hidden = socket.socket(fileno=hide(channel.detach()))
            close_all_but({hidden.fileno()})
            reseed_numpy()
            namespace = programs.fresh_namespace()
            frame = wire.read_frame(hidden, wire.FrameReader())
            if frame:
                answer(hidden, frame, self._program, namespace)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked child must end here, never return into the zygote's loop
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(70)


def reseed_numpy() -> None:
    """Give a child its own random numbers: `random` reseeds itself after a fork, numpy does not."""
    if module := sys.modules.get("numpy.random"):
        module.seed()


def become_zygote(channel: socket.socket, source: str, *, preload: bool) -> NoReturn:
    """Turn this fork into the zygote of one program, and tell the supervisor how the loading went."""
    close_all_but({channel.fileno()})
    try:
        loaded = programs.Program(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        import traceback

        text = "".join(traceback.format_exception_only(type(error), error)).rstrip()
        channel.send(wire.encode_json({"failed": type(error).__name__, "error": text[:60_000]}).encode())
        os._exit(0)
    if preload:
        loaded.preload_imports()
    threads = len(os.listdir("/proc/self/task"))
    channel.send(wire.encode_json({"loaded": True, "threads": threads}).encode())
    Zygote(channel, loaded).serve()


class Keeper:
    """Answer many inputs in one namespace that stays, as a notebook kernel does."""

    def __init__(self, channel: socket.socket) -> None:
        """Start with an empty namespace and no program."""
        self._channel = channel
        self._programs: dict[str, programs.Program] = {}
        self._namespace = programs.fresh_namespace()

    def serve(self) -> NoReturn:
        """Answer frames until the supervisor goes away."""
        reader = wire.FrameReader()
        while frame := wire.read_frame(self._channel, reader):
            head, body = frame
            if head.get("op") == "load":
                self._load(head, body)
            else:
                answer(self._channel, frame, self._programs[head["program"]], self._namespace)
        os._exit(0)

    def _load(self, head: wire.Head, body: bytes) -> None:
        began = time.perf_counter()
        reply: wire.Head = {"nonce": head["nonce"], "status": "success"}
        try:
            self._programs[head["program"]] = programs.Program(body.decode("utf-8", "surrogatepass"))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            import traceback

            text = "".join(traceback.format_exception_only(type(error), error)).rstrip()
            reply |= {"status": "error", "errorType": type(error).__name__, "error": text}
        reply["executeMs"] = (time.perf_counter() - began) * 1000
        self._channel.sendall(wire.pack(reply))


def become_keeper(channel: socket.socket, out: int, err: int) -> NoReturn:
    """Turn this fork into the runner that keeps its state."""
    os.setsid()
    take_stdio(out, err)
    hidden = socket.socket(fileno=hide(channel.detach()))
    close_all_but({hidden.fileno()})
    Keeper(hidden).serve()
