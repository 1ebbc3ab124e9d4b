"""A CodeBeaker server as the pool sees it: sessions are created here, and whatever connection they need is opened."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from loopai_lab.errors import BeakerError, InvalidOption, RemoteError, ServerUnavailable, UnsupportedLanguage
from loopai_lab.rpc.connection import Connection
from loopai_lab.rpc.embedded import EmbeddedServer
from loopai_lab.rpc.foreign_sessions import ForeignOptions, SessionMaker, check_language, session_id_in
from loopai_lab.rpc.jsonrpc import encode
from loopai_lab.rpc.remote import CALL_TIMEOUT_S, RemoteSession

if TYPE_CHECKING:
    from types import TracebackType

    from loopai_lab.models import Isolation

CREATE_TIMEOUT_S = 60.0
AGAIN_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server said of itself in `initialize`.

    Args:
        languages: the languages it names.
        runs_loaded: whether it has our `load` and `run`, one round trip per item.
        concurrent: whether one socket serves many requests at once.
        sandbox: the sandbox in force; empty when the server does not say.
        sandbox_weakness: why it is not a stronger one, or None.
    """

    languages: tuple[str, ...] = ()
    runs_loaded: bool = False
    concurrent: bool = False
    sandbox: str = ""
    sandbox_weakness: str | None = None

    @classmethod
    def read(cls, result: object) -> Capabilities:
        """Return what an `initialize` result says; what it leaves out is taken as not there."""
        said: Any = result.get("serverCapabilities") if isinstance(result, dict) else None
        said = said if isinstance(said, dict) else {}
        ours: Any = said.get("loopaiLab") or {}
        return cls(
            languages=tuple(said.get("supportedLanguages") or ()),
            runs_loaded="run" in ours.get("commands", ()),
            concurrent=bool(ours.get("concurrentRequests", False)),
            sandbox=ours.get("sandbox", ""),
            sandbox_weakness=ours.get("sandboxWeakness"),
        )


class Beaker:
    """A session server: the embedded one, started when first needed, or any CodeBeaker server by URL.

    Use it as `async with connect() as beaker`. A server that died is started, or connected to, again for the next
    session; what was running on it is lost and said to be lost.

    Args:
        url: `ws://…/ws/jsonrpc`; None starts the embedded server.
        token: sent to servers that ask for one.
        sandbox: of the embedded server: `"auto"`, `"bubblewrap"` or `"plain"`.
        memory_mb: of the embedded server: memory of each process of a session; 0 is no limit.
        connect_timeout_s: how long to try to connect.
        foreign: how sessions are made on a server that is not ours.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str = "",
        sandbox: str = "auto",
        memory_mb: int = 1024,
        connect_timeout_s: float = 30.0,
        foreign: ForeignOptions | None = None,
    ) -> None:
        """Keep the options; nothing is started or connected yet."""
        if url is not None and not url.startswith(("ws://", "wss://")):
            message = f"url={url!r} is not a WebSocket URL; a CodeBeaker server has ws://HOST:PORT/ws/jsonrpc"
            raise InvalidOption(message)
        self.url = url
        self.capabilities = Capabilities()
        self._token = token
        self._sandbox = sandbox
        self._memory_mb = memory_mb
        self._connect_timeout_s = connect_timeout_s
        self._server: EmbeddedServer | None = None
        self._shared: Connection | None = None
        self._opening = asyncio.Lock()
        self._unwanted: set[asyncio.Task[None]] = set()
        self._maker = SessionMaker(foreign or ForeignOptions(), self._connect)

    async def __aenter__(self) -> Self:
        """Start or reach the server, and learn what it can do."""
        try:
            await self.connection()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the server; the embedded one ends with all its sessions."""
        await self.close()

    def __repr__(self) -> str:
        """Name the server and its sandbox."""
        where = self.url or "embedded server"
        return f"<Beaker {where}, sandbox {self.capabilities.sandbox or 'unknown'}>"

    @property
    def server_pid(self) -> int | None:
        """The embedded server's process id, while it runs."""
        return self._server.pid if self._server and self._server.is_running else None

    async def connection(self) -> Connection:
        """Return the shared connection, opened (and the embedded server started) if need be."""
        async with self._opening:
            if self._shared is None or not self._shared.is_open:
                if self._shared is not None:
                    await self._shared.close()
                self._shared = None
                connection = await self._connect_anew()
                try:
                    result = await connection.call("initialize", timeout_s=CALL_TIMEOUT_S)
                except BaseException:
                    await connection.close()
                    raise
                self.capabilities = Capabilities.read(result)
                self._shared = connection
            return self._shared

    async def _connect_anew(self) -> Connection:
        """Connect; an embedded server that does not listen any more is ending, or dead, and another takes its place."""
        if self.url is not None and self.capabilities != Capabilities():
            return await self._connect_again()
        try:
            return await self._connect()
        except ServerUnavailable:
            if self._server is None:
                raise
            server, self._server = self._server, None
            await server.close()
            return await self._connect()

    async def _connect_again(self) -> Connection:
        """Connect to a server that was there before: it may be starting again, so a few tries, not all at once."""
        import stamina  # 80 ms that most never need

        tries = stamina.retry_context(
            on=ServerUnavailable,
            attempts=None,
            timeout=AGAIN_TIMEOUT_S,
            wait_initial=0.05,
            wait_max=1.0,
            wait_jitter=0.2,
        )
        async for attempt in tries:
            with attempt:
                return await self._connect()
        raise AssertionError("stamina returns or raises")

    async def _connect(self) -> Connection:
        return await Connection.open(await self._address(), token=self._token, timeout_s=self._connect_timeout_s)

    async def _address(self) -> str:
        if self.url is not None:
            return self.url
        if self._server is not None and not self._server.is_running:
            await self._server.close()
            self._server = None
        if self._server is None:
            self._server = await EmbeddedServer.start(sandbox=self._sandbox, memory_mb=self._memory_mb)
        return self._server.address

    def check_language(self, language: str) -> None:
        """Refuse a language that the server does not name.

        Raises:
            UnsupportedLanguage: before any session is made.
        """
        known = self.capabilities.languages
        if known and not self.capabilities.runs_loaded:
            check_language(language)
        elif known and language.strip().lower() not in {*known, *_ALIASES_OF_PYTHON}:
            message = f"Unsupported language {language!r}: this server runs {', '.join(known)}"
            raise UnsupportedLanguage(message)

    def check_isolation(self, isolation: Isolation) -> None:
        """Refuse to keep state on a server that runs every program in a process of its own.

        Raises:
            InvalidOption: before any session is made.
        """
        if isolation == "session" and self.capabilities.languages and not self.capabilities.runs_loaded:
            raise InvalidOption(
                f"isolation='session' cannot be had: {self.url} starts a process per program; use 'item'"
            )

    async def create_session(self, language: str) -> RemoteSession:
        """Create a session on the server.

        Raises:
            BeakerError: the server refused, or could not be reached.
        """
        shared = await self.connection()
        if not self.capabilities.runs_loaded:
            made = await self._maker.make(language)
            return RemoteSession(
                made.id,
                language,
                made.connection,
                own_connection=True,
                runtime=made.runtime,
                shared=self.connection,
            )
        if self.capabilities.concurrent:
            again = None if self.url is None else self.connection  # the embedded server's sessions end with it
            session_id = await self._session_id(shared, language)
            return RemoteSession(session_id, language, shared, own_connection=False, shared=again)
        own = await self._connect()
        try:
            return RemoteSession(await self._session_id(own, language), language, own, own_connection=True)
        except BaseException:
            await own.close()
            raise

    async def _session_id(self, connection: Connection, language: str) -> str:
        params = encode({"language": language})
        call = asyncio.ensure_future(connection.call("session.create", params, timeout_s=CREATE_TIMEOUT_S))
        try:
            return session_id_in(await asyncio.shield(call))
        except RemoteError as error:
            if "No runtime available for language" in str(error):
                raise UnsupportedLanguage(f"Unsupported language {language!r}: {error}") from error
            raise
        except asyncio.CancelledError:
            self._forget_when_made(connection, call)
            raise

    def _forget_when_made(self, connection: Connection, call: asyncio.Future[Any]) -> None:
        """Close a session that its caller no longer waits for: the server makes it all the same."""

        async def close_it() -> None:
            with contextlib.suppress(BeakerError):
                params = encode({"sessionId": session_id_in(await call)})
                await connection.call("session.close", params, timeout_s=CALL_TIMEOUT_S)

        task = asyncio.create_task(close_it(), name="close-unwanted-session")
        self._unwanted.add(task)
        task.add_done_callback(self._unwanted.discard)

    async def close(self) -> None:
        """Close the connection and end the embedded server; twice is fine."""
        await self._maker.rest()
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.close()
        if self._unwanted:
            await asyncio.wait(self._unwanted)  # their connections are closed: they end at once
        server, self._server = self._server, None
        if server is not None:
            await server.close()


_ALIASES_OF_PYTHON = ("python3", "py")


def connect(url: str | None = None, **options: Any) -> Beaker:
    """Return a session server to use in an `async with`.

    Args:
        url: any CodeBeaker server's WebSocket URL; None starts the embedded server, with nothing to install.
        **options: `token`, `sandbox`, `memory_mb`, `connect_timeout_s`, as for `Beaker`.
    """
    return Beaker(url, **options)
