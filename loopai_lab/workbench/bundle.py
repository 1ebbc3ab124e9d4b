"""What a view hands to a notebook: the live widget, and beside it what is left where no kernel runs."""

from __future__ import annotations

from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"


def bundle(box: Any, text: str, html: str) -> dict[str, Any]:
    """Return the MIME bundle of a view.

    Args:
        box: the widget that holds the view; a closed one is left out, because no front end could show it.
        text: for terminals.
        html: for saved notebooks.
    """
    words = {"text/plain": text, "text/html": html}
    if box.comm is None:
        return words
    return words | {VIEW: {"version_major": 2, "version_minor": 0, "model_id": box.model_id}}
