"""The form: what to run, with how many at once, and the two buttons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from loopai_lab.execution.options import MOST_CONCURRENT
from loopai_lab.tasks import Task, find_task, task_names
from loopai_lab.workbench.words import quiet_html

SHORT = {"description_width": "initial"}


@dataclass(frozen=True, slots=True)
class Choice:
    """Hold what the form says.

    Args:
        task: the task.
        language: one that it has a program in.
        concurrency: how many items may run at once.
    """

    task: Task
    language: str
    concurrency: int


class Form:
    """Let a person choose, run and stop.

    Args:
        concurrency: what the slider says at first.
        on_run: is called when Run is pressed, on whatever thread the kernel takes for callbacks.
        on_stop: is called when Stop is pressed, likewise.
    """

    def __init__(self, concurrency: int, on_run: Callable[[], None], on_stop: Callable[[], None]) -> None:
        """Build the widgets."""
        self.task: Any = widgets.Dropdown(options=task_names(), description="Task", style=SHORT)
        self.language: Any = widgets.Dropdown(description="Language", style=SHORT)
        self.concurrency = widgets.IntSlider(
            value=min(max(1, concurrency), MOST_CONCURRENT),
            min=1,
            max=MOST_CONCURRENT,
            description="Concurrency",
            continuous_update=False,
            style=SHORT,
        )
        self.run = widgets.Button(description="Run", icon="play", button_style="primary", tooltip="Run the task")
        self.stop = widgets.Button(
            description="Stop", icon="stop", disabled=True, tooltip="Stop and keep what finished"
        )
        self.about = widgets.HTML()
        self._arrange()
        self.task.observe(self._on_task, names="value")
        self._on_task()
        self.run.on_click(lambda _: on_run())
        self.stop.on_click(lambda _: on_stop())

    def _arrange(self) -> None:
        for widget, width in ((self.task, "230px"), (self.language, "190px"), (self.concurrency, "400px")):
            widget.layout.width = width
        for button in (self.run, self.stop):
            button.layout.width = "96px"
        row = widgets.HBox([self.task, self.language, self.concurrency, self.run, self.stop])
        row.layout.flex_flow = "row wrap"
        row.layout.grid_gap = row.layout.gap = "4px 14px"
        row.layout.align_items = "center"
        self.box = widgets.VBox([row, self.about])

    def _on_task(self, _: Any = None) -> None:
        """Offer the languages of the task that was chosen, and say what it does."""
        task = find_task(self.task.value)
        self.language.options = task.languages
        self.language.value = task.languages[0]
        self.about.value = quiet_html(task.description)

    @property
    def choice(self) -> Choice:
        """What is chosen."""
        return Choice(find_task(self.task.value), self.language.value, self.concurrency.value)

    def show_running(self, *, running: bool) -> None:
        """Offer the button that makes sense."""
        self.run.disabled, self.stop.disabled = running, not running

    def widgets(self) -> list[widgets.Widget]:
        """Return every widget of the form, for closing."""
        row = self.box.children[0]
        return [*row.children, row, self.about, self.box]
