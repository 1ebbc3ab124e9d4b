"""Measure one Python module: what it defines, how deep it nests, how often it branches."""

import ast

BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.comprehension,
    ast.match_case,
)
NESTING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
NESTING += (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def main(input_data):
    """Return the measures of the module whose text is given."""
    tree = ast.parse(input_data["text"], input_data["path"])
    counts = {"functions": 0, "classes": 0, "imports": 0, "branches": 1}
    deepest = 0
    todo = [(tree, 0)]
    while todo:
        node, depth = todo.pop()
        counts["functions"] += isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        counts["classes"] += isinstance(node, ast.ClassDef)
        counts["imports"] += isinstance(node, ast.Import | ast.ImportFrom)
        counts["branches"] += isinstance(node, BRANCHES)
        if isinstance(node, ast.BoolOp):
            counts["branches"] += len(node.values) - 1
        depth += isinstance(node, NESTING)
        deepest = max(deepest, depth)
        todo.extend((child, depth) for child in ast.iter_child_nodes(node))
    return {"path": input_data["path"], "lines": input_data["text"].count("\n"), "max_nesting": deepest, **counts}
