"""The languages that sessions run: one small module each, found by name or alias."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loopai_lab.server.languages import python

if TYPE_CHECKING:
    from types import ModuleType

_ALL: tuple[ModuleType, ...] = (python,)


def names() -> list[str]:
    """Return the languages that can run here."""
    return [module.NAME for module in _ALL]


def resolve(name: str) -> str | None:
    """Return the language that a name or alias stands for, whatever its case; None for an unknown one."""
    wanted = name.strip().lower()
    for module in _ALL:
        if wanted == module.NAME or wanted in module.ALIASES:
            return str(module.NAME)
    return None
