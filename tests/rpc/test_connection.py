"""One connection, against a real WebSocket server whose answers are scripted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve, unix_serve

from loopai_lab.errors import CallTimeout, ConnectionLost, ProtocolError, RemoteError, ServerUnavailable
from loopai_lab.rpc.connection import Connection

Answer = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]
pytestmark = pytest.mark.integration


@asynccontextmanager
async def connected(answer: Answer) -> AsyncGenerator[Connection]:
    """Open a connection to a server that hands every request to `answer`."""

    async def handle(socket: ServerConnection) -> None:
        async for message in socket:
            await answer(socket, json.loads(message))

    async with serve(handle, "127.0.0.1", 0, close_timeout=0.2) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = await Connection.open(f"ws://127.0.0.1:{port}/ws/jsonrpc")
        try:
            yield connection
        finally:
            await connection.close()


async def echo(socket: ServerConnection, request: dict[str, Any]) -> None:
    await socket.send(reply(request, request["params"]))


async def silence(socket: ServerConnection, request: dict[str, Any]) -> None:
    """Answer nothing."""


def reply(request: dict[str, Any], result: Any = None) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result, "error": None})


def sending(*messages: str | bytes) -> Answer:
    """Return an answer that sends these messages, `ID` replaced by the call's id."""

    async def answer(socket: ServerConnection, request: dict[str, Any]) -> None:
        call_id = str(request["id"])
        for message in messages:
            if isinstance(message, str):
                await socket.send(message.replace("ID", call_id))
            else:
                await socket.send(message.replace(b"ID", call_id.encode()))

    return answer


async def test_a_call_returns_its_result() -> None:
    async with connected(echo) as connection:
        assert await connection.call("echo", '{"n":1}') == {"n": 1}
        assert connection.pending == 0


async def test_a_unix_socket_is_reached_by_its_path(tmp_path: Path) -> None:
    async def handle(socket: ServerConnection) -> None:
        async for message in socket:
            await echo(socket, json.loads(message))

    path = str(tmp_path / "socket")
    async with unix_serve(handle, path):
        connection = await Connection.open(path)
        assert await connection.call("echo", "[1]") == [1]
        await connection.close()


async def test_replies_find_their_callers_in_any_order() -> None:
    held: list[tuple[ServerConnection, dict[str, Any]]] = []

    async def backwards(socket: ServerConnection, request: dict[str, Any]) -> None:
        held.append((socket, request))
        if len(held) == 20:
            for where, asked in reversed(held):
                await where.send(reply(asked, asked["params"]))

    async with connected(backwards) as connection:
        calls = [connection.call("echo", json.dumps([n])) for n in range(20)]
        assert await asyncio.gather(*calls) == [[n] for n in range(20)]


async def test_an_error_is_raised_with_its_code_and_data() -> None:
    error = '{"jsonrpc":"2.0","id":ID,"result":null,"error":{"code":-32601,"message":"Method not found","data":"x"}}'
    async with connected(sending(error)) as connection:
        with pytest.raises(RemoteError, match="no such: x") as caught:
            await connection.call("no such")
        assert (caught.value.code, caught.value.data) == (-32601, "x")


NOT_FOR_US = [
    '{"jsonrpc":"2.0","id":999,"result":0}',
    '{"jsonrpc":"2.0","id":"ID","result":0}',
    '{"jsonrpc":"2.0","id":null,"result":0}',
    '{"jsonrpc":"2.0","id":null,"method":"execution.output","params":{}}',
    '{"jsonrpc":"2.0","method":"hello"}',
    '{"jsonrpc":"2.0","id":998,"result":[[[',
]


@pytest.mark.parametrize("stray", NOT_FOR_US)
async def test_a_message_that_is_not_for_a_call_is_passed_over(stray: str) -> None:
    async with connected(sending(stray, '{"id":ID,"result":7}', '{"id":ID,"result":8}')) as connection:
        assert await connection.call("m") == 7
        assert await connection.call("m") == 7


BROKEN = ["nonsense", "[]", '{"id":ID}', '{"jsonrpc":"2.0","id":ID,"result":' + "[" * 100_000, b"\xff\xfe\xfd", "\n"]


@pytest.mark.parametrize("message", BROKEN, ids=["text", "list", "neither", "deep", "bytes", "blank"])
async def test_a_broken_reply_fails_its_call_instead_of_leaving_it_to_wait(message: str | bytes) -> None:
    async with connected(sending(message)) as connection:
        with pytest.raises(ProtocolError):
            await connection.call("m")
        assert connection.is_open
        assert connection.pending == 0


async def test_a_broken_reply_whose_id_can_be_read_fails_no_other_call() -> None:
    async def answer(socket: ServerConnection, request: dict[str, Any]) -> None:
        if request["method"] == "bad":
            await socket.send(f'{{"jsonrpc":"2.0","id":{request["id"]},"result":oops')
        elif request["method"] == "release":
            await socket.send(reply({"id": 1}, "late"))
            await socket.send(reply(request))

    async with connected(answer) as connection:
        waiting = asyncio.create_task(connection.call("wait"))
        await asyncio.sleep(0)
        with pytest.raises(ProtocolError):
            await connection.call("bad")
        await connection.call("release")
        assert await waiting == "late"


async def test_an_error_without_an_id_fails_the_call_that_waits() -> None:
    line = '{"jsonrpc":"2.0","id":null,"result":null,"error":{"code":-32700,"message":"Parse error","data":"bad"}}'
    async with connected(sending(line)) as connection:
        with pytest.raises(RemoteError, match="bad") as caught:
            await connection.call("m")
        assert caught.value.code == -32700


async def test_an_error_without_an_id_fails_all_calls_when_nobody_knows_whose_it_is() -> None:
    async def answer(socket: ServerConnection, request: dict[str, Any]) -> None:
        if request["method"] == "third":
            await socket.send('{"id":null,"error":{"code":-32700,"message":"Parse error"}}')

    async with connected(answer) as connection:
        calls = [connection.call(name) for name in ("first", "second", "third")]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [ProtocolError] * 3


async def test_a_binary_frame_with_json_is_read() -> None:
    async with connected(sending(b'{"id":ID,"result":5}')) as connection:
        assert await connection.call("m") == 5


async def test_a_reply_larger_than_websockets_own_limit_is_read() -> None:
    async with connected(sending('{"id":ID,"result":"' + "x" * (3 << 20) + '"}')) as connection:
        assert len(await connection.call("m")) == 3 << 20


async def test_an_integer_of_five_thousand_digits_is_read() -> None:
    async with connected(sending('{"id":ID,"result":' + "7" * 5000 + "}")) as connection:
        assert await connection.call("m") % 10 == 7


async def test_a_call_has_its_own_deadline_and_leaves_the_connection_usable() -> None:
    async def answer(socket: ServerConnection, request: dict[str, Any]) -> None:
        if request["method"] != "slow":
            await echo(socket, request)

    async with connected(answer) as connection:
        with pytest.raises(CallTimeout, match=r"slow: no reply from .* within 0\.05 s"):
            await connection.call("slow", timeout_s=0.05)
        assert connection.pending == 0
        assert await connection.call("echo", "1") == 1


async def test_a_cancelled_call_leaves_nothing_pending() -> None:
    async with connected(silence) as connection:
        call = asyncio.create_task(connection.call("m"))
        await asyncio.sleep(0)
        assert connection.pending == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert connection.pending == 0
        assert connection.is_open


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4000])
async def test_a_connection_that_the_server_closes_fails_the_calls_on_it(code: int) -> None:
    async def answer(socket: ServerConnection, _: dict[str, Any]) -> None:
        await socket.close(code, "because")

    async with connected(answer) as connection:
        with pytest.raises(ConnectionLost, match=r"^m: the connection to ws://.* was lost"):
            await connection.call("m")
        assert not connection.is_open
        with pytest.raises(ConnectionLost, match=r"^again: "):
            await connection.call("again")


async def test_a_connection_that_breaks_without_a_word_fails_the_calls_on_it() -> None:
    async def answer(socket: ServerConnection, _: dict[str, Any]) -> None:
        socket.transport.abort()

    async with connected(answer) as connection:
        with pytest.raises(ConnectionLost):
            await connection.call("m")


async def test_closing_fails_the_calls_under_way_and_those_after_it() -> None:
    async with connected(silence) as connection:
        call = asyncio.create_task(connection.call("m"))
        await asyncio.sleep(0)
        await connection.close()
        with pytest.raises(ConnectionLost, match=r"^m: .* was closed"):
            await call
        with pytest.raises(ConnectionLost, match=r"^later: .* was closed"):
            await connection.call("later")
        await connection.close()


@pytest.mark.parametrize(
    "address", ["ws://127.0.0.1:1/ws/jsonrpc", "ws://", "ws://localhost:99999", "ws://[", "/no/such/socket"]
)
async def test_an_address_where_nobody_answers_is_named(address: str) -> None:
    with pytest.raises(ServerUnavailable, match="no session server answers at") as caught:
        await Connection.open(address, timeout_s=5)
    assert address in str(caught.value)


async def test_a_server_that_accepts_and_says_nothing_is_unavailable_after_the_time() -> None:
    stop = asyncio.Event()

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stop.wait()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ServerUnavailable, match=r"no connection within 0\.1 s"):
            await Connection.open(f"ws://127.0.0.1:{port}/", timeout_s=0.1)
        stop.set()
