"""The workbench: the form, the status line, the message area and the figure, and a lab behind them.

Where a callback of a widget runs is up to the kernel: its main thread, a thread of its own, in between the awaits of a
cell. So a callback only posts: Run asks the lab to start, Stop asks the run to cancel, and both return. All that the
page shows is set by the watch's thread, under one lock.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from loopai_lab.workbench.bundle import bundle
from loopai_lab.workbench.charts import Chart
from loopai_lab.workbench.form import Form
from loopai_lab.workbench.state import Snapshot, Standing
from loopai_lab.workbench.watch import PoolView, Watch
from loopai_lab.workbench.words import details, fallback_html, headline, message_html, note_html, status_html

if TYPE_CHECKING:
    from loopai_lab.execution.run import Run
    from loopai_lab.lab import Lab


def guarded(callback: Callable[[Workbench], object]) -> Callable[[Workbench], None]:
    """Show what a callback raises in the message area; in a widget's callback nobody else would see it."""

    @functools.wraps(callback)
    def call(self: Workbench) -> None:
        try:
            callback(self)
        except Exception as error:  # noqa: BLE001 - it is shown
            self._show_error(error)

    return call


class Workbench:
    """Choose a task, run it, watch the pool at work, stop it.

    Leave it as the last expression of a cell to see it. `run` is the run that it shows or showed last: `run.to_frame()`
    has what was finished, whether it was stopped or not.

    Args:
        lab: runs what is chosen; it is opened if it is not yet.

    Raises:
        PoolClosed: the lab was closed.
        ServerUnavailable: the server could not be started or reached.
    """

    def __init__(self, lab: Lab) -> None:
        """Build the widgets; nothing runs yet."""
        self.lab = lab
        self.run: Run | None = None
        self._lock = threading.RLock()  # around every change of the page
        self._turn = threading.RLock()  # around starting and closing; the watch's thread never takes it
        self._watch: Watch | None = None
        self._pool_view = PoolView(lab.pool)
        self._standing = Standing(sandbox=lab.statistics().sandbox)
        self.form = Form(lab.settings.max_size, functools.partial(_run, self), functools.partial(_stop, self))
        self.status = widgets.HTML(status_html(self._standing))
        self.message = widgets.HTML(note_html("Press Run. The first items are cold: a session must be made for them."))
        self.chart = Chart(self._lock)
        self.box = widgets.VBox([self.form.box, self.status, self.message, self.chart.figure])
        self.message.layout.min_height = "28px"  # so that the charts stay where they are when a message comes
        self.box.add_class("loopai-workbench")

    # -- running ------------------------------------------------------------------------------------------------------

    def start(self) -> Run:
        """Run what the form says; what the Run button does.

        Raises:
            LoopaiLabError: it cannot run, and nothing was started.
        """
        with self._turn:
            if self.run is not None and not self.run.done:
                return self.run
            choice = self.form.choice
            run = self.lab.start(
                choice.task.program(choice.language),
                choice.task.items(),
                task_id=choice.task.name,
                max_concurrency=choice.concurrency,
            )
            self.watch(run)
            return run

    def watch(self, run: Run) -> None:
        """Show a run of this workbench's lab, such as one that `lab.start` returned in another cell."""
        with self._turn:
            if self._watch is not None:
                self._watch.close()
            self.run = run
            self._watch = Watch(run, self._pool_view, self._show, self._show_error)
            with self._lock:
                self.message.value = ""
                self.form.show_running(running=True)
            self._watch.start()

    def stop(self) -> None:
        """Cancel what runs; what the Stop button does. What has finished is kept."""
        run, watch = self.run, self._watch
        if run is not None and watch is not None:
            watch.stopping()
            run.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the run has ended and the page shows it; return False if either takes longer than `timeout`."""
        run, watch = self.run, self._watch
        if run is None or watch is None:
            return True
        return run.wait(timeout) and watch.join(timeout)

    # -- showing ------------------------------------------------------------------------------------------------------

    def _show(self, snapshot: Snapshot, standing: Standing) -> None:
        """Bring the page up to date; the watch's thread calls it."""
        with self._lock:
            run = self.run
            self.chart.draw(snapshot, run.id if run is not None else "")
            self._standing = standing
            self.status.value = status_html(standing)
            if standing.phase not in {"running", "stopping"}:
                self._settle(standing)

    def _settle(self, standing: Standing) -> None:
        self.form.show_running(running=False)
        if standing.error is not None:
            self.message.value = message_html(standing.error)
        elif standing.finished:
            self.message.value = note_html("The items are in <code>workbench.run.to_frame()</code>.")

    def _show_error(self, error: Exception) -> None:
        with self._lock:
            self.message.value = message_html(error)
            self.form.show_running(running=self.run is not None and not self.run.done)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the live view, and beside it what a saved notebook shows where no kernel runs."""
        return bundle(self.box, repr(self), fallback_html(self._subject, self._standing))

    def __repr__(self) -> str:
        """Say what it shows."""
        return f"<Workbench {self._subject}: {', '.join([headline(self._standing), *details(self._standing)])}>"

    @property
    def _subject(self) -> str:
        """What is shown, by name: the run's task or program, or the task that is chosen."""
        if self.run is None:
            return str(self.form.task.value)
        return self.run.task_id or self.run.program.name or "a program"

    # -- closing ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take the workbench from the page; what runs goes on, and the lab stays open. Twice is fine."""
        with self._turn:
            watch, self._watch = self._watch, None
            if watch is not None:
                watch.close()
        with self._lock:
            for widget in (*self.form.widgets(), self.status, self.message, self.box):
                widget.close()
            self.chart.close()


_run = guarded(Workbench.start)
_stop = guarded(Workbench.stop)
