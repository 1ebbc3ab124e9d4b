"""What the processes of a session may use, and how a program is told that it wanted more."""

from __future__ import annotations

import resource

MEGABYTE = 1 << 20


class Limits:
    """What every process of a session may use; None is no limit.

    Args:
        memory_mb: its address space.
        open_files: how many descriptors it may hold.
        file_size_mb: how long a file it may write.
        output_bytes: how much of each output stream is kept.
        result_bytes: how long an answer may be.
    """

    def __init__(
        self,
        *,
        memory_mb: int | None = None,
        open_files: int | None = None,
        file_size_mb: int | None = None,
        output_bytes: int = 1 << 17,
        result_bytes: int = 1 << 26,
    ) -> None:
        """Keep the figures; nothing is limited yet."""
        self.output_bytes = output_bytes
        self.result_bytes = result_bytes
        self._figures = {
            resource.RLIMIT_AS: memory_mb and memory_mb * MEGABYTE,
            resource.RLIMIT_NOFILE: open_files,
            resource.RLIMIT_FSIZE: file_size_mb and file_size_mb * MEGABYTE,
            resource.RLIMIT_CORE: 0,
        }

    def apply(self) -> None:
        """Set the limits of this process and of all that it will fork."""
        for kind, figure in self._figures.items():
            if figure is not None:
                _, hard = resource.getrlimit(kind)
                ceiling = figure if hard == resource.RLIM_INFINITY else min(figure, hard)
                resource.setrlimit(kind, (ceiling, ceiling))


def explain(error: BaseException) -> str:
    """Return which limit an exception comes from, or an empty text."""
    if isinstance(error, MemoryError):
        return _named("memory", resource.RLIMIT_AS, "of a process")
    if isinstance(error, OSError) and error.errno == 27:  # noqa: PLR2004 - EFBIG, without importing errno
        return _named("file size", resource.RLIMIT_FSIZE, "of a file")
    if isinstance(error, OSError) and error.errno == 24:  # noqa: PLR2004 - EMFILE
        return f"the limit of open files is {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}"
    return ""


def _named(name: str, kind: int, whose: str) -> str:
    figure, _ = resource.getrlimit(kind)
    return "" if figure == resource.RLIM_INFINITY else f"the {name} limit {whose} is {figure // MEGABYTE} MB"
