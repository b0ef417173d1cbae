"""Content-Security-Policy as a language: grammar, meaning, comparison.

Pure, without imports from the rest of the sidecar: the configuration checks policies with it,
headers are compiled with it, and the lint uses the same parsed form.
"""

from sidecar.csp.language.directive import (
    DIRECTIVES,
    FALLBACKS,
    SOURCE_LISTS,
    Directive,
    PolicyProblem,
    parse_directive,
)
from sidecar.csp.language.policy import Policy, parse_policy
from sidecar.csp.language.source import (
    NONCE,
    NONCE_SOURCE,
    TENANT_DOMAIN,
    Kind,
    NotASourceError,
    Source,
    parse_source,
)

__all__ = [
    "DIRECTIVES",
    "FALLBACKS",
    "NONCE",
    "NONCE_SOURCE",
    "SOURCE_LISTS",
    "TENANT_DOMAIN",
    "Directive",
    "Kind",
    "NotASourceError",
    "Policy",
    "PolicyProblem",
    "Source",
    "parse_directive",
    "parse_policy",
    "parse_source",
]
