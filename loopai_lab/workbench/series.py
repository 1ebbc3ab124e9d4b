"""Series of bounded size: what a chart can hold of a run, however long the run is.

A browser draws some thousand points four times a second, and a run has a million events. So counts become averages over
equal slices of time, and of a crowd of points the lowest and the highest of each slice stay: the area under a curve and
the envelope of a cloud are the same as with all the points. Slices double when there are too many of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"

LIMIT = 1500
"""How many points one trace may have."""

FINEST_S = 1 / 64
"""The first length of a slice: a frame of a screen, finer than anybody sees."""


class Levels:
    """Hold several counts over time as their averages in equal slices.

    Args:
        rows: how many counts.
        limit: how many slices there may be; even.
        slice_s: how long a slice is at first.
    """

    def __init__(self, rows: int, *, limit: int = LIMIT - 1, slice_s: float = FINEST_S) -> None:
        """Start at second 0."""
        self._areas = np.zeros((limit + limit % 2, rows))
        self._until = 0.0
        self.slice_s = slice_s

    def hold(self, counts: Sequence[float], until: float) -> None:
        """Let the counts stand from where the last ones ended until a second; an earlier second changes nothing."""
        since = self._until
        if until <= since:
            return
        while until >= len(self._areas) * self.slice_s:
            self._halve()
        width, level = self.slice_s, np.asarray(counts, dtype=float)
        first, last = int(since / width), int(until / width)
        if first == last:
            self._areas[first] += level * (until - since)
        else:
            self._areas[first] += level * ((first + 1) * width - since)
            self._areas[first + 1 : last] += level * width
            self._areas[last] += level * (until - last * width)
        self._until = until

    def _halve(self) -> None:
        """Make one slice of every two."""
        slices, rows = self._areas.shape
        pairs = self._areas.reshape(slices // 2, 2, rows).sum(axis=1)
        self._areas = np.concatenate([pairs, np.zeros_like(pairs)])
        if len(self._areas) < slices:
            self._areas = np.concatenate([self._areas, np.zeros((slices - len(self._areas), rows))])
        self.slice_s *= 2

    def steps(self) -> tuple[Floats, Floats]:
        """Return the seconds at which slices begin and the average counts in them, one row per count.

        The last point repeats the last average at the end, so that a line of steps reaches it.
        """
        slices = math.ceil(self._until / self.slice_s)
        starts = np.arange(slices) * self.slice_s
        lengths = np.minimum(self.slice_s, self._until - starts)
        means: Floats = self._areas[:slices] / lengths[:, None]
        ends = [self._until] if slices else []
        return np.concatenate([starts, ends]), np.concatenate([means, means[-1:]]).T


class Cloud:
    """Hold points (second, value, mark), all of them while they are few, the extremes of each slice once they are many.

    Args:
        limit: how many points `points` may return.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        """Start empty."""
        self._limit = limit
        self._kept: Floats = np.empty((0, 3))

    def add(self, points: Sequence[tuple[float, float, float]]) -> None:
        """Take in new points."""
        if points:
            self._kept = np.concatenate([self._kept, np.asarray(points, dtype=float)])
        if len(self._kept) > 4 * self._limit:
            # Slices are powers of two, so those of the last thinning are unions of these: it finds what it would keep.
            self._kept = thinned(self._kept, 2 * self._limit)

    def points(self) -> Floats:
        """Return at most `limit` points as rows of second, value, mark, in the order of their arrival."""
        return thinned(self._kept, self._limit)


def thinned(points: Floats, limit: int) -> Floats:
    """Return the lowest and the highest point of each slice of time, if there are more than `limit` points.

    Args:
        points: rows of second, value, mark.
        limit: how many may be left, at least 4.
    """
    if len(points) <= limit:
        return points
    seconds, values = points[:, 0], points[:, 1]
    longest = max(float(seconds.max()), FINEST_S)
    width = 2.0 ** math.ceil(math.log2(longest / (limit // 2 - 1)))
    slices = (seconds // width).astype(int)
    order = np.lexsort((values, slices))
    firsts = np.flatnonzero(np.diff(slices[order], prepend=-1))
    lasts = np.append(firsts[1:] - 1, len(order) - 1)
    kept: Floats = points[np.unique(order[np.concatenate([firsts, lasts])])]
    return kept
