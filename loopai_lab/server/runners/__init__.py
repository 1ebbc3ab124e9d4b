"""What runs inside a sandbox: a supervisor, and one small runner per language.

These files are started by path with a bare interpreter (`python -I -S`), import nothing but the standard library and each
other, and never import loopai_lab: a session starts in milliseconds, and what it can see is what these files are.
"""
