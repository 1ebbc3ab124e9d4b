"""A WebSocket without a task and without a queue: bytes in, one callback per message; text in, bytes out.

websockets' sans-I/O protocol does the protocol; this drives it from an asyncio transport, for the client's side and the
server's. Compared with websockets' own asyncio connections, a message wakes no reader task and passes no queue, which
halves a round trip; what is left out is what neither side here uses: pings of our own, extensions, iterators.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.uri import parse_uri

if TYPE_CHECKING:
    from websockets.server import ServerProtocol

CLOSE_TIMEOUT_S = 2.0


class WebSocket(asyncio.Protocol):
    """Drive one connection.

    Args:
        protocol: websockets' side of it, client or server.
        on_message: is given every text message, and every binary one as bytes; called from the event loop, so it must
            be quick and must not raise.
        on_lost: is told once that the connection is over.
        admit: on a server, answers the handshake's request.
        headers: on a client, go with the handshake's request.
    """

    def __init__(
        self,
        protocol: ClientProtocol | ServerProtocol,
        *,
        on_message: Callable[[str | bytes], None],
        on_lost: Callable[[ConnectionClosed], None],
        admit: Callable[[Request], Response] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Wait for a transport."""
        loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._on_message = on_message
        self._on_lost = on_lost
        self._admit = admit
        self._headers = headers or {}
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._parts_are_text = True
        self._room = asyncio.Event()
        self._room.set()
        self.opened: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[None] = loop.create_future()

    # -- what the transport calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, on the client's side."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's own promise for a stream socket
        self._transport = transport
        if self._admit is None:
            protocol = cast("ClientProtocol", self._protocol)
            request = protocol.connect()
            request.headers.update(self._headers)
            protocol.send_request(request)
            self._flush()

    def data_received(self, data: bytes) -> None:
        """Pass on every message that is whole now."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
            elif isinstance(event, Request):
                self._answer(event)
            else:
                self._shake_hands()
        self._flush()
        if self._protocol.close_expected() and self._transport is not None:
            self._transport.close()

    def eof_received(self) -> None:
        """Let the protocol know; asyncio closes the transport after this."""
        self._protocol.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits that it is over."""
        if self._protocol.state is not State.CLOSED:
            self._protocol.receive_eof()
        error = self._why_closed()
        if exc is not None:
            error.__cause__ = exc
        if not self.opened.done():
            self._shake_hands()
        self._room.set()
        if not self._over.done():
            self._over.set_result(None)
        self._on_lost(error)

    def pause_writing(self) -> None:
        """Stop those who can wait: the other side reads more slowly than we write."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Let them go on."""
        self._room.set()

    # -- sending ------------------------------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        """Send a message now; what the socket does not take at once is buffered.

        Raises:
            ConnectionClosed: the connection is over.
        """
        if self._protocol.state is not State.OPEN:
            raise self._why_closed()
        self._protocol.send_text(text.encode())
        self._flush()

    def _why_closed(self) -> ConnectionClosed:
        """Return the reason; while the closing handshake is under way there is none yet."""
        protocol = self._protocol
        return protocol.close_exc if protocol.state is State.CLOSED else ConnectionClosedError(None, None)

    @property
    def is_clogged(self) -> bool:
        """Whether what was sent piles up: the next sender should wait for `has_room`."""
        return not self._room.is_set()

    async def has_room(self) -> None:
        """Return when the other side has read enough of what was sent."""
        await self._room.wait()

    async def close(self) -> None:
        """Close the connection; the other side has a moment to agree."""
        if self._transport is None or self._over.done():
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
        else:
            self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.shield(self._over)
        except TimeoutError:
            self._transport.abort()
            await self._over

    def abort(self) -> None:
        """Drop the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        assert self._transport is not None  # noqa: S101 - there is something to send only when connected
        chunks = self._protocol.data_to_send()
        if not chunks:
            return
        if chunks[-1] == b"":  # the protocol's sign for half-closing
            self._transport.write(b"".join(chunks[:-1]))
            if self._transport.can_write_eof() and not self._transport.is_closing():
                self._transport.write_eof()
        else:
            self._transport.write(chunks[0] if len(chunks) == 1 else b"".join(chunks))

    # -- receiving ----------------------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            if frame.fin:
                self._deliver(bytes(frame.data), text=frame.opcode is Opcode.TEXT)
            else:
                self._parts, self._parts_are_text = [bytes(frame.data)], frame.opcode is Opcode.TEXT
        elif frame.opcode is Opcode.CONT:
            self._parts.append(bytes(frame.data))
            if frame.fin:
                whole, self._parts = b"".join(self._parts), []
                self._deliver(whole, text=self._parts_are_text)

    def _deliver(self, data: bytes, *, text: bool) -> None:
        if not text:
            self._on_message(data)
            return
        try:
            message = data.decode()
        except UnicodeDecodeError:
            self._protocol.fail(CloseCode.INVALID_DATA, "a text message is not UTF-8")
            return
        self._on_message(message)

    # -- the handshake ------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> None:
        assert self._admit is not None  # noqa: S101 - only servers receive requests
        cast("ServerProtocol", self._protocol).send_response(self._admit(request))

    def _shake_hands(self) -> None:
        """Settle the client's handshake, one way or the other."""
        if self.opened.done():
            return
        if self._protocol.handshake_exc is not None:
            self.opened.set_exception(self._protocol.handshake_exc)
        elif self._protocol.state is State.OPEN:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(ConnectionClosedError(None, None))
        self.opened.exception()  # on a server nobody waits for it


async def dial(
    address: str,
    *,
    token: str,
    max_bytes: int,
    on_message: Callable[[str | bytes], None],
    on_lost: Callable[[ConnectionClosed], None],
) -> WebSocket:
    """Connect to a `ws://` or `wss://` URL, or to the path of a Unix socket; the caller sets the time limit.

    Raises:
        OSError: nobody is there.
        WebSocketException: somebody is, but does not speak WebSocket, or refuses.
    """
    loop = asyncio.get_running_loop()
    uri = parse_uri(address if "://" in address else "ws://localhost/ws/jsonrpc")
    protocol = ClientProtocol(uri, max_size=max_bytes)
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    def socket() -> WebSocket:
        return WebSocket(protocol, on_message=on_message, on_lost=on_lost, headers=headers)

    if "://" in address:
        tls = ssl.create_default_context() if uri.secure else None
        transport, made = await loop.create_connection(socket, uri.host, uri.port, ssl=tls)
    else:
        transport, made = await loop.create_unix_connection(socket, address)
    try:
        await made.opened
    except BaseException:
        transport.abort()
        raise
    return made
