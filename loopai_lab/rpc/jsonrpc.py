"""JSON-RPC 2.0 without I/O: encode, decode, correlate. No sockets, no clock, no event loop.

The wire rules are CodeBeaker's: text messages, one JSON object per line, ASCII only (its server decodes 4 KB chunks one by
one, so a longer character could be cut), and replies that carry both `result` and `error`, the unused one being null.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from loopai_lab.errors import ProtocolError, RemoteError, SessionNotFound

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

T = TypeVar("T")
encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


@dataclass(frozen=True, slots=True)
class Request:
    """A call (`id` is not None) or a notification, as a server sees it."""

    id: Any
    method: str
    params: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a call, as a client sees it; `error` is None or the error object."""

    id: Any
    result: Any
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Notification:
    """A message from the server that answers nothing."""

    method: str
    params: Any


def encode_call(call_id: int, method: str, params_json: str = "{}") -> str:
    """Return a call as one line; `params_json` is JSON text already, so that payloads are encoded once."""
    return f'{{"jsonrpc":"2.0","id":{call_id},"method":"{method}","params":{params_json}}}'


def encode_result(call_id: object, result_json: str) -> str:
    """Return a successful reply as one line; `result_json` is JSON text already."""
    return f'{{"jsonrpc":"2.0","id":{encode(call_id)},"result":{result_json},"error":null}}'


def encode_error(call_id: object, code: int, message: str, data: object = None) -> str:
    """Return a failed reply as one line."""
    error = {"code": code, "message": message, "data": data}
    return f'{{"jsonrpc":"2.0","id":{encode(call_id)},"result":null,"error":{encode(error)}}}'


class RequestError(Exception):
    """A message that cannot be served: what a server answers with.

    Args:
        code: the JSON-RPC error code.
        message: its standard text.
        data: what is wrong, for a person.
        call_id: the id to answer to; None where it is unknown.
    """

    def __init__(self, code: int, message: str, data: str, call_id: object = None) -> None:
        """Keep the parts of the error object."""
        super().__init__(f"{message}: {data}")
        self.code, self.message, self.data, self.call_id = code, message, data, call_id

    def encode(self) -> str:
        """Return the reply."""
        return encode_error(self.call_id, self.code, self.message, self.data)


def decode_request(line: str) -> Request:
    """Return the call or notification in one line.

    Raises:
        RequestError: it is not one; the error knows the reply to send.
    """
    try:
        message = _decode(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(PARSE_ERROR, "Parse error", str(error)) from error
    if not isinstance(message, dict):
        raise RequestError(PARSE_ERROR, "Parse error", f"a {type(message).__name__} is not a request object")
    call_id = message.get("id")
    if message.get("jsonrpc", "2.0") != "2.0":
        raise RequestError(INVALID_REQUEST, "Invalid Request", "jsonrpc must be 2.0", call_id)
    method = message.get("method")
    if not isinstance(method, str) or not method:
        raise RequestError(INVALID_REQUEST, "Invalid Request", "method is missing", call_id)
    return Request(call_id, method, message.get("params"))


def decode_reply(line: str | bytes) -> Reply | Notification:
    """Return the reply or notification in one message of a server.

    Raises:
        ProtocolError: it is neither.
    """
    try:
        message = _decode(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError) as error:
        text = f"the server sent {len(line)} characters that are not JSON: {error}"
        raise ProtocolError(text) from error
    if not isinstance(message, dict):
        text = f"the server sent a JSON {type(message).__name__} where an object belongs"
        raise ProtocolError(text)
    method = message.get("method")
    if isinstance(method, str):
        return Notification(method, message.get("params"))
    error = message.get("error")
    if error is not None and not isinstance(error, dict):
        error = {"code": INTERNAL_ERROR, "message": str(error)}
    if error is None and "result" not in message:
        text = f"the server's reply to call {message.get('id')!r} has neither result nor error"
        raise ProtocolError(text)
    return Reply(message.get("id"), message.get("result"), error)


def remote_error(error: dict[str, Any], method: str) -> RemoteError:
    """Return the exception for an error object; the useful text of a CodeBeaker server is the first line of `data`."""
    code = error.get("code", INTERNAL_ERROR)
    data = error.get("data")
    reason = data.splitlines()[0] if isinstance(data, str) and data else error.get("message", "no reason given")
    kind = SessionNotFound if "Session not found" in str(reason) else RemoteError
    return kind(f"{method}: {reason}", code=code if isinstance(code, int) else INTERNAL_ERROR, data=data)


class Correlator(Generic[T]):
    """Remember who waits for which id.

    `T` is whatever the driver wakes its callers with; ids are small integers, never used twice in one connection.
    """

    __slots__ = ("_next", "_waiting")

    def __init__(self) -> None:
        """Start with nothing waiting."""
        self._next = 0
        self._waiting: dict[int, T] = {}

    def __len__(self) -> int:
        """Return how many calls wait for their reply."""
        return len(self._waiting)

    def open(self, waiter: T) -> int:
        """Register a caller and return the id of its call."""
        self._next += 1
        self._waiting[self._next] = waiter
        return self._next

    def resolve(self, call_id: object) -> T | None:
        """Return the caller that a reply is for; None when nobody waits: an unknown, repeated or abandoned id."""
        return self._waiting.pop(call_id, None) if isinstance(call_id, int) else None

    def drain(self) -> list[T]:
        """Return all callers and forget them: the connection is over."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        return waiting
