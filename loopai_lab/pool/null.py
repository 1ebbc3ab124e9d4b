"""The pool that keeps nothing: what there is without reuse, behind the same interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loopai_lab.pool.pool import SessionPool

if TYPE_CHECKING:
    from loopai_lab.pool.session import SessionSource


class NullPool(SessionPool):
    """A pool that keeps nothing: every request gets a new session, which ends on its return.

    The control arm of every benchmark: the same limits, the same books, no reuse.
    """

    def __init__(self, source: SessionSource, **options: Any) -> None:
        """Take the same options as SessionPool; `min_size` and `max_uses` are given."""
        super().__init__(source, **options | {"min_size": 0, "max_uses": 1})
