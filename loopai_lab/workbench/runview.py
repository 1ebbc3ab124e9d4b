"""One run, shown live: its status, its charts and a Stop button, without the form. What `run.show()` returns."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from loopai_lab.workbench.bundle import bundle
from loopai_lab.workbench.charts import Chart
from loopai_lab.workbench.state import Snapshot, Standing
from loopai_lab.workbench.watch import PoolView, Watch
from loopai_lab.workbench.words import details, fallback_html, headline, message_html, status_html

if TYPE_CHECKING:
    from loopai_lab.execution.run import Run


class RunView:
    """Watch a run until it has ended. Leave it as the last expression of a cell to see it.

    Args:
        run: any run, running or ended.
    """

    def __init__(self, run: Run) -> None:
        """Build the widgets and begin to look."""
        self.run = run
        self._lock = threading.RLock()  # around every change of the page
        self._standing = Standing(sandbox=run.pool.statistics().sandbox)
        self.stop_button = widgets.Button(
            description="Stop", icon="stop", tooltip="Cancel the run; what has finished is kept"
        )
        self.stop_button.on_click(lambda _: self.stop())
        self.status = widgets.HTML(status_html(self._standing))
        self.message = widgets.HTML()
        self.chart = Chart(self._lock)
        self.box = widgets.VBox([widgets.HBox([self.stop_button, self.status]), self.message, self.chart.figure])
        self._watch = Watch(run, PoolView(run.pool), self._show, self._show_error)
        self._watch.start()

    def stop(self) -> None:
        """Cancel the run; what the Stop button does. What has finished is kept."""
        self._watch.stopping()
        self.run.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the run has ended and the page shows it; return False if either takes longer than `timeout`."""
        return self.run.wait(timeout) and self._watch.join(timeout)

    def close(self) -> None:
        """Take the view from the page; the run goes on."""
        self._watch.close()
        with self._lock:
            for widget in (self.stop_button, self.status, self.message, self.box):
                widget.close()
            self.chart.close()

    def _show(self, snapshot: Snapshot, standing: Standing) -> None:
        with self._lock:
            self.chart.draw(snapshot, self.run.id)
            self._standing = standing
            self.status.value = status_html(standing)
            self.stop_button.disabled = standing.phase != "running"
            if standing.error is not None:
                self.message.value = message_html(standing.error)

    def _show_error(self, error: Exception) -> None:
        with self._lock:
            self.message.value = message_html(error)

    @property
    def _subject(self) -> str:
        return self.run.task_id or self.run.program.name or "a program"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """Return the live view, and beside it what a saved notebook shows where no kernel runs."""
        return bundle(self.box, repr(self), fallback_html(self._subject, self._standing))

    def __repr__(self) -> str:
        """Say what it shows."""
        return f"<RunView {self._subject}: {', '.join([headline(self._standing), *details(self._standing)])}>"
