"""Fixtures of this folder."""

from tests.runtime.started import stopped_config, whole

__all__ = ["stopped_config", "whole"]
