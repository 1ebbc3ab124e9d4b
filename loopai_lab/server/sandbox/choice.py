"""Which sandbox is in force: decided once per server, said in every answer, never weaker than what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from loopai_lab.errors import InvalidOption, SandboxUnavailable
from loopai_lab.server.sandbox.bubblewrap import BubblewrapSandbox
from loopai_lab.server.sandbox.plain import PlainSandbox

if TYPE_CHECKING:
    from loopai_lab.server.sandbox.launch import Sandbox

Wish = Literal["auto", "bubblewrap", "plain"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The sandbox in force, and why it is not a stronger one."""

    sandbox: Sandbox
    weakness: str | None = None


def choose(wish: str = "auto") -> Choice:
    """Return the sandbox for a wish.

    Args:
        wish: `"auto"` takes the strongest that works and says so; a name takes that one or nothing.

    Raises:
        SandboxUnavailable: the one that was asked for by name does not work here.
        InvalidOption: there is no sandbox of that name.
    """
    if wish not in get_args(Wish):
        message = f"sandbox={wish!r} is unknown; choose one of {', '.join(get_args(Wish))}"
        raise InvalidOption(message)
    if wish == "plain":
        return Choice(PlainSandbox(), "plain was asked for")
    found = BubblewrapSandbox.find()
    if isinstance(found, BubblewrapSandbox):
        return Choice(found)
    if wish == "bubblewrap":
        raise SandboxUnavailable(f"sandbox='bubblewrap' cannot be had: {found}. Install it, or allow sandbox='plain'")
    return Choice(PlainSandbox(), found)
