"""A program is checked before its first session: that there is code, that it compiles, that its language is there."""

from __future__ import annotations

import textwrap
import warnings
from typing import Any

from loopai_lab.errors import ProgramError
from loopai_lab.models import Program


def check_program(program: object, source: Any) -> Program:
    """Return the program, if it can run.

    Args:
        program: what the caller passed.
        source: the pool's server; it knows its languages.

    Raises:
        ProgramError: not a program, empty, or it does not compile.
        UnsupportedLanguage: the server does not run its language.
    """
    if not isinstance(program, Program):
        raise ProgramError(f"program is a {type(program).__name__}; pass loopai_lab.Program(language=..., code=...)")
    if (check_language := getattr(source, "check_language", None)) is not None:
        check_language(program.language)
    if not program.code.strip():
        raise ProgramError(f"program {program.name or program.key[:8]!r} is empty: its code must assign `result`")
    if program.language.strip().lower() in {"python", "python3", "py"}:
        _compile_python(program)
    return program


def _compile_python(program: Program) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in the user's code is the user's, not ours to raise
            try:
                compile(program.code, "program.py", "exec", dont_inherit=True)
            except (
                IndentationError
            ):  # a program may be indented as a whole, as text in other code is; runners dedent it
                compile(textwrap.dedent(program.code), "program.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"line {error.lineno}: {error.msg}"
        raise ProgramError(f"program {program.name or program.key[:8]!r} does not compile: {where}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ProgramError(f"program {program.name or program.key[:8]!r} does not compile: {error}") from error
