"""What can be configured from outside: by environment variables `LOOPAI_LAB_…`, by a file, or by a `Lab`'s arguments.

Two kinds of file are read: TOML, named by `LOOPAI_LAB_CONFIG`, and the origin's `appsettings.CodeBeaker.json`, by
`Settings.from_appsettings`.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_pascal
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from loopai_lab.errors import InvalidOption

CONFIG_VARIABLE = "LOOPAI_LAB_CONFIG"
CLEANUP_INTERVAL_MINUTES = 5
Runtime = Literal["Docker", "Deno", "Bun", "NodeJs", "Python"]
DEFAULT_RUNTIME: Runtime = "Docker"
LANGUAGE_MAPPING = {
    "python": "python",
    "javascript": "javascript",
    "typescript": "javascript",
    "go": "go",
    "csharp": "csharp",
    "dotnet": "csharp",
}
LANGUAGE_RUNTIMES: dict[str, Runtime] = {
    "javascript": "Deno",
    "typescript": "Deno",
    "python": "Python",
    "go": "Docker",
    "csharp": "Docker",
    "dotnet": "Docker",
}
PROVIDERS = {"codebeaker": "sessions", "standard": "standard"}
_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)
_UNLIKE = {"web_socket_url": "WebSocketUrl", "memory_limit_mb": "MemoryLimitMB"}


class CodeBeakerSettings(BaseModel):
    """Hold the origin's `CodeBeaker` section: the same 17 keys, by our names or its own, with the same defaults.

    A key that is left at its default changes nothing in the lab; one that is set does what is said here.

    Args:
        web_socket_url: the server; becomes the lab's `url`.
        session_pool_size: becomes `max_size`.
        session_idle_timeout_minutes: sent to the server, and becomes `max_idle_s`.
        session_max_lifetime_minutes: sent to the server, and becomes `max_lifetime_s`.
        memory_limit_mb: sent to the server; the embedded server's `memory_mb`.
        cpu_shares: sent to the server.
        default_timeout_ms: how long an item may run when its batch does not say.
        enable_auto_cleanup: False lets the pool keep idle and old sessions until it is closed.
        cleanup_interval_minutes: nothing but its default: the pool ends each session at the moment when it is due.
        connection_timeout_seconds: how long to try to connect.
        language_mapping: our language to the server's name of it; comes on top of the defaults.
        default_runtime: for languages that the next table does not name.
        language_runtime_map: the runtime by language; comes on top of the defaults.
        max_concurrent_executions_per_session: nothing but 1: a session runs one item at a time.
        keep_alive_interval_seconds: a session that was quiet for so long is checked before its next use.
        max_retry_attempts: how often a creation that failed at the server's lock is tried again.
        retry_delay_ms: the first pause before that.
    """

    model_config = ConfigDict(
        extra="forbid", alias_generator=lambda name: _UNLIKE.get(name, to_pascal(name)), validate_by_name=True
    )

    web_socket_url: str = "ws://localhost:5000/ws/jsonrpc"
    session_pool_size: int = Field(default=10, ge=1)
    session_idle_timeout_minutes: int = Field(default=30, ge=1)
    session_max_lifetime_minutes: int = Field(default=120, ge=1)
    memory_limit_mb: int | None = Field(default=512, ge=1)
    cpu_shares: int | None = Field(default=1024, ge=1)
    default_timeout_ms: float = Field(default=30_000, gt=0)
    enable_auto_cleanup: bool = True
    cleanup_interval_minutes: int = CLEANUP_INTERVAL_MINUTES
    connection_timeout_seconds: float = Field(default=30, gt=0)
    language_mapping: dict[str, str] = LANGUAGE_MAPPING
    default_runtime: Runtime = DEFAULT_RUNTIME
    language_runtime_map: dict[str, Runtime] = LANGUAGE_RUNTIMES
    max_concurrent_executions_per_session: int = 1
    keep_alive_interval_seconds: float = Field(default=120, gt=0)
    max_retry_attempts: int = Field(default=3, ge=0)
    retry_delay_ms: float = Field(default=1000, ge=0)

    @field_validator("language_mapping")
    @classmethod
    def _on_top_of_the_mapping(cls, given: dict[str, str]) -> dict[str, str]:
        return LANGUAGE_MAPPING | {name.lower(): value for name, value in given.items()}

    @field_validator("language_runtime_map")
    @classmethod
    def _on_top_of_the_runtimes(cls, given: dict[str, Runtime]) -> dict[str, Runtime]:
        return {**LANGUAGE_RUNTIMES, **{name.lower(): value for name, value in given.items()}}

    @model_validator(mode="after")
    def _refuse(self) -> Self:
        """Refuse what cannot have an effect, rather than take it and do nothing."""
        count, minutes = self.max_concurrent_executions_per_session, self.cleanup_interval_minutes
        if count != 1:
            raise InvalidOption(
                f"MaxConcurrentExecutionsPerSession={count} is not 1: a session runs one item at a time; "
                "for more at once, raise SessionPoolSize and the batch's max_concurrency"
            )
        if minutes != CLEANUP_INTERVAL_MINUTES:
            raise InvalidOption(
                f"CleanupIntervalMinutes={minutes} has no effect here: the pool ends each session at the moment when "
                "it is due; leave it out, and set SessionIdleTimeoutMinutes"
            )
        return self


class Settings(BaseSettings):
    """Hold a lab's settings; an argument comes before the environment, which comes before the file, then the default.

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
        codebeaker: the origin's section; what is set above comes before what is set in it.

    Raises:
        InvalidOption: a value has no effect here, or the file that the environment names cannot be read.
        ValueError: a key is unknown, or a value is not of its kind.
    """

    model_config = SettingsConfigDict(env_prefix="LOOPAI_LAB_", env_nested_delimiter="__", extra="forbid")

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
    codebeaker: CodeBeakerSettings = CodeBeakerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - we read no .env
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - nor a folder of secrets
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, the environment and the TOML file that it names, in this order."""
        sources = (init_settings, env_settings)
        if (path := os.environ.get(CONFIG_VARIABLE)) is None:
            return sources
        try:
            Path(path).read_bytes()
            return (*sources, TomlConfigSettingsSource(settings_cls, toml_file=path))
        except (OSError, ValueError) as error:
            raise InvalidOption(f"{CONFIG_VARIABLE}={path} cannot be read: {error}") from error

    @classmethod
    def from_appsettings(cls, path: str | os.PathLike[str], **changes: Any) -> Self:
        """Return the settings in the origin's `appsettings.CodeBeaker.json`, as it is.

        Its sections `CodeBeaker` and `Execution` are read; other sections belong to other parts of the origin. As
        there, names of keys may have any case, and comments and commas at the end are fine.

        Args:
            path: of the file.
            **changes: single settings that come before the file's.

        Raises:
            InvalidOption: the file cannot be read, or a key or value in it cannot be; the message names it.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
            document = json.loads(_COMMENT.sub(lambda found: found[1] or "", text))
            return cls(**_from_document(document) | changes)
        except (OSError, ValidationError, ValueError) as error:
            raise InvalidOption(f"{path}: {error}") from error

    @model_validator(mode="after")
    def _take_over(self) -> Self:
        """Let what is set in the origin's section take effect, where our own setting is left at its default."""
        given = self.codebeaker
        minutes = {"max_idle_s": "session_idle_timeout_minutes", "max_lifetime_s": "session_max_lifetime_minutes"}
        same = {"url": "web_socket_url", "max_size": "session_pool_size", "memory_mb": "memory_limit_mb"}
        own = frozenset(self.model_fields_set)
        for name, theirs in (same | minutes).items():
            if name not in own and theirs in given.model_fields_set:
                value = getattr(given, theirs)
                setattr(self, name, value * 60.0 if name in minutes else value or 0)
        for name in minutes:
            if name not in own and not given.enable_auto_cleanup:
                setattr(self, name, None)
        return self

    @property
    def timeout_ms(self) -> float | None:
        """How long an item may run when its batch does not say; None is no limit."""
        is_set = "default_timeout_ms" in self.codebeaker.model_fields_set
        return self.codebeaker.default_timeout_ms if is_set else None

    def pool_options(self) -> dict[str, Any]:
        """Return the options of the pool."""
        names = ("max_size", "min_size", "max_idle_s", "max_lifetime_s", "acquire_timeout_s")
        options = {name: getattr(self, name) for name in names}
        if "keep_alive_interval_seconds" in self.codebeaker.model_fields_set:
            options["check_after_s"] = self.codebeaker.keep_alive_interval_seconds
        return options

    def beaker_options(self) -> dict[str, Any]:
        """Return the options of the `Beaker`, but for how sessions are made on a server that is not ours."""
        options = {name: getattr(self, name) for name in ("url", "token", "sandbox", "memory_mb")}
        return options | {"connect_timeout_s": self.codebeaker.connection_timeout_seconds}

    def foreign_options(self) -> dict[str, Any]:
        """Return how sessions are made on a server that is not ours: the fields of `ForeignOptions`."""
        given = self.codebeaker
        chosen = {
            name: runtime
            for name, runtime in given.language_runtime_map.items()
            if runtime != LANGUAGE_RUNTIMES.get(name)  # what is as ever may be replaced where the server lacks it
        }
        return {
            "language_mapping": given.language_mapping,
            "runtimes": chosen,
            "default_runtime": given.default_runtime,
            "idle_timeout_minutes": given.session_idle_timeout_minutes,
            "max_lifetime_minutes": given.session_max_lifetime_minutes,
            "memory_limit_mb": given.memory_limit_mb,
            "cpu_shares": given.cpu_shares,
            "retry_attempts": given.max_retry_attempts,
            "retry_delay_ms": given.retry_delay_ms,
        }


def _from_document(document: object) -> dict[str, Any]:
    sections = {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}
    if not isinstance(section := sections.get("codebeaker"), dict):
        raise InvalidOption("the file has no section CodeBeaker")
    known = {name.lower(): name for name in CodeBeakerSettings.model_fields} | {
        str(field.alias).lower(): name for name, field in CodeBeakerSettings.model_fields.items()
    }
    values: dict[str, Any] = {"codebeaker": {known.get(key.lower(), key): value for key, value in section.items()}}
    values["codebeaker"].setdefault("web_socket_url", CodeBeakerSettings().web_socket_url)
    execution = sections.get("execution", {})
    for key, value in execution.items() if isinstance(execution, dict) else ():
        if key.lower() != "provider":
            raise InvalidOption(f"Execution:{key} is unknown; the section has Provider")
        if str(value).lower() not in PROVIDERS:
            raise InvalidOption(f"Execution:Provider={value!r} is unknown; choose CodeBeaker or Standard")
        values["provider"] = PROVIDERS[str(value).lower()]
    return values
