"""Every setting, typed. One YAML file in, one frozen structure out."""

from sidecar.config.load import load_config, parse_config
from sidecar.config.model import Config

__all__ = ["Config", "load_config", "parse_config"]
