"""What a program may leave behind, processes and files, and its removal."""

from __future__ import annotations

import os
import signal
import time

PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 200


def become_subreaper() -> None:
    """Make orphans below this process its own children, as a pid namespace would (prctl(2))."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> set[int]:
    """Return the direct children of this process, dead ones not yet reaped included."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children") as file:
            return {int(pid) for pid in file.read().split()}
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent_of(pid) == me}


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return -1


def kill_children(known: set[int]) -> None:
    """Kill and reap every child that is not known; the orphans that this makes arrive as children and go the same way."""
    for round_ in range(ROUNDS):
        strangers = children() - known
        if not strangers:
            return
        for pid in strangers:
            _kill(pid)
        for pid in strangers:
            _reap(pid)
        if round_ > ROUNDS // 2:
            time.sleep(0.001)  # a program that forks faster than it can be killed: let the others of its tree run dry


def kill_descendants() -> None:
    """Kill everything below this process."""
    kill_children(set())


def kill_and_reap(pid: int) -> None:
    """End one child."""
    _kill(pid)
    _reap(pid)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


def empty_folder(path: str, kept: frozenset[str]) -> None:
    """Remove all that is in a folder but the names kept, whatever its permissions; OSError if that cannot be done."""
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name in kept:
                continue
            if entry.is_dir(follow_symlinks=False):
                import shutil  # 8 ms that most sessions never need

                shutil.rmtree(entry.path, onerror=_force)
            else:
                os.unlink(entry.path)


def _force(function: object, path: str, _: object) -> None:
    """Open up a folder that its program locked, and try again."""
    os.chmod(os.path.dirname(path), 0o700)
    os.chmod(path, 0o700)
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path)
    else:
        os.unlink(path)
