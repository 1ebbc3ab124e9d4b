"""JSON-RPC 2.0 without I/O: encode, decode, correlate. No sockets, no clock, no event loop.

The wire rules are CodeBeaker's: text messages, one JSON object per line, ASCII only (its server decodes 4 KB chunks one
by one, so a longer character could be cut), and replies with both `result` and `error`, the unused one being null.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from loopai_lab.errors import ProtocolError, RemoteError, SessionNotFound

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
PROGRAM_NOT_LOADED = -32001
"""Ours: `run` named a program by its key, and the session does not have it (any more). Nothing ran; send its code."""

T = TypeVar("T")
encode = json.JSONEncoder(separators=(",", ":")).encode
_decode_plain = json.JSONDecoder().decode
_ID_IN_FRONT = re.compile(r'\s*\{\s*(?:"jsonrpc"\s*:\s*"2\.0"\s*,\s*)?"id"\s*:\s*(\d{1,18})\s*[,}]')
_DIGITS_AT_ONCE = 4000  # int() refuses more than 4,300 unless the whole process allows it


def decode(text: str) -> Any:
    """Return a JSON value; an integer may have any number of digits.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deep.
    """
    try:
        return _decode_plain(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=_long_int)


def _long_int(digits: str) -> int:
    if len(digits) <= _DIGITS_AT_ONCE:
        return int(digits)
    if digits.startswith("-"):
        return -_long_int(digits[1:])
    right = len(digits) // 2
    power: int = 10**right
    return _long_int(digits[:-right]) * power + _long_int(digits[-right:])


def why_not_json(text: bytes) -> str | None:
    """Return what is wrong with what should be JSON, or None; numbers are not made of its digits, however many."""
    try:
        try:
            json.loads(text)
        except json.JSONDecodeError:
            raise
        except ValueError:
            json.loads(text, parse_int=len)
    except (ValueError, RecursionError) as error:
        return str(error)
    return None


def id_in_front(message: str | bytes) -> int | None:
    """Return the id of a message that cannot be decoded, if it stands where everybody writes it."""
    head = message[:100] if isinstance(message, str) else message[:100].decode("ascii", "replace")
    found = _ID_IN_FRONT.match(head)
    return int(found[1]) if found else None


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
        message = decode(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(PARSE_ERROR, "Parse error", str(error), id_in_front(line)) from error
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
        message = decode(line if isinstance(line, str) else line.decode())
    except (ValueError, RecursionError) as error:
        text = f"the server sent {len(line)} characters that are not JSON: {error}"
        raise ProtocolError(text) from error
    if not isinstance(message, dict):
        text = f"the server sent a JSON {type(message).__name__} where an object belongs"
        raise ProtocolError(text)
    method = message.get("method")
    if isinstance(method, str):
        return Notification(method, message.get("params"))
    said = message.get("error")
    if said is not None and not isinstance(said, dict):
        said = {"code": INTERNAL_ERROR, "message": str(said)}
    if said is None and "result" not in message:
        text = f"the server's reply to call {message.get('id')!r} has neither result nor error"
        raise ProtocolError(text)
    return Reply(message.get("id"), message.get("result"), said)


def remote_error(error: dict[str, Any], method: str) -> RemoteError:
    """Return the exception for an error object; the useful text of a CodeBeaker server is the first line of `data`."""
    code = error.get("code", INTERNAL_ERROR)
    data = error.get("data")
    reason = (
        data.strip().splitlines()[0]
        if isinstance(data, str) and data.strip()
        else error.get("message", "no reason given")
    )
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
        if not isinstance(call_id, int) or isinstance(call_id, bool):
            return None
        return self._waiting.pop(call_id, None)

    def drain(self) -> list[T]:
        """Return all callers and forget them: the connection is over."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        return waiting
