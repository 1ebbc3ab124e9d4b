"""What the server's tests share: one server per file and sandbox, a fresh session per test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from loopai_lab.models import Isolation, Program
from loopai_lab.rpc.beaker import Beaker, connect
from loopai_lab.rpc.drivers import Outcome
from loopai_lab.rpc.remote import RemoteSession
from loopai_lab.server.sandbox.bubblewrap import BubblewrapSandbox

Run = Callable[..., Awaitable[Outcome]]


@pytest.fixture(scope="module", params=["bubblewrap", "plain"])
def sandbox(request: pytest.FixtureRequest) -> str:
    """Each sandbox that works here; the others are skipped by name."""
    name: str = request.param
    if name == "bubblewrap" and isinstance(reason := BubblewrapSandbox.find(), str):
        pytest.skip(f"no bubblewrap: {reason}")
    return name


@pytest.fixture(scope="module")
async def beaker(sandbox: str) -> AsyncIterator[Beaker]:
    async with connect(sandbox=sandbox, memory_mb=512) as opened:
        yield opened


@pytest.fixture
async def session(beaker: Beaker) -> AsyncIterator[RemoteSession]:
    made = await beaker.create_session("python")
    yield made
    await made.close()


@pytest.fixture
def run(session: RemoteSession) -> Run:
    """Run a program on one input in the test's session: `await run(code, input)`."""

    async def run_it(
        code: str, value: Any = None, *, isolation: Isolation = "item", timeout_ms: float | None = 20_000
    ) -> Outcome:
        return await session.run(Program(code=code), json.dumps(value), isolation=isolation, timeout_ms=timeout_ms)

    return run_it
