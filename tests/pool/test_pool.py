"""Who gets which session when: the pool's rules, on a virtual clock with a scripted server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from loopai_lab.errors import (
    InvalidOption,
    PoolClosed,
    PoolTimeout,
    ServerUnavailable,
    SessionMisuse,
    TooManyRequests,
    UnsupportedLanguage,
)
from loopai_lab.models import MEANINGS
from loopai_lab.pool.null import NullPool
from loopai_lab.pool.pool import SessionPool
from loopai_lab.pool.statistics import Books
from tests.support.audit import audited, use
from tests.support.scripted import ScriptedSource
from tests.support.virtual import virtual


@virtual
async def test_a_session_is_reused_by_the_next_caller() -> None:
    async with audited(source := ScriptedSource()) as pool:
        assert await use(pool) == await use(pool)
    assert len(source.made) == 1


@virtual
async def test_waiters_are_served_in_the_order_of_their_arrival() -> None:
    served: list[int] = []

    async def caller(number: int) -> None:
        async with pool.session("python"):
            served.append(number)
            await asyncio.sleep(0.01)

    async with audited(ScriptedSource(), max_size=2) as pool:
        await asyncio.gather(*(caller(number) for number in range(50)))
    assert served == list(range(50))


@virtual
async def test_a_newcomer_does_not_overtake_a_waiter() -> None:
    order: list[str] = []

    async def caller(name: str) -> None:
        async with pool.session("python"):
            order.append(name)

    async with audited(ScriptedSource(), max_size=1) as pool:
        held = await pool.acquire("python")
        waiting = asyncio.create_task(caller("waiter"))
        await asyncio.sleep(0)
        pool.release(held)
        await asyncio.gather(caller("newcomer"), waiting)
    assert order == ["waiter", "newcomer"]


@virtual
async def test_a_spike_of_short_uses_does_not_grow_the_pool_beyond_what_it_needs() -> None:
    source = ScriptedSource(create_s=0.15)
    async with audited(source, max_size=50) as pool:
        await pool.warm("python", 5)
        await asyncio.gather(*(use(pool, 0.002) for _ in range(50)))
        await asyncio.sleep(1)
        assert len(source.made) <= 7


@virtual
async def test_there_are_never_more_sessions_than_max_size() -> None:
    source = ScriptedSource()
    async with audited(source, max_size=3) as pool:
        await asyncio.gather(*(use(pool) for _ in range(40)))
    assert len(source.made) <= 3


@virtual
async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    async with audited(ScriptedSource(), max_size=1) as pool:
        held = await pool.acquire("python")
        waiter = asyncio.create_task(pool.acquire("python"))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        pool.release(held)
        assert pool.statistics().idle_sessions == 1
        assert pool.statistics().requests_cancelled == 1


@virtual
async def test_a_waiter_that_is_cancelled_in_the_instant_it_is_served_passes_its_session_on() -> None:
    async with audited(ScriptedSource(), max_size=1) as pool:
        held = await pool.acquire("python")
        first = asyncio.create_task(pool.acquire("python"))
        second = asyncio.create_task(pool.acquire("python"))
        await asyncio.sleep(0)
        pool.release(held)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        pool.release(await second)
        assert pool.statistics().requests_cancelled == 1


@virtual
async def test_a_timeout_names_the_limit_and_the_figures() -> None:
    async with audited(ScriptedSource(), max_size=1) as pool:
        held = await pool.acquire("python")
        with pytest.raises(PoolTimeout, match=r"within 0\.5 s; the pool has 1 busy, 0 idle"):
            await pool.acquire("python", timeout_s=0.5)
        pool.release(held)


@virtual
async def test_a_timeout_carries_the_failed_creation_as_its_cause() -> None:
    failure = ServerUnavailable("the server is on holiday")
    async with audited(ScriptedSource(failures=[failure] * 100)) as pool:
        with pytest.raises(PoolTimeout, match="on holiday") as caught:
            await pool.acquire("python", timeout_s=3)
    assert caught.value.__cause__ is failure


@virtual
async def test_a_creation_that_fails_is_tried_again_for_those_who_wait() -> None:
    source = ScriptedSource(failures=[ServerUnavailable("not yet"), None])
    async with audited(source) as pool:
        assert await use(pool) == "python-0"
        assert pool.statistics().sessions_create_errors == 1


@virtual
async def test_a_language_that_the_server_lacks_is_refused_at_once() -> None:
    async with audited(ScriptedSource(failures=[UnsupportedLanguage("no rust here")])) as pool:
        with pytest.raises(UnsupportedLanguage):
            await pool.acquire("rust")
        assert pool.statistics().requests_errors == 1


@virtual
async def test_an_acquire_with_no_time_takes_what_is_there_or_fails() -> None:
    async with audited(ScriptedSource(), max_size=1) as pool:
        with pytest.raises(PoolTimeout):
            await pool.acquire("python", timeout_s=0)
        await pool.warm("python", 1)
        pool.release(await pool.acquire("python", timeout_s=0))


@virtual
async def test_impossible_acquire_deadlines_are_refused() -> None:
    async with audited(ScriptedSource()) as pool:
        for timeout_s in (-1, float("nan")):
            with pytest.raises(InvalidOption):
                await pool.acquire("python", timeout_s=timeout_s)


@virtual
async def test_an_idle_session_of_another_language_makes_room() -> None:
    async with audited(source := ScriptedSource(), max_size=1) as pool:
        await use(pool, language="python")
        assert await use(pool, language="javascript") == "javascript-1"
        assert pool.statistics().closed_evicted == 1
    assert source.made[0].is_closed


@virtual
async def test_a_full_queue_refuses_one_more() -> None:
    async with audited(ScriptedSource(), max_size=1, max_waiting=1) as pool:
        held = await pool.acquire("python")
        waiter = asyncio.create_task(pool.acquire("python"))
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests, match="max_waiting=1"):
            await pool.acquire("python")
        pool.release(held)
        pool.release(await waiter)


@virtual
async def test_a_second_release_is_an_error_and_changes_nothing() -> None:
    async with audited(ScriptedSource()) as pool:
        session = await pool.acquire("python")
        pool.release(session)
        with pytest.raises(SessionMisuse):
            pool.release(session)
        assert pool.statistics().idle_sessions == 1


@virtual
async def test_a_session_of_another_pool_is_not_taken() -> None:
    async with audited(ScriptedSource()) as pool, audited(ScriptedSource()) as other:
        session = await pool.acquire("python")
        with pytest.raises(SessionMisuse):
            other.release(session)
        pool.release(session)


@virtual
async def test_a_discarded_session_is_closed_for_its_reason_and_replaced() -> None:
    async with audited(source := ScriptedSource(), max_size=1) as pool:
        session = await pool.acquire("python")
        pool.release(session, discard="timeout")
        assert await use(pool) != session.id
        assert pool.statistics().closed_timeout == 1
    assert len(source.made) == 2


@virtual
async def test_a_close_that_fails_gives_the_slot_back() -> None:
    async with audited(source := ScriptedSource(), max_size=1) as pool:
        session = await pool.acquire("python")

        async def fail() -> None:
            source.open.clear()
            raise ServerUnavailable("the server is away")

        source.made[0].close = fail  # type: ignore[method-assign]
        pool.release(session, discard="broken")
        assert await use(pool) == "python-1"


@virtual
async def test_warming_makes_the_sessions_that_the_first_callers_take() -> None:
    async with audited(source := ScriptedSource()) as pool:
        await pool.warm("python", 5)
        await asyncio.gather(*(use(pool) for _ in range(5)))
        assert len(source.made) == 5
        assert pool.statistics().taken_idle == 5


@virtual
async def test_warming_more_than_the_pool_holds_is_refused() -> None:
    async with audited(ScriptedSource(), max_size=2) as pool:
        with pytest.raises(InvalidOption, match="max_size=2"):
            await pool.warm("python", 3)


@virtual
async def test_the_minimum_is_made_ahead_and_kept() -> None:
    async with audited(source := ScriptedSource(), min_size=2, max_idle_s=10.0) as pool:
        await asyncio.sleep(0.1)
        assert len(source.open) == 2
        await asyncio.gather(*(use(pool) for _ in range(6)))
        await asyncio.sleep(200)
        assert pool.statistics().idle_sessions == 2


@virtual
async def test_idle_sessions_retire_one_by_one_and_never_early() -> None:
    closed_at: list[float] = []
    async with audited(ScriptedSource(), max_idle_s=10.0) as pool:
        pool.events.subscribe(lambda event: closed_at.append(event.at) if event.kind == "closing" else None)
        await pool.warm("python", 3)
        idle_since = asyncio.get_running_loop().time()
        await asyncio.sleep(60)
        assert len(closed_at) == 3
        assert min(closed_at) >= idle_since + 9.9
        assert len(set(closed_at)) == 3


@virtual
async def test_a_session_past_its_lifetime_is_replaced() -> None:
    async with audited(source := ScriptedSource(), max_size=1, max_lifetime_s=60.0) as pool:
        first = await use(pool)
        await asyncio.sleep(130)
        assert await use(pool) != first
        assert pool.statistics().closed_lifetime == 1
    assert len(source.made) == 2


@virtual
async def test_a_session_is_retired_after_its_last_use() -> None:
    async with audited(source := ScriptedSource(), max_size=1, max_uses=3) as pool:
        for _ in range(7):
            await use(pool)
        assert pool.statistics().closed_uses == 2
    assert len(source.made) == 3


@virtual
async def test_a_pool_that_shrinks_lets_lent_sessions_come_back_first() -> None:
    async with audited(ScriptedSource(), max_size=4) as pool:
        held = [await pool.acquire("python") for _ in range(4)]
        await pool.resize(1)
        assert pool.statistics().active_sessions == 4
        for session in held:
            pool.release(session)
        await asyncio.sleep(1)
        assert pool.statistics().total_sessions == 1


@virtual
async def test_a_pool_that_grows_serves_those_who_wait() -> None:
    async with audited(ScriptedSource(), max_size=1) as pool:
        held = await pool.acquire("python")
        waiter = asyncio.create_task(pool.acquire("python"))
        await asyncio.sleep(0.1)
        await pool.resize(2)
        pool.release(await waiter)
        pool.release(held)


@virtual
async def test_draining_replaces_every_session() -> None:
    async with audited(source := ScriptedSource(), max_size=2) as pool:
        held = await pool.acquire("python")
        await use(pool)
        await pool.drain()
        pool.release(held)
        assert await use(pool) not in {session.id for session in source.made[:2]}


@virtual
async def test_closing_wakes_every_waiter() -> None:
    pool = SessionPool(ScriptedSource(), max_size=1)
    await pool.__aenter__()
    held = await pool.acquire("python")
    waiters = [asyncio.create_task(pool.acquire("python")) for _ in range(50)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(pool.close())
    for waiter in waiters:
        with pytest.raises(PoolClosed):
            await waiter
    pool.release(held)
    await closing
    with pytest.raises(PoolClosed):
        await pool.acquire("python")


@virtual
async def test_closing_ends_sessions_that_do_not_come_back() -> None:
    source = ScriptedSource()
    pool = SessionPool(source)
    await pool.__aenter__()
    await pool.acquire("python")
    await pool.close(timeout_s=1)
    assert not source.open


@virtual
async def test_a_session_that_is_made_after_the_close_is_closed() -> None:
    source = ScriptedSource(create_s=5)
    pool = SessionPool(source)
    await pool.__aenter__()
    waiter = asyncio.create_task(pool.acquire("python"))
    await asyncio.sleep(1)
    await pool.close()
    with pytest.raises(PoolClosed):
        await waiter
    assert len(source.made) == 1
    assert not source.open


@virtual
async def test_a_null_pool_keeps_nothing() -> None:
    async with audited(source := ScriptedSource(), NullPool) as pool:
        for _ in range(3):
            await use(pool)
        await asyncio.sleep(1)
        assert pool.statistics().total_sessions == 0
    assert len(source.made) == 3


@virtual
async def test_the_statistics_are_what_the_events_say() -> None:
    async with audited(ScriptedSource(), max_size=2) as pool:
        await asyncio.gather(*(use(pool) for _ in range(20)))
        books = Books()
        for event in pool.events.since(0):
            books.apply(event)
        now = asyncio.get_running_loop().time()
        assert books.statistics(now) == Books.statistics(pool.core.books, now)


@virtual
async def test_a_notebook_shows_every_figure_with_its_meaning() -> None:
    async with audited(ScriptedSource()) as pool:
        await use(pool)
        shown = pool._repr_html_()
        assert "SessionPool open: 0 active, 1 idle of 10" in shown
        assert "<code>sessions_created</code></td><td>1</td>" in shown
        assert set(MEANINGS) == set(pool.statistics().to_dict()) - {"sandbox"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_size", 0),
        ("max_size", 2.5),
        ("max_size", True),
        ("min_size", 11),
        ("max_idle_s", -1),
        ("max_lifetime_s", float("nan")),
        ("max_uses", 0),
        ("lifetime_jitter", 2),
        ("colour", "blue"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=option):
        SessionPool(ScriptedSource(), **{option: value})
