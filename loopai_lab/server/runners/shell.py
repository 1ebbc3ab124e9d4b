"""A shell command in a session: argv, not a line, with its exit code."""

from __future__ import annotations

import os
import select
import signal
import time

from .capture import Capture
from .children import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import wire
    from .control import Control
    from .limits import Limits

NOT_FOUND = 127


def run(head: wire.Head, limits: Limits, workspace: str, control: Control) -> wire.Head:
    """Run one command to its end or its deadline.

    Args:
        head: `command`, `args`, and perhaps `cwd`, `env`, `timeoutMs`.
        limits: what the command may use.
        workspace: where it runs unless `cwd` says otherwise.
        control: heard meanwhile.
    """
    deadline = Deadline(head.get("timeoutMs"))
    began = time.perf_counter()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    pid = os.fork()
    if not pid:
        _become(head, limits, workspace, out_write, err_write)
    os.close(out_write)
    os.close(err_write)
    streams = [Capture(fd, limits.output_bytes) for fd in (out_read, err_read)]
    finished = _follow(pid, streams, deadline, control)
    if not finished:
        _kill_group(pid)
    _, status = os.waitpid(pid, 0)
    (stdout, cut_out), (stderr, cut_err) = (stream.take() for stream in streams)
    for stream in streams:
        stream.close()
    return {
        "status": "success" if finished else "timeout",
        "exitCode": os.waitstatus_to_exitcode(status),
        "executeMs": (time.perf_counter() - began) * 1000,
        "stdout": stdout,
        "stderr": stderr,
        "truncated": cut_out or cut_err,
        "ended": not finished,
    }


def _become(head: wire.Head, limits: Limits, workspace: str, out: int, err: int) -> None:
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # what is ignored here stays ignored across an exec
        limits.apply()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.closerange(3, 4096)
        os.chdir(head.get("cwd") or workspace)
        os.execvpe(head["command"], [head["command"], *head.get("args", [])], os.environ | head.get("env", {}))
    except OSError as error:
        os.write(2, f"{head['command']}: {error.strerror}\n".encode(errors="replace"))
    except ValueError as error:  # a NUL in an argument
        os.write(2, f"{error}\n".encode(errors="replace"))
    finally:
        os._exit(NOT_FOUND)


def _kill_group(pid: int) -> None:
    for send in (os.killpg, os.kill):
        try:
            send(pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not come to make its group yet
            continue


def _follow(pid: int, streams: list[Capture], deadline: Deadline, control: Control) -> bool:
    """Drain both streams until the command ends; a grandchild that keeps a pipe open does not keep us."""
    gone = os.pidfd_open(pid)
    watch = select.epoll()
    by_fd = {stream.fd: stream for stream in streams}
    for fd in (gone, *by_fd):
        watch.register(fd, select.EPOLLIN)
    try:
        while control.wait(watch.fileno(), deadline):
            for fd, _ in watch.poll(0):
                if fd == gone:
                    for stream in streams:
                        stream.drain()
                    return True
                if not by_fd[fd].pump():
                    watch.unregister(fd)
        return False
    finally:
        watch.close()
        os.close(gone)
