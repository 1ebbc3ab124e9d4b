"""How one program runs on one kind of session: what is sent, and what the answer means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loopai_lab.errors import CallTimeout, ConnectionLost, ProtocolError, RemoteError, SessionNotFound
from loopai_lab.rpc.jsonrpc import encode

if TYPE_CHECKING:
    from loopai_lab.models import Isolation, Program, Status
    from loopai_lab.rpc.beaker import RemoteSession

ANSWER_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one run of a program ended.

    Args:
        ended: whether the session went with it, or is in doubt: it must not be used again.
    """

    status: Status
    output: Any = None
    error_message: str | None = None
    error_type: str | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    execute_ms: float = 0.0
    ended: bool = False


async def run_loaded(
    session: RemoteSession, program: Program, input_json: str, *, isolation: Isolation, timeout_ms: float | None
) -> Outcome:
    """Run a program by our server's `run`: its code travels on the session's first use of it, later only its key.

    Raises:
        SessionNotFound: the server had no such session any more; the program did not start.
    """
    key = (program.key, isolation)
    code = "" if key in session.loaded else f'"code":{encode(program.code)},'
    limit = "null" if timeout_ms is None else repr(float(timeout_ms))
    command = (
        f'{{"type":"run","program":"{program.key}","isolation":"{isolation}","timeoutMs":{limit},'
        f'{code}"inputs":[{input_json}]}}'
    )
    wait_s = None if timeout_ms is None else timeout_ms / 1000 + ANSWER_GRACE_S
    try:
        reply = await session.execute(command, timeout_s=wait_s)
    except CallTimeout as error:
        return Outcome(status="timeout", error_type="ItemTimeout", error_message=str(error), ended=True)
    except SessionNotFound:
        raise
    except (ConnectionLost, ProtocolError, RemoteError) as error:
        message = f"{error}. The item was not run again: set a retry if running it twice is harmless."
        return Outcome(status="lost", error_type="SessionLost", error_message=message, ended=True)
    session.loaded.add(key)
    return read_answer(reply["result"][0], session.id, timeout_ms)


def read_answer(answer: dict[str, Any], session_id: str, timeout_ms: float | None) -> Outcome:
    """Return what one element of a `run` reply means."""
    status: Status = answer["status"]
    message = answer.get("error")
    kind = answer.get("errorType")
    if status == "timeout":
        limit = f"its limit of {timeout_ms:g} ms" if timeout_ms else "its time limit"
        message, kind = message or f"the program ran past {limit}; session {session_id[:8]} was ended", "ItemTimeout"
    elif kind == "ProcessDied" and (last := answer.get("stderr", "").rstrip()):
        message = f"{message}\n{last[-2000:]}"
    return Outcome(
        status=status,
        output=answer.get("output"),
        error_message=message,
        error_type=kind,
        stdout=answer.get("stdout", ""),
        stderr=answer.get("stderr", ""),
        truncated=answer.get("truncated", False),
        execute_ms=answer.get("executeMs", 0.0),
        ended=answer.get("ended", False),
    )
