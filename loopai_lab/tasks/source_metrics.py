"""The items of `source-metrics`: every module of the running Python's own standard library."""

from __future__ import annotations

import io
import sysconfig
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

from loopai_lab.models import BatchItem

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT_OUT = {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}


def items() -> list[BatchItem]:
    """Return one item per file, in the order of their paths: several hundred real files, small and large."""
    root = Path(sysconfig.get_paths()["stdlib"])
    return [
        BatchItem(
            id=str(path.relative_to(root)), input={"path": str(path.relative_to(root)), "text": read_source(path)}
        )
        for path in sorted(_modules(root))
    ]


def _modules(root: Path) -> Iterator[Path]:
    for path in root.rglob("*.py"):
        if not LEFT_OUT.intersection(path.relative_to(root).parts[:-1]):
            yield path


def read_source(path: Path) -> str:
    """Return a module's text, decoded as Python itself would; bytes that fit no encoding stay, as lone surrogates."""
    raw = path.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return raw.decode(encoding)
    except (SyntaxError, UnicodeDecodeError):
        return raw.decode("utf-8", "surrogateescape")
