"""The server's methods: what `initialize`, `session.*` and `language.list` answer, and how a run comes back.

The protocol is CodeBeaker's (`protocolVersion` 0.2.0), and requests of one socket run side by side. Beyond it,
`initialize` announces `loopaiLab`: the commands `load` and `run`, by which a program travels once and an item costs one
round trip.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import LoopaiLabError
from loopai_lab.rpc.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PROGRAM_NOT_LOADED,
    Request,
    RequestError,
    decode_request,
    encode,
    encode_error,
    encode_result,
)
from loopai_lab.server import commands, languages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopai_lab.server.registry import Registry
    from loopai_lab.server.sandbox.launch import Limits
    from loopai_lab.server.session import Session

logger = logging.getLogger(__name__)
PROTOCOL_VERSION = "0.2.0"
EXTENSION_VERSION = 1


class App:
    """Answer requests; one per server.

    Args:
        registry: the sessions.
        limits: what a session may use unless `session.create` asks for less.
    """

    def __init__(self, registry: Registry, limits: Limits) -> None:
        """Register the methods."""
        self._registry = registry
        self._limits = limits
        self._methods: dict[str, Callable[[dict[str, Any]], Awaitable[str]]] = {
            "initialize": self._initialize,
            "session.create": self._create,
            "session.execute": self._execute,
            "session.list": self._list,
            "session.close": self._close,
            "language.list": self._languages,
        }

    async def respond(self, line: str) -> str | None:
        """Return the reply to one line, or None to a notification; every failure is a reply too."""
        try:
            request = decode_request(line)
        except RequestError as error:
            return error.encode()
        try:
            reply = encode_result(request.id, await self._dispatch(request))
        except RequestError as error:
            reply = encode_error(request.id, error.code, error.message, error.data)
        except LoopaiLabError as error:
            reply = encode_error(request.id, INTERNAL_ERROR, "Internal error", f"{type(error).__name__}: {error}")
        except Exception as error:  # a defect of ours: the caller must not wait for ever for its reply
            logger.exception("%s failed", request.method)
            reply = encode_error(request.id, INTERNAL_ERROR, "Internal error", f"{type(error).__name__}: {error}")
        return None if request.id is None else reply

    async def _dispatch(self, request: Request) -> str:
        method = self._methods.get(request.method)
        if method is None:
            raise RequestError(METHOD_NOT_FOUND, "Method not found", request.method)
        params = request.params if request.params is not None else {}
        if not isinstance(params, dict):
            raise RequestError(INVALID_PARAMS, "Invalid params", "params must be an object")
        return await method(params)

    async def _initialize(self, _: dict[str, Any]) -> str:
        choice = self._registry.choice
        capabilities = {
            "supportsStreaming": False,
            "supportsDebugging": False,
            "supportsPortForwarding": False,
            "supportsFileWatch": False,
            "supportedLanguages": languages.names(),
            "limits": {"maxTimeout": 0, "maxMemory": self._limits.memory_mb or 0, "maxConcurrency": 0},
            "protocolVersion": PROTOCOL_VERSION,
            "loopaiLab": {
                "version": EXTENSION_VERSION,
                "commands": ["load", "run"],
                "concurrentRequests": True,
                "isolation": ["item", "session"],
                "sandbox": choice.sandbox.name,
                "sandboxProtects": choice.sandbox.protects,
                "sandboxWeakness": choice.weakness,
            },
        }
        return encode({"serverCapabilities": capabilities})

    async def _create(self, params: dict[str, Any]) -> str:
        wanted = params.get("language")
        if not isinstance(wanted, str) or not wanted.strip():
            raise RequestError(INVALID_PARAMS, "Invalid params", "language is missing")
        language = languages.resolve(wanted)
        if language is None:
            text = f"InvalidOperationException: No runtime available for language: {wanted}"
            raise RequestError(INTERNAL_ERROR, "Internal error", text)
        session = await self._registry.create(
            language,
            idle_timeout_s=60 * _number(params, "idleTimeoutMinutes", 30),
            lifetime_s=60 * _number(params, "maxLifetimeMinutes", 120),
            limits=self._limits_for(params),
        )
        return encode(
            {
                "sessionId": session.id,
                "containerId": "",
                "language": language,
                "createdAt": session.created_at.isoformat().replace("+00:00", "Z"),
                "state": session.state,
                "config": {"idleTimeoutMinutes": session.idle_timeout_s / 60, "sandbox": session.sandbox},
            }
        )

    def _limits_for(self, params: dict[str, Any]) -> Limits:
        asked = params.get("memoryLimitMB")
        if asked is None:
            return self._limits
        memory_mb = max(1, int(min(_number(params, "memoryLimitMB", 0), self._limits.memory_mb or sys.maxsize >> 20)))
        return replace(self._limits, memory_mb=memory_mb)

    async def _execute(self, params: dict[str, Any]) -> str:
        session = self._session(params)
        command = params.get("command")
        if not isinstance(command, dict) or not isinstance(command.get("type"), str):
            raise RequestError(INVALID_PARAMS, "Invalid params", "command must be an object with a type")
        try:
            return await commands.run(session, command)
        except commands.BadCommand as error:
            raise RequestError(INVALID_PARAMS, "Invalid params", str(error)) from error
        except commands.NotLoaded as error:
            raise RequestError(PROGRAM_NOT_LOADED, "Program not loaded", str(error)) from error

    def _session(self, params: dict[str, Any]) -> Session:
        session = self._registry.find(params.get("sessionId"))
        if session is None:
            text = f"InvalidOperationException: Session not found: {params.get('sessionId')}"
            raise RequestError(INTERNAL_ERROR, "Internal error", text)
        return session

    async def _list(self, _: dict[str, Any]) -> str:
        sessions = [
            {
                "sessionId": session.id,
                "containerId": "",
                "language": session.language,
                "createdAt": session.created_at.isoformat().replace("+00:00", "Z"),
                "state": session.state,
                "executionCount": session.executions,
                "idleMinutes": session.idle_s / 60,
                "lifetimeMinutes": session.age_s / 60,
            }
            for session in self._registry.all()
        ]
        return encode({"count": len(sessions), "sessions": sessions})

    async def _close(self, params: dict[str, Any]) -> str:
        await self._registry.close(params.get("sessionId"))
        return encode({"sessionId": params.get("sessionId"), "closed": True})

    async def _languages(self, _: dict[str, Any]) -> str:
        known = [{"name": name, "runtime": f"{name.capitalize()}Runtime"} for name in languages.names()]
        return encode({"languages": known})


def _number(params: dict[str, Any], name: str, default: float) -> float:
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise RequestError(INVALID_PARAMS, "Invalid params", f"{name} must be a positive number, not {value!r}")
    return value
