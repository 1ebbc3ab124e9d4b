"""One WebSocket connection to a CodeBeaker server: calls go out, replies find their callers."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from loopai_lab.errors import CallTimeout, ConnectionLost, ProtocolError, ServerUnavailable
from loopai_lab.rpc.jsonrpc import (
    Correlator,
    Notification,
    Reply,
    decode_reply,
    encode_call,
    id_in_front,
    remote_error,
)
from loopai_lab.rpc.websocket import WebSocket, dial

logger = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 1 << 28
UNAUTHORIZED = (401, 403)

Waiter = tuple[asyncio.Future[Any], str]


class Connection:
    """Make calls over one socket, many at once; `open` makes one.

    Every call has its own deadline, and nothing else ends it but its reply or the loss of the connection. Keepalive
    pings are off: a CodeBeaker server does not answer them while it runs something.
    """

    def __init__(self, address: str) -> None:
        """Start unconnected."""
        self._address = address
        self._calls: Correlator[Waiter] = Correlator()
        self._lost: ConnectionLost | None = None
        self._socket: WebSocket | None = None

    @classmethod
    async def open(cls, address: str, *, token: str = "", timeout_s: float = 30.0) -> Connection:
        """Connect to a `ws://` or `wss://` URL, or to the path of a Unix socket.

        Raises:
            ServerUnavailable: nobody answers there, or not as a CodeBeaker server does.
        """
        made = cls(address)
        try:
            async with asyncio.timeout(timeout_s):
                made._socket = await dial(
                    address, token=token, max_bytes=MAX_MESSAGE_BYTES, on_message=made._take, on_lost=made._end
                )
        except (OSError, ValueError, OverflowError, WebSocketException) as error:
            message = f"no session server answers at {address}: {_reason(error, timeout_s)}"
            raise ServerUnavailable(message) from error
        return made

    @property
    def is_open(self) -> bool:
        """Whether calls can be made."""
        return self._lost is None

    @property
    def pending(self) -> int:
        """How many calls wait for their reply."""
        return len(self._calls)

    async def call(self, method: str, params_json: str = "{}", *, timeout_s: float | None = None) -> Any:
        """Call a method and return its result, any JSON value.

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
        if self._lost is not None or self._socket is None:
            raise ConnectionLost(f"{method}: {self._lost or 'not connected'}")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call_id = self._calls.open((future, method))
        try:
            self._socket.send(encode_call(call_id, method, params_json))
            if timeout_s is None:
                return await future
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as error:
            message = f"{method}: no reply from {self._address} within {timeout_s} s"
            raise CallTimeout(message) from error
        except ConnectionClosed as error:
            raise ConnectionLost(f"{method}: {self._loss(error)}") from error
        finally:
            self._calls.resolve(call_id)

    def _take(self, message: str | bytes) -> None:
        try:
            reply = decode_reply(message)
        except ProtocolError as error:
            self._fail(id_in_front(message), error)
            return
        if isinstance(reply, Notification):
            logger.debug("notification %s is not for us", reply.method)
        elif reply.id is None and reply.error is not None:
            self._fail(None, remote_error(reply.error, "the server could not read a call"))
        else:
            self._deliver(reply)

    def _deliver(self, reply: Reply) -> None:
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

    def _fail(self, call_id: int | None, error: Exception) -> None:
        """Fail the call that a bad message belongs to; when that cannot be told, all of them.

        One of them would wait for its reply for ever otherwise, and nobody knows which. Where a session has a
        connection of its own, there is one call at most.
        """
        known = self._calls.resolve(call_id)
        waiters = [known] if known else self._calls.drain() if call_id is None else []
        logger.warning("%s; %d calls fail", error, len(waiters))
        for future, method in waiters:
            if not future.done():
                future.set_exception(error if len(waiters) == 1 else ProtocolError(f"{method}: {error}"))

    def _loss(self, error: ConnectionClosed) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self._address} was lost: {error}")

    def _end(self, error: ConnectionClosed) -> None:
        """Fail whoever waits: nobody may wait for a reply that cannot come."""
        self._lose(self._loss(error))

    def _lose(self, loss: ConnectionLost) -> None:
        self._lost = self._lost or loss
        for future, method in self._calls.drain():
            if not future.done():
                future.set_exception(ConnectionLost(f"{method}: {self._lost}"))

    async def close(self) -> None:
        """Close the connection; calls under way fail with ConnectionLost."""
        self._lose(ConnectionLost(f"the connection to {self._address} was closed"))
        if self._socket is not None:
            await self._socket.close()


def _reason(error: Exception, timeout_s: float) -> str:
    if isinstance(error, InvalidStatus) and error.response.status_code in UNAUTHORIZED:
        return f"{error}; it wants a token, or another one"
    if isinstance(error, TimeoutError):
        return f"no connection within {timeout_s:g} s"
    return str(error) or type(error).__name__
