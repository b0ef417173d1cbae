"""What a source file says of a class's fields: the text that stands below each."""

import ast
from collections.abc import Mapping
from pathlib import Path


def field_texts(path: Path, name: str) -> Mapping[str, str]:
    """Return the fields of a class with the text below each; a field without one is an error."""
    tree = ast.parse(path.read_text())
    (found,) = (e for e in ast.walk(tree) if isinstance(e, ast.ClassDef) and e.name == name)
    texts: dict[str, str] = {}
    last = ""
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.target.id
            texts[last] = ""
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and last:
            texts[last] = " ".join(str(node.value.value).split()).replace("``", "`")
    bare = [field for field, text in texts.items() if not text]
    if bare:
        message = f"{path.name}: no text stands below these fields of {name}: {', '.join(bare)}"
        raise LookupError(message)
    return texts
