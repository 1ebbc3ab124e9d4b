"""The lab: server, pool, executor and engine behind plain calls, for cells and scripts."""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from loopai_lab.engine import Engine
from loopai_lab.errors import InvalidInput, InvalidOption, PoolClosed
from loopai_lab.execution.executor import BatchExecutor
from loopai_lab.execution.standard import ProcessSource
from loopai_lab.pool.null import NullPool
from loopai_lab.pool.pool import SessionPool
from loopai_lab.rpc.beaker import Beaker
from loopai_lab.rpc.foreign_sessions import ForeignOptions
from loopai_lab.settings import Settings
from loopai_lab.tasks import Task, find_task

if TYPE_CHECKING:
    from types import TracebackType

    from loopai_lab.execution.run import Run
    from loopai_lab.models import BatchResult, Program, SessionPoolStatistics

TICK_S = 0.1
Source = Beaker | ProcessSource


class Lab:
    """Run programs over items from a cell or a script; everything that takes time runs on the engine's thread.

    It starts on first use; close it, or use it in a `with` block, and nothing is left. A lab that is forgotten is
    closed when the interpreter ends, and its server ends with this process in any case.

    Args:
        url: a CodeBeaker server's WebSocket URL; None starts the embedded server.
        settings: where the rest comes from; the environment's if left out.
        **changes: single settings, such as `max_size=20` or `sandbox="plain"`; see `Settings`.

    Raises:
        InvalidOption: a setting has a value that it cannot have.
    """

    def __init__(self, url: str | None = None, *, settings: Settings | None = None, **changes: Any) -> None:
        """Read the settings; nothing is started yet."""
        if url is not None:
            changes["url"] = url
        self.settings = _settings(settings, changes)
        self.runs: list[Run] = []
        self._engine = Engine()
        self._lock = threading.Lock()
        self._parts: tuple[Source, SessionPool, BatchExecutor] | None = None
        self._closed = False

    # -- opening and closing ------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start the engine and reach the server."""
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End everything."""
        self.close()

    def _opened(self) -> tuple[Source, SessionPool, BatchExecutor]:
        with self._lock:
            if self._closed:
                raise PoolClosed("this lab was closed: make a new one")
            if self._parts is None:
                try:
                    self._parts = self._engine.call(self._open)
                except BaseException:
                    self._engine.stop()
                    raise
                _close_at_exit(self)
            return self._parts

    async def _open(self) -> tuple[Source, SessionPool, BatchExecutor]:
        settings = self.settings
        source: Source = ProcessSource()
        if settings.provider == "sessions":
            source = Beaker(**settings.beaker_options(), foreign=ForeignOptions(**settings.foreign_options()))
            await source.__aenter__()
        pool_of = SessionPool if settings.provider == "sessions" else NullPool  # a process per item keeps nothing
        pool = pool_of(source, **settings.pool_options())
        pool.open()
        return source, pool, BatchExecutor(pool)

    def close(self) -> None:
        """Cancel what runs, end all sessions and the embedded server; twice is fine."""
        with self._lock:
            self._closed = True
            parts, self._parts = self._parts, None
        for run in self.runs:
            run.cancel()
        if parts is not None:
            self._engine.call(_shut, *parts[:2])
        self._engine.stop()

    # -- running ------------------------------------------------------------------------------------------------------

    def start(self, program: Program | Task | str, items: Any = None, **options: Any) -> Run:
        """Start a batch and return its handle at once.

        Args:
            program: a `Program`, or a bundled task or its name.
            items: JSON values, `BatchItem`s or a DataFrame; a task brings its own if left out.
            **options: `max_concurrency=10`, `stop_on_first_error=False`, `timeout_ms=None`, `sampling_rate=0.0`,
                `isolation="item"`, `seed=None`; see `RunOptions`.

        Raises:
            InvalidInput: something cannot run; nothing was started.
        """
        _, _, executor = self._opened()
        chosen, inputs, task_id = _resolve(program, items)
        usual = {"task_id": task_id, "timeout_ms": self.settings.timeout_ms}
        run = self._engine.call(partial(executor.start, chosen, inputs, **usual | options))
        self.runs.append(run)
        return run

    def run(
        self, program: Program | Task | str, items: Any = None, *, progress: bool = True, **options: Any
    ) -> BatchResult:
        """Run a batch, show a progress bar, and return the result.

        Ctrl-C and the stop button cancel the batch: what had finished is in the result, the rest is `cancelled`.

        Args:
            program: as for `start`.
            items: as for `start`.
            progress: whether to show the bar.
            **options: as for `start`.
        """
        run = self.start(program, items, **options)
        try:
            _watch(run, show=progress)
        except KeyboardInterrupt:
            run.cancel()
            now = run.progress
            print(f"stopped: {now.done} of {now.total} items had finished and are kept", file=sys.stderr)  # noqa: T201
        return run.result()

    # -- looking and steering -----------------------------------------------------------------------------------------

    @property
    def pool(self) -> SessionPool:
        """The pool; its coroutines belong on the engine: `lab.warm`, `lab.resize`."""
        return self._opened()[1]

    @property
    def source(self) -> Source:
        """What makes the sessions: a `Beaker`, or the standard provider."""
        return self._opened()[0]

    def statistics(self) -> SessionPoolStatistics:
        """Return what the pool has and has done."""
        return self.pool.statistics()

    def warm(self, language: str = "python", size: int = 1) -> None:
        """Make sessions until there are `size` of a language."""
        self._engine.call(self.pool.warm, language, size)

    def resize(self, max_size: int) -> None:
        """Change how many sessions the pool may hold, while it works."""
        self._engine.call(self.pool.resize, max_size)

    def drain(self) -> None:
        """Replace every session: idle ones now, lent ones as they come back."""
        self._engine.call(self.pool.drain)

    def workbench(self) -> Any:
        """Show the workbench: choose, run, watch, stop."""
        from loopai_lab.workbench.view import Workbench

        return Workbench(self)

    def __repr__(self) -> str:
        """Say what it has."""
        if self._parts is None:
            return f"<Lab {'closed' if self._closed else 'not started'}>"
        return f"<Lab {self._parts[0]!r} {self._parts[1]!r}>"


def _resolve(program: Program | Task | str, items: Any) -> tuple[Program, Any, str | None]:
    """Return the program, its items and its task's name; a string names a bundled task."""
    task = find_task(program) if isinstance(program, str) else program
    if isinstance(task, Task):
        return task.program(), task.items() if items is None else items, task.name
    if items is None:
        raise InvalidInput("items is missing: pass the inputs to run the program on")
    return task, items, None


def _settings(settings: Settings | None, changes: dict[str, Any]) -> Settings:
    base = settings.model_dump(exclude_unset=True) if settings is not None else {}
    try:
        return Settings(**base | changes)
    except ValueError as error:
        raise InvalidOption(f"Lab: {error}") from error


async def _shut(source: Source, pool: SessionPool) -> None:
    try:
        await pool.close()
    finally:
        if isinstance(source, Beaker):
            await source.close()


def _watch(run: Run, *, show: bool) -> None:
    """Wait in short steps, so that Ctrl-C is heard, and keep the bar up to date."""
    from tqdm.auto import tqdm

    with tqdm(total=run.progress.total, unit="item", disable=not show, leave=True) as bar:
        while not run.wait(TICK_S):
            _update(bar, run)
        _update(bar, run)


def _update(bar: Any, run: Run) -> None:
    now = run.progress
    if now.failed:
        bar.set_postfix(failed=now.failed, refresh=False)
    bar.update(now.done - bar.n)


def _close_at_exit(lab: Lab) -> None:
    """Close a forgotten lab when the interpreter ends; the engine's thread is a daemon and still runs then."""
    reference = weakref.ref(lab)

    def close() -> None:
        if (forgotten := reference()) is not None:
            forgotten.close()

    atexit.register(close)
