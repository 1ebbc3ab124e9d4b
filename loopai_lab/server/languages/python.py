"""Python: always there, because the server itself runs on it."""

NAME = "python"
ALIASES = ("python3", "py")
