"""How one program runs on one kind of session: what is sent, and what the answer means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from loopai_lab.errors import CallTimeout, ConnectionLost, ProtocolError, RemoteError, SessionNotFound
from loopai_lab.models import Status
from loopai_lab.rpc.jsonrpc import PROGRAM_NOT_LOADED, encode

if TYPE_CHECKING:
    from loopai_lab.models import Isolation, Program
    from loopai_lab.rpc.remote import RemoteSession

ANSWER_GRACE_S = 5.0
STATUSES = frozenset(get_args(Status))
NOT_REPLAYED = "The item was not run again: set a retry if running it twice is harmless."


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
    if not session.is_open:
        raise SessionNotFound(f"session {session.id[:8]} went with its connection")
    try:
        reply = await _send(session, program, input_json, isolation, timeout_ms)
        answer = _only_answer(reply)
    except CallTimeout as error:
        return Outcome(status="timeout", error_type="ItemTimeout", error_message=str(error), ended=True)
    except SessionNotFound:
        raise
    except (ConnectionLost, ProtocolError, RemoteError) as error:
        return Outcome(status="lost", error_type="SessionLost", error_message=f"{error}. {NOT_REPLAYED}", ended=True)
    if "loadMs" not in answer:  # else this is how loading it failed
        session.loaded.add((program.key, isolation))
    return read_answer(answer, session.id, timeout_ms)


async def _send(
    session: RemoteSession, program: Program, input_json: str, isolation: Isolation, timeout_ms: float | None
) -> object:
    """Send the program's key, or its code where the session does not have it (any more: it keeps a few)."""
    wait_s = None if timeout_ms is None else timeout_ms / 1000 + ANSWER_GRACE_S
    if (program.key, isolation) in session.loaded:
        try:
            return await session.execute(_command(program, input_json, isolation, timeout_ms), timeout_s=wait_s)
        except RemoteError as error:
            if error.code != PROGRAM_NOT_LOADED:
                raise
            session.loaded.discard((program.key, isolation))  # nothing was run, so it may be sent again
    command = _command(program, input_json, isolation, timeout_ms, send_code=True)
    return await session.execute(command, timeout_s=wait_s)


def _command(
    program: Program, input_json: str, isolation: Isolation, timeout_ms: float | None, *, send_code: bool = False
) -> str:
    code = f'"code":{encode(program.code)},' if send_code else ""
    limit = "null" if timeout_ms is None else repr(float(timeout_ms))
    return (
        f'{{"type":"run","program":"{program.key}","isolation":"{isolation}","timeoutMs":{limit},'
        f'{code}"inputs":[{input_json}]}}'
    )


def _only_answer(reply: object) -> dict[str, Any]:
    """Return the one element of a `run` reply.

    Raises:
        ProtocolError: the reply has another form.
    """
    answers = reply.get("result") if isinstance(reply, dict) else None
    if isinstance(answers, list) and len(answers) == 1 and isinstance(answers[0], dict):
        answer: dict[str, Any] = answers[0]
        if answer.get("status") in STATUSES:
            return answer
    said = reply.get("error") if isinstance(reply, dict) else None
    raise ProtocolError(f"the server's reply to `run` has no answer in it{f': {said}' if said else ''}")


def read_answer(answer: dict[str, Any], session_id: str, timeout_ms: float | None) -> Outcome:
    """Return what one element of a `run` reply means."""
    status: Status = answer["status"]
    message = answer.get("error")
    kind = answer.get("errorType")
    if status == "timeout":
        limit = f"its limit of {timeout_ms:g} ms" if timeout_ms else "its time limit"
        message, kind = message or f"the program ran past {limit}; session {session_id[:8]} was ended", "ItemTimeout"
    elif status == "lost":
        message = f"{message}. {NOT_REPLAYED}"
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
