"""A proposal is one exact origin, well seen; and a diff that patch applies."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.main import main
from sidecar.common.clock import wall_seconds
from sidecar.common.errors import Fault
from sidecar.config import load_config
from sidecar.csp.language import parse_policy
from sidecar.csp.reports.forward import encode_seen
from sidecar.csp.reports.store import ReportStore, Seen
from sidecar.csp.reports.suggest import (
    Evidence,
    RefusedSuggestion,
    Suggestion,
    Thresholds,
    from_lines,
    from_table,
    lines_of,
    suggest,
)

EXAMPLE = Path(__file__).parents[3] / "config.example.yaml"
parsed, _ = parse_policy(
    {
        "default-src": ["'none'"],
        "script-src": ["'self'", "cdn.septemcore.com"],
        "img-src": ["'self'", "https:"],
        "connect-src": ["'self'"],
    }
)
assert parsed
POLICY = parsed
DOMAINS = frozenset({"shop.acme.example", "other.example"})


def seen_often(directive: str, blocked: str, disposition: str = "enforce", **less: Any) -> Evidence:
    counts = {"reports": 100, "documents": 10, "clients": 10, "tenants": ("a", "b"), **less}
    return Evidence(directive, blocked, disposition, **counts)


def judge(*found: Evidence) -> tuple[list[Suggestion], list[RefusedSuggestion]]:
    return suggest(found, [POLICY], [], Thresholds(), DOMAINS)


@pytest.mark.parametrize(
    ("directive", "blocked", "into", "new"),
    [
        ("script-src-elem", "https://js.example.com", "script-src", False),
        ("connect-src", "wss://live.example.com:8443", "connect-src", False),
        ("font-src", "https://fonts.example.com", "font-src", True),
        ("style-src-elem", "https://css.example.com", "style-src", True),
    ],
)
def test_an_exact_origin_is_proposed(directive: str, blocked: str, into: str, new: bool) -> None:
    ((proposal,), refused) = judge(seen_often(directive, blocked))
    assert (proposal.directive, proposal.source, proposal.new) == (into, blocked, new)
    assert proposal[:2] == ("enforced", 0)
    assert refused == []


NEVER = [
    ("inline", seen_often("script-src-elem", "inline")),
    ("eval", seen_often("script-src", "eval")),
    ("a trusted type", seen_often("require-trusted-types-for", "trusted-types-sink")),
    ("data", seen_often("img-src", "data")),
    ("blob", seen_often("worker-src", "blob")),
    ("a bare scheme", seen_often("script-src", "https")),
    ("what was no URL", seen_often("script-src", "unknown")),
    ("in the clear", seen_often("script-src", "http://js.example.com")),
    ("a tenant's domain", seen_often("connect-src", "https://other.example")),
    ("the page's own tenant's", seen_often("connect-src", "https://shop.acme.example")),
    ("below a tenant's domain", seen_often("connect-src", "https://x.other.example:8443")),
    ("a library host", seen_often("script-src-elem", "https://cdnjs.cloudflare.com")),
    ("a shared host", seen_often("script-src-elem", "https://evil.github.io")),
    ("an IP address", seen_often("img-src", "https://192.0.2.1")),
    ("IPv6", seen_often("img-src", "https://[2001:db8::1]")),
    ("this machine", seen_often("connect-src", "https://localhost:3000")),
    ("<base>", seen_often("base-uri", "https://js.example.com")),
    ("framing", seen_often("frame-ancestors", "https://js.example.com")),
    ("plug-ins", seen_often("object-src", "https://js.example.com")),
    ("no directive", seen_often("other", "https://js.example.com")),
    ("allowed already", seen_often("img-src", "https://a.example.com")),
    ("few reports", seen_often("connect-src", "https://a.example.com", reports=19)),
    ("one page", seen_often("connect-src", "https://a.example.com", documents=1)),
    ("two clients", seen_often("connect-src", "https://a.example.com", clients=2)),
    ("watched, where nothing is", seen_often("connect-src", "https://a.example.com", "report")),
]


@pytest.mark.parametrize("evidence", [n[1] for n in NEVER], ids=[n[0] for n in NEVER])
def test_never_proposed(evidence: Evidence) -> None:
    proposals, refused = judge(evidence)
    assert proposals == []
    assert [each.evidence for each in refused] == [evidence]


def test_one_list_gets_a_source_once() -> None:
    origin = "https://js.example.com"
    proposals, _ = judge(seen_often("script-src", origin), seen_often("script-src-elem", origin))
    assert len(proposals) == 1


def report(number: int, blocked: str, directive: str = "connect-src", **changes: Any) -> Seen:
    given = {
        "at": wall_seconds(), "tenant": "t", "document": "https://shop.acme.example",
        "directive": directive, "blocked": blocked, "disposition": "enforce", "source": "",
        "document_id": f"d{number % 4}", "client_id": f"c{number % 5}", **changes,
    }  # fmt: skip
    return Seen(**given)


def test_both_windows_say_the_same() -> None:
    reports = [report(n, "https://a.example.com") for n in range(30)]
    store = ReportStore(max_rows=64, keep=4)
    for each in reports:
        store.add(each)
    from_file = from_lines(encode_seen(each) for each in reports)
    assert from_file == from_table(store.document())
    assert from_file == [
        Evidence("connect-src", "https://a.example.com", "enforce", 30, 4, 5, ("t",))
    ]
    assert from_lines([encode_seen(report(0, "x", at=5.0))], since=6.0) == []


def write_reports(path: Path, *reports: Seen) -> Path:
    path.write_bytes(b"".join(map(encode_seen, reports)))
    return path


def patched(config: Path, diff: str) -> Path:
    """The file after ``git apply``, which like ``patch`` passes over the comments in front."""
    git = shutil.which("git")
    assert git
    command = [git, "apply", "-"]
    done = subprocess.run(
        command, input=diff, text=True, capture_output=True, check=False, cwd=config.parent
    )
    assert done.returncode == 0, done.stderr
    return config


def test_the_example_configuration_keeps_its_comments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reports = write_reports(
        tmp_path / "reports.jsonl",
        *(report(n, "https://a.example.com") for n in range(40)),
        *(report(n, "https://media.example.com", "media-src") for n in range(30)),
        *(report(n, "inline", "script-src-elem") for n in range(500)),
    )
    config = Path("sidecar.yaml")
    shutil.copy(EXAMPLE, config)
    assert main(["csp", "suggest", "--config", "sidecar.yaml", "--reports", str(reports)]) == 0
    output = capsys.readouterr().out
    assert "# not proposed: inline for script-src-elem" in output
    assert "connect-src += https://a.example.com: 40 reports from 4 pages of one tenant" in output
    before_lines = config.read_text().splitlines()
    after = patched(config, output)
    after_lines = after.read_text().splitlines()
    assert [line for line in before_lines if "#" in line] == [
        line for line in after_lines if "#" in line
    ]
    (policy,) = load_config(after).headers.csp["shell"].enforced
    assert policy["connect-src"][-1] == "https://a.example.com"
    assert policy["media-src"] == ("https://media.example.com",)


MINIMAL = """\
vault: {address: "https://vault.internal", auth: {method: token_file, path: /t}}
tokens:
  issuers:
    - {issuer: "https://iam", audiences: [a]}
routes:
  - {name: landing, path: /, auth: none}  # the shell
"""


def test_a_built_in_profile_is_written_out_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Path("sidecar.yaml")
    config.write_text(MINIMAL)
    before = load_config(config).headers.csp["shell"].enforced[0]
    lines = write_reports(tmp_path / "r", *(report(n, "https://a.example.com") for n in range(40)))
    assert main(["csp", "suggest", "--config", "sidecar.yaml", "--reports", str(lines)]) == 0
    after = patched(config, capsys.readouterr().out)
    (policy,) = load_config(after).headers.csp["shell"].enforced
    wanted = {**before, "connect-src": (*before["connect-src"], "https://a.example.com")}
    assert policy == wanted


def test_nothing_to_propose_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = write_reports(tmp_path / "r", report(1, "https://a.example.com"))
    command = ["csp", "suggest", "--config", str(EXAMPLE), "--reports", str(lines)]
    assert main(command) == 1
    output = capsys.readouterr()
    assert "too little seen: 1 reports from 1 pages of one tenant, 1 clients" in output.out
    assert output.err == "nothing to propose\n"


WHOLE = json.loads(encode_seen(report(1, "x")))
ODD_LINES = [
    "{}",
    "[",
    "5",
    json.dumps({"time": "x"}),
    "[" * 50_000,
    json.dumps({**WHOLE, "time": "0001-01-01T00:00:00"}),
    json.dumps({**WHOLE, "time": 5}),
    json.dumps({**WHOLE, "blocked": ["x"]}),
    json.dumps({**WHOLE, "directive": None}),
]


@pytest.mark.parametrize("line", ODD_LINES)
def test_a_line_that_is_no_report_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    path = tmp_path / "r"
    path.write_bytes(encode_seen(report(1, "x")) + line.encode() + b"\n")
    assert main(["csp", "suggest", "--config", str(EXAMPLE), "--reports", str(path)]) == 1
    assert "line 2 is no forwarded report" in capsys.readouterr().err


def test_a_line_without_an_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "r").open("w+b") as file:
        file.truncate(1 << 40)  # a file with nothing in it, of a terabyte
        with pytest.raises(Fault, match="line 1: more than can be read at once"):
            from_lines(lines_of(file))


ROW = {
    "last": 5.0, "directive": "connect-src", "blocked": "https://a.example", "tenant": "t",
    "disposition": "enforce", "count": 5, "documents": 2, "clients": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    "document",
    [{}, {"rows": 5}, {"rows": [5]}, {"rows": [{**ROW, "count": "5"}]},
     {"rows": [{**ROW, "last": None}]}, {"rows": [{**ROW, "blocked": ["x"]}]},
     {"rows": [ROW, {**ROW, "clients": "many"}]}],
)  # fmt: skip
def test_a_table_of_another_shape_is_said(document: dict[str, Any]) -> None:
    with pytest.raises(Fault, match="not the table of a sidecar of this version"):
        from_table(document)
