"""Who holds what, and where it was taken: a task that waits while it holds, and a session that never comes back."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

from loopai_lab.errors import SessionMisuse

if TYPE_CHECKING:
    from loopai_lab.pool.core import Core

logger = logging.getLogger(__name__)
_OWN = ("loopai_lab.pool", "contextlib")


def calling_place() -> str:
    """Return the file and line of the code outside the pool that is asking now."""
    frame = sys._getframe(1)  # noqa: SLF001 - what traceback itself does; a whole stack would cost every acquire too much
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_OWN):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def look_for_deadlock(core: Core, language: str, *, for_ever: bool) -> None:
    """Look at a request that has to wait: does its own task hold what it waits for?

    Args:
        core: the pool's state.
        language: what is asked for.
        for_ever: whether the request has no deadline.

    Raises:
        SessionMisuse: this task holds every lent session, there can be no more, and nothing would end the wait.
    """
    task = asyncio.current_task()
    held = [session for session in core.lent if session.holder is task]
    if not held or core.books.total < core.max_size:
        return
    names = ", ".join(repr(session) for session in held)
    message = f"this task holds {names} and asks for a {language} session of a full pool (max_size={core.max_size})"
    if for_ever and len(held) == len(core.lent) and not core.idle():
        raise SessionMisuse(f"{message}: it would wait for itself for ever; release the first, or raise max_size")
    logger.warning("%s, now at %s: if others do the same, all wait for each other", message, calling_place())
