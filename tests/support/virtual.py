"""A virtual clock: an event loop whose time leaps to the next timer, so that hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class Deadlock(AssertionError):
    """Every task waits, and no timer will ever wake one."""


class _LeapingSelector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.loop.turns += 1
        if self.loop.on_turn is not None and self.loop.on_turn(self.loop.turns):
            timeout = 0
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Deadlock("every task waits, and no timer will ever wake one")
            self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Run callbacks as ever; sleep by setting the clock forward."""

    def __init__(self) -> None:
        selector = _LeapingSelector()
        super().__init__(selector)
        selector.loop = self
        self.now = 1000.0
        self.turns = 0
        # Called before every turn with its number; True says that it made something ready, so that no time passes.
        self.on_turn: Callable[[int], bool] | None = None

    def time(self) -> float:
        return self.now


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an asynchronous test on a virtual clock."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run
