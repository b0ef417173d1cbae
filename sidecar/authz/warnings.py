"""Everything that a configuration says and hardly anybody means, with its place in the file."""

from sidecar.authz.reach import warnings_of_routes
from sidecar.authz.snapshot import compile_routes
from sidecar.config.load import Loaded
from sidecar.config.problem import LocatedProblem
from sidecar.config.rules_warnings import config_warnings


def warnings_of(loaded: Loaded) -> list[LocatedProblem]:
    """Return the warnings: of single settings, and of routes that are without effect."""
    found = [*config_warnings(loaded.config), *warnings_of_routes(compile_routes(loaded.config))]
    return [loaded.tree.locate(each) for each in found]
