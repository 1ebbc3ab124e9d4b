"""The fake has the quirks that it is there for: a client that is tested against a kinder server is not tested."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.fakes.codebeaker import FakeCodeBeaker
from tests.fakes.runtimes import RUNTIMES, DotNetError, choose
from tests.support.processes import until

ALL = set(RUNTIMES)


@asynccontextmanager
async def raw(fake: FakeCodeBeaker) -> AsyncIterator[ClientConnection]:
    async with connect(fake.url, compression=None, ping_interval=None, max_size=None, close_timeout=1) as socket:
        yield socket


async def ask(socket: ClientConnection, method: str, params: object = None, call_id: object = 1) -> Any:
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params}))
    return json.loads(await socket.recv())


async def execute(fake: FakeCodeBeaker, runtime: str, *commands: dict[str, Any]) -> list[Any]:
    async with raw(fake) as socket:
        language = "python" if runtime in {"Python", "Docker"} else "javascript"
        created = await ask(socket, "session.create", {"language": language, "runtimeType": runtime})
        session_id = created["result"]["sessionId"]
        replies = [
            await ask(socket, "session.execute", {"sessionId": session_id, "command": command}) for command in commands
        ]
        return [reply["result"] or reply["error"] for reply in replies]


def shell(command: str, *arguments: str) -> dict[str, Any]:
    return {"type": "shell", "command": command, "args": list(arguments)}


async def test_a_reply_has_all_four_keys_in_order_and_echoes_any_id() -> None:
    async with FakeCodeBeaker() as fake, raw(fake) as socket:
        good = await ask(socket, "language.list", call_id="a string")
        bad = await ask(socket, "no.such.method", call_id=[7])
        assert list(good) == list(bad) == ["jsonrpc", "id", "result", "error"]
        assert (good["id"], good["error"], bad["id"], bad["result"]) == ("a string", None, [7], None)


async def test_lines_of_a_frame_are_messages_and_binary_frames_are_nothing() -> None:
    async with FakeCodeBeaker() as fake, raw(fake) as socket:
        await socket.send(b'{"id":1,"method":"language.list"}')
        await socket.send('\n{"id":2,"method":"language.list"}\n\n{"id":3,"method":"language.list"}\r\n')
        await socket.send('{"id":4,\n"method":"language.list"}')
        replies = [json.loads(await socket.recv()) for _ in range(4)]
        assert [(reply["id"], (reply["error"] or {}).get("code")) for reply in replies] == [
            (2, None),
            (3, None),
            (None, -32700),
            (None, -32700),
        ]
        assert fake.binary_frames == 1


async def test_a_message_without_an_id_is_carried_out_and_not_answered() -> None:
    async with FakeCodeBeaker("Python") as fake, raw(fake) as socket:
        await socket.send(json.dumps({"method": "session.create", "params": {"language": "python"}}))
        await until(lambda: fake.sessions)
        assert (await ask(socket, "session.list"))["result"]["count"] == 1, "nothing came before the reply to this"


async def test_a_character_at_the_4096_byte_edge_is_damaged_unless_it_is_escaped() -> None:
    async with FakeCodeBeaker("Python") as fake, raw(fake) as socket:
        message = {"id": 1, "method": "session.create", "params": {"language": "python", "note": "한" * 3000}}
        await socket.send(json.dumps(message, ensure_ascii=False))
        await socket.recv()
        await socket.send(json.dumps(message))
        await socket.recv()
        damaged, whole = fake.received("session.create")
        assert "\ufffd" in damaged["note"]
        assert whole["note"] == "한" * 3000


async def test_one_socket_serves_one_request_after_the_other_and_hears_nothing_meanwhile() -> None:
    async with (
        FakeCodeBeaker() as fake,
        raw(fake) as first,
        raw(fake) as second,
        fake.holding("initialize") as gate,
    ):
        await first.send('{"id":1,"method":"initialize"}')
        await until(lambda: fake.received("initialize"))
        await first.send('{"id":2,"method":"language.list"}')
        pong = asyncio.ensure_future(await first.ping())
        assert (await ask(second, "session.list"))["result"]["count"] == 0, "another socket is served meanwhile"
        assert not pong.done()
        assert not fake.received("language.list")
        gate.set()
        assert [json.loads(await first.recv())["id"] for _ in range(2)] == [1, 2]
        await pong


@pytest.mark.parametrize(
    ("language", "preference", "runtime"),
    [
        ("python", None, "Python"),
        ("python", "Security", "Docker"),
        ("javascript", None, "Bun"),
        ("javascript", "Balanced", "Bun"),
        ("typescript", "Memory", "Bun"),
        ("javascript", "Security", "Docker"),
        ("typescript", "Security", "Deno"),
        ("GO", None, "Docker"),
    ],
)
def test_a_runtime_is_chosen_by_the_servers_scores(language: str, preference: str | None, runtime: str) -> None:
    assert choose(language, None, preference, ALL).name == runtime


def test_a_runtime_that_is_not_there_or_not_fitting_is_refused_as_the_server_does() -> None:
    assert choose("javascript", None, None, ALL - {"Bun"}).name == "Deno"
    with pytest.raises(DotNetError, match="No runtime available for language: go"):
        choose("go", None, None, ALL - {"Docker"})
    with pytest.raises(DotNetError, match="Runtime Deno not available for python"):
        choose("python", "Deno", None, ALL)


async def test_native_results_are_trimmed_strings_with_stderr_as_error_even_on_success() -> None:
    async with FakeCodeBeaker("Python") as fake:
        good, silent, lines, file = await execute(
            fake,
            "Python",
            {"type": "execute", "code": "import sys\nprint('a \\n')\nprint('w', file=sys.stderr)"},
            {"type": "execute", "code": "raise SystemExit(3)"},
            {"type": "execute", "code": "import sys\nsys.stdout.write('a\\rb\\r\\nc')"},
            {"type": "write_file", "path": "x", "content": ""},
        )
    assert good == {"success": True, "result": "a", "error": "w", "durationMs": 1}
    assert (silent["success"], silent["result"], silent["error"]) == (False, "", None)
    assert lines["result"] == "a\nb\nc"
    assert file["success"] is False
    assert file["error"] == "Command type write_file is not supported by Python runtime"


async def test_docker_results_are_objects_and_success_whatever_the_exit_code() -> None:
    async with FakeCodeBeaker("Docker") as fake:
        failed, missing, nowhere, read, execution = await execute(
            fake,
            "Docker",
            shell("sh", "-c", "echo out; echo err >&2; exit 3"),
            shell("no-such-program"),
            {"type": "write_file", "path": "/workspace/no/such/x", "content": "x"},
            {"type": "read_file", "path": "/workspace/no/such/x"},
            {"type": "execute", "code": "1"},
        )
    assert failed["success"] is True
    assert failed["result"] == {"stdout": "out\n", "stderr": "err\n", "exitCode": 3}
    assert (missing["success"], missing["result"]["exitCode"]) == (True, 127)
    assert nowhere["success"] is read["success"] is True
    assert read["result"]["content"] == ""
    assert execution["error"] == "Command type execute not supported"


async def test_native_shells_join_their_arguments_with_blanks() -> None:
    async with FakeCodeBeaker("Python") as fake:
        apart, whole = await execute(
            fake,
            "Python",
            shell("python3", "-c", '"import sys; print(sys.argv[1:])"', "two words"),
            shell("python3", "-c", '"import sys; print(sys.argv[1:])"', '"two words"'),
        )
    assert apart["result"] == "['two', 'words']\n"
    assert whole["result"] == "['two words']\n"


async def test_the_type_comes_first_or_the_command_is_not_understood() -> None:
    async with FakeCodeBeaker("Python") as fake:
        late, unknown = await execute(fake, "Python", {"code": "1", "type": "execute"}, {"type": "execute_shell"})
    assert late["code"] == unknown["code"] == -32603
    assert late["data"].startswith("NotSupportedException: ")
    assert unknown["data"].startswith("JsonException: ")


async def test_activity_rolls_back_after_every_odd_execution() -> None:
    async with FakeCodeBeaker("Python") as fake, raw(fake) as socket:
        session_id = (await ask(socket, "session.create", {"language": "python"}))["result"]["sessionId"]
        counts = []
        for _ in range(4):
            await ask(socket, "session.execute", {"sessionId": session_id, "command": {"type": "execute", "code": ""}})
            counts.append((await ask(socket, "session.list"))["result"]["sessions"][0]["executionCount"])
        assert counts == [0, 1, 1, 2]


async def test_a_sweep_closes_a_busy_session_and_its_program_is_killed() -> None:
    async with FakeCodeBeaker("Python") as fake, raw(fake) as socket:
        session_id = (await ask(socket, "session.create", {"language": "python"}))["result"]["sessionId"]
        command = {"type": "execute", "code": "import time\ntime.sleep(600)"}
        run = asyncio.create_task(ask(socket, "session.execute", {"sessionId": session_id, "command": command}))
        await until(lambda: fake.sessions[session_id].in_flight)
        await fake.sweep()
        assert (await run)["result"]["success"] is False
        assert not fake.sessions


async def test_sessions_outlive_their_socket_and_everybody_sees_them() -> None:
    async with FakeCodeBeaker("Python") as fake:
        async with raw(fake) as socket:
            session_id = (await ask(socket, "session.create", {"language": "python"}))["result"]["sessionId"]
        async with raw(fake) as other:
            listed = (await ask(other, "session.list"))["result"]
            assert (listed["count"], listed["sessions"][0]["sessionId"]) == (1, session_id)
            for given in (session_id, session_id, "unknown"):
                closed = await ask(other, "session.close", {"sessionId": given})
                assert closed["result"] == {"sessionId": given, "closed": True}


async def test_the_queue_takes_only_pascal_case_names() -> None:
    async with FakeCodeBeaker() as fake, raw(fake) as socket:
        assert (await ask(socket, "execution.run", {"language": "python", "code": ""}))["error"]["code"] == -32603
        assert (await ask(socket, "execution.run", {"Language": "x", "Code": ""}))["result"]["status"] == "queued"
