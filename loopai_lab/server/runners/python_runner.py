"""The Python runner: a zygote that forks a virgin child per item, and a keeper that answers in one namespace.

Both are forks of the supervisor, which never runs user code itself. The zygote compiles one program, loads its imports
and stays single-threaded, so that a fork is cheap and safe; its children each answer one input and end.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import sys
import time

from . import forked, program, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

LOAD_ERRORS = (SyntaxError, ValueError, RecursionError, MemoryError)
ERROR_CHARACTERS = 4000  # at most 12 bytes each in JSON: a packet takes 64 KB
CRASHED = 70


class Zygote:
    """Hold one loaded program and fork a child ahead whenever the supervisor asks.

    Args:
        channel: a SOCK_SEQPACKET pair's end; one packet is one message.
        loaded: the program.
    """

    def __init__(self, channel: socket.socket, loaded: program.Program) -> None:
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
        socket.send_fds(self._channel, [message], [mine.fileno(), out_read, err_read, pidfd])
        for fd in (out_read, out_write, err_read, err_write):
            os.close(fd)
        mine.close()
        theirs.close()

    def _be_child(self, channel: socket.socket, out: int, err: int) -> NoReturn:
        try:
            hidden = forked.become_program(channel, out, err)
            _reseed_numpy()
            namespace = program.fresh_namespace()
            frame = wire.read_frame(hidden, wire.FrameReader())
            if frame:
                forked.answer(hidden, frame, self._program, namespace)
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - a forked child must end here, never return into the zygote's loop
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(CRASHED)


def _reseed_numpy() -> None:
    """Give a child its own random numbers: `random` reseeds itself after a fork, numpy does not."""
    if module := sys.modules.get("numpy.random"):
        module.seed()


def _why(error: BaseException) -> str:
    """Return the message of a program that does not load, with its line."""
    import traceback

    return "".join(traceback.format_exception_only(type(error), error)).rstrip()[:ERROR_CHARACTERS]


def become_zygote(channel: socket.socket, source: str, *, preload: bool) -> NoReturn:
    """Turn this fork into the zygote of one program, and tell the supervisor how the loading went."""
    try:
        forked.close_all_but(channel.fileno())
        try:
            loaded = program.Program(source)
        except LOAD_ERRORS as error:
            channel.send(wire.encode_json({"failed": type(error).__name__, "error": _why(error)}).encode())
            os._exit(0)
        if preload:
            loaded.preload_imports()
        threads = len(os.listdir("/proc/self/task"))
        channel.send(wire.encode_json({"loaded": True, "threads": threads}).encode())
        Zygote(channel, loaded).serve()
    except BaseException as error:  # noqa: BLE001 - a fork must never return into the supervisor's code
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(CRASHED)


class Keeper:
    """Answer many inputs in one namespace that stays, as a notebook kernel does."""

    def __init__(self, channel: socket.socket) -> None:
        """Start with an empty namespace and no program."""
        self._channel = channel
        self._programs: dict[str, program.Program] = {}
        self._namespace = program.fresh_namespace()

    def serve(self) -> None:
        """Answer frames until the supervisor goes away."""
        reader = wire.FrameReader()
        while frame := wire.read_frame(self._channel, reader):
            head, body = frame
            if head["op"] == "load":
                self._load(head, body)
            else:
                forked.answer(self._channel, frame, self._programs[head["program"]], self._namespace)

    def _load(self, head: wire.Head, body: bytes) -> None:
        began = time.perf_counter()
        reply: wire.Head = {"nonce": head["nonce"], "status": "success"}
        try:
            self._programs[head["program"]] = program.Program(body.decode("utf-8", "surrogatepass"))
        except LOAD_ERRORS as error:
            reply |= {"status": "error", "errorType": type(error).__name__, "error": _why(error)}
        reply["executeMs"] = (time.perf_counter() - began) * 1000
        self._channel.sendall(wire.pack(reply))


def become_keeper(channel: socket.socket, out: int, err: int) -> NoReturn:
    """Turn this fork into the runner that keeps its state."""
    try:
        Keeper(forked.become_program(channel, out, err)).serve()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - a fork must never return into the supervisor's code
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(CRASHED)
