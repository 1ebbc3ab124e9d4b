"""Keep notebooks free of what a run leaves in them: outputs, counts, widget state, the machine's kernel.

Only a cell tagged ``nbval-check-output`` keeps its text, because that text is what nbval compares with. Rewrites the
given notebooks (or all below the given folders) in place and fails if it had to; ``--check`` only tells.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

KEEP_OUTPUT = "nbval-check-output"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def stripped(notebook: dict[str, Any]) -> dict[str, Any]:
    """Return the notebook as it should be checked in."""
    count = 0
    cells = []
    for cell in notebook["cells"]:
        tags = cell.get("metadata", {}).get("tags", [])
        clean = {**cell, "metadata": {"tags": tags} if tags else {}}
        if cell["cell_type"] == "code":
            count += 1
            outputs = list(text_outputs(cell["outputs"], count)) if KEEP_OUTPUT in tags else []
            # nbval wants a count beside an output, and none beside nothing.
            clean |= {"outputs": outputs, "execution_count": count if outputs else None}
        cells.append(clean)
    return {**notebook, "cells": cells, "metadata": {"kernelspec": KERNEL, "language_info": {"name": "python"}}}


def text_outputs(outputs: Iterable[dict[str, Any]], count: int) -> Iterable[dict[str, Any]]:
    """Yield the outputs that stay the same from run to run: printed text and the text of a result."""
    for output in outputs:
        if output["output_type"] == "stream" and output["name"] == "stdout":
            yield output
        elif output["output_type"] == "execute_result" and "text/plain" in output["data"]:
            data = {"text/plain": output["data"]["text/plain"]}
            yield {**output, "data": data, "metadata": {}, "execution_count": count}


def main(arguments: list[str]) -> int:
    """Strip every notebook that is named or lies below a named folder; return 1 if one was not clean."""
    check = "--check" in arguments
    unclean = 0
    for given in (Path(argument) for argument in arguments if argument != "--check"):
        for path in sorted(given.rglob("*.ipynb")) if given.is_dir() else [given]:
            if ".ipynb_checkpoints" in path.parts:
                continue
            before = path.read_text(encoding="utf-8")
            after = json.dumps(stripped(json.loads(before)), indent=1, ensure_ascii=False) + "\n"
            if before != after:
                unclean += 1
                print(f"{path}: {'holds what a run left in it' if check else 'stripped'}")
                if not check:
                    path.write_text(after, encoding="utf-8")
    if unclean and check:
        print("Strip them: python .ci/strip_notebooks.py notebooks")
    return min(unclean, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
