"""What a program may leave behind, processes and files, and its removal."""

from __future__ import annotations

import os
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 400


def become_subreaper() -> None:
    """Make orphans below this process its own children, as a pid namespace would (prctl(2))."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> set[int]:
    """Return the direct children of this process, dead ones not yet reaped included."""
    found: set[int] = set()
    try:
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/children") as file:
                found |= {int(pid) for pid in file.read().split()}
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN, or a thread that ended just now
        me = os.getpid()
        found = {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent_of(pid) == me}
    return found


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return -1


def kill_children(known: Collection[int]) -> bool:
    """Kill and reap every child that is not known; the orphans that this makes arrive as children and go the same way.

    Returns:
        Whether none is left; False after many rounds against a program that forks faster than it can be killed.
    """
    for round_ in range(ROUNDS):
        if not kill_strangers_once(known):
            return True
        if round_ > 1:
            time.sleep(0.001)  # the killed take a moment to die, and a fork bomb one to run dry
    return False


def kill_strangers_once(known: Collection[int]) -> bool:
    """Kill the children that are not known and reap those that are dead; whether there were any."""
    strangers = children().difference(known)
    for pid in strangers:
        kill(pid)
    for pid in strangers:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
    return bool(strangers)


def kill_and_reap(pid: int) -> int | None:
    """End one child and return how it ended; None when it is not our child, or no more."""
    kill(pid)
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:
        return None


def kill(pid: int) -> None:
    """Send SIGKILL to a process that may be gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def empty_folder(path: str, kept: Collection[str] = ()) -> None:
    """Remove all that is in a folder but the names kept, whatever its permissions and its depth.

    A program can nest folders deeper than a recursion or a path can go. So a folder's folders are moved up to the top,
    until there is none inside another.

    Raises:
        OSError: something cannot be removed.
    """
    moved = 0
    while folders := _remove_files(path, kept):
        for folder in folders:
            for inner in _remove_files(folder, ()):
                _open_up(inner)  # a folder that we may not write to cannot be moved
                moved += 1
                os.rename(inner, os.path.join(path, f".moved-{os.getpid()}-{moved}"))
            os.rmdir(folder)


def _remove_files(path: str, kept: Collection[str]) -> list[str]:
    """Remove what is no folder, and return the folders."""
    _open_up(path)
    folders = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name in kept:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                os.unlink(entry.path)
    return folders


def _open_up(folder: str) -> None:
    """Undo a chmod that its program locked a folder with."""
    if os.stat(folder).st_mode & 0o700 != 0o700:  # noqa: PLR2004 - rwx for its owner
        os.chmod(folder, 0o700)
