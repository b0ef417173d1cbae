"""Puts a mutant's code into the functions of a process that has everything imported.

The code object of the live function is replaced, so that whoever holds the function runs the
mutant. What caches have remembered of the true function is forgotten.
"""

import functools
import gc
import importlib
from types import CodeType, FunctionType
from typing import Any


class SwapError(Exception):
    """The change is of no function that can be reached."""


def swap(path: str, function: str, source: str) -> None:
    """Replace a function's code; raises ``SwapError`` or ``SyntaxError``."""
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    target = _function(module, function)
    try:
        code = _code(compile(source, path, "exec"), target.__code__.co_qualname)
        target.__code__ = code
    except ValueError as exc:
        raise SwapError(str(exc)) from exc
    for cached in gc.get_objects():
        if isinstance(cached, functools._lru_cache_wrapper):
            cached.cache_clear()


def _function(module: Any, name: str) -> FunctionType:
    owner: Any = module
    *classes, last = name.split(".")
    for each in classes:
        owner = getattr(owner, each)
    found = vars(owner).get(last)
    for inner in ("__func__", "fget", "__wrapped__"):
        found = getattr(found, inner, None) or found
    if not isinstance(found, FunctionType):
        raise SwapError(f"{name} is no function")
    return found


def _code(code: CodeType, name: str) -> CodeType:
    waiting = [code]
    while waiting:
        each = waiting.pop()
        if each.co_qualname == name:
            return each
        waiting += [inner for inner in each.co_consts if isinstance(inner, CodeType)]
    raise SwapError(f"{name} is not in the mutant")
