"""Every setting, typed. One YAML file in, one frozen structure out.

Reading imports the YAML parser. A worker gets its configuration decoded and does not need
the parser, so it is only imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sidecar.config.model import Config

if TYPE_CHECKING:
    from sidecar.config.load import load_config, parse_config

__all__ = ["Config", "load_config", "parse_config"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("sidecar.config.load"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
