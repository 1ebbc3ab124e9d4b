"""The JSON-RPC methods of the fake: what each line is answered with, to the key and the code."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

from tests.fakes.commands import check
from tests.fakes.runtimes import DotNetError
from tests.fakes.sessions import FakeSession, Sessions

CAPABILITIES = {
    "serverCapabilities": {
        "supportsStreaming": True,
        "supportsDebugging": False,
        "supportsPortForwarding": False,
        "supportsFileWatch": False,
        "supportedLanguages": ["python", "javascript", "go", "csharp"],
        "limits": {"maxTimeout": 300, "maxMemory": 2048, "maxConcurrency": 10},
        "protocolVersion": "0.2.0",
    }
}
LANGUAGES = [
    {"name": "python", "runtime": "PythonRuntime"},
    {"name": "javascript", "runtime": "JavaScriptRuntime"},
    {"name": "go", "runtime": "GoRuntime"},
    {"name": "csharp", "runtime": "CSharpRuntime"},
]
STACK = "\n   at CodeBeaker.API.JsonRpc.Handlers.HandleAsync() in /src/Handlers.cs:line 42"


def reply(call_id: object, result: object = None, error: object = None) -> str:
    """Return one line: all four keys, the unused one null, everything ASCII."""
    return json.dumps({"jsonrpc": "2.0", "id": call_id, "result": result, "error": error}) + "\n"


def failure(call_id: object, code: int, message: str, data: str | None) -> str:
    return reply(call_id, error={"code": code, "message": message, "data": data})


class Methods:
    """Answer lines.

    Args:
        sessions: what the methods work on.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.background: set[asyncio.Task[None]] = set()
        self.queued: dict[str, int] = {}

    async def answer(self, line: str) -> tuple[str, str | None]:
        """Return a line's method and the reply to it; None for a notification."""
        try:
            message = json.loads(line)
        except ValueError as error:
            return "", failure(None, -32700, "Parse error", str(error))
        if not isinstance(message, dict) or not isinstance(message.get("method", ""), str):
            return "", failure(None, -32700, "Parse error", "The JSON value could not be converted to JsonRpcRequest.")
        call_id, method = message.get("id"), message.get("method", "")
        if message.get("jsonrpc", "2.0") != "2.0" or not method:
            return method, failure(call_id, -32600, "Invalid Request", "jsonrpc must be 2.0 and method not empty")
        if call_id is None:
            task = asyncio.create_task(self._notified(method, message.get("params")))
            self.background.add(task)
            task.add_done_callback(self.background.discard)
            return method, None
        return method, await self._called(call_id, method, message.get("params"))

    async def _notified(self, method: str, params: object) -> None:
        await self._called(0, method, params)

    async def _called(self, call_id: object, method: str, params: object) -> str:
        handler = getattr(self, "_" + method.replace(".", "_").replace("session", "on_session"), None)
        if handler is None or method not in METHODS:
            return failure(call_id, -32601, "Method not found", method)
        try:
            return reply(call_id, await handler(params))
        except DotNetError as error:
            return failure(call_id, -32603, "Internal error", f"{error}{STACK}")

    async def _initialize(self, _params: object) -> object:
        return CAPABILITIES

    async def _language_list(self, _params: object) -> object:
        return {"languages": LANGUAGES}

    async def _on_session_create(self, params: object) -> object:
        session = await self.sessions.create(_object(params))
        given = {"idleTimeoutMinutes": 30, "maxLifetimeMinutes": 120}
        config = {name: session.config.get(name.lower(), default) for name, default in given.items()}
        about = {name: value for name, value in _about(session).items() if name in CREATE_KEYS}
        return about | {"config": config}

    async def _on_session_execute(self, params: object) -> object:
        given = _object(params)
        if "sessionId" not in given:
            raise DotNetError("ArgumentNullException", "sessionId required (Parameter 'sessionId')")
        return await self.sessions.execute(given["sessionId"], check(given.get("command")))

    async def _on_session_list(self, _params: object) -> object:
        listed = [_about(session) for session in self.sessions.known.values()]
        return {"count": len(listed), "sessions": listed}

    async def _on_session_close(self, params: object) -> object:
        session_id = _object(params).get("sessionId")
        await self.sessions.close(session_id)
        return {"sessionId": session_id, "closed": True}

    async def _execution_run(self, params: object) -> object:
        given = _object(params)
        if "Language" not in given or "Code" not in given:
            raise DotNetError("ArgumentException", "Language and Code are required")
        execution_id = str(uuid.uuid4())
        self.queued[execution_id] = 0
        return {"executionId": execution_id, "status": "queued"}

    async def _execution_status(self, params: object) -> object:
        execution_id = _object(params).get("ExecutionId")
        if execution_id is None:
            raise DotNetError("ArgumentException", "ExecutionId is required")
        return {"executionId": execution_id, "status": "not_found"}


METHODS = (
    "initialize",
    "language.list",
    "session.create",
    "session.execute",
    "session.list",
    "session.close",
    "execution.run",
    "execution.status",
)
CREATE_KEYS = ("sessionId", "containerId", "language", "createdAt", "state")


def _object(params: object) -> dict[str, Any]:
    if not isinstance(params, dict):
        raise DotNetError("ArgumentNullException", "params required (Parameter 'params')")
    return params


def _about(session: FakeSession) -> dict[str, Any]:
    made = session.created_at.isoformat().replace("+00:00", "7Z")  # seven digits of a second, as .NET writes them
    return {
        "sessionId": session.id,
        "containerId": session.id[::-1] if session.runtime == "Docker" else "",
        "language": session.language,
        "createdAt": made,
        "lastActivity": made,
        "state": session.state,
        "executionCount": session.executions,
        "idleMinutes": 0.41,
        "lifetimeMinutes": 0.41,
    }
