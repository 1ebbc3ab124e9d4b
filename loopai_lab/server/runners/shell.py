"""A shell command in a session: argv, not a line, with its exit code."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import capture
from children import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable

    import python_runner
    import wire


def run(
    head: wire.Head, limits: python_runner.Limits, workspace: str, wait: Callable[[int, Deadline], bool]
) -> wire.Head:
    """Run one command to its end or its deadline.

    Args:
        head: `command`, `args`, and perhaps `cwd`, `env`, `timeoutMs`.
        limits: what the command may use.
        workspace: where it runs unless `cwd` says otherwise.
        wait: waits for a descriptor while the control channel is heard; False at the deadline.
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
    streams = [capture.Capture(fd, limits.output_bytes) for fd in (out_read, err_read)]
    finished = _follow(pid, streams, deadline, wait)
    if not finished:
        os.killpg(pid, 9)
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


def _become(head: wire.Head, limits: python_runner.Limits, workspace: str, out: int, err: int) -> None:
    try:
        os.setsid()
        limits.apply()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.closerange(3, 4096)
        os.chdir(head.get("cwd") or workspace)
        os.execvpe(head["command"], [head["command"], *head.get("args", [])], os.environ | head.get("env", {}))
    except OSError as error:
        os.write(2, f"{head['command']}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _follow(
    pid: int, streams: list[capture.Capture], deadline: Deadline, wait: Callable[[int, Deadline], bool]
) -> bool:
    """Drain both streams until the command ends; a grandchild that keeps a pipe open does not keep us."""
    import select

    gone = os.pidfd_open(pid)
    watch = select.epoll()
    for fd in (gone, *(stream.fd for stream in streams)):
        watch.register(fd, select.EPOLLIN)
    try:
        while wait(watch.fileno(), deadline):
            for fd, _ in watch.poll(0):
                if fd == gone:
                    for stream in streams:
                        stream.drain()
                    return True
                stream = next(one for one in streams if one.fd == fd)
                if not stream.pump():
                    watch.unregister(fd)
        return False
    finally:
        watch.close()
        os.close(gone)
