"""Every exception that loopai_lab raises on purpose, in one tree.

A message names the thing, the numbers and the next step. The tree::

    LoopaiLabError
    ├── InvalidInput                what was asked for cannot be run; nothing was started
    │   ├── InvalidConcurrency
    │   ├── InvalidOption
    │   ├── InvalidItem
    │   │   └── DuplicateItem
    │   ├── ProgramError
    │   ├── UnknownTask
    │   └── UnsupportedLanguage
    ├── ExecutionError              one item ended without an answer
    │   ├── ItemTimeout
    │   ├── OutputLimit
    │   ├── ItemFailed
    │   └── SessionLost
    ├── PoolError
    │   ├── PoolTimeout
    │   ├── PoolClosed
    │   ├── TooManyRequests
    │   └── SessionMisuse
    └── BeakerError                 the server, or the way to it
        ├── ServerUnavailable
        ├── ConnectionLost
        ├── CallTimeout
        ├── ProtocolError
        ├── RemoteError
        │   └── SessionNotFound
        └── SandboxUnavailable
"""

from __future__ import annotations


class LoopaiLabError(Exception):
    """Base of every error that loopai_lab raises on purpose."""


class InvalidInput(LoopaiLabError):
    """What was asked for cannot be run; nothing was started."""


class InvalidConcurrency(InvalidInput):
    """`max_concurrency` lies outside 1 to 100."""


class InvalidOption(InvalidInput):
    """An option has a value that it cannot have."""


class InvalidItem(InvalidInput):
    """An item of a batch is not JSON, or has no usable id."""


class DuplicateItem(InvalidItem):
    """Two items of one batch carry the same id."""


class ProgramError(InvalidInput):
    """A program is empty or does not compile."""


class UnknownTask(InvalidInput):
    """There is no task of that name."""


class UnsupportedLanguage(InvalidInput):
    """The server does not run programs in that language."""


class ExecutionError(LoopaiLabError):
    """One item ended without an answer."""


class ItemTimeout(ExecutionError):
    """An item ran past its time limit."""


class OutputLimit(ExecutionError):
    """A program printed or returned more than its limit."""


class ItemFailed(ExecutionError):
    """The program raised, exited or crashed."""


class SessionLost(ExecutionError):
    """A session, or the server under it, went away; nothing was replayed."""


class PoolError(LoopaiLabError):
    """The pool could not do what was asked of it."""


class PoolTimeout(PoolError):
    """No session became free before the deadline."""


class PoolClosed(PoolError):
    """The pool is closed, or was closed while a caller waited."""


class TooManyRequests(PoolError):
    """The queue for sessions is at its limit."""


class SessionMisuse(PoolError):
    """A session was released twice, used after its release, or returned to a pool that it did not come from."""


class BeakerError(LoopaiLabError):
    """The session server, or the way to it, failed."""


class ServerUnavailable(BeakerError):
    """The server could not be started or reached."""


class ConnectionLost(BeakerError):
    """The connection to the server broke."""


class CallTimeout(BeakerError):
    """The server did not answer a call before its deadline."""


class ProtocolError(BeakerError):
    """The other side sent something that is not the protocol."""


class RemoteError(BeakerError):
    """The server answered a call with an error.

    Args:
        message: what to tell the user.
        code: the JSON-RPC error code.
        data: the error's data as the server sent it; a CodeBeaker server puts its only useful text here.
    """

    def __init__(self, message: str, *, code: int = 0, data: object = None) -> None:
        """Keep code and data beside the message."""
        super().__init__(message)
        self.code = code
        self.data = data


class SessionNotFound(RemoteError):
    """The server no longer knows the session."""


class SandboxUnavailable(BeakerError):
    """The sandbox that was asked for cannot be had, and a weaker one was not allowed."""
