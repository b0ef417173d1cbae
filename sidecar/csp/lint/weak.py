"""Known ways past a policy: each rule looks at one policy and yields what it finds.

Where several policies are enforced together an attacker must pass them all; ``lint`` sees
to that. References: CSP Level 3; the papers in ``bypasses``.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sidecar.csp.language import FALLBACKS, Directive, Kind, Policy, Source
from sidecar.csp.lint.bypasses import find_bypass
from sidecar.csp.lint.finding import Finding, LintSeverity

HIGH, MEDIUM, LOW, INFO = (
    LintSeverity.HIGH,
    LintSeverity.MEDIUM,
    LintSeverity.LOW,
    LintSeverity.INFO,
)
_SCRIPTS = ("script-src-elem", "script-src-attr", "script-src", "worker-src")
_STYLES = ("style-src", "style-src-elem", "style-src-attr")
_PLACES = (
    *(name for name in FALLBACKS if name != "default-src"),
    "base-uri",
    "form-action",
    "frame-ancestors",
)
"""Every matter that a source list decides; ``default-src`` is only a fallback for others."""
_TRUSTED = "require-trusted-types-for"
_RUNS = frozenset({*_SCRIPTS, "object-src", "base-uri"})
"""The directives through which an attacker runs code."""
_LEAVES = frozenset({"connect-src", "form-action", "frame-src", "frame-ancestors"})
"""The directives through which data leaves, or a page is framed."""
_STRICT = "'strict-dynamic'"
_RUNNING_SCHEMES = frozenset({"http", "https", "data", "blob", "filesystem"})


class Weakness(NamedTuple):
    """A finding, and the directives in whose matters it applies; none if it always does.

    A list of sources is weak for each directive that it governs: ``default-src *`` for
    images and for scripts alike.
    """

    finding: Finding
    matters: frozenset[str]


def weaknesses(policy: Policy) -> Iterator[Weakness]:
    """Yield every known way past one policy."""
    yield from _missing(policy)
    scripts = _governing(policy, _SCRIPTS)
    for directive, matters in scripts.values():
        for finding in (*_script_keywords(directive), *_script_hosts(directive)):
            yield Weakness(finding, matters)
    for name, (directive, matters) in _governing(policy, _PLACES).items():
        for finding in _places(name, matters, directive):
            yield Weakness(finding, matters)
    for directive, matters in _governing(policy, _STYLES).values():
        for finding in _styles(directive):
            yield Weakness(finding, matters)
    yield from _others(policy)


def _governing(policy: Policy, names: Iterable[str]) -> dict[str, tuple[Directive, frozenset[str]]]:
    """Return the directives that govern ``names``, each once, with the names it governs."""
    found: dict[str, tuple[Directive, frozenset[str]]] = {}
    for name in names:
        directive = policy.effective(name)
        if directive is not None:
            before = found.get(directive.name, (directive, frozenset()))[1]
            found[directive.name] = directive, before | {name}
    return found


def _missing(policy: Policy) -> Iterator[Weakness]:
    for finding in _missing_lists(policy):
        yield Weakness(finding, frozenset({finding.directive}))
    if policy.effective("script-src") is None:
        message = "neither script-src nor default-src: any script runs"
        finding = Finding(HIGH, "scripts-unrestricted", message, "script-src")
        yield Weakness(finding, frozenset(_SCRIPTS))
    if "default-src" not in policy.directives:
        loose = [name for name in FALLBACKS if name != "default-src" and not policy.effective(name)]
        if loose:
            message = f"without it these are unrestricted: {', '.join(sorted(loose))}"
            finding = Finding(MEDIUM, "default-src-missing", message, "default-src")
            yield Weakness(finding, frozenset(loose))


def _missing_lists(policy: Policy) -> Iterator[Finding]:
    objects = policy.effective("object-src")
    if objects is None:
        message = "neither object-src nor default-src: plug-ins and embedded documents run"
        # Where no script may run none is there to be reached: what is left are foreign documents.
        severity = HIGH if _scripts_run(policy) else MEDIUM
        yield Finding(severity, "objects-unrestricted", message, "object-src")
    elif any(source.kind is not Kind.NONE for source in objects.sources):
        message = f"let no plug-in load: object-src 'none' ({objects.name} stands for it)"
        yield Finding(LOW, "objects-allowed", message, "object-src")
    if "base-uri" not in policy.directives:
        # A nonce on a script with a relative URL is worth nothing once <base> moves it.
        trusting = policy.has_nonce or _has(policy, _STRICT)
        message = "a <base> element moves every relative URL to an attacker's host"
        yield Finding(HIGH if trusting else MEDIUM, "base-uri-missing", message, "base-uri")
    if "frame-ancestors" not in policy.directives:
        message = "anybody may frame the page (clickjacking)"
        yield Finding(MEDIUM, "frame-ancestors-missing", message, "frame-ancestors")
    if "form-action" not in policy.directives:
        message = "an injected form posts anywhere; default-src does not cover it"
        yield Finding(MEDIUM, "form-action-missing", message, "form-action")


def _script_keywords(directive: Directive) -> Iterator[Finding]:
    texts = {source.text for source in directive.sources}
    trusting = _STRICT in texts or any(s.kind in {Kind.NONCE, Kind.HASH} for s in directive.sources)
    for text, severity, rule, message in (
        ("'unsafe-inline'", HIGH, "unsafe-inline", "inline scripts and handlers run"),
        ("'unsafe-eval'", MEDIUM, "unsafe-eval", "text becomes code: eval, new Function"),
        ("'unsafe-hashes'", LOW, "unsafe-hashes", "handlers with a listed hash run anywhere"),
        ("'wasm-unsafe-eval'", LOW, "wasm-eval", "any WebAssembly that the page makes runs"),
        ("'report-sample'", INFO, "report-sample", "reports hold the first 40 characters of code"),
    ):
        # Beside a nonce or a hash today's browsers pass over 'unsafe-inline'.
        if text in texts:
            passed_over = text == "'unsafe-inline'" and trusting
            yield Finding(INFO if passed_over else severity, rule, message, directive.name, text)


def _script_hosts(directive: Directive) -> Iterator[Finding]:
    texts = {source.text for source in directive.sources}
    hosts = [source for source in directive.sources if source.kind is Kind.HOST]
    if _STRICT in texts:
        for source in hosts:
            message = "passed over beside 'strict-dynamic', but by browsers of before 2022"
            yield Finding(INFO, "strict-dynamic-hosts", message, directive.name, source.text)
        return
    for source in hosts:
        bypass = find_bypass(source.host)
        if bypass is not None:
            # A path does not hold against a redirect (CSP3 §7.6), but it narrows the list.
            severity = MEDIUM if len(source.path) > 1 and not source.path.endswith("/") else HIGH
            message = f"{bypass.host} {bypass.why}"
            yield Finding(severity, "bypass-host", message, directive.name, source.text)
    if "'self'" in texts or hosts:
        message = (
            "scripts are trusted by where they are: keep callback endpoints, AngularJS and "
            "uploads off these hosts, or trust by nonce"
        )
        yield Finding(INFO, "allow-list", message, directive.name)


def _places(name: str, matters: frozenset[str], directive: Directive) -> Iterator[Finding]:
    # Beside 'strict-dynamic' a browser passes over places, but for scripts alone (CSP3 §8.2).
    strict = any(source.text == _STRICT for source in directive.sources)
    open_to = matters.difference(_SCRIPTS) if strict else matters
    for source in directive.sources:
        for severity, rule, message in _of_place(name, bool(open_to & _RUNS), source):
            shown = severity if open_to else INFO
            yield Finding(shown, rule, message, directive.name, source.text)


def _of_place(
    name: str, runs_code: bool, source: Source
) -> Iterator[tuple[LintSeverity, str, str]]:
    leaves = name in _LEAVES or name == "default-src"
    if source.kind is Kind.SCHEME and source.scheme in _RUNNING_SCHEMES:
        if runs_code:
            yield HIGH, "scheme-source", f"whatever has the scheme {source.scheme} is allowed"
        elif source.scheme in {"http", "https"}:
            severity = MEDIUM if leaves else LOW
            yield severity, "scheme-source", f"any host over {source.scheme} is allowed"
        elif source.scheme == "data" and leaves:
            yield LOW, "scheme-source", "data: documents are an attacker's own"
    if source.kind is Kind.HOST and source.host == "*":
        severity = HIGH if runs_code else MEDIUM if leaves or name == "style-src" else LOW
        yield severity, "wildcard", "every host is allowed"
    elif source.kind is Kind.HOST and source.host.startswith("*."):
        severity = MEDIUM if runs_code else LOW if leaves else INFO
        yield severity, "wildcard-host", "the weakest of all hosts under this name is trusted"
    if source.scheme in {"http", "ws"}:
        local = _is_local(source.host)
        message = "in the clear: anyone on the network can read and change it"
        yield LOW if local else MEDIUM, "plain-http", message
    if source.kind is Kind.HOST and _is_ip(source.host):
        yield LOW, "ip-address", "browsers match no IP address but 127.0.0.1 (CSP3 §6.7.2.8)"


def _styles(directive: Directive) -> Iterator[Finding]:
    if any(source.text == "'unsafe-inline'" for source in directive.sources):
        message = "injected styles read attribute values and cover the page"
        yield Finding(LOW, "unsafe-inline-style", message, directive.name, "'unsafe-inline'")


def _others(policy: Policy) -> Iterator[Weakness]:
    if _scripts_run(policy) and _TRUSTED not in policy.directives:
        message = "DOM sinks take text; require-trusted-types-for 'script' ends that"
        finding = Finding(INFO, "trusted-types-missing", message, _TRUSTED)
        yield Weakness(finding, frozenset({_TRUSTED}))
    types = policy.directives.get("trusted-types")
    if types is not None and "*" in types.values:
        message = "any script may make a policy that trusts everything"
        finding = Finding(LOW, "trusted-types-any", message, types.name, "*")
        yield Weakness(finding, frozenset())
    sandbox = policy.directives.get("sandbox")
    if sandbox is not None and {"allow-scripts", "allow-same-origin"} <= set(sandbox.values):
        message = "with scripts and its own origin a page is in no sandbox"
        yield Weakness(Finding(LOW, "sandbox-open", message, sandbox.name), frozenset())


def _scripts_run(policy: Policy) -> bool:
    """Tell whether the policy lets any script run."""
    scripts = [policy.effective(name) for name in _SCRIPTS]
    return any(
        directive is None or any(source.kind is not Kind.NONE for source in directive.sources)
        for directive in scripts
    )


def _has(policy: Policy, text: str) -> bool:
    return any(s.text == text for each in policy.directives.values() for s in each.sources)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return host != "127.0.0.1"


def _is_local(host: str) -> bool:
    return host in {"localhost", "127.0.0.1"} or host.endswith(".localhost")
