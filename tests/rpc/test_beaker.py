"""Sessions as the pool sees them, on the embedded server and on a scripted one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from loopai_lab.errors import InvalidOption, ProtocolError, RemoteError, SessionNotFound, UnsupportedLanguage
from loopai_lab.models import Program
from loopai_lab.rpc.beaker import Capabilities, connect
from tests.support.processes import until

pytestmark = pytest.mark.integration


@asynccontextmanager
async def answering(**results: Any) -> AsyncGenerator[tuple[str, list[ServerConnection]]]:
    """Serve each method's result (dots as underscores), and tell who is connected."""
    connected: list[ServerConnection] = []

    async def handle(socket: ServerConnection) -> None:
        connected.append(socket)
        async for message in socket:
            request = json.loads(message)
            result = results.get(request["method"].replace(".", "_"))
            error = result if isinstance(result, RemoteError) else None
            said = {"code": error.code, "message": "Internal error", "data": str(error)} if error else None
            await socket.send(json.dumps({"id": request["id"], "result": None if error else result, "error": said}))
        connected.remove(socket)

    async with serve(handle, "127.0.0.1", 0, close_timeout=0.2) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws/jsonrpc", connected


FOREIGN = {"serverCapabilities": {"supportedLanguages": ["python"], "protocolVersion": "0.2.0"}}
OURS = {"serverCapabilities": {"supportedLanguages": ["python"], "loopaiLab": {"commands": ["load", "run"]}}}
"""Like our own server, but for one request at a time on a connection."""


@pytest.mark.parametrize("url", ["http://host", "localhost:5000", ""])
def test_a_url_that_is_no_websocket_is_refused(url: str) -> None:
    with pytest.raises(InvalidOption, match="ws://HOST:PORT/ws/jsonrpc"):
        connect(url)


@pytest.mark.parametrize(
    "result", [None, [], {}, {"serverCapabilities": None}, {"serverCapabilities": {"loopaiLab": 0}}]
)
def test_a_server_that_says_little_is_taken_to_do_little(result: object) -> None:
    assert Capabilities.read(result) == Capabilities()


async def test_a_foreign_server_s_session_has_a_connection_of_its_own() -> None:
    created = {"sessionId": 'an "odd" id'}
    async with (
        answering(initialize=FOREIGN, session_create=created, session_execute={"success": True}) as (url, connected),
        connect(url) as beaker,
    ):
        session = await beaker.create_session("python")
        assert len(connected) == 2
        assert await session.execute('{"type":"execute"}') == {"success": True}
        await session.close()
        await until(lambda: len(connected) == 1)


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (RemoteError("InvalidOperationException: No runtime available for language: python"), UnsupportedLanguage),
        (RemoteError("InvalidOperationException: Failed to acquire lock for session creation"), RemoteError),
        ({"id": 1}, ProtocolError),
        (None, ProtocolError),
    ],
)
async def test_a_session_that_is_refused_leaves_no_connection_open(result: object, kind: type[Exception]) -> None:
    async with (
        answering(initialize=OURS, session_create=result) as (url, connected),
        connect(url) as beaker,
    ):
        with pytest.raises(kind):
            await beaker.create_session("python")
        await until(lambda: len(connected) == 1)


async def test_a_server_that_refuses_to_be_initialized_is_not_kept() -> None:
    async with answering(initialize=RemoteError("no")) as (url, connected):
        with pytest.raises(RemoteError):
            async with connect(url):
                pass
        await until(lambda: not connected)


@pytest.mark.parametrize(
    "reply", [None, [], {"success": True}, {"result": []}, {"result": [{}]}, {"result": [{"status": "fine"}]}]
)
async def test_a_reply_without_an_answer_in_it_is_a_lost_item_and_not_a_crash(reply: object) -> None:
    async with (
        answering(initialize=OURS, session_create={"sessionId": "x"}, session_execute=reply) as (url, _),
        connect(url) as beaker,
    ):
        session = await beaker.create_session("python")
        outcome = await session.run(Program(code="result = 1"), "null")
        assert (outcome.status, outcome.ended) == ("lost", True)


async def test_a_creation_that_nobody_waits_for_any_more_leaves_no_session() -> None:
    async with connect(sandbox="plain") as beaker:
        shared = await beaker.connection()
        creations = [asyncio.create_task(beaker.create_session("python")) for _ in range(3)]
        await until(lambda: shared.pending == 3)
        for creation in creations:
            creation.cancel()
        await asyncio.gather(*creations, return_exceptions=True)
        await until(lambda: not beaker_children(beaker.server_pid), what="the end of the sessions")
        assert (await shared.call("session.list"))["count"] == 0


def beaker_children(pid: int | None) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_a_session_that_the_server_has_forgotten_is_told_from_a_lost_item() -> None:
    async with connect(sandbox="plain") as beaker:
        session = await beaker.create_session("python")
        await session.close()
        with pytest.raises(SessionNotFound):
            await session.run(Program(code="result = 1"), "null")


async def test_a_program_that_the_server_made_room_for_others_with_is_sent_again() -> None:
    async with connect(sandbox="plain") as beaker:
        session = await beaker.create_session("python")
        first = Program(code="result = 'first'")
        assert (await session.run(first, "null")).output == "first"
        for number in range(70):
            await session.run(Program(code=f"result = {number}"), "null")
        assert (await session.run(first, "null")).output == "first"


async def test_an_item_of_several_that_ends_the_session_ends_the_run_there() -> None:
    async with connect(sandbox="plain") as beaker:
        session = await beaker.create_session("python")
        command = {
            "type": "run",
            "program": "k",
            "code": "import os\nif input_data == 0: os._exit(3)\nresult = 1 / (input_data - 1)",
            "inputs": [2, 1, 0, 5],
        }
        answers = (await session.execute(json.dumps(command)))["result"]
        assert [answer["status"] for answer in answers] == ["success", "error", "error"]
        assert answers[-1]["exitCode"] == 3
        assert answers[-1]["ended"]
