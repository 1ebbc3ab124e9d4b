"""JSON-RPC without I/O: what is encoded, what is decoded, what is refused, and who waits for what."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopai_lab.errors import ProtocolError, RemoteError, SessionNotFound
from loopai_lab.rpc import jsonrpc

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON, st.integers(1, 1 << 40))
def test_a_call_is_one_ascii_line_that_a_server_reads_back(params: Any, call_id: int) -> None:
    line = jsonrpc.encode_call(call_id, "session.execute", jsonrpc.encode({"value": params}))
    assert line.isascii()
    assert "\n" not in line
    assert jsonrpc.decode_request(line) == jsonrpc.Request(call_id, "session.execute", {"value": params})


@given(JSON, st.integers() | st.text() | st.none())
def test_a_result_comes_back_with_its_id(result: Any, call_id: Any) -> None:
    line = jsonrpc.encode_result(call_id, jsonrpc.encode(result))
    assert jsonrpc.decode_reply(line) == jsonrpc.Reply(call_id, result, None)


def test_an_error_comes_back_with_its_code_and_data() -> None:
    reply = jsonrpc.decode_reply(
        jsonrpc.encode_error(3, -32603, "Internal error", "InvalidOperation: no\n   at Line 7")
    )
    assert isinstance(reply, jsonrpc.Reply)
    assert reply.error is not None
    error = jsonrpc.remote_error(reply.error, "session.close")
    assert str(error) == "session.close: InvalidOperation: no"
    assert (error.code, error.data) == (-32603, "InvalidOperation: no\n   at Line 7")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ({}, "m: no reason given"),
        ({"message": "Boom"}, "m: Boom"),
        ({"message": "Boom", "data": ""}, "m: Boom"),
        ({"message": "Boom", "data": "\n \n"}, "m: Boom"),
        ({"message": "Boom", "data": {"x": 1}, "code": "odd"}, "m: Boom"),
    ],
)
def test_an_error_object_of_any_form_has_a_text(error: dict[str, Any], text: str) -> None:
    found = jsonrpc.remote_error(error, "m")
    assert type(found) is RemoteError
    assert str(found) == text


def test_a_session_that_is_not_there_is_an_error_of_its_own() -> None:
    error = {"code": -32603, "data": "InvalidOperationException: Session not found: 17"}
    assert isinstance(jsonrpc.remote_error(error, "session.execute"), SessionNotFound)


@pytest.mark.parametrize(
    "line",
    ["", "x", "[]", "1", "null", '"text"', "{}", '{"id":1}', '{"id":1,"error":null}', "[" * 100_000, b"\xff", "{" * 9],
)
def test_what_is_no_reply_is_refused(line: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        jsonrpc.decode_reply(line)


def test_an_error_that_is_no_object_is_an_error_all_the_same() -> None:
    reply = jsonrpc.decode_reply('{"id":1,"result":null,"error":"broken"}')
    assert reply == jsonrpc.Reply(1, None, {"code": -32603, "message": "broken"})


def test_a_result_of_null_is_a_result() -> None:
    assert jsonrpc.decode_reply('{"id":1,"result":null,"error":null}') == jsonrpc.Reply(1, None, None)


def test_a_message_with_a_method_is_a_notification() -> None:
    line = '{"jsonrpc":"2.0","id":null,"method":"execution.output","params":{"text":"hi"}}'
    assert jsonrpc.decode_reply(line) == jsonrpc.Notification("execution.output", {"text": "hi"})


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nonsense", jsonrpc.PARSE_ERROR),
        ("[1]", jsonrpc.PARSE_ERROR),
        ("null", jsonrpc.PARSE_ERROR),
        ("\r", jsonrpc.PARSE_ERROR),
        ("[" * 100_000, jsonrpc.PARSE_ERROR),
        ('{"id":1,"method":5}', jsonrpc.INVALID_REQUEST),
        ('{"id":1,"method":""}', jsonrpc.INVALID_REQUEST),
        ('{"id":1,"jsonrpc":2.0,"method":"x"}', jsonrpc.INVALID_REQUEST),
    ],
)
def test_a_request_that_is_none_has_the_error_to_answer_with(line: str, code: int) -> None:
    with pytest.raises(jsonrpc.RequestError) as caught:
        jsonrpc.decode_request(line)
    assert caught.value.code == code
    assert json.loads(caught.value.encode())["error"]["code"] == code


@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("digits", [4000, 4301, 5000, 100_000])
def test_an_integer_of_any_length_is_decoded_and_the_process_keeps_its_guard(sign: str, digits: int) -> None:
    before = sys.get_int_max_str_digits()
    value = jsonrpc.decode(f"[{sign}1{'0' * (digits - 1)}, 2.5, 3]")
    assert value == [int(f"{sign}1") * 10 ** (digits - 1), 2.5, 3]
    assert sys.get_int_max_str_digits() == before


@given(st.integers())
def test_integers_are_decoded_exactly(value: int) -> None:
    assert jsonrpc.decode(str(value)) == value


@pytest.mark.parametrize("text", [b"1", b'{"a": NaN}', b"1" * 100_000, b'"\\ud800"'])
def test_json_is_told_from_what_is_not(text: bytes) -> None:
    assert jsonrpc.why_not_json(text) is None


@pytest.mark.parametrize("text", [b"", b"x", b"[1", b"1" * 5000 + b"]", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_told_from_json(text: bytes) -> None:
    assert jsonrpc.why_not_json(text)


@pytest.mark.parametrize(
    ("message", "call_id"),
    [
        ('{"jsonrpc":"2.0","id":17,"result":[[[', 17),
        (b'{"jsonrpc": "2.0", "id": 17, "result"', 17),
        ('{"id":3,"method":', 3),
        ('{"result":{"id":3}', None),
        ('{"jsonrpc":"2.0","id":"17","result"', None),
        ('{"jsonrpc":"2.0","id":null,', None),
        ("", None),
        (b"\xff\xfe", None),
    ],
)
def test_the_id_of_a_broken_message_is_found_where_everybody_writes_it(
    message: str | bytes, call_id: int | None
) -> None:
    assert jsonrpc.id_in_front(message) == call_id


def test_each_reply_finds_its_caller_once() -> None:
    calls: jsonrpc.Correlator[str] = jsonrpc.Correlator()
    first, second = calls.open("first"), calls.open("second")
    assert first != second
    assert calls.resolve(second) == "second"
    assert calls.resolve(second) is None
    assert calls.resolve(first) == "first"
    assert len(calls) == 0


@pytest.mark.parametrize("call_id", [99, None, "1", 1.0, True, [1]])
def test_an_unknown_id_has_no_caller(call_id: object) -> None:
    calls: jsonrpc.Correlator[str] = jsonrpc.Correlator()
    calls.open("one")
    assert calls.resolve(call_id) is None
    assert len(calls) == 1


def test_all_callers_are_told_when_the_connection_is_over() -> None:
    calls: jsonrpc.Correlator[str] = jsonrpc.Correlator()
    calls.open("one")
    calls.open("two")
    assert calls.drain() == ["one", "two"]
    assert calls.drain() == []
