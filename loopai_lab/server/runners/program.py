"""One Python program: compile it, load its imports, run it on one input, encode its answer.

The contract: the program reads `input_data` and assigns `result`, or defines `main(input_data)` and returns the answer.
"""

from __future__ import annotations

import builtins
import json
import sys
import time

from .limits import explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    Head = dict[str, Any]

FILENAME = "program.py"
ONLY_AST = 0x400  # ast.PyCF_ONLY_AST; the ast module itself would cost every session 8 ms
ERROR_CHARACTERS = 1 << 15
FRAMES_SHOWN = 500  # from each end of a traceback; the usual recursion limit is below the sum
MISSING = object()


class Program:
    """Hold a compiled program.

    Args:
        source: the program's text.

    Raises:
        SyntaxError: the text does not compile.
        ValueError: the text holds a NUL.
    """

    def __init__(self, source: str) -> None:
        """Compile the source; nothing of it runs."""
        try:
            self._tree: Any = compile(source, FILENAME, "exec", flags=ONLY_AST, dont_inherit=True)
        except IndentationError:
            import textwrap  # a program may be indented as a whole, as text in other code is

            source = textwrap.dedent(source)
            self._tree = compile(source, FILENAME, "exec", flags=ONLY_AST, dont_inherit=True)
        self.source = source
        self._code = compile(self._tree, FILENAME, "exec", dont_inherit=True)

    def preload_imports(self) -> None:
        """Run the import statements at the top of the program, so that forked children find them done.

        A failing import is left for the program itself to meet, at its own line.
        """
        scratch: dict[str, Any] = {"__name__": "__preload__", "__builtins__": builtins}
        for node in self._tree.body:
            kind = type(node).__name__
            if kind == "Expr" and type(node.value).__name__ == "Constant":
                continue  # the docstring
            if kind not in {"Import", "ImportFrom"}:
                break
            if getattr(node, "module", None) == "__future__":
                continue
            self._tree.body, body = [node], self._tree.body
            try:
                exec(compile(self._tree, FILENAME, "exec", dont_inherit=True), scratch)
            except BaseException:  # noqa: BLE001 - also SystemExit: the program meets it again at its own line
                break
            finally:
                self._tree.body = body

    def run(self, namespace: dict[str, Any], input_json: str, *, script: bool = False) -> tuple[Head, str]:
        """Run the program once and return the head of its answer and the answer as JSON text.

        Args:
            namespace: the globals to run in; what an earlier run left as `result` or `main` is dropped first.
            input_json: the input as JSON text.
            script: what counts is what it prints; it need not leave a result.
        """
        sys.set_int_max_str_digits(0)
        namespace.pop("result", None)
        namespace.pop("main", None)
        began = time.perf_counter()
        try:
            namespace["input_data"] = _from_json(input_json)
            began = time.perf_counter()
            answer = self._execute(namespace, script=script)
        except BaseException as error:  # noqa: BLE001 - whatever the program raises is its item's error
            spent_ms = (time.perf_counter() - began) * 1000
            return {"status": "error", "executeMs": spent_ms, **self._describe(error)}, ""
        spent_ms = (time.perf_counter() - began) * 1000
        return _encode(answer, spent_ms)

    def _execute(self, namespace: dict[str, Any], *, script: bool) -> object:
        exec(self._code, namespace)
        answer = namespace.get("result", MISSING)
        if answer is not MISSING:
            return answer
        if script:
            return None
        main = namespace.get("main")
        return main(namespace["input_data"]) if callable(main) else MISSING

    def _describe(self, error: BaseException) -> Head:
        if isinstance(error, SystemExit):
            return _describe_exit(error)
        try:
            text = _formatted(error, self.source)
        except Exception as second:  # noqa: BLE001 - no memory, no descriptor to import with, a __str__ that raises
            text = _in_short(error) or f"{type(error).__name__} (its description failed: {type(second).__name__})"
        text = "\n".join(filter(None, (text, explain(error))))
        return {"errorType": type(error).__name__, "error": _shortened(text)}


def _formatted(error: BaseException, source: str) -> str:
    """Return the traceback as Python shows it, with the program's own lines."""
    frames = _own_frames(error.__traceback__)
    import linecache
    import traceback

    linecache.cache[FILENAME] = (len(source), None, source.splitlines(keepends=True), FILENAME)
    return "".join(traceback.format_exception(type(error), error, frames)).rstrip()


def _in_short(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - a __str__ that raises must not hide the error
        return ""


def _describe_exit(error: SystemExit) -> Head:
    """Return how `sys.exit` was called; a code that is no number is a message, as in Python itself."""
    if isinstance(error.code, int) or error.code is None:
        code, said = error.code or 0, ""
    else:
        code, said = 1, f": {error.code}"
    return {
        "errorType": "SystemExit",
        "exitCode": code,
        "error": _shortened(f"the program exited with code {code}{said}"),
    }


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without our frames on top of the program's, and without the middle of millions."""
    while trace and trace.tb_frame.f_code.co_filename != FILENAME:
        trace = trace.tb_next
    first, last, depth = trace, trace, 0
    while last and last.tb_next:
        last, depth = last.tb_next, depth + 1
        if depth > 2 * FRAMES_SHOWN and first:
            first = first.tb_next  # keeps its distance to the last one
    if trace and depth > 3 * FRAMES_SHOWN:
        upper = trace
        for _ in range(FRAMES_SHOWN):
            upper = upper.tb_next or upper
        upper.tb_next = first
    return trace


def _shortened(text: str) -> str:
    """Return an error text that a wire and a table can bear: its begin and its end, where the message stands."""
    half = ERROR_CHARACTERS // 2
    if len(text) <= 2 * half:
        return text
    return f"{text[:half]}\n[… {len(text) - 2 * half} characters left out …]\n{text[-half:]}"


def _encode(answer: object, spent_ms: float) -> tuple[Head, str]:
    if answer is MISSING:
        text = "the program produced no result: assign `result`, or define `main(input_data)`"
        return {"status": "error", "executeMs": spent_ms, "errorType": "NoResult", "error": text}, ""
    try:
        body = _to_json(answer)
    except Exception as error:  # noqa: BLE001 - also what the methods of the program's own classes raise
        text = _shortened(f"the result cannot be sent as JSON: {str(error) or type(error).__name__}")
        return {"status": "error", "executeMs": spent_ms, "errorType": type(error).__name__, "error": text}, ""
    return {"status": "success", "executeMs": spent_ms}, body


def _plain(value: object) -> object:
    """Turn a numpy array or scalar into plain numbers; refuse everything else by name."""
    if callable(tolist := getattr(value, "tolist", None)):
        return tolist()
    kind = type(value)
    message = f"a {kind.__module__}.{kind.__qualname__} is not JSON"
    raise TypeError(message)


# Bound before the program runs: it may replace what it finds in the json module.
_to_json = json.JSONEncoder(default=_plain, separators=(",", ":")).encode
_from_json = json.JSONDecoder().decode


def fresh_namespace() -> dict[str, Any]:
    """Return the globals of a new, empty `__main__`."""
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    return module.__dict__
