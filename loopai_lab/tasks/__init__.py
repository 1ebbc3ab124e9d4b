"""Bundled tasks: a program with data of its own, so that there is something real to run at once."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from loopai_lab.errors import UnknownTask, UnsupportedLanguage
from loopai_lab.models import BatchItem, Program
from loopai_lab.tasks import source_metrics, teaching

if TYPE_CHECKING:
    from collections.abc import Callable

_SUFFIXES = {"python": "py"}


@dataclass(frozen=True, slots=True)
class Task:
    """Name a program, say what it does and bring its items.

    Args:
        name: what to ask for it by.
        description: one sentence.
        languages: those that it has a program in.
        make_items: returns its items, the same ones every time.
    """

    name: str
    description: str
    make_items: Callable[[], list[BatchItem]]
    languages: tuple[str, ...] = ("python",)

    def program(self, language: str = "python") -> Program:
        """Return its program in a language.

        Raises:
            UnsupportedLanguage: it has none in that language.
        """
        if language not in self.languages:
            raise UnsupportedLanguage(
                f"task {self.name!r} has no {language} program; it has {', '.join(self.languages)}"
            )
        file = f"{self.name.replace('-', '_')}.{_SUFFIXES[language]}"
        code = resources.files("loopai_lab.tasks.programs").joinpath(file).read_text(encoding="utf-8")
        return Program(language=language, code=code, name=self.name)

    def items(self) -> list[BatchItem]:
        """Return its items."""
        return self.make_items()


_TASKS = {
    task.name: task
    for task in (
        Task(
            "source-metrics",
            "Parse every module of Python's own standard library and measure its code.",
            source_metrics.items,
        ),
        Task("sleep", "Sleep for a while: pure waiting, which concurrency hides.", teaching.sleep_items),
        Task("fail-every-fifth", "Raise an error on every fifth item.", teaching.fail_every_fifth_items),
    )
}


def task_names() -> list[str]:
    """Return the names of all bundled tasks."""
    return list(_TASKS)


def find_task(name: str) -> Task:
    """Return a bundled task by its name.

    Raises:
        UnknownTask: there is none; the message lists those that there are.
    """
    task = _TASKS.get(name)
    if task is None:
        raise UnknownTask(f"there is no task {name!r}; bundled are {', '.join(_TASKS)}")
    return task
