"""The command line: what can be done with a lab, without a notebook."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from loopai_lab.errors import InvalidInput, InvalidItem, LoopaiLabError, ProgramError

app = typer.Typer(
    name="loopai-lab",
    help="Run one small program over many inputs through a pool of sandboxed sessions, and watch the pool at work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
LANGUAGES = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".ts": "typescript",
    ".go": "go",
    ".cs": "csharp",
}
CONCURRENCY = "How many items at once, 1 to 100."


def main() -> None:
    """Run the command line; a mistake of the user's is one line and exit code 2, never a traceback."""
    try:
        app()
    except InvalidInput as error:
        typer.echo(f"loopai-lab: {error}", err=True)
        sys.exit(2)
    except LoopaiLabError as error:
        typer.echo(f"loopai-lab: {type(error).__name__}: {error}", err=True)
        sys.exit(1)


@app.command()
def demo(
    report: Annotated[Path, typer.Option(help="Where to write the HTML report.")] = Path("loopai-lab-demo.html"),
    concurrency: Annotated[int | None, typer.Option(help=f"{CONCURRENCY} Two per core if left out.")] = None,
) -> None:
    """Run a real batch cold, warm and with a process per item, and compare."""
    from loopai_lab.bench.demo import run_demo

    raise typer.Exit(run_demo(report=report, concurrency=concurrency))


@app.command()
def run(
    program: Annotated[str, typer.Argument(help="A program's file (.py), or the name of a bundled task.")],
    inputs: Annotated[
        Path | None, typer.Option(help="The items: a .jsonl or .csv file; a task brings its own.")
    ] = None,
    concurrency: Annotated[int, typer.Option(help=CONCURRENCY)] = 10,
    timeout_ms: Annotated[float | None, typer.Option(help="How long one item may run.")] = None,
    stop_on_first_error: Annotated[
        bool, typer.Option("--stop-on-first-error", help="Start no item after a failure.")
    ] = False,
    isolation: Annotated[str, typer.Option(help="item: pristine state for every item; session: state stays.")] = "item",
    url: Annotated[str | None, typer.Option(help="A CodeBeaker server; the embedded one if left out.")] = None,
    provider: Annotated[str, typer.Option(help="sessions, or standard: a fresh process per item.")] = "sessions",
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
) -> None:
    """Run a program over a file of items. Exit code 0: all succeeded; 1: some did not; 2: nothing was started."""
    from loopai_lab.lab import Lab

    source, items = _program(program), _items(inputs)
    with Lab(url, max_size=max(1, min(concurrency, 100)), provider=provider) as lab:
        result = lab.run(
            source,
            items,
            progress=not as_json and sys.stderr.isatty(),
            max_concurrency=concurrency,
            timeout_ms=timeout_ms,
            stop_on_first_error=stop_on_first_error,
            isolation=isolation,
        )
    if as_json:
        typer.echo(json.dumps(_document(result), allow_nan=True))
    else:
        _show(result)
    if result.cancelled_count:
        raise typer.Exit(130)
    raise typer.Exit(0 if result.success_count == result.total_items else 1)


def _program(name: str) -> Any:
    from loopai_lab.models import Program
    from loopai_lab.tasks import find_task, task_names

    if name in task_names():
        return find_task(name)
    path = Path(name)
    language = LANGUAGES.get(path.suffix)
    if language is None:
        known = ", ".join(LANGUAGES)
        raise ProgramError(
            f"program {name!r} is neither a task ({', '.join(task_names())}) nor a file ending in {known}"
        )
    try:
        return Program(language=language, code=path.read_text(encoding="utf-8"), name=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ProgramError(f"program {name!r} cannot be read: {error}") from error


def _items(path: Path | None) -> list[Any] | None:
    """Return the items of a file: a value per line of .jsonl, a dictionary per row of .csv."""
    if path is None:
        return None
    if path.suffix not in {".jsonl", ".csv"}:
        raise InvalidItem(
            f"--inputs {path}: the name must end in .jsonl (a JSON value per line) or .csv (a row per item)"
        )
    try:
        if path.suffix == ".csv":
            import pandas as pd

            return [dict(row) for row in pd.read_csv(path).to_dict(orient="records")]
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InvalidItem(f"--inputs {path} cannot be read: {error}") from error
    return [_line(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _line(path: Path, number: int, line: str) -> Any:
    from loopai_lab.models import BatchItem

    try:
        value = json.loads(line)
    except ValueError as error:
        raise InvalidItem(f"--inputs {path}, line {number} is not JSON: {error}") from error
    if isinstance(value, dict) and {"id", "input"} <= value.keys() <= {"id", "input", "force_validation"}:
        try:
            return BatchItem.model_validate(value | {"id": str(value["id"])})
        except ValueError as error:
            raise InvalidItem(f"--inputs {path}, line {number} is not an item: {error}") from error
    return value


def _document(result: Any) -> dict[str, Any]:
    counts = ("total_items", "success_count", "failure_count", "skipped_count", "cancelled_count")
    figures = ("total_duration_ms", "avg_latency_ms", "p50_ms", "p95_ms", "p99_ms", "throughput")
    document = {name: getattr(result, name) for name in ("batch_id", *counts, *figures)}
    items = [item.to_dict() for item in result.items]
    return document | {"session_pool_stats": result.session_pool_stats.to_dict(), "items": items}


def _show(result: Any) -> None:
    stats = result.session_pool_stats
    typer.echo(
        f"{result.total_items} items: {result.success_count} ok, {result.failure_count} failed, {result.skipped_count} "
        f"skipped, {result.cancelled_count} cancelled in {result.total_duration_ms / 1000:.2f} s"
    )
    typer.echo(
        f"{result.throughput:.0f} items/s, p50 {result.p50_ms:.2f} ms, p95 {result.p95_ms:.2f} ms, "
        f"p99 {result.p99_ms:.2f} ms; {stats.sessions_created} sessions made, sandbox {stats.sandbox or 'none'}"
    )
    for item in [item for item in result.items if item.status in {"error", "timeout", "lost"}][:10]:
        typer.echo(f"  {item.item_id}: {item.status}: {(item.error_message or '').splitlines()[-1]}")


@app.command()
def server(
    port: Annotated[int, typer.Option(help="The TCP port on 127.0.0.1; 0 takes a free one.")] = 5000,
    token: Annotated[str | None, typer.Option(help="What clients must send; a random one if left out.")] = None,
    no_token: Annotated[bool, typer.Option("--no-token", help="Let any local client in.")] = False,
    sandbox: Annotated[str, typer.Option(help="auto, bubblewrap or plain.")] = "auto",
    memory_mb: Annotated[int, typer.Option(help="Memory of each process of a session; 0: no limit.")] = 1024,
) -> None:
    """Run the session server on its own, for any CodeBeaker client on this machine."""
    import secrets

    from loopai_lab.server.alone import run_alone

    secret = "" if no_token else token or secrets.token_urlsafe(24)
    raise typer.Exit(run_alone(port=port, token=secret, sandbox=sandbox, memory_mb=memory_mb, say=typer.echo))


@app.command()
def bench(
    rounds: Annotated[int, typer.Option(help="How many alternating rounds.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Few samples: to see that it works, not to quote.")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="Keep the raw rows in this file.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write an HTML report to this file.")] = None,
) -> None:
    """Measure, beside the floors and the peers."""
    from loopai_lab.bench.instrument import main as measure

    raise typer.Exit(measure(rounds=rounds, json_path=json_path, html_path=html, quick=quick))


@app.command()
def lab(
    notebook: Annotated[str, typer.Option(help="Which notebook to open.")] = "01_quickstart.ipynb",
) -> None:
    """Open JupyterLab on the first notebook."""
    import os

    folder = Path(__file__).resolve().parent.parent / "notebooks"
    if not (folder / notebook).is_file():
        raise InvalidInput(
            f"there is no notebook {notebook!r} in {folder}: the notebooks come with the source, not the wheel"
        )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command.append(f"--LabApp.default_url=/lab/tree/{notebook}")
    if os.geteuid() == 0:
        command.append("--allow-root")  # Jupyter refuses root unless told; whoever is root here knows
    os.execv(sys.executable, command)  # noqa: S606 - JupyterLab takes this process over, Ctrl-C and all


@app.command()
def doctor() -> None:
    """Say what is installed, which sandbox is in force, what is missing, and the command that mends it."""
    from loopai_lab.doctor import examine

    raise typer.Exit(examine(typer.echo))


if __name__ == "__main__":
    main()
