"""How a session is made on a server that is not ours: on which runtime, past its lock, and with nothing left behind."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import BeakerError, CallTimeout, ProtocolError, RemoteError, UnsupportedLanguage
from loopai_lab.rpc.jsonrpc import encode
from loopai_lab.settings import DEFAULT_RUNTIME, LANGUAGE_MAPPING, LANGUAGE_RUNTIMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from loopai_lab.rpc.connection import Connection

logger = logging.getLogger(__name__)
CREATE_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 30.0
LATE_S = 120.0
LATE_GRACE_S = 2.0
LONGEST_DELAY_S = 10.0
LOCKED = "Failed to acquire lock for session creation"
NO_RUNTIME = "No runtime available for language"
NOT_AVAILABLE = " not available for "

ALIASES = {"python3": "python", "py": "python", "js": "javascript", "node": "javascript", "nodejs": "javascript"} | {
    "ts": "typescript"
}
FALLBACKS = {
    "python": ("Python", "Docker"),
    "javascript": ("Deno", "Bun", "NodeJs", "Docker"),
    "typescript": ("Deno", "Bun"),
}
"""The runtimes that a program of a language runs on, in the order in which they are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignOptions:
    """Say how sessions are made; the defaults are those of the origin's client.

    Args:
        language_mapping: our language to the server's name of it; an unknown one is sent as it is.
        runtimes: the runtime by language. One that is named here is the only one asked for; for other languages the
            usual one is tried first, then what else the server may have.
        default_runtime: for languages that nothing else is known of.
        idle_timeout_minutes: after which the server closes an unused session.
        max_lifetime_minutes: after which the server closes any session.
        memory_limit_mb: of a session; the server heeds it on Docker only.
        cpu_shares: of a session; likewise.
        retry_attempts: how often a creation that failed at the server's lock is tried again.
        retry_delay_ms: the first pause before that; it doubles, with jitter.
    """

    language_mapping: Mapping[str, str] = field(default_factory=dict)
    runtimes: Mapping[str, str] = field(default_factory=dict)
    default_runtime: str = DEFAULT_RUNTIME
    idle_timeout_minutes: int = 30
    max_lifetime_minutes: int = 120
    memory_limit_mb: int | None = 512
    cpu_shares: int | None = 1024
    retry_attempts: int = 3
    retry_delay_ms: float = 1000.0

    def runtimes_for(self, language: str) -> tuple[str, ...]:
        """Return the runtimes to ask for, the best first."""
        language = _plain_name(language)
        if language in self.runtimes:
            return (self.runtimes[language],)
        first = LANGUAGE_RUNTIMES.get(language, self.default_runtime)
        return (first, *(other for other in FALLBACKS.get(language, ()) if other != first))

    def create_params(self, language: str, runtime: str) -> str:
        """Return the parameters of `session.create` as JSON text."""
        name = _plain_name(language)
        name = {**LANGUAGE_MAPPING, **self.language_mapping}.get(name, name)
        params: dict[str, Any] = {
            "language": name,
            "runtimeType": runtime,
            "idleTimeoutMinutes": self.idle_timeout_minutes,
            "maxLifetimeMinutes": self.max_lifetime_minutes,
            "memoryLimitMB": self.memory_limit_mb,
            "cpuShares": self.cpu_shares,
        }
        return encode({key: value for key, value in params.items() if value is not None})


def _plain_name(language: str) -> str:
    name = language.strip().lower()
    return ALIASES.get(name, name)


def check_language(language: str) -> None:
    """Refuse a language that we cannot run on a foreign server, whatever that server has.

    Raises:
        UnsupportedLanguage: before any session is made.
    """
    if (name := _plain_name(language)) in FALLBACKS:
        return
    known = ", ".join(FALLBACKS)
    if name in LANGUAGE_MAPPING:
        why = "a CodeBeaker server has only a shell for it, and its images lack what a program needs there"
        raise UnsupportedLanguage(f"Unsupported language {language!r} on this server: {why}; {known} run on it")
    raise UnsupportedLanguage(f"Unsupported language {language!r}: {known} run on this server")


@dataclass(frozen=True, slots=True)
class Made:
    """A session that was made: its id, its runtime, and the connection that is its own."""

    id: str
    runtime: str
    connection: Connection


class SessionMaker:
    """Make sessions, each with a connection of its own, and close those that came when nobody waited any more.

    Args:
        options: how they are made.
        connect: opens a connection.
    """

    def __init__(self, options: ForeignOptions, connect: Callable[[], Awaitable[Connection]]) -> None:
        """Start with nothing made."""
        self._options = options
        self._connect = connect
        self._found: dict[str, str] = {}
        self._late: set[asyncio.Task[None]] = set()
        self._late_connections: set[Connection] = set()

    async def make(self, language: str) -> Made:
        """Make a session.

        Raises:
            UnsupportedLanguage: the server has no runtime for it, or we have no way to run it there.
            CallTimeout: the server did not make it in time; should it still come, it is closed.
            BeakerError: the server refused, or the connection broke.
        """
        check_language(language)
        connection = await self._connect()
        try:
            async with asyncio.timeout(CREATE_TIMEOUT_S):
                session_id, runtime = await self._on_some_runtime(connection, language)
        except BaseException as error:
            if connection not in self._late_connections:
                await connection.close()
            if isinstance(error, TimeoutError):
                raise CallTimeout(f"session.create: no {language} session within {CREATE_TIMEOUT_S:g} s") from error
            raise
        return Made(session_id, runtime, connection)

    async def _on_some_runtime(self, connection: Connection, language: str) -> tuple[str, str]:
        candidates = self._options.runtimes_for(language)
        if (found := self._found.get(language)) is not None:
            candidates = (found, *(other for other in candidates if other != found))
        refusals = []
        for runtime in candidates:
            try:
                session_id = await self._past_the_lock(connection, self._options.create_params(language, runtime))
            except RemoteError as error:
                if NO_RUNTIME not in str(error) and NOT_AVAILABLE not in str(error):
                    raise
                refusals.append(error)
                continue
            if refusals and found != runtime:
                logger.warning("%s; %s runs on %s instead", refusals[0], language, runtime)
            self._found[language] = runtime
            return session_id, runtime
        asked = " and ".join(candidates)
        message = f"Unsupported language {language!r}: the server has no {asked} for it ({refusals[0]})"
        raise UnsupportedLanguage(message) from refusals[0]

    async def _past_the_lock(self, connection: Connection, params: str) -> str:
        """Create a session, again when the server's one lock for all creations was not to be had in its 10 seconds."""
        for attempt in itertools.count():
            try:
                return await self._create(connection, params)
            except RemoteError as error:
                if LOCKED not in str(error) or attempt >= self._options.retry_attempts:
                    raise
                longest_s = min(LONGEST_DELAY_S, self._options.retry_delay_ms / 1000 * 2**attempt)
                await asyncio.sleep(longest_s * random.uniform(0.5, 1.0))
        raise AssertionError("itertools.count ends")

    async def _create(self, connection: Connection, params: str) -> str:
        call = asyncio.ensure_future(connection.call("session.create", params))
        try:
            return session_id_in(await asyncio.shield(call))
        except asyncio.CancelledError:
            self._close_when_made(connection, call)
            raise

    def _close_when_made(self, connection: Connection, call: asyncio.Future[Any]) -> None:
        """Close a session whose caller is gone: the server makes it all the same, and would keep it for hours."""

        async def close_it() -> None:
            try:
                async with asyncio.timeout(LATE_S):
                    session_id = session_id_in(await call)
                await connection.call("session.close", encode({"sessionId": session_id}), timeout_s=CLOSE_TIMEOUT_S)
            except (BeakerError, TimeoutError) as error:
                logger.debug("a session that nobody waits for was not made: %s", error)
            finally:
                call.cancel()
                self._late_connections.discard(connection)
                await connection.close()

        self._late_connections.add(connection)
        task = asyncio.create_task(close_it(), name="close-unwanted-session")
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def rest(self) -> None:
        """Wait a moment for the sessions that nobody waits for, and give up those that do not come."""
        if self._late:
            await asyncio.wait(self._late, timeout=LATE_GRACE_S)
        for task in tuple(self._late):
            task.cancel()
        if self._late:
            await asyncio.wait(self._late)


def session_id_in(result: object) -> str:
    """Return the id in a reply to `session.create`.

    Raises:
        ProtocolError: there is none.
    """
    session_id = result.get("sessionId") if isinstance(result, dict) else None
    if not isinstance(session_id, str):
        raise ProtocolError("session.create: the reply has no sessionId")
    return session_id
