"""Run one small program over many inputs through a pool of sandboxed sessions, and watch the pool at work.

The public names, nothing else. They are loaded when first used, so that `import loopai_lab` is quick and does nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loopai_lab.engine import allow_nested_loops as allow_nested_loops
    from loopai_lab.errors import BeakerError as BeakerError
    from loopai_lab.errors import CallTimeout as CallTimeout
    from loopai_lab.errors import ConnectionLost as ConnectionLost
    from loopai_lab.errors import DuplicateItem as DuplicateItem
    from loopai_lab.errors import ExecutionError as ExecutionError
    from loopai_lab.errors import InvalidConcurrency as InvalidConcurrency
    from loopai_lab.errors import InvalidInput as InvalidInput
    from loopai_lab.errors import InvalidItem as InvalidItem
    from loopai_lab.errors import InvalidOption as InvalidOption
    from loopai_lab.errors import ItemFailed as ItemFailed
    from loopai_lab.errors import ItemTimeout as ItemTimeout
    from loopai_lab.errors import LoopaiLabError as LoopaiLabError
    from loopai_lab.errors import OutputLimit as OutputLimit
    from loopai_lab.errors import PoolClosed as PoolClosed
    from loopai_lab.errors import PoolError as PoolError
    from loopai_lab.errors import PoolTimeout as PoolTimeout
    from loopai_lab.errors import ProgramError as ProgramError
    from loopai_lab.errors import ProtocolError as ProtocolError
    from loopai_lab.errors import RemoteError as RemoteError
    from loopai_lab.errors import SandboxUnavailable as SandboxUnavailable
    from loopai_lab.errors import ServerUnavailable as ServerUnavailable
    from loopai_lab.errors import SessionLost as SessionLost
    from loopai_lab.errors import SessionMisuse as SessionMisuse
    from loopai_lab.errors import SessionNotFound as SessionNotFound
    from loopai_lab.errors import TooManyRequests as TooManyRequests
    from loopai_lab.errors import UnknownTask as UnknownTask
    from loopai_lab.errors import UnsupportedLanguage as UnsupportedLanguage
    from loopai_lab.execution.executor import BatchExecutor as BatchExecutor
    from loopai_lab.execution.run import Progress as Progress
    from loopai_lab.execution.run import Run as Run
    from loopai_lab.lab import Lab as Lab
    from loopai_lab.models import BatchItem as BatchItem
    from loopai_lab.models import BatchResult as BatchResult
    from loopai_lab.models import ItemResult as ItemResult
    from loopai_lab.models import Program as Program
    from loopai_lab.models import SessionPoolStatistics as SessionPoolStatistics
    from loopai_lab.pool.events import PoolEvent as PoolEvent
    from loopai_lab.pool.null import NullPool as NullPool
    from loopai_lab.pool.pool import SessionPool as SessionPool
    from loopai_lab.rpc.beaker import Beaker as Beaker
    from loopai_lab.rpc.beaker import connect as connect
    from loopai_lab.settings import Settings as Settings
    from loopai_lab.tasks import Task as Task

__version__ = "0.1.0"

_WHERE = {
    "errors": """
        BeakerError CallTimeout ConnectionLost DuplicateItem ExecutionError InvalidConcurrency InvalidInput InvalidItem
        InvalidOption ItemFailed ItemTimeout LoopaiLabError OutputLimit PoolClosed PoolError PoolTimeout ProgramError
        ProtocolError RemoteError SandboxUnavailable ServerUnavailable SessionLost SessionMisuse SessionNotFound
        TooManyRequests UnknownTask UnsupportedLanguage
    """,
    "engine": "allow_nested_loops",
    "execution.executor": "BatchExecutor",
    "execution.run": "Progress Run",
    "lab": "Lab",
    "models": "BatchItem BatchResult ItemResult Program SessionPoolStatistics",
    "pool.events": "PoolEvent",
    "pool.null": "NullPool",
    "pool.pool": "SessionPool",
    "rpc.beaker": "Beaker connect",
    "settings": "Settings",
    "tasks": "Task",
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names.split()}

__all__ = [*_MODULE_OF, "__version__"]  # noqa: PLE0604 - names that __getattr__ finds  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'loopai_lab' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"loopai_lab.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what can be used."""
    return __all__
