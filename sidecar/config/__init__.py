"""Every setting, typed. One YAML file in, one frozen structure out.

Reading imports the YAML parser. A worker gets its configuration decoded and does not need
the parser, so it is only imported on first use.
"""

from typing import TYPE_CHECKING, Any

from sidecar.config.model import Config

if TYPE_CHECKING:
    from sidecar.config.load import load_config, parse_config

__all__ = ["Config", "load_config", "parse_config"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from sidecar.config import load  # noqa: PLC0415 - see above

        return getattr(load, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
