"""The client against a server that is not ours, over a real socket: every quirk of the original, and every way to fail.

The server is the fake of `tests/fakes`; what the protocol says stands in its rooms.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as open_socket

from loopai_lab.errors import (
    CallTimeout,
    ConnectionLost,
    ProtocolError,
    RemoteError,
    SessionNotFound,
    UnsupportedLanguage,
)
from loopai_lab.models import Program
from loopai_lab.rpc import foreign_sessions
from loopai_lab.rpc.beaker import connect
from loopai_lab.rpc.connection import Connection
from loopai_lab.rpc.foreign_sessions import ForeignOptions
from loopai_lab.settings import LANGUAGE_RUNTIMES
from tests.fakes.codebeaker import FakeCodeBeaker
from tests.fakes.runtimes import RUNTIMES
from tests.support.processes import until

ONE = Program(code="result = 1")
SLOW = Program(code="import time\nopen(input_data, 'w').close()\ntime.sleep(600)")
needs_node = pytest.mark.skipif(not RUNTIMES["NodeJs"].is_here(), reason="node is not on PATH")


# -- what the server says of itself -----------------------------------------------------------------------------------


async def test_initialize_tells_a_foreign_server_from_ours() -> None:
    async with FakeCodeBeaker() as fake, connect(fake.url) as beaker:
        capabilities = beaker.capabilities
    assert capabilities.languages == ("python", "javascript", "go", "csharp")
    assert (capabilities.runs_loaded, capabilities.concurrent) == (False, False)


@pytest.mark.parametrize("language", ["go", "csharp", "dotnet", "rust"])
async def test_a_language_without_a_driver_is_refused_before_a_session_is_made(language: str) -> None:
    async with FakeCodeBeaker() as fake, connect(fake.url) as beaker:
        with pytest.raises(UnsupportedLanguage, match=f"Unsupported language '{language}'.*python"):
            beaker.check_language(language)
        with pytest.raises(UnsupportedLanguage, match=f"Unsupported language '{language}'"):
            await beaker.create_session(language)
        assert not fake.received("session.create")


@pytest.mark.parametrize("language", ["python", "Python3", "py", "javascript", "js", "node", "typescript", "ts"])
async def test_a_language_with_a_driver_is_not_refused(language: str) -> None:
    async with FakeCodeBeaker() as fake, connect(fake.url) as beaker:
        beaker.check_language(language)


# -- making sessions --------------------------------------------------------------------------------------------------


async def test_what_creates_a_session_names_its_runtime_and_its_limits() -> None:
    async with FakeCodeBeaker() as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        assert fake.received("session.create") == [
            {
                "language": "python",
                "runtimeType": "Python",
                "idleTimeoutMinutes": 30,
                "maxLifetimeMinutes": 120,
                "memoryLimitMB": 512,
                "cpuShares": 1024,
            }
        ]
        assert fake.sessions[session.id].runtime == "Python"
        await session.close()


async def test_every_option_of_a_session_is_sent() -> None:
    chosen = ForeignOptions(
        language_mapping={"python": "py"},
        runtimes={"python": "Docker"},
        idle_timeout_minutes=15,
        max_lifetime_minutes=60,
        memory_limit_mb=None,
        cpu_shares=7,
    )
    sent = json.loads(chosen.create_params("python", *chosen.runtimes_for("python")))
    assert sent == {
        "language": "py",
        "runtimeType": "Docker",
        "idleTimeoutMinutes": 15,
        "maxLifetimeMinutes": 60,
        "cpuShares": 7,
    }


def test_the_usual_runtimes_are_those_of_the_origin_and_found_by_our_name_of_the_language() -> None:
    usual = ForeignOptions()
    assert {language: usual.runtimes_for(language)[0] for language in LANGUAGE_RUNTIMES} == {
        "javascript": "Deno",
        "typescript": "Deno",
        "python": "Python",
        "go": "Docker",
        "csharp": "Docker",
        "dotnet": "Docker",
    }
    assert usual.runtimes_for("cobol") == ("Docker",)
    chosen = ForeignOptions(runtimes={"typescript": "Bun"}, default_runtime="NodeJs")
    assert chosen.runtimes_for("ts") == ("Bun",)
    assert chosen.runtimes_for("cobol") == ("NodeJs",)
    assert json.loads(chosen.create_params("ts", "Bun"))["language"] == "javascript"
    assert json.loads(chosen.create_params("dotnet", "Docker"))["language"] == "csharp"


@needs_node
async def test_a_runtime_that_the_server_lacks_is_replaced_by_one_that_it_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FakeCodeBeaker("NodeJs") as fake, connect(fake.url) as beaker:
        for _ in range(2):
            session = await beaker.create_session("javascript")
            assert session.runtime == "NodeJs"
            await session.close()
        asked = [params["runtimeType"] for params in fake.received("session.create")]
    assert asked == ["Deno", "Bun", "NodeJs", "NodeJs"], "what was found is asked for first the next time"
    assert "runs on NodeJs instead" in caplog.text


async def test_a_runtime_that_was_chosen_is_not_replaced() -> None:
    chosen = ForeignOptions(runtimes={"python": "Docker"})
    async with FakeCodeBeaker("Python") as fake, connect(fake.url, foreign=chosen) as beaker:
        with pytest.raises(UnsupportedLanguage, match=r"no Docker for it.*Runtime Docker not available for python"):
            await beaker.create_session("python")
        assert len(fake.received("session.create")) == 1


async def test_eight_creations_at_once_all_get_past_the_servers_one_lock() -> None:
    chosen = ForeignOptions(retry_attempts=50, retry_delay_ms=20)
    async with (
        FakeCodeBeaker("Python", time_scale=0.005, create_s=0.03) as fake,
        connect(fake.url, foreign=chosen) as beaker,
    ):
        sessions = await asyncio.gather(*(beaker.create_session("python") for _ in range(8)))
        assert len(fake.sessions) == len({session.id for session in sessions}) == 8
        assert len(fake.received("session.create")) > 8, "nobody had to wait: this shows nothing"
        for session in sessions:
            await session.close()


async def test_a_lock_that_is_never_to_be_had_is_an_error_that_says_so() -> None:
    chosen = ForeignOptions(retry_attempts=2, retry_delay_ms=1)
    async with (
        FakeCodeBeaker("Python", time_scale=0.001, create_s=30.0) as fake,
        connect(fake.url, foreign=chosen) as beaker,
    ):
        first = asyncio.create_task(beaker.create_session("python"))
        await fake.until(lambda: fake.received("session.create"))
        with pytest.raises(RemoteError, match="Failed to acquire lock for session creation"):
            await beaker.create_session("python")
        assert len(fake.received("session.create")) == 4
        fake.drop_connections()
        with pytest.raises(ConnectionLost):
            await first


async def test_a_session_that_comes_after_its_caller_was_cancelled_is_closed() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        async with fake.holding("session.create"):
            caller = asyncio.create_task(beaker.create_session("python"))
            await fake.until(lambda: fake.received("session.create"))
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
        await fake.until(lambda: fake.received("session.close"))
        await fake.until(lambda: not fake.sessions)
        assert len(fake.sessions_ever) == 1


async def test_a_session_that_comes_after_its_deadline_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_sessions, "CREATE_TIMEOUT_S", 0.05)
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        async with fake.holding("session.create"):
            with pytest.raises(CallTimeout, match=r"no python session within 0\.05 s"):
                await beaker.create_session("python")
        await fake.until(lambda: fake.received("session.close"))
        await fake.until(lambda: not fake.sessions)


async def test_a_creation_whose_answer_is_lost_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_sessions, "CREATE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(foreign_sessions, "LATE_GRACE_S", 0.05)
    async with FakeCodeBeaker("Python") as fake:
        fake.lose_replies("session.create")
        async with connect(fake.url) as beaker:
            with pytest.raises(CallTimeout):
                await beaker.create_session("python")


# -- using them -------------------------------------------------------------------------------------------------------


async def test_every_session_has_a_socket_of_its_own() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        sessions = [await beaker.create_session("python") for _ in range(3)]
        assert fake.sockets_opened == 4
        for session in sessions:
            await session.close()
        assert not fake.sessions


async def test_what_is_sent_is_ascii_with_the_type_first_and_one_line_per_message() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        outcome = await session.run(Program(code="# 한국어 😀\nresult = input_data"), json.dumps("😀\n한"))
        assert outcome.output == "😀\n한"
        assert all(frame.isascii() and "\n" not in frame for frame in fake.frames)
        (command,) = (params["command"] for params in fake.received("session.execute"))
        assert next(iter(command)) == "type"
        await session.close()


async def test_a_session_that_the_server_forgot_is_told_apart_from_a_failing_program() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        await session.check()
        await fake.forget(session.id)
        with pytest.raises(SessionNotFound, match=f"Session not found: {session.id}") as caught:
            await session.run(ONE, "0")
        assert caught.value.code == -32603
        assert "at CodeBeaker.API" in str(caught.value.data)
        with pytest.raises(SessionNotFound):
            await session.check()
        await session.close()
        await session.close()


async def test_a_busy_session_is_closed_over_another_socket(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        run = asyncio.create_task(session.run(SLOW, json.dumps(str(begun))))
        await until(begun.exists, within_s=30)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await session.close()
        assert not fake.sessions
        assert len(fake.received("session.close")) == 1


async def test_a_session_whose_socket_was_lost_is_closed_over_another() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        fake.drop_connections()
        outcome = await session.run(ONE, "0")
        assert (outcome.status, outcome.ended) == ("lost", True)
        assert list(fake.sessions) == [session.id], "a session outlives its socket"
        await session.close()
        assert not fake.sessions


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1009, 1011, 1012])
async def test_a_socket_that_is_closed_in_the_middle_of_a_run_loses_the_item_and_nothing_else(code: int) -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        async with fake.holding("session.execute"):
            run = asyncio.create_task(session.run(ONE, "0"))
            await fake.until(lambda: fake.received("session.execute"))
            fake.drop_connections(code)
            outcome = await run
        assert (outcome.status, outcome.error_type, outcome.ended) == ("lost", "SessionLost", True)
        assert "not run again" in (outcome.error_message or "")
        await session.close()
        again = await beaker.create_session("python")
        assert (await again.run(ONE, "0")).output == 1
        await again.close()
        assert len(fake.received("session.execute")) == 2, "nothing was replayed"


async def test_a_lost_reply_is_a_timeout_at_the_callers_own_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loopai_lab.rpc.foreign.ANSWER_GRACE_S", 0.1)
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        fake.lose_replies("session.execute")
        outcome = await session.run(ONE, "0", timeout_ms=2000)
        assert (outcome.status, outcome.error_type, outcome.ended) == ("timeout", "ItemTimeout", True)
        await session.close()
        assert not fake.sessions


async def test_a_stalled_server_fails_the_call_and_works_again_afterwards() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        shared = await beaker.connection()
        fake.stall()
        with pytest.raises(CallTimeout):
            await shared.call("session.list", timeout_s=0.05)
        fake.resume()
        assert (await shared.call("session.list", timeout_s=30))["count"] == 0


async def test_a_server_that_starts_again_has_forgotten_and_is_reached_again() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        old = await beaker.create_session("python")
        await fake.restart()
        assert (await old.run(ONE, "0")).status == "lost"
        new = await beaker.create_session("python")
        assert (await new.run(ONE, "0")).output == 1
        await old.close()
        await new.close()
        assert not fake.sessions


async def test_a_ping_that_nobody_answers_during_a_long_run_drops_nothing() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        async with fake.holding("session.execute"):
            run = asyncio.create_task(session.run(ONE, "0"))
            await fake.until(lambda: fake.received("session.execute"))
            async with open_socket(fake.url, ping_interval=None) as other:
                await asyncio.wait_for(await other.ping(), 5)  # an idle socket is heard
            assert not run.done()
        assert (await run).output == 1
        await session.close()


async def test_five_megabytes_of_output_arrive() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        outcome = await session.run(Program(code="result = 'x' * 5_000_000"), "0")
        assert outcome.output == "x" * 5_000_000
        await session.close()


# -- the protocol's corners -------------------------------------------------------------------------------------------


async def test_each_error_code_is_an_exception_with_code_and_data() -> None:
    async with FakeCodeBeaker("Python") as fake:
        connection = await Connection.open(fake.url)
        for method, params, code, says in (
            ("no.such.method", "{}", -32601, "no.such.method"),
            ("", "{}", -32600, "method"),
            ("session.create", "{}", -32603, "Language is required"),
            ("session.create", '{"language":"python","runtimeType":"Magic"}', -32603, "JsonException"),
            ("session.execute", '{"sessionId":"nope","command":{"code":"","type":"execute"}}', -32603, "NotSupported"),
            ("execution.run", '{"language":"python","code":""}', -32603, "ArgumentException"),
        ):
            with pytest.raises(RemoteError, match=says) as caught:
                await connection.call(method, params, timeout_s=30)
            assert caught.value.code == code
            assert "   at " not in str(caught.value), "the server's stack is not the user's to read"
        await connection.close()


async def test_a_parse_error_without_an_id_fails_the_call_under_way() -> None:
    async with FakeCodeBeaker("Python") as fake:
        connection = await Connection.open(fake.url)
        with pytest.raises(RemoteError) as caught:
            await connection.call("session.list", "{broken", timeout_s=30)
        assert caught.value.code == -32700
        assert (await connection.call("session.list", timeout_s=30))["count"] == 0
        await connection.close()


async def test_what_nobody_asked_for_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FakeCodeBeaker("Python") as fake:
        connection = await Connection.open(fake.url)
        await connection.call("session.list", timeout_s=30)
        await fake.send_to_all('{"jsonrpc":"2.0","id":null,"method":"execution.output","params":{"text":"hi"}}\n')
        await fake.send_to_all('{"jsonrpc":"2.0","id":999,"result":1,"error":null}\n')
        await fake.send_to_all('{"jsonrpc":"2.0","id":1,"result":"again","error":null}\n')
        assert (await connection.call("session.list", timeout_s=30))["count"] == 0
        await connection.close()


async def test_an_answer_that_is_no_answer_is_a_protocol_error() -> None:
    async with FakeCodeBeaker("Python") as fake:
        connection = await Connection.open(fake.url)
        async with fake.holding("session.list"):
            call = asyncio.create_task(connection.call("session.list", timeout_s=30))
            await fake.until(lambda: fake.received("session.list"))
            await fake.send_to_all('{"jsonrpc":"2.0","id":1}\n')
            with pytest.raises(ProtocolError, match="neither result nor error"):
                await call
        await connection.close()


async def test_closing_twice_is_fine_for_the_server() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        session = await beaker.create_session("python")
        shared = await beaker.connection()
        for _ in range(2):
            closed = await shared.call("session.close", json.dumps({"sessionId": session.id}), timeout_s=30)
            assert closed == {"sessionId": session.id, "closed": True}
        await session.close()


async def test_the_queue_wants_other_names_and_polls() -> None:
    async with FakeCodeBeaker("Python") as fake, connect(fake.url) as beaker:
        shared = await beaker.connection()
        queued = await shared.call("execution.run", '{"Language":"python","Code":"print(1)"}', timeout_s=30)
        assert queued["status"] == "queued"
        status = await shared.call("execution.status", json.dumps({"ExecutionId": queued["executionId"]}), timeout_s=30)
        assert status["status"] == "not_found"
        assert [row["name"] for row in (await shared.call("language.list", timeout_s=30))["languages"]] == [
            "python",
            "javascript",
            "go",
            "csharp",
        ]
