"""One WebSocket connection to a CodeBeaker server: calls go out, replies find their callers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from loopai_lab.errors import CallTimeout, ConnectionLost, ProtocolError, ServerUnavailable
from loopai_lab.rpc.jsonrpc import Correlator, Notification, decode_reply, encode_call, remote_error

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

logger = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 1 << 28


class Connection:
    """Make calls over one socket, many at once; `open` makes one.

    Every call has its own deadline, and nothing else ends it but its reply or the loss of the connection. Keepalive pings
    are off: a CodeBeaker server does not answer them while it runs something.
    """

    def __init__(self, socket: ClientConnection, address: str) -> None:
        """Take over an open socket and start to read from it."""
        self._socket = socket
        self._address = address
        self._calls: Correlator[tuple[asyncio.Future[Any], str]] = Correlator()
        self._lost: ConnectionLost | None = None
        self._reader = asyncio.create_task(self._read(), name=f"rpc-reader {address}")

    @classmethod
    async def open(cls, address: str, *, token: str = "", timeout_s: float = 30.0) -> Connection:
        """Connect to a `ws://` or `wss://` URL, or to the path of a Unix socket.

        Raises:
            ServerUnavailable: nobody answers there, or not as a CodeBeaker server does.
        """
        options: dict[str, Any] = {
            "compression": None,
            "ping_interval": None,
            "max_size": MAX_MESSAGE_BYTES,
            "open_timeout": timeout_s,
            "close_timeout": 2.0,
        }
        if token:
            options["additional_headers"] = {"Authorization": f"Bearer {token}"}
        try:
            if address.startswith(("ws://", "wss://")):
                socket = await connect(address, **options)
            else:
                socket = await unix_connect(address, uri="ws://localhost/ws/jsonrpc", **options)
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            message = f"no session server answers at {address}: {error or type(error).__name__}"
            raise ServerUnavailable(message) from error
        return cls(socket, address)

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._lost is None

    async def call(self, method: str, params_json: str = "{}", *, timeout_s: float | None = None) -> Any:
        """Call a method and return its result.

        Args:
            method: its name.
            params_json: its parameters as JSON text.
            timeout_s: how long to wait for the reply; None waits as long as the connection lasts.

        Raises:
            CallTimeout: no reply came in time; whether the server did it is unknown.
            ConnectionLost: the connection broke first; likewise.
            RemoteError: the server says no.
            ProtocolError: what came is not the protocol.
        """
        if self._lost is not None:
            raise ConnectionLost(str(self._lost))
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call_id = self._calls.open((future, method))
        try:
            async with asyncio.timeout(timeout_s):
                await self._socket.send(encode_call(call_id, method, params_json))
                return await future
        except TimeoutError as error:
            message = f"{method}: no reply from {self._address} within {timeout_s} s"
            raise CallTimeout(message) from error
        except ConnectionClosed as error:
            raise self._loss(error) from error
        finally:
            self._calls.resolve(call_id)

    async def _read(self) -> None:
        try:
            async for message in self._socket:
                self._take(message)
            self._end(self._loss(None))
        except ConnectionClosed as error:
            self._end(self._loss(error))

    def _take(self, message: str | bytes) -> None:
        try:
            reply = decode_reply(message)
        except ProtocolError as error:
            logger.warning("%s", error)
            return
        if isinstance(reply, Notification):
            logger.debug("notification %s is not for us", reply.method)
            return
        waiter = self._calls.resolve(reply.id)
        if waiter is None:
            logger.debug("a reply to %r came too late, or to nobody", reply.id)
            return
        future, method = waiter
        if future.done():
            return
        if reply.error is not None:
            future.set_exception(remote_error(reply.error, method))
        else:
            future.set_result(reply.result)

    def _loss(self, error: ConnectionClosed | None) -> ConnectionLost:
        how = f": {error}" if error else ""
        return ConnectionLost(f"the connection to {self._address} was lost{how}")

    def _end(self, loss: ConnectionLost) -> None:
        self._lost = loss
        for future, method in self._calls.drain():
            if not future.done():
                future.set_exception(ConnectionLost(f"{method}: {loss}"))

    async def close(self) -> None:
        """Close the connection; calls under way fail with ConnectionLost."""
        self._end(self._lost or ConnectionLost(f"the connection to {self._address} was closed"))
        await self._socket.close()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
