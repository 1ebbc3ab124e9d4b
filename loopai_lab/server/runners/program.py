"""One Python program: compile it, load its imports, run it on one input, encode its answer.

The contract: the program reads `input_data` and assigns `result`, or defines `main(input_data)` and returns the answer.
"""

from __future__ import annotations

import builtins
import json
import sys
import time
import types
from typing import Any

FILENAME = "program.py"
ONLY_AST = 0x400  # ast.PyCF_ONLY_AST; the ast module itself would cost every session 8 ms

Head = dict[str, Any]
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
        self.source = source
        self._tree: Any = compile(source, FILENAME, "exec", flags=ONLY_AST, dont_inherit=True)
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
        namespace["input_data"] = json.loads(input_json)
        began = time.perf_counter()
        try:
            exec(self._code, namespace)
            answer = namespace.get("result", MISSING)
            if answer is MISSING and script:
                answer = None
            elif answer is MISSING and callable(main := namespace.get("main")):
                answer = main(namespace["input_data"])
        except BaseException as error:  # noqa: BLE001 - whatever the program raises is its item's error
            spent_ms = (time.perf_counter() - began) * 1000
            return {"status": "error", "executeMs": spent_ms, **self._describe(error)}, ""
        spent_ms = (time.perf_counter() - began) * 1000
        return self._encode(answer, spent_ms)

    def _encode(self, answer: object, spent_ms: float) -> tuple[Head, str]:
        if answer is MISSING:
            text = "the program produced no result: assign `result`, or define `main(input_data)`"
            return {"status": "error", "executeMs": spent_ms, "errorType": "NoResult", "error": text}, ""
        try:
            body = json.dumps(answer, default=_plain, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            text = f"the result cannot be sent as JSON: {error}"
            return {"status": "error", "executeMs": spent_ms, "errorType": type(error).__name__, "error": text}, ""
        return {"status": "success", "executeMs": spent_ms}, body

    def _describe(self, error: BaseException) -> Head:
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            return {"errorType": "SystemExit", "exitCode": code, "error": f"the program exited with code {code}"}
        import linecache
        import traceback

        linecache.cache[FILENAME] = (len(self.source), None, self.source.splitlines(keepends=True), FILENAME)
        try:
            frames = error.__traceback__ and error.__traceback__.tb_next  # the first frame is ours
            text = "".join(traceback.format_exception(type(error), error, frames))
        except Exception as second:  # noqa: BLE001 - a __str__ that raises must not hide the error
            text = f"{type(error).__name__} (its description failed: {type(second).__name__})"
        return {"errorType": type(error).__name__, "error": text.rstrip()}


def _plain(value: object) -> object:
    """Turn a numpy array or scalar into plain numbers; refuse everything else by name."""
    if callable(tolist := getattr(value, "tolist", None)):
        return tolist()
    kind = type(value)
    message = f"a {kind.__module__}.{kind.__qualname__} is not JSON"
    raise TypeError(message)


def fresh_namespace() -> dict[str, Any]:
    """Return the globals of a new, empty `__main__`."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    return module.__dict__
