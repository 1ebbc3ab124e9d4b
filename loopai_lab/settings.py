"""What can be configured from outside: by environment variables `LOOPAI_LAB_…`, or by passing `Settings` to a `Lab`."""

from __future__ import annotations

from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Hold a lab's settings; an argument comes before the environment, which comes before the default.

    Args:
        provider: `"sessions"` runs items in pooled sessions; `"standard"` in a fresh process each, without a server.
        url: a CodeBeaker server's `ws://…/ws/jsonrpc`; None starts the embedded server.
        token: for servers that ask for one.
        sandbox: of the embedded server: `"auto"` takes the strongest that works and says which.
        memory_mb: memory of each process of a session on the embedded server; 0 is no limit.
        max_size: how many sessions the pool may hold.
        min_size: how many Python sessions it makes ahead and keeps.
        max_idle_s: how long a session above the minimum may lie unused.
        max_lifetime_s: how old a session may become.
        acquire_timeout_s: how long an item waits for a session.
    """

    model_config = SettingsConfigDict(env_prefix="LOOPAI_LAB_", extra="forbid")

    provider: Literal["sessions", "standard"] = "sessions"
    url: str | None = None
    token: str = ""
    sandbox: Literal["auto", "bubblewrap", "plain"] = "auto"
    memory_mb: int = 1024
    max_size: int = 10
    min_size: int = 0
    max_idle_s: float | None = 1800.0
    max_lifetime_s: float | None = 7200.0
    acquire_timeout_s: float | None = 30.0

    def pool_options(self) -> dict[str, float | int | None]:
        """Return the options of the pool."""
        names = ("max_size", "min_size", "max_idle_s", "max_lifetime_s", "acquire_timeout_s")
        return {name: getattr(self, name) for name in names}
