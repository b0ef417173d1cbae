"""Other people's graders over what the real Envoy sends: findings are exceptions or failures.

``make graders`` installs them; ``make test`` does so by itself. ``WHOLE_GRADE=1`` (``make
grade``) has testssl.sh try every vulnerability it knows, which takes a minute.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.cases import API, PUBLIC, Minter, bearer
from demo.shell import PREFIX
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from sidecar.config import load_config, model
from sidecar.csp.lint.finding import LintSeverity
from sidecar.csp.lint.header import read_header
from sidecar.csp.lint.lint import lint_profile
from sidecar.headers.compile import csp_policies

pytestmark = pytest.mark.real
HERE = Path(__file__).parent
EXAMPLE = HERE.parents[1] / "config.example.yaml"
GRADERS = HERE.parents[1] / ".venv" / "graders"
EXCEPTIONS: dict[str, list[dict[str, str]]] = yaml.safe_load((HERE / "exceptions.yaml").read_text())
MINIMUM_SCORE = 130
WHOLE = os.environ.get("WHOLE_GRADE") == "1"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The lowest TLS version that may be configured: more to find fault with."""
    assert (GRADERS / "npm" / "node_modules").is_dir(), "the graders are missing: make graders"
    with Stack(tls_min="1.2") as running:
        yield running


def run(
    *command: str | Path, timeout: float = 120, **more: Any
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, **more
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def node(script: str, *arguments: str, **more: Any) -> Any:
    shutil.copy(HERE / script, GRADERS / "npm")
    command: tuple[str | Path, ...] = (GRADERS / "node", script, *arguments)
    return json.loads(run(*command, cwd=GRADERS / "npm", **more).stdout)


def judged(grader: str, found: list[dict[str, str]]) -> None:
    """Hold findings against the exceptions, and each exception against the findings."""
    exceptions = [
        {name: value for name, value in each.items() if name != "reason"}
        for each in EXCEPTIONS[grader]
    ]
    bad = [each for each in found if not any(e.items() <= each.items() for e in exceptions)]
    assert bad == []
    unused = [e for e in exceptions if not any(e.items() <= each.items() for each in found)]
    assert unused == [], "no longer needed in exceptions.yaml"


def test_every_exception_has_a_reason() -> None:
    assert all(len(each["reason"]) > 8 for grader in EXCEPTIONS.values() for each in grader)


def speaking(header: str) -> list[str]:
    """A header's policies, but for those that say nothing of scripts beside one that does.

    All of them hold together, and csp_evaluator sees one at a time: it would miss script-src in
    a second policy that is there for framing alone.
    """
    policies = [policy.strip() for policy in header.split(",")]
    of_scripts = [each for each in policies if "script-src " in each or "default-src " in each]
    assert of_scripts, f"no policy for scripts: {header}"
    return of_scripts


def test_csp_evaluator_finds_nothing_in_any_policy_that_is_sent(stack: Stack) -> None:
    good = bearer(Minter(stack.key, wall_seconds()).good())
    replies = {
        "the landing page": stack.client.get("/"),
        "the shell's page": stack.client.get(PREFIX),
        "an asset": stack.client.get(PUBLIC),
        "an answer of the API": stack.client.get(API, (good,)),
        "a refusal": stack.client.get(API),
        "Envoy's own 400": stack.client.get("/assets%2f..%2fapi/orders"),
        "plain HTTP": stack.client.get("/", tls=False),
    }
    policies = {
        policy: name
        for name, reply in replies.items()
        for policy in speaking(reply.headers["content-security-policy"])
    }
    shipped = {"the built-in": model.Headers(), "the example's": load_config(EXAMPLE).headers}
    for whose, headers in shipped.items():
        for name in headers.csp:
            enforced, _ = csp_policies(headers, name)
            policies |= {policy.render(None, None): f"{whose} {name}" for policy in enforced}
    findings = node("evaluate.mjs", input=json.dumps(list(policies)))
    assert len(findings) == len(policies) >= 4
    judged(
        "csp_evaluator",
        [
            {**finding, "policy": name}
            for name, of_policy in zip(policies.values(), findings, strict=True)
            for finding in of_policy
            if finding["severity"] != "INFO"
        ],
    )


def observe(stack: Stack, path: str, ca: str) -> Any:
    ports = str(stack.ports.http), str(stack.ports.https)
    environment = {**os.environ, "NODE_EXTRA_CA_CERTS": ca}
    return node("observe.mjs", "localhost", *ports, path, env=environment)


@pytest.mark.parametrize("path", ["/", PREFIX], ids=["an answer", "the shell's page"])
def test_the_observatory_gives_130_points(stack: Stack, path: str) -> None:
    """All there is without preloading (a list), cookies (we set none) and SRI (the page's)."""
    result = observe(stack, path, str(stack.folder / "ca.pem"))
    assert result["status"] == 200
    assert [each for each in result["tests"] if not each["pass"]] == []
    assert result["score"] >= MINIMUM_SCORE, result["tests"]


def test_csp_evaluator_and_the_observatory_do_find_what_is_bad(stack: Stack) -> None:
    """Graders that pass everything would prove nothing."""
    (findings,) = node("evaluate.mjs", input=json.dumps(["script-src 'unsafe-inline' https:"]))
    assert {each["severity"] for each in findings} >= {"HIGH"}
    result = observe(stack, "/", ca="")
    assert [each["name"] for each in result["tests"] if not each["pass"]], "the CA is not known"


@pytest.mark.parametrize(("tls_min", "level"), [("1.2", "intermediate"), ("1.3", "modern")])
def test_sslyze(
    stack: Stack, tmp_path: Path, tls_min: str, level: str, request: pytest.FixtureRequest
) -> None:
    """Mozilla's levels: intermediate where TLS 1.2 is allowed, modern where it is not."""
    if tls_min != "1.2":
        stack = request.getfixturevalue("modern_stack")
    out = tmp_path / "sslyze.json"
    run(
        GRADERS / "python" / "bin" / "python", "-W", "ignore", "-m", "sslyze",
        f"--mozilla_config={level}", f"--certinfo_ca_file={stack.folder / 'ca.pem'}",
        f"--json_out={out}", f"localhost:{stack.ports.https}",
    )  # fmt: skip
    (server,) = json.loads(out.read_text())["server_scan_results"]
    results = server["scan_result"]
    statuses = {name: each["status"] for name, each in results.items()}
    assert set(statuses.values()) <= {"COMPLETED", "NOT_SCHEDULED"}
    flat = {name: each["result"] for name, each in results.items() if each["result"]}
    assert [version for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1")
            if flat[f"{version}_cipher_suites"]["accepted_cipher_suites"]] == []  # fmt: skip
    assert not flat["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert not flat["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]
    assert not flat["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]
    assert not flat["tls_compression"]["supports_compression"]
    assert flat["robot"]["robot_result"].startswith("NOT_VULNERABLE")
    deployments = flat["certificate_info"]["certificate_deployments"]
    stores = [result for each in deployments for result in each["path_validation_results"]]
    trusting = {each["trust_store"]["name"] for each in stores if each["was_validation_successful"]}
    assert trusting == {"Supplied CA file"}
    failing = {each["trust_store"]["name"] for each in stores} - trusting
    judged("sslyze", [{"store": name} for name in failing])


@pytest.fixture
def modern_stack() -> Iterator[Stack]:
    with Stack(tls_min="1.3") as running:
        yield running


def test_testssl(stack: Stack, tmp_path: Path) -> None:
    """Protocols, ciphers, certificate and headers; every known vulnerability in ``make grade``."""
    program = shutil.which("testssl") or str(GRADERS / "testssl" / "usr" / "bin" / "testssl")
    data = GRADERS / "testssl" / "etc" / "testssl"
    out = tmp_path / "testssl.json"
    run(
        program, "--quiet", "--color", "0", "--nodns", "none", "--ip", "127.0.0.1",
        "--warnings", "off", "--add-ca", stack.folder / "ca.pem", "--jsonfile", out,
        "--protocols", "--server-defaults", "--headers",
        *(("--vulnerable", "--std", "--pfs", "--server-preference") if WHOLE else ()),
        f"localhost:{stack.ports.https}",
        stdin=subprocess.DEVNULL,
        timeout=600,
        env={**os.environ, **({"TESTSSL_INSTALL_DIR": str(data)} if data.is_dir() else {})},
    )  # fmt: skip
    findings = json.loads(out.read_text())
    seen = {each["id"]: each["severity"] for each in findings}
    assert seen["TLS1_2"] == seen["TLS1_3"] == seen["HSTS_time"] == "OK", "it did look"
    assert seen["cert_chain_of_trust"] == "OK"
    judged("testssl", [each for each in findings if each["severity"] not in {"OK", "INFO"}])


PIECES = (
    "'self'", "*", "https:", "http://*", "DATA:", "'unsafe-inline'", "'strict-dynamic'",
    "'nonce-AAAAAAAAAAAAAAAAAAAAAA'", "'sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='",
    "'unsafe-hashes'", "'none'", "a.example", "'slef'",
)  # fmt: skip
FRAMES = (
    "{0}; object-src 'none'; base-uri 'none'",
    "{0}; base-uri 'none'",
    "object-src 'none'; {0}; {0} *; base-uri 'none'",
)
NAMES = ("script-src", "default-src")
NO_SCRIPTS = "no script runs, so theirs asks for object-src more than is needed"
STRICT_OBJECTS = "theirs takes 'strict-dynamic' for a rule about objects too"


def high_of_ours(policy: str) -> bool:
    policies, _ = read_header(policy)
    return any(each.finding.severity == LintSeverity.HIGH for each in lint_profile(policies))


def known_difference(policy: str) -> str:
    """Name the reason for which the two may differ; empty for none."""
    (read,), _ = read_header(policy)
    scripts, objects = read.effective("script-src"), read.effective("object-src")
    assert scripts is not None
    if objects is None and scripts.values == ("'none'",):
        return NO_SCRIPTS
    if objects is scripts and "'strict-dynamic'" in scripts.values:
        return STRICT_OBJECTS
    return ""


def test_csp_evaluator_and_our_lint_agree_on_what_is_high() -> None:
    """Over every list of up to three sources; where they differ, the reason is a known one."""
    policies = [
        frame.format(" ".join((name, *sources)))
        for length in (1, 2, 3)
        for sources in combinations(PIECES, length)
        for frame in FRAMES
        for name in NAMES
    ]
    found = node("evaluate.mjs", input=json.dumps(policies))
    theirs = [any(each["severity"] == "HIGH" for each in findings) for findings in found]
    differing = {
        policy: known_difference(policy)
        for policy, high in zip(policies, theirs, strict=True)
        if high_of_ours(policy) is not high
    }
    assert [policy for policy, reason in differing.items() if not reason] == []
    assert set(differing.values()) == {NO_SCRIPTS, STRICT_OBJECTS}, "one is no longer needed"
    assert {True, False} == set(theirs)
