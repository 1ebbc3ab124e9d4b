"""Processes that a session left to the server: in the plain sandbox a program can kill its supervisor and live on."""

from __future__ import annotations

import asyncio

from loopai_lab.server.runners import leftovers


class Strays:
    """Know which children the server has started itself; every other one is a stray, and is ended.

    Only a subreaper gets strays, so nothing is looked for until `adopt` made this process one. Whatever the server
    starts from then on must be in `known` before it is next asked to end strays.
    """

    def __init__(self) -> None:
        """Start with no children, and adopt none."""
        self.known: set[int] = set()
        self._adopts = False

    def adopt(self) -> None:
        """Become the parent of every orphan below this process."""
        self._adopts = True
        leftovers.become_subreaper()

    async def end(self) -> None:
        """Kill all strays, with the orphans that this makes; a fork bomb may take some rounds."""
        for _ in range(leftovers.ROUNDS if self._adopts else 0):
            if not leftovers.kill_strangers_once(self.known):
                return
            await asyncio.sleep(0.001)
