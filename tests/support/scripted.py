"""A scripted server: sessions whose making, running and closing take the time, or fail the way, that a test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loopai_lab.errors import SessionNotFound
from loopai_lab.models import Program
from loopai_lab.rpc.drivers import Outcome

Script = Callable[[Any], Outcome]


def double(value: Any) -> Outcome:
    return Outcome(status="success", output=value * 2)


@dataclass(eq=False)
class ScriptedSession:
    source: ScriptedSource
    id: str
    language: str
    runs: int = 0
    is_closed: bool = False

    @property
    def is_open(self) -> bool:
        return not self.source.is_cut

    async def run(
        self, program: Program, input_json: str, *, isolation: str = "item", timeout_ms: float | None = None
    ) -> Outcome:
        del program, isolation, timeout_ms
        source = self.source
        self.runs += 1
        source.in_flight += 1
        source.most_in_flight = max(source.most_in_flight, source.in_flight)
        source.ran.append((self.id, json.loads(input_json)))
        try:
            await asyncio.sleep(source.run_s)
            return source.script(json.loads(input_json))
        finally:
            source.in_flight -= 1

    async def check(self) -> None:
        self.source.checked.append(self.id)
        await asyncio.sleep(self.source.check_s)
        if self.is_closed:
            raise SessionNotFound(f"Session not found: {self.id}")

    async def close(self) -> None:
        await asyncio.sleep(self.source.close_s)
        self.is_closed = True
        self.source.open.discard(self)


@dataclass
class ScriptedSource:
    """Make sessions by the script.

    Args:
        create_s: how long a creation takes.
        run_s: how long a run takes.
        close_s: how long a close takes.
        script: what a run answers to an input.
        failures: what the next creations raise, one each; None lets one succeed.
    """

    create_s: float = 0.04
    run_s: float = 0.01
    close_s: float = 0.002
    script: Script = double
    failures: list[Exception | None] = field(default_factory=list)
    made: list[ScriptedSession] = field(default_factory=list)
    open: set[ScriptedSession] = field(default_factory=set)
    ran: list[tuple[str, Any]] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    check_s: float = 0.001
    is_cut: bool = False
    in_flight: int = 0
    most_in_flight: int = 0

    async def create_session(self, language: str) -> ScriptedSession:
        await asyncio.sleep(self.create_s)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        session = ScriptedSession(self, f"{language}-{len(self.made)}", language)
        self.made.append(session)
        self.open.add(session)
        return session
