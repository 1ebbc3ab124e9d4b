"""Find what a test left behind: processes, by a random mark in their environment."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

MARK = "LOOPAI_LAB_INSTANCE"


def new_mark() -> str:
    """Return a mark that no other process has."""
    return f"mark-{secrets.token_hex(12)}"


def marked(mark: str) -> list[int]:
    """Return the processes that carry the mark in their environment, this one left out."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # gone meanwhile, or somebody else's
    return found


def left_after(mark: str, seconds: float = 2.0) -> list[str]:
    """Return the command lines of marked processes that are still there after `seconds`; stop looking once none is."""
    end = time.monotonic() + seconds
    while (found := marked(mark)) and time.monotonic() < end:
        time.sleep(0.02)
    return [f"{pid}: {_command(pid)}" for pid in found]


async def until(holds: Callable[[], object], *, within_s: float = 5.0, what: str = "what was waited for") -> None:
    """Wait until something holds, looking every few milliseconds; fail with a sentence when it does not in time."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, f"{what} did not come about within {within_s} s"
        await asyncio.sleep(0.01)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except FileNotFoundError:
        return "gone meanwhile"
