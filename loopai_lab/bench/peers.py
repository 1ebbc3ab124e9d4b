"""Other ways to run the same work, each in its natural form: a process per item, and a pool of processes.

The process pool is used as its documentation uses it, from a plain script: it runs in a child, holds its own clock and
tells its samples, so neither our event loop nor our pipes slow it down.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import sys
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from types import CodeType
from typing import Any

from loopai_lab.bench.child import FIND_PACKAGE, ArmFailed, LineChild, line_child
from loopai_lab.bench.work import CODE, check_answers, inputs

WORKERS = 10
SCRIPT = f"import json, sys; input_data = json.loads(sys.argv[1]); {CODE}; print(json.dumps(result))"
POOL_CHILD = f"{FIND_PACKAGE}from loopai_lab.bench.peers import serve_pool; serve_pool()"


# -- a process per item -----------------------------------------------------------------------------------------------


async def run_process(value: Any) -> Any:
    """Run the program on one input in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, json.dumps(value), stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    if process.returncode:
        raise ArmFailed(f"a process per item ended with {process.returncode}: {err.decode(errors='replace')[-500:]}")
    return json.loads(out)


async def process_latencies_ms(count: int) -> list[float]:
    """Run `count` items one after the other, each in its process."""
    spent_ms, answers = [], []
    for value in inputs(count):
        began = time.perf_counter()
        answers.append(await run_process(value))
        spent_ms.append((time.perf_counter() - began) * 1000)
    check_answers(answers, count=count)
    return spent_ms


async def process_items_per_s(count: int, *, at_once: int = WORKERS) -> float:
    """Run `count` items, `at_once` processes at a time, and return the rate."""
    slots = asyncio.Semaphore(at_once)
    began = time.perf_counter()
    answers = await asyncio.gather(*(_in_a_slot(slots, value) for value in inputs(count)))
    spent_s = time.perf_counter() - began
    check_answers(answers, count=count)
    return count / spent_s


async def _in_a_slot(slots: asyncio.Semaphore, value: Any) -> Any:
    async with slots:
        return await run_process(value)


async def start_latencies_ms(source: str, count: int) -> list[float]:
    """Run a program text in `count` fresh interpreters, one after the other, from start to end."""
    return [await _start_ms(source) for _ in range(count)]


async def _start_ms(source: str) -> float:
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", source)
    if await process.wait():
        raise ArmFailed(f"python -c {source!r} ended with {process.returncode}")
    return (time.perf_counter() - began) * 1000


# -- a pool of processes, as seen from here ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProcessPool:
    """A script with a warm `ProcessPoolExecutor(10)`.

    Args:
        child: the script.
    """

    child: LineChild

    @staticmethod
    @contextlib.asynccontextmanager
    async def open() -> AsyncGenerator[ProcessPool, None]:
        """Start the script and its workers."""
        async with line_child(POOL_CHILD) as child:
            await child.receive()
            yield ProcessPool(child)

    async def latencies_ms(self, count: int) -> list[float]:
        """Submit `count` items one after the other, each when the one before is answered."""
        return await self._ask({"way": "one", "count": count})

    async def items_per_s(self, count: int, *, chunksize: int = 1) -> float:
        """Map `count` items over the workers and return the rate."""
        return (await self._ask({"way": "map", "count": count, "chunksize": chunksize}))[0]

    async def _ask(self, request: dict[str, Any]) -> list[float]:
        samples: list[float] = json.loads(await self.child.ask(json.dumps(request).encode()))
        return samples


# -- the script -------------------------------------------------------------------------------------------------------


@functools.cache
def _compiled() -> CodeType:
    return compile(CODE, "program.py", "exec")


def run_here(value: Any) -> Any:
    """Run the program on one input, in whatever process this is."""
    namespace = {"input_data": value}
    exec(_compiled(), namespace)  # noqa: S102 - the work itself
    return namespace["result"]


def serve_pool() -> None:
    """Answer requests on standard input until it ends; the pool is warm before the first."""
    ways: dict[str, Callable[..., list[float]]] = {"one": _submit_each, "map": _map_all}
    with ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(run_here, inputs(20 * WORKERS)))
        print("ready", flush=True)  # noqa: T201 - its answers go to its standard output
        for line in sys.stdin:
            request = json.loads(line)
            print(json.dumps(ways[request.pop("way")](pool, **request)), flush=True)  # noqa: T201


def _submit_each(pool: ProcessPoolExecutor, *, count: int) -> list[float]:
    spent_ms, answers = [], []
    for value in inputs(count):
        began = time.perf_counter()
        answers.append(pool.submit(run_here, value).result())
        spent_ms.append((time.perf_counter() - began) * 1000)
    check_answers(answers, count=count)
    return spent_ms


def _map_all(pool: ProcessPoolExecutor, *, count: int, chunksize: int) -> list[float]:
    values = inputs(count)
    began = time.perf_counter()
    answers = list(pool.map(run_here, values, chunksize=chunksize))
    spent_s = time.perf_counter() - began
    check_answers(answers, count=count)
    return [count / spent_s]
