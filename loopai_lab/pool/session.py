"""A session as the pool lends it: which remote session it is, who has it, and what it has been through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from loopai_lab.errors import SessionMisuse

if TYPE_CHECKING:
    from loopai_lab.models import Isolation, Program
    from loopai_lab.pool.events import CloseReason

State = Literal["idle", "active", "closing"]


class RemoteSession(Protocol):
    """What the pool needs of a session on a server."""

    id: str

    @property
    def is_open(self) -> bool:
        """Whether the way to it is known to be open; False means that it can never be used again."""
        ...

    async def run(self, program: Program, input_json: str, *, isolation: Isolation, timeout_ms: float | None) -> Any:
        """Run a program on one input."""
        ...

    async def check(self) -> None:
        """Return if the server still has the session; raise if it has not, or cannot be asked."""
        ...

    async def close(self) -> None:
        """End the session."""
        ...


class SessionSource(Protocol):
    """What makes sessions for a pool: a `Beaker`, or a test's script."""

    async def create_session(self, language: str) -> RemoteSession:
        """Make one session."""
        ...


@dataclass(slots=True, eq=False)
class PooledSession:
    """One session of a pool.

    Args:
        remote: the session on the server.
        language: what it runs.
        create_ms: how long its making took.
        created_at: when it was made, on the pool's clock.
        expires_at: when it is too old, jitter included; None for never.
        rested_s: how long it had been idle when it was lent.
        doubt: why it must not be used again.
        suspect: whether it must be checked before it is lent again, however short its rest was.
        holder: the task that has it.
        place: where it was acquired, if the pool looks for leaks.
    """

    remote: RemoteSession
    language: str
    create_ms: float
    created_at: float
    expires_at: float | None = None
    generation: int = 0
    state: State = "idle"
    uses: int = 0
    since: float = 0.0
    item_id: str = ""
    programs: set[str] = field(default_factory=set)
    doubt: CloseReason | None = None
    rested_s: float = 0.0
    suspect: bool = False
    holder: object = None
    place: str = ""
    reported: bool = False

    @property
    def id(self) -> str:
        """The server's id of the session."""
        return self.remote.id

    @property
    def is_new(self) -> bool:
        """Whether this is its first use."""
        return self.uses <= 1

    async def run(
        self, program: Program, input_json: str, *, isolation: Isolation = "item", timeout_ms: float | None = None
    ) -> Any:
        """Run a program on one input, given as JSON text; return its `Outcome`.

        A run that is cancelled, lost or out of time leaves the session in doubt: the pool discards it on its return.

        Raises:
            SessionMisuse: the session is not lent any more.
        """
        if self.state != "active":
            message = f"session {self.id[:8]} is {self.state}: it was released, and may be somebody else's"
            raise SessionMisuse(message)
        self.doubt = "broken"
        outcome = await self.remote.run(program, input_json, isolation=isolation, timeout_ms=timeout_ms)
        if outcome.ended:
            self.doubt = "timeout" if outcome.status == "timeout" else "broken"
        else:
            self.doubt = None
            self.programs.add(program.key)
        return outcome

    def __repr__(self) -> str:
        """Name it, and say what it does."""
        return f"<PooledSession {self.id[:8]} {self.language} {self.state}, {self.uses} uses>"
