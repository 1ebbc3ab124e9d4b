"""The way into the server: who is let in, what is answered, and that a bad request harms nobody."""

from __future__ import annotations

import argparse
import asyncio
import json
import stat
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import InvalidStatus

from loopai_lab.errors import ServerUnavailable
from loopai_lab.models import Program
from loopai_lab.rpc import beaker as clients
from loopai_lab.server.app import App
from loopai_lab.server.door import Door
from loopai_lab.server.registry import Registry
from loopai_lab.server.sandbox.choice import choose
from loopai_lab.server.sandbox.launch import Limits
from tests.support.processes import until

pytestmark = pytest.mark.integration
TOKEN = "sesame"  # noqa: S105 - of this test


@asynccontextmanager
async def serving(folder: Path, *, port: int | None = None, token: str = "") -> AsyncGenerator[Door]:
    registry = Registry(folder, choose("plain"))
    options = argparse.Namespace(folder=folder, port=port, token=token)
    try:
        async with Door.open(App(registry, Limits()), options) as door:
            yield door
    finally:
        await registry.close_all()


@asynccontextmanager
async def unix_client(door: Door) -> AsyncGenerator[ClientConnection]:
    async with unix_connect(door.address, uri="ws://localhost/ws/jsonrpc", ping_interval=None) as socket:
        yield socket


async def ask(socket: ClientConnection, line: str | bytes) -> dict[str, Any]:
    await socket.send(line)
    reply: dict[str, Any] = json.loads(await socket.recv())
    return reply


async def test_the_socket_is_for_its_owner_only_and_goes_with_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as door:
        assert _mode(door.address) == stat.S_IFSOCK | 0o600
    assert not _folders_and_files(tmp_path)


def _mode(path: str) -> int:
    return Path(path).stat().st_mode


def _folders_and_files(path: Path) -> list[Path]:
    return list(path.iterdir())


async def test_a_web_page_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, port=0) as door:
        with pytest.raises(InvalidStatus, match="403"):
            async with connect(door.address, origin="http://example.org", proxy=None):  # type: ignore[arg-type]
                pass


async def test_another_path_is_not_found(tmp_path: Path) -> None:
    async with serving(tmp_path, port=0) as door:
        with pytest.raises(InvalidStatus, match="404"):
            async with connect(door.address.replace("/ws/jsonrpc", "/elsewhere"), proxy=None):
                pass


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?x=sesame", "?tokensesame"])
async def test_a_missing_or_wrong_token_is_refused(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path, port=0, token=TOKEN) as door:
        with pytest.raises(InvalidStatus, match="401"):
            async with connect(door.address + query, proxy=None):
                pass


@pytest.mark.parametrize("query", [f"?token={TOKEN}", f"?x=1&token={TOKEN}"])
async def test_the_token_may_stand_in_the_address(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path, port=0, token=TOKEN) as door, connect(door.address + query, proxy=None) as socket:
        assert (await ask(socket, '{"id":1,"method":"session.list"}'))["result"]["count"] == 0


async def test_our_client_uses_the_server_by_its_address_and_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a proxy is of no use on the way to this machine
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with serving(tmp_path, port=0, token=TOKEN) as door:
        async with clients.connect(door.address, token=TOKEN) as beaker:
            session = await beaker.create_session("python")
            assert (await session.run(Program(code="result = input_data"), "7")).output == 7
            assert beaker.capabilities.sandbox == "plain"
        with pytest.raises(ServerUnavailable, match="wants a token"):
            async with clients.connect(door.address, token="wrong"):  # noqa: S106 - of this test
                pass


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
async def test_health_is_told_without_a_token(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path, port=0, token=TOKEN) as door:
        url = door.address.replace("ws://", "http://").replace("/ws/jsonrpc", path)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with await asyncio.to_thread(opener.open, url) as response:
            assert json.load(response) == {"status": "healthy"}


@pytest.mark.parametrize(
    ("line", "code", "call_id"),
    [
        ("not json", -32700, None),
        ("[]", -32700, None),
        ("[" * 100_000, -32700, None),
        ('{"jsonrpc":"2.0","id":7,"method":"x","params":' + "[" * 100_000, -32700, 7),
        ('{"id":1}', -32600, 1),
        ('{"id":1,"jsonrpc":"1.0","method":"initialize"}', -32600, 1),
        ('{"id":"a","method":"no.such"}', -32601, "a"),
        ('{"id":1,"method":"session.create","params":[]}', -32602, 1),
        ('{"id":1,"method":"session.create","params":{}}', -32602, 1),
        ('{"id":1,"method":"session.create","params":{"language":"cobol"}}', -32603, 1),
        ('{"id":1,"method":"session.execute","params":{"sessionId":"x"}}', -32603, 1),
        ('{"id":1,"method":"session.execute","params":{"sessionId":["x"]}}', -32603, 1),
    ],
)
async def test_a_bad_request_has_its_error_and_the_next_one_its_answer(
    tmp_path: Path, line: str, code: int, call_id: object
) -> None:
    async with serving(tmp_path) as door, unix_client(door) as socket:
        reply = await ask(socket, line)
        assert (reply["error"]["code"], reply["id"], reply["result"]) == (code, call_id, None)
        assert (await ask(socket, '{"id":2,"method":"initialize"}'))["error"] is None


async def test_many_lines_of_one_message_are_many_requests_and_a_notification_is_not_answered(tmp_path: Path) -> None:
    async with serving(tmp_path) as door, unix_client(door) as socket:
        await socket.send(
            '{"id":1,"method":"session.list"}\n{"method":"session.list"}\n\n{"id":2,"method":"session.list"}'
        )
        assert {json.loads(await socket.recv())["id"] for _ in range(2)} == {1, 2}


async def test_a_binary_frame_is_read_like_a_text(tmp_path: Path) -> None:
    async with serving(tmp_path) as door, unix_client(door) as socket:
        assert (await ask(socket, b'{"id":1,"method":"language.list"}'))["result"]["languages"][0]["name"] == "python"
        assert (await ask(socket, b"\xff\xfe"))["error"]["code"] == -32700


async def test_a_defect_of_ours_is_an_error_of_its_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as door, unix_client(door) as socket:
        monkeypatch.setattr(Registry, "all", lambda _: 1 / 0)
        reply = await ask(socket, '{"id":1,"method":"session.list"}')
        assert reply["error"]["data"] == "ZeroDivisionError: division by zero"
        assert (await ask(socket, '{"id":2,"method":"initialize"}'))["error"] is None
    assert "session.list failed" in caplog.text


async def test_requests_of_one_socket_run_side_by_side(tmp_path: Path) -> None:
    async with serving(tmp_path) as door, clients_on(door) as (one, _):
        slow = await create(one)
        long = asyncio.create_task(execute(one, slow, {"type": "execute", "code": "import time; time.sleep(30)"}))
        await asyncio.wait([long], timeout=0.1)
        assert (await one.connection()).pending == 1
        assert await execute(one, await create(one), {"type": "execute", "code": "print(1)"}) == "1"
        assert not long.done()
        long.cancel()


async def test_two_clients_see_the_same_sessions_and_one_that_leaves_ends_only_what_it_was_running(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as door, clients_on(door) as (one, other):
        busy, idle = await create(one), await create(one)
        running = asyncio.create_task(execute(one, busy, {"type": "execute", "code": "import time; time.sleep(30)"}))
        await asyncio.wait([running], timeout=0.2)
        await one.close()
        assert await execute(other, idle, {"type": "execute", "code": "print(2)"}) == "2"
        listed = (await (await other.connection()).call("session.list"))["sessions"]
        assert [session["sessionId"] for session in listed] == [idle]
        assert running.done()
        assert running.exception() is not None


@asynccontextmanager
async def clients_on(door: Door) -> AsyncGenerator[tuple[clients.Beaker, clients.Beaker]]:
    one, other = clients.Beaker(), clients.Beaker()
    for client in (one, other):
        client.url = door.address
    try:
        yield one, other
    finally:
        await one.close()
        await other.close()


async def create(client: clients.Beaker) -> str:
    return (await client.create_session("python")).id


async def execute(client: clients.Beaker, session_id: str, command: dict[str, Any]) -> Any:
    params = json.dumps({"sessionId": session_id, "command": command})
    return (await (await client.connection()).call("session.execute", params))["result"]


async def test_a_shell_command_reports_its_exit_code_and_its_output(tmp_path: Path) -> None:
    async with serving(tmp_path) as door, clients_on(door) as (client, _):
        session = await create(client)
        shell = {"type": "shell", "command": "sh", "args": ["-c", "echo $A; pwd; echo bad >&2; exit 3"]}
        result = await execute(client, session, shell | {"env": {"A": "b"}, "workingDirectory": "/"})
        assert result == {"stdout": "b\n/\n", "stderr": "bad\n", "exitCode": 3}
        result = await execute(client, session, {"type": "shell", "command": "no-such-command"})
        assert result["exitCode"] == 127
        assert "No such file" in result["stderr"]
        result = await execute(client, session, {"type": "shell", "command": "sleep", "args": ["30"], "timeoutMs": 100})
        assert result["exitCode"] == -9


@pytest.mark.parametrize(
    "command",
    [
        {"type": "no-such"},
        {"type": "execute"},
        {"type": "execute", "code": 1},
        {"type": "execute", "code": "1", "timeout": "long"},
        {"type": "run", "program": "k", "code": "1", "inputs": 1},
        {"type": "run", "inputs": []},
        {"type": "run", "program": "k", "code": "1", "inputs": [], "isolation": "none"},
        {"type": "run", "program": "k", "code": "1", "inputs": [], "timeoutMs": -1},
        {"type": "shell", "command": ["ls"]},
        {"type": "shell", "command": "ls", "args": "x"},
        {"type": "shell", "command": "ls", "env": {"A": 1}},
        {"type": "shell", "command": "ls", "workingDirectory": 1},
        {"type": 1},
        "ls",
    ],
)
async def test_a_bad_command_is_refused_and_its_session_lives_on(tmp_path: Path, command: Any) -> None:
    async with serving(tmp_path) as door, unix_client(door) as socket:
        created = await ask(socket, '{"id":1,"method":"session.create","params":{"language":"python"}}')
        session = created["result"]["sessionId"]
        reply = await ask(socket, _request(session, command))
        assert reply["error"]["code"] == -32602
        assert (await ask(socket, _request(session, {"type": "execute", "code": "print(1)"})))["result"][
            "result"
        ] == "1"


def _request(session: str, command: Any) -> str:
    return json.dumps({"id": 9, "method": "session.execute", "params": {"sessionId": session, "command": command}})


async def test_an_idle_session_expires(tmp_path: Path) -> None:
    async with serving(tmp_path) as door, unix_client(door) as socket:
        params = {"language": "python", "idleTimeoutMinutes": 0.3 / 60}
        created = await ask(socket, json.dumps({"id": 1, "method": "session.create", "params": params}))
        assert created["result"]["state"] == "Idle"
        await until(lambda: not _folders(tmp_path), within_s=10, what="the end of the session")
        assert (await ask(socket, '{"id":2,"method":"session.list"}'))["result"]["count"] == 0


def _folders(path: Path) -> list[Path]:
    return [entry for entry in path.iterdir() if entry.is_dir()]
