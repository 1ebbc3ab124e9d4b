"""What can be configured: the origin's 17 keys with its defaults, each with an effect or refused with a reason."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import loopai_lab as ll
from loopai_lab.errors import InvalidOption
from loopai_lab.pool.options import PoolOptions
from loopai_lab.rpc.beaker import Beaker
from loopai_lab.rpc.foreign_sessions import ForeignOptions
from loopai_lab.settings import CodeBeakerSettings, Settings
from tests.fakes.codebeaker import FakeCodeBeaker

ORIGIN = {
    "WebSocketUrl": "ws://localhost:5000/ws/jsonrpc",
    "SessionPoolSize": 10,
    "SessionIdleTimeoutMinutes": 30,
    "SessionMaxLifetimeMinutes": 120,
    "MemoryLimitMB": 512,
    "CpuShares": 1024,
    "DefaultTimeoutMs": 30000,
    "EnableAutoCleanup": True,
    "CleanupIntervalMinutes": 5,
    "ConnectionTimeoutSeconds": 30,
    "LanguageMapping": {
        "python": "python",
        "javascript": "javascript",
        "typescript": "javascript",
        "go": "go",
        "csharp": "csharp",
        "dotnet": "csharp",
    },
    "DefaultRuntime": "Docker",
    "LanguageRuntimeMap": {
        "javascript": "Deno",
        "typescript": "Deno",
        "python": "Python",
        "go": "Docker",
        "csharp": "Docker",
        "dotnet": "Docker",
    },
    "MaxConcurrentExecutionsPerSession": 1,
    "KeepAliveIntervalSeconds": 120,
    "MaxRetryAttempts": 3,
    "RetryDelayMs": 1000,
}
EFFECTS = {
    "WebSocketUrl": ("ws://else:1/ws/jsonrpc", "beaker", "url", "ws://else:1/ws/jsonrpc"),
    "SessionPoolSize": (20, "pool", "max_size", 20),
    "SessionIdleTimeoutMinutes": (2, "pool", "max_idle_s", 120.0),
    "SessionMaxLifetimeMinutes": (3, "pool", "max_lifetime_s", 180.0),
    "MemoryLimitMB": (64, "beaker", "memory_mb", 64),
    "CpuShares": (7, "foreign", "cpu_shares", 7),
    "EnableAutoCleanup": (False, "pool", "max_idle_s", None),
    "ConnectionTimeoutSeconds": (4, "beaker", "connect_timeout_s", 4),
    "LanguageMapping": ({"python": "py"}, "foreign", "language_mapping", ORIGIN["LanguageMapping"] | {"python": "py"}),  # type: ignore[operator]
    "DefaultRuntime": ("Bun", "foreign", "default_runtime", "Bun"),
    "LanguageRuntimeMap": ({"JavaScript": "NodeJs"}, "foreign", "runtimes", {"javascript": "NodeJs"}),
    "KeepAliveIntervalSeconds": (60, "pool", "check_after_s", 60),
    "MaxRetryAttempts": (8, "foreign", "retry_attempts", 8),
    "RetryDelayMs": (50, "foreign", "retry_delay_ms", 50),
}
ALSO_SENT = {
    "SessionIdleTimeoutMinutes": (2, "idle_timeout_minutes"),
    "SessionMaxLifetimeMinutes": (3, "max_lifetime_minutes"),
    "MemoryLimitMB": (64, "memory_limit_mb"),
}
REFUSED = {
    "MaxConcurrentExecutionsPerSession": (2, "a session runs one item at a time"),
    "CleanupIntervalMinutes": (10, "at the moment when it is due"),
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOOPAI_LAB_CONFIG", raising=False)


def options(settings: Settings, where: str) -> dict[str, Any]:
    found: dict[str, Any] = getattr(settings, f"{where}_options")()
    return found


def test_the_keys_and_defaults_are_the_origins() -> None:
    assert CodeBeakerSettings().model_dump(by_alias=True) == ORIGIN


def test_defaults_change_nothing_in_the_lab() -> None:
    settings = Settings()
    assert settings.url is None
    assert settings.timeout_ms is None
    assert PoolOptions(**settings.pool_options()) == PoolOptions()
    assert ForeignOptions(**settings.foreign_options()) == ForeignOptions(
        language_mapping=settings.codebeaker.language_mapping
    )
    assert Beaker(**settings.beaker_options()).url is None


def test_every_key_has_an_effect_or_is_refused() -> None:
    assert set(EFFECTS) | set(REFUSED) | {"DefaultTimeoutMs"} == set(ORIGIN)


@pytest.mark.parametrize("key", EFFECTS)
def test_a_key_has_its_effect(key: str) -> None:
    value, where, name, expected = EFFECTS[key]
    settings = Settings(codebeaker=CodeBeakerSettings.model_validate({key: value}))
    assert options(Settings(), where).get(name) != expected
    assert options(settings, where)[name] == expected


@pytest.mark.parametrize("key", ALSO_SENT)
def test_a_limit_of_a_session_is_also_sent_to_the_server(key: str) -> None:
    value, name = ALSO_SENT[key]
    settings = Settings(codebeaker=CodeBeakerSettings.model_validate({key: value}))
    assert settings.foreign_options()[name] == value


def test_without_automatic_cleanup_sessions_are_kept() -> None:
    settings = Settings(codebeaker=CodeBeakerSettings(enable_auto_cleanup=False))
    assert (settings.max_idle_s, settings.max_lifetime_s) == (None, None)


def test_the_default_timeout_is_that_of_a_batch_that_names_none() -> None:
    with ll.Lab(codebeaker={"DefaultTimeoutMs": 300}, max_size=1) as lab:
        program = ll.Program(code="import time\ntime.sleep(input_data)\nresult = 1")
        (item,) = lab.run(program, [60], progress=False).items
        assert item.status == "timeout"
        assert "300 ms" in (item.error_message or "")
        assert lab.run(program, [0.5], progress=False, timeout_ms=None).items[0].status == "success"


@pytest.mark.parametrize("key", REFUSED)
def test_a_key_without_an_effect_is_refused_with_the_reason(key: str) -> None:
    value, reason = REFUSED[key]
    with pytest.raises(InvalidOption, match=f"{key}={value}.*{reason}"):
        CodeBeakerSettings.model_validate({key: value})
    CodeBeakerSettings.model_validate({key: ORIGIN[key]})


@pytest.mark.parametrize("name", ["SessionPoolsize2", "runtime", "max_size"])
def test_an_unknown_key_is_named(name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        CodeBeakerSettings.model_validate({name: 1})
    with pytest.raises(InvalidOption, match=name):
        ll.Lab(codebeaker={name: 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SessionPoolSize", 0),
        ("SessionIdleTimeoutMinutes", -1),
        ("DefaultTimeoutMs", 0),
        ("DefaultRuntime", "Magic"),
        ("LanguageRuntimeMap", {"python": "Magic"}),
        ("RetryDelayMs", "soon"),
    ],
)
def test_a_value_that_cannot_be_is_named(key: str, value: object) -> None:
    with pytest.raises(InvalidOption, match=key):
        ll.Lab(codebeaker={key: value})


def test_what_is_set_for_the_lab_comes_before_the_origins_section() -> None:
    settings = Settings(max_size=3, url="ws://mine", codebeaker=CodeBeakerSettings(session_pool_size=20))
    assert (settings.max_size, settings.url) == (3, "ws://mine")


# -- the environment and files ----------------------------------------------------------------------------------------


def test_the_environment_sets_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOPAI_LAB_MIN_SIZE", "2")
    monkeypatch.setenv("LOOPAI_LAB_CODEBEAKER__SESSION_POOL_SIZE", "7")
    settings = Settings()
    assert (settings.min_size, settings.max_size) == (2, 7)


def test_a_toml_file_comes_after_the_environment_and_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(
        'sandbox = "plain"\nmin_size = 1\ntoken = "t"\n[codebeaker]\nsession_pool_size = 5\nRetryDelayMs = 9\n'
    )
    monkeypatch.setenv("LOOPAI_LAB_CONFIG", str(file))
    monkeypatch.setenv("LOOPAI_LAB_MIN_SIZE", "2")
    settings = Settings(token="mine")  # noqa: S106
    assert (settings.sandbox, settings.min_size, settings.token, settings.max_size) == ("plain", 2, "mine", 5)
    assert settings.foreign_options()["retry_delay_ms"] == 9


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_sise = 3\n", "max_sise"),
        ("[codebeaker]\nnope = 1\n", "nope"),
        ("max_size = \n", "lab.toml"),
        (None, "lab.toml"),
    ],
)
def test_a_bad_file_is_an_error_that_names_what_is_bad(
    text: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "lab.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("LOOPAI_LAB_CONFIG", str(file))
    with pytest.raises(InvalidOption, match=says):
        ll.Lab()


def appsettings(folder: Path, document: object) -> Path:
    file = folder / "appsettings.CodeBeaker.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8-sig")
    return file


def test_the_origins_file_loads_as_it_is(tmp_path: Path) -> None:
    document = {"Logging": {"LogLevel": {"Default": "Information"}}, "Execution": {"Provider": "CodeBeaker"}}
    settings = Settings.from_appsettings(appsettings(tmp_path, document | {"CodeBeaker": ORIGIN}))
    assert settings.provider == "sessions"
    assert settings.url == ORIGIN["WebSocketUrl"]
    assert (settings.max_size, settings.max_idle_s, settings.max_lifetime_s) == (10, 1800.0, 7200.0)
    assert settings.timeout_ms == 30_000
    assert settings.foreign_options()["runtimes"] == {}, "the usual runtimes may be replaced where a server lacks them"


def test_the_origins_file_may_have_comments_and_any_case(tmp_path: Path) -> None:
    text = '{ // ours\n "codebeaker": { /* small */ "sessionpoolsize": 4, "WebSocketUrl": "ws://h//x", }, }'
    settings = Settings.from_appsettings(appsettings(tmp_path, text), min_size=1)
    assert (settings.max_size, settings.url, settings.min_size) == (4, "ws://h//x", 1)


def test_a_file_without_an_address_means_the_origins_usual_one(tmp_path: Path) -> None:
    settings = Settings.from_appsettings(appsettings(tmp_path, {"CodeBeaker": {}}))
    assert settings.url == "ws://localhost:5000/ws/jsonrpc"


@pytest.mark.parametrize(("given", "provider"), [("CodeBeaker", "sessions"), ("Standard", "standard")])
def test_the_switch_of_the_provider_takes_effect(given: str, provider: str, tmp_path: Path) -> None:
    document = {"CodeBeaker": {}, "Execution": {"Provider": given}}
    assert Settings.from_appsettings(appsettings(tmp_path, document)).provider == provider


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"CodeBeaker": {"SessionPoolSise": 3}}, "SessionPoolSise"),
        ({"CodeBeaker": {"MaxConcurrentExecutionsPerSession": 4}}, "MaxConcurrentExecutionsPerSession=4"),
        ({"CodeBeaker": {}, "Execution": {"Provider": "Magic"}}, "Execution:Provider='Magic'"),
        ({"CodeBeaker": {}, "Execution": {"Retries": 1}}, "Execution:Retries"),
        ({"Logging": {}}, "no section CodeBeaker"),
        ("[1]", "no section CodeBeaker"),
        ("{", "appsettings.CodeBeaker.json"),
    ],
)
def test_a_bad_file_of_the_origin_is_an_error_that_names_what_is_bad(
    document: object, says: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidOption, match=says):
        Settings.from_appsettings(appsettings(tmp_path, document))
    with pytest.raises(InvalidOption, match="nowhere"):
        Settings.from_appsettings(tmp_path / "nowhere.json")


async def test_a_lab_made_of_the_origins_file_works_on_such_a_server(tmp_path: Path) -> None:
    async with FakeCodeBeaker("Python") as fake:
        section = {"WebSocketUrl": fake.url, "SessionPoolSize": 2, "SessionIdleTimeoutMinutes": 15, "CpuShares": 5}
        settings = Settings.from_appsettings(appsettings(tmp_path, {"CodeBeaker": section}))
        lab = ll.Lab(settings=settings)
        run = await run_aside(lab)
        assert [item.output for item in run.items] == [0, 2, 4]
        created = fake.received("session.create")
        assert 1 <= len(created) <= 2
        assert (created[0]["idleTimeoutMinutes"], created[0]["cpuShares"]) == (15, 5)


async def run_aside(lab: ll.Lab) -> ll.BatchResult:
    """Run a batch without blocking the loop that the fake is served on."""

    def work() -> ll.BatchResult:
        with lab:
            return lab.run(ll.Program(code="result = input_data * 2"), range(3), progress=False)

    return await asyncio.to_thread(work)
