"""The arms: what is measured, beside what, and what the clock includes. A new scenario is a new entry here.

Names stand in tables and raw rows, so two runs can be compared by them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from loopai_lab.bench import peers, poolcost
from loopai_lab.bench.child import FIND_PACKAGE
from loopai_lab.bench.floors import BarePipe, Echo
from loopai_lab.bench.measure import Arm
from loopai_lab.bench.ours import Ours

PIPE, ECHO = "bare pipe", "WebSocket echo"
FLOORS = (PIPE, ECHO)
POOL_ONE, PROCESS_ONE = "process pool, one at a time", "process per item"
SESSION_ONE, ITEM_ONE, ITEM_PACED = "session kept", "fresh per item", "fresh per item, 5 ms apart"
PIPE_TEN, ECHO_TEN = "bare pipe, ten in flight", "WebSocket echo, ten in flight"
SESSION_TEN, ITEM_TEN, CONTROL_TEN = (
    "session kept, ten at a time",
    "fresh per item, ten at a time",
    "no pool (NullPool)",
)
POOL_TEN, POOL_CHUNKS = "process pool, chunksize 1", "process pool, chunksize 100"
PROCESS_TEN = "process per item, ten at a time"
CREATE, COLD = "create a session", "create, first item, close"
PYTHON, IMPORT, IMPORT_LAB = "python -c pass", "python -c 'import loopai_lab'", "python -c 'from loopai_lab import Lab'"
POOL_PAIR, QUEUE_PAIR = "pool: acquire and release", "asyncio.Queue: get and put"

ONE, TEN, MAKING = "One at a time", "Ten at a time", "Making a session"
IMPORTING, POOL_COST = "Importing the package", "The pool itself, no server"
PAUSE_MS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much one round measures, by kind of work."""

    fast: int = 400
    paced: int = 100
    slow: int = 6
    creations: int = 4
    imports: int = 2
    batch: int = 1000
    slow_batch: int = 20
    pool: int = 50


QUICK = Sizes(fast=30, paced=10, slow=2, creations=2, imports=2, batch=50, slow_batch=10, pool=5)


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything that the arms run on, open and warm."""

    pipe: BarePipe
    echo: Echo
    process_pool: peers.ProcessPool
    ours: Ours


@contextlib.asynccontextmanager
async def open_rig() -> AsyncGenerator[Rig, None]:
    """Start the floors, the peers and our server; end them all at the end of the block."""
    async with (
        BarePipe.open() as pipe,
        Echo.open() as echo,
        peers.ProcessPool.open() as process_pool,
        Ours.open() as ours,
    ):
        yield Rig(pipe, echo, process_pool, ours)


def all_arms(rig: Rig, sizes: Sizes) -> list[Arm]:
    """Return every arm, in the order of the report."""
    return [
        *_one_at_a_time(rig, sizes),
        *_ten_at_a_time(rig, sizes),
        *_making(rig, sizes),
        *_importing(sizes),
        *_pool_cost(sizes),
    ]


def _one_at_a_time(rig: Rig, sizes: Sizes) -> list[Arm]:
    arm = functools.partial(Arm, group=ONE, unit="ms")
    beside = (FLOORS, (POOL_ONE,), (PROCESS_ONE,))
    return [
        arm(
            name=PIPE,
            role="floor",
            clock="encode, write a line to an interpreter, run, read a line, decode",
            measure=lambda: rig.pipe.latencies_ms(sizes.fast),
        ),
        arm(
            name=ECHO,
            role="floor",
            clock="encode, send a message as long as ours over a Unix socket, receive it, decode; nothing runs",
            measure=lambda: rig.echo.latencies_ms(sizes.fast),
        ),
        arm(
            name=SESSION_ONE,
            role="ours",
            clock="from one finished item to the next: executor, pool, WebSocket, server, sandbox, run, all books",
            measure=lambda: rig.ours.latencies_ms(sizes.fast, isolation="session"),
            beside=beside,
        ),
        arm(
            name=ITEM_ONE,
            role="ours",
            clock="as for session kept, with a virgin process per item; back to back, so the next fork is on the path",
            measure=lambda: rig.ours.latencies_ms(sizes.fast, isolation="item"),
            beside=beside,
        ),
        arm(
            name=ITEM_PACED,
            role="ours",
            clock="from the source's yield to the result in the caller's loop; the 5 ms pause before it is left out",
            measure=lambda: rig.ours.paced_latencies_ms(sizes.paced, isolation="item", pause_ms=PAUSE_MS),
            beside=beside,
        ),
        arm(
            name=POOL_ONE,
            role="peer",
            clock="submit(f, item).result() on a warm ProcessPoolExecutor(10), in a script; no sandbox, state kept",
            measure=lambda: rig.process_pool.latencies_ms(sizes.fast),
        ),
        arm(
            name=PROCESS_ONE,
            role="peer",
            clock="python -c with the input as argument, from start to exit; no sandbox",
            measure=lambda: peers.process_latencies_ms(sizes.slow),
        ),
    ]


def _ten_at_a_time(rig: Rig, sizes: Sizes) -> list[Arm]:
    arm = functools.partial(Arm, group=TEN, unit="items/s")
    beside = ((POOL_TEN,), (PROCESS_TEN,), (PIPE_TEN,), (ECHO_TEN,))
    batch, slow = sizes.batch, sizes.slow_batch
    ours, pool = rig.ours, rig.process_pool
    return [
        arm(
            name=PIPE_TEN,
            role="floor",
            clock="all items through one interpreter on one pipe, ten lines in flight",
            measure=_single(lambda: rig.pipe.items_per_s(batch)),
        ),
        arm(
            name=ECHO_TEN,
            role="floor",
            clock="all messages over one socket, ten in flight; nothing runs",
            measure=_single(lambda: rig.echo.items_per_s(batch)),
        ),
        arm(
            name=SESSION_TEN,
            role="ours",
            clock="execute_batch from the call to the result, on ten warm sessions with the program loaded",
            measure=_single(lambda: ours.items_per_s(batch, isolation="session")),
            beside=beside,
        ),
        arm(
            name=ITEM_TEN,
            role="ours",
            clock="execute_batch from the call to the result, with a virgin process per item",
            measure=_single(lambda: ours.items_per_s(batch, isolation="item")),
            beside=beside,
        ),
        arm(
            name=CONTROL_TEN,
            role="control",
            clock="execute_batch on a NullPool: a sandboxed session is made, used once and closed for every item",
            measure=_single(lambda: ours.control_items_per_s(slow)),
            beside=((PROCESS_TEN,),),
        ),
        arm(
            name=POOL_TEN,
            role="peer",
            clock="list(pool.map(f, items, chunksize=1)) on a warm ProcessPoolExecutor(10); no sandbox, state kept",
            measure=_single(lambda: pool.items_per_s(batch)),
        ),
        arm(
            name=POOL_CHUNKS,
            role="peer",
            clock="list(pool.map(f, items, chunksize=100)): no time, no error and no limit per item",
            measure=_single(lambda: pool.items_per_s(10 * batch, chunksize=100)),
        ),
        arm(
            name=PROCESS_TEN,
            role="peer",
            clock="ten python -c at a time, from the first start to the last exit; no sandbox",
            measure=_single(lambda: peers.process_items_per_s(slow)),
        ),
    ]


def _making(rig: Rig, sizes: Sizes) -> list[Arm]:
    arm = functools.partial(Arm, group=MAKING, unit="ms", role="ours")
    return [
        arm(
            name=CREATE,
            clock="Beaker.create_session, one after the other, each used once and closed off the clock",
            measure=lambda: rig.ours.creations_ms(sizes.creations),
            beside=((PYTHON,),),
        ),
        arm(
            name=COLD,
            clock="create_session, load and run the program once, close: what the pool saves",
            measure=lambda: rig.ours.cold_items_ms(sizes.creations),
            beside=((PROCESS_ONE,),),
        ),
    ]


def _importing(sizes: Sizes) -> list[Arm]:
    arm = functools.partial(Arm, group=IMPORTING, unit="ms")
    start = functools.partial(_start, sizes.imports)
    return [
        arm(
            name=PYTHON,
            role="floor",
            clock="a fresh interpreter from start to exit",
            measure=start("pass"),
        ),
        arm(
            name=IMPORT,
            role="ours",
            clock="a fresh interpreter from start to exit, with the import",
            measure=start("import loopai_lab"),
            beside=((PYTHON,),),
        ),
        arm(
            name=IMPORT_LAB,
            role="ours",
            clock="a fresh interpreter from start to exit, with a name that needs client, pool and executor",
            measure=start("from loopai_lab import Lab"),
            beside=((PYTHON,),),
        ),
    ]


def _pool_cost(sizes: Sizes) -> list[Arm]:
    arm = functools.partial(Arm, group=POOL_COST, unit="µs")
    return [
        arm(
            name=QUEUE_PAIR,
            role="floor",
            clock="one get and one put, nobody else there; mean of a hundred pairs",
            measure=lambda: poolcost.queue_pairs_us(sizes.pool),
        ),
        arm(
            name=POOL_PAIR,
            role="ours",
            clock="one acquire and one release with books and events, nobody else there; mean of a hundred pairs",
            measure=lambda: poolcost.pool_pairs_us(sizes.pool),
            beside=((QUEUE_PAIR,),),
        ),
    ]


def _start(count: int, source: str) -> Callable[[], Awaitable[list[float]]]:
    return lambda: peers.start_latencies_ms(FIND_PACKAGE + source, count)


def _single(measure: Callable[[], Awaitable[float]]) -> Callable[[], Awaitable[list[float]]]:
    async def measured() -> list[float]:
        return [await measure()]

    return measured
