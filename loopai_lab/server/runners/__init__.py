"""What runs inside a sandbox: a supervisor, and one small runner per language.

This folder is started by path with a bare interpreter (`python -I -S`), as a package of its own. It imports nothing but
the standard library and itself, and never loopai_lab: a session starts in milliseconds, and what it can see is what
these files are. For the same reason it does without `typing`, `dataclasses`, `secrets` and `pathlib`.
"""
