"""Every setting, typed. One YAML file in, one frozen structure out.

Reading brings the YAML parser, which a worker, given its configuration ready-made, does
without: so it is imported by whoever asks for it.
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
