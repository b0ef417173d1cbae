"""Headers to be linted: one that is strict, and that one with a part of it changed."""

from sidecar.csp.lint.header import read_header
from sidecar.csp.lint.lint import lint_profile

SCRIPT = "script-src"
STRICT = (
    "default-src 'none'; script-src 'nonce-AAAAAAAAAAAAAAAAAAAAAA==' 'strict-dynamic'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; report-uri /r; report-to r"
)


def lint(header: str, watched: str = "", endpoint: str | None = "r") -> set[tuple[str, str, str]]:
    policies, wrong = read_header(header)
    placed = lint_profile(policies, read_header(watched)[0], endpoint=endpoint)
    findings = [*wrong, *(each.finding for each in placed)]
    return {(each.severity.word, each.rule, each.directive) for each in findings}


def with_sources(directive: str, sources: str) -> str:
    kept = [part for part in STRICT.split("; ") if not part.startswith(f"{directive} ")]
    return "; ".join((*kept, f"{directive} {sources}"))


def without(directive: str) -> str:
    return "; ".join(part for part in STRICT.split("; ") if not part.startswith(f"{directive} "))
