"""Items on their way in: whatever a person passes becomes a checked item with its input as JSON text."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loopai_lab.errors import DuplicateItem, InvalidItem
from loopai_lab.models import BatchItem
from loopai_lab.rpc.longnumbers import encode_json


@dataclass(frozen=True, slots=True)
class Prepared:
    """An item that can run."""

    index: int
    id: str
    input_json: str
    forced: bool = False


def prepare(index: int, value: object) -> Prepared:
    """Return one item, ready to run.

    Args:
        index: its place; an item without an id is called by it.
        value: a `BatchItem`, or any JSON value.

    Raises:
        InvalidItem: the input is not JSON, or the id is empty.
    """
    if isinstance(value, BatchItem):
        if not value.id:
            raise InvalidItem(f"item {index}: the id is empty")
        return Prepared(index, value.id, _json(value.id, value.input), value.force_validation)
    return Prepared(index, str(index), _json(str(index), value))


def _json(item_id: str, value: object) -> str:
    try:
        return encode_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidItem(f"item {item_id!r}: its input, a {type(value).__name__}, is not JSON: {error}") from error


def prepare_all(values: Iterable[Any]) -> list[Prepared]:
    """Return all items, ready to run, or none.

    Raises:
        InvalidItem: one cannot run.
        DuplicateItem: two have the same id.
    """
    items = [prepare(index, value) for index, value in enumerate(values)]
    seen: dict[str, int] = {}
    for item in items:
        if (first := seen.setdefault(item.id, item.index)) != item.index:
            raise DuplicateItem(
                f"items {first} and {item.index} have the same id {item.id!r}: ids are unique in a batch"
            )
    return items


def rows(items: object) -> Iterable[Any] | AsyncIterable[Any]:
    """Return what can be iterated: a DataFrame by its rows as dictionaries, anything else as it is.

    Raises:
        InvalidItem: it holds no items: a single string, number or dictionary.
    """
    if hasattr(items, "to_dict") and hasattr(items, "columns"):
        return _frame_rows(items)
    if isinstance(items, AsyncIterable):
        return items
    if isinstance(items, str | bytes | Mapping | BatchItem) or not isinstance(items, Iterable):
        raise InvalidItem(
            f"items is a single {type(items).__name__}; pass a list, a generator or a DataFrame of inputs"
        )
    return items


def _frame_rows(frame: Any) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict(orient="records")]


async def collect(items: object) -> list[Prepared]:
    """Return all items of any source, checked."""
    source = rows(items)
    if isinstance(source, AsyncIterable):
        return prepare_all([value async for value in source])
    return prepare_all(source)


class Feed:
    """Hand out items one by one, pulling from the source only when asked: the look-ahead is what runs.

    Args:
        source: prepared items, or raw values of any iterable, which are prepared as they come.
    """

    def __init__(self, source: Iterable[Any] | AsyncIterable[Any]) -> None:
        """Take the source; nothing is pulled yet."""
        self._values: Iterator[Any] | AsyncIterator[Any] = (
            iter(source) if isinstance(source, Iterable) else aiter(source)
        )
        self.pulled = 0

    async def next(self) -> Prepared | None:
        """Return the next item, or None at the end; callers take turns.

        Raises:
            InvalidItem: the next value is not an item.
        """
        try:
            value = next(self._values) if isinstance(self._values, Iterator) else await anext(self._values)
        except (StopIteration, StopAsyncIteration):
            return None
        index, self.pulled = self.pulled, self.pulled + 1
        return value if isinstance(value, Prepared) else prepare(index, value)
