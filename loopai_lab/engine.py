"""The engine: an event loop on a thread of its own, and the only place where synchronous code meets asynchronous code.

Whatever runs (pool, sockets, timers) runs there. A cell that blocks, a widget's callback on whatever thread the kernel
chose, and a script all post their commands the same way, and none of them needs a patched event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from loopai_lab.errors import LoopaiLabError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Future

T = TypeVar("T")


class Engine:
    """Run coroutines on a thread of its own; it starts on first use.

    Args:
        name: the thread's name.
    """

    def __init__(self, name: str = "loopai-engine") -> None:
        """Start nothing yet."""
        self._name = name
        self._lock = threading.Lock()
        self._stack: contextlib.ExitStack | None = None
        self._portal: BlockingPortal | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread runs."""
        return self._portal is not None

    def _started(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None:
                self._stack = contextlib.ExitStack()
                self._portal = self._stack.enter_context(start_blocking_portal("asyncio", name=self._name))
            return self._portal

    def call(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """Run a coroutine function on the engine and block until it is done.

        Raises:
            LoopaiLabError: called from the engine's own loop, which would wait for itself for ever.
        """
        portal = self._started()
        if portal._event_loop_thread_id == threading.get_ident():  # noqa: SLF001 - anyio would deadlock silently here
            raise LoopaiLabError("the engine was called from its own loop: use the asynchronous way there")
        result: T = portal.call(function, *args)
        return result

    def post(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> Future[T]:
        """Start a coroutine function on the engine and return at once; legal from any thread."""
        return self._started().start_task_soon(function, *args)

    def stop(self) -> None:
        """End the thread once what runs on it has ended."""
        with self._lock:
            stack, self._stack, self._portal = self._stack, None, None
        if stack is not None:
            stack.close()


def allow_nested_loops() -> None:
    """Let `asyncio.run` work inside a running loop, as in a notebook's cell.

    Nothing of loopai_lab needs it: `await run` and `lab.run(...)` work as they are. It is for your own synchronous
    code that calls `asyncio.run`. It patches the loop's class, and so every loop of this process, those that measure
    included.

    Raises:
        LoopaiLabError: the running loop cannot be patched (uvloop), with what to do instead.
    """
    try:
        import nest_asyncio2 as nesting  # the maintained successor; it comes with ipykernel 7.3 and later
    except ImportError:
        import nest_asyncio as nesting
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    try:
        nesting.apply(loop)
    except ValueError as error:
        raise LoopaiLabError(
            f"this event loop cannot be nested ({error}): use `await`, or run on asyncio's own loop"
        ) from error
