"""How a run stands, in words and in HTML: the status line, the message area, and what a saved notebook keeps."""

from __future__ import annotations

import html
import traceback
from typing import TYPE_CHECKING

from loopai_lab.errors import LoopaiLabError

if TYPE_CHECKING:
    from loopai_lab.workbench.state import Standing

FAILED = "var(--jp-error-color1, #b3261e)"
QUIET = "var(--jp-ui-font-color2, #616161)"
MINUTE_S = 60


def headline(now: Standing) -> str:
    """Say in one phrase how it stands; the words that a test and a screen reader look for."""
    done, left = f"{now.finished:,} of {now.total:,}", now.total - now.finished
    match now.phase:
        case "ready":
            return "Ready"
        case "running":
            return f"Running: {done} finished"
        case "stopping":
            return f"Stopping: {done} finished"
        case "completed":
            return f"Completed: {done} finished in {span(now.seconds)}"
        case "cancelled":
            return f"Stopped: {done} finished and are kept, {left:,} cancelled"
        case "failed":
            return f"Failed: {done} finished and are kept"


def details(now: Standing) -> list[str]:
    """Return the figures beside the headline, the ones that matter in this phase."""
    words = []
    if now.phase != "ready":
        words = [f"{now.rate:,.0f} items/s" if now.rate >= 10 else f"{now.rate:.1f} items/s", f"{now.failed:,} failed"]  # noqa: PLR2004 - a decimal below ten
    if now.phase == "running" and now.eta_s is not None:
        words.insert(1, f"{span(now.eta_s)} left")
    if now.phase == "running" and now.waiting:
        words.append(f"{now.waiting} wait for one of {now.limit} sessions")
    return [*words, f"sandbox: {now.sandbox or 'unknown'}"]


def span(seconds: float) -> str:
    """Return a length of time as people say it."""
    if seconds < MINUTE_S:
        return f"{seconds:.1f} s"
    return f"{seconds // MINUTE_S:.0f} min {seconds % MINUTE_S:02.0f} s"


def status_html(now: Standing) -> str:
    """Return the status line: a bar, the headline, the figures."""
    share = now.finished / now.total if now.total else 0.0
    bar = f'<progress value="{share:.4f}" style="width: 160px; height: 14px" aria-label="items finished"></progress>'
    figures = [
        f'<span style="color: {FAILED}; font-weight: 600">✗ {words}</span>'
        if now.failed and words.endswith("failed")
        else f"<span>{html.escape(words)}</span>"
        for words in details(now)
    ]
    return (
        '<div style="display: flex; gap: 18px; align-items: center; flex-wrap: wrap; line-height: 1.6;'
        ' font-variant-numeric: tabular-nums">'
        f"{bar}<b>{html.escape(headline(now))}</b>{''.join(figures)}</div>"
    )


def message_html(error: BaseException) -> str:
    """Return an error as the message area shows it: ours as its text, any other with its traceback to unfold."""
    text = f"<b>{type(error).__name__}</b>: {html.escape(str(error) or 'no message')}"
    if not isinstance(error, LoopaiLabError):
        trace = html.escape("".join(traceback.format_exception(error)))
        text += f"<details><summary>Traceback</summary><pre>{trace}</pre></details>"
    return note_html(text, colour=FAILED)


def note_html(text: str, *, colour: str = QUIET) -> str:
    """Return a remark with a line at its side; `text` is HTML."""
    style = f"border-left: 3px solid {colour}; padding: 2px 10px; line-height: 1.5"
    return f'<div role="status" style="{style}">{text}</div>'


def quiet_html(text: str) -> str:
    """Return a text in the colour of things that one need not read."""
    return f'<span style="color: {QUIET}">{html.escape(text)}</span>'


def fallback_html(task: str, now: Standing) -> str:
    """Return what a notebook shows where no kernel runs: GitHub, nbviewer, an exported page."""
    figures = ", ".join([headline(now), *details(now)])
    return (
        f"<div><b>Workbench</b>, task <code>{html.escape(task)}</code>: {html.escape(figures)}."
        "<br>It is live: run this cell in JupyterLab to see it.</div>"
    )
