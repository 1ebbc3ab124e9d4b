"""JSON with integers of any length, without touching the interpreter's limit on their digits.

Python refuses to turn integers of more than 4,300 digits into text (a guard against quadratic time). The limit belongs
to the process of our user, so it is not ours to lift; `decimal` converts without it.
"""

from __future__ import annotations

import json
import secrets
from decimal import Decimal
from typing import Any

_encode = json.JSONEncoder(separators=(",", ":")).encode
SHORT_BITS = 14_000  # an integer of fewer bits has fewer than 4,300 digits


def encode_json(value: Any) -> str:
    """Return a value as JSON text.

    Raises:
        TypeError: it holds something that is not JSON.
        ValueError: it holds itself.
        RecursionError: it is nested too deeply.
    """
    try:
        return _encode(value)
    except ValueError as error:
        if "integer string conversion" not in str(error):
            raise
    mark = secrets.token_hex(16)
    long_ones: list[str] = []
    text = _encode(_marked(value, mark, long_ones))
    for number, digits in enumerate(long_ones):
        text = text.replace(f'"{mark}-{number}"', digits, 1)
    return text


def _marked(value: Any, mark: str, long_ones: list[str]) -> Any:
    """Return the value with a marker in the place of every long integer, whose digits are collected."""
    if isinstance(value, int) and value.bit_length() > SHORT_BITS:
        long_ones.append(str(Decimal(value)))
        return f"{mark}-{len(long_ones) - 1}"
    if isinstance(value, dict):
        return {key: _marked(inner, mark, long_ones) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(inner, mark, long_ones) for inner in value]
    return value
