"""What is foreign reaches no terminal as it came: not as a command to it, not as another line."""

import asyncio
import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.cli.main import main
from sidecar.common.printable import escape_json, printable, printable_lines
from sidecar.csp.reports.forward import encode_seen
from sidecar.observability.audit import AuditEntry, encode_entry
from sidecar.observability.audit.entry import target_fragment
from tests.csp.reports.test_suggest import MINIMAL, report

ROOT = Path(__file__).parents[2]
ID = "4f0c2a"
SHOWN = [
    ("plain", "a path/of-an application", "a path/of-an application"),
    ("letters of others", "Zürich 東京", "Zürich 東京"),
    ("an escape sequence", "\x1b[2J\x1b]0;title\x07", "\\u001b[2J\\u001b]0;title\\u0007"),
    ("the same in C1", "\x9b2J", "\\u009b2J"),
    ("a carriage return", "denied\rallowed", "denied\\u000dallowed"),
    ("a line feed", "a\nb", "a\\u000ab"),
    ("a line's end of Unicode's", "a\u2028b\x85c", "a\\u2028b\\u0085c"),
    ("backspaces", "no\x08\x08ok\x7f", "no\\u0008\\u0008ok\\u007f"),
    ("a turned line", "\u202etxt.exe\u2066", "\\u202etxt.exe\\u2066"),
    ("what nobody sees", "ad\u200bmin\ufeff", "ad\\u200bmin\\ufeff"),
    ("a lone surrogate", "\udc9b", "\\udc9b"),
    ("beyond the first plane", "\U000e0041\U0001f600", "\\udb40\\udc41\U0001f600"),
]


@pytest.mark.parametrize(("text", "shown"), [s[1:] for s in SHOWN], ids=[s[0] for s in SHOWN])
def test_shown_in_one_line(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_it_is_cut() -> None:
    assert printable("x" * 5000) == "x" * 4095 + "…"
    assert printable("x\x1b" * 5, 4) == "x\\u001bx…"


@given(st.text())
def test_nothing_else_comes_of_any_text(text: str) -> None:
    assert printable(text).isprintable()
    assert printable_lines(text).replace("\n", "").replace("\t", "").isprintable()
    assert printable_lines(text).count("\n") == text.count("\n")


@example("\x7f")
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_escaped_json_text_says_the_same(text: str) -> None:
    encoded = json.dumps({"a": text}, ensure_ascii=False).encode()
    escaped = escape_json(encoded)
    assert json.loads(escaped) == {"a": text}
    assert escaped.decode().isprintable()


def test_a_line_of_the_audit_log_is_printable_as_it_stands() -> None:
    nasty = "\x9b2J\u202e\x7f é"
    entry = AuditEntry(
        at=1.0, decision_id="d", outcome="deny", reason="r", status=401, route="api",
        latency_us=1, kid=nasty, path=nasty, detail=nasty,
    )  # fmt: skip
    for line in (encode_entry(entry), target_fragment("GET", nasty, nasty)):
        assert line.decode().rstrip("\n").isprintable()
        assert "é" in line.decode()
    assert json.loads(encode_entry(entry))["kid"] == nasty


NASTY = "\x1b]52;c;evil\x07\rdecision 4f0c2a (forged)\n  outcome        allow\u202e\x9b1m"
ODD = [
    ("an array", b'["4f0c2a"]'),
    ("a text", b'"4f0c2a"'),
    ("a number", b"4"),
    ("another type of id", b'{"decision_id": ["4f0c2a"]}'),
    ("no UTF-8", b'{"decision_id": "4f0c2a", "path": "\xff"}'),
    ("not JSON", b"{4f0c2a"),
    ("not a number of JSON's", b'{"decision_id": "4f0c2a", "status": NaN}'),
    ("a number of 5,000 digits", b'{"decision_id": "4f0c2a", "status": ' + b"9" * 5000 + b"}"),
    ("nested deep", b'{"decision_id": "4f0c2a", "a": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    ("a line of 10 MB", b'{"decision_id": "4f0c2a", "path": "' + b"x" * 10_000_000 + b'"}'),
    *(
        (
            f"a line within a line of {length}",
            b"x" * length + b'{"decision_id": "4f0c2a", "outcome": "forged"}',
        )
        for length in (65_536, 65_537, 131_073, 131_074)
    ),
    ("a line ended by a carriage return", b'x\r{"decision_id": "4f0c2a", "outcome": "forged"}'),
]


@pytest.mark.parametrize("line", [o[1] for o in ODD], ids=[o[0] for o in ODD])
def test_explain_passes_over_what_is_no_line_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: bytes
) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(line + b'\n{"decision_id": "4f0c2a", "outcome": "deny"}\n')
    (tmp_path / "audit.jsonl.gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "audit.jsonl.d").mkdir()
    assert main(["explain", ID, "--audit", str(path)]) == 0
    out = capsys.readouterr().out
    assert out.count("decision 4f0c2a") == 1
    assert "deny" in out
    assert "forged" not in out


def test_explain_shows_odd_fields_each_in_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {
        "decision_id": ID,
        "path": NASTY,
        NASTY: {"a": [1, None, NASTY]},
        "warnings": ["a", NASTY],
        "status": 1.5,
        "reason": {"a": 1},
        "mixed": ["a", 1],
        **{f"field{number}": number for number in range(100)},
    }
    path = tmp_path / "audit\x1b[2J.jsonl"
    path.write_text(json.dumps(entry, ensure_ascii=False) + "\n")
    assert main(["explain", ID, "--audit", str(path)]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 1 + 63 + 1 + 1  # of 107 fields, and the empty end
    assert "43 more fields are not shown" in lines[-2]


def test_explain_says_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "\x1b[2J", "--audit", str(tmp_path)]) == 1
    assert "cannot be read: Is a directory" in capsys.readouterr().err
    (tmp_path / "a").touch()
    assert main(["explain", "\x1b[2J", "--audit", str(tmp_path / "a")]) == 1
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def at_a_terminal(*arguments: str) -> str:
    """What the real program writes to a real pseudo-terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sidecar", *arguments]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=ROOT) as child:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while piece := os.read(ours, 65_536):
                seen += piece
        child.wait(60)
    os.close(ours)
    return seen.decode().replace("\r\n", "\n")


def test_a_terminal_gets_nothing_that_it_would_obey(tmp_path: Path) -> None:
    """A diff shows lines of the file as they stand; into a pipe it goes byte for byte."""
    config, reports = tmp_path / "sidecar.yaml", tmp_path / "reports"
    config.write_text(f"{MINIMAL}# \u202e\u200b\n")
    reports.write_bytes(b"".join(encode_seen(report(n, "https://a.example")) for n in range(40)))
    arguments = ("csp", "suggest", "--config", str(config), "--reports", str(reports))
    seen = at_a_terminal(*arguments)
    assert "\\u202e\\u200b" in seen
    assert seen.replace("\n", "").isprintable()
    command = [sys.executable, "-m", "sidecar", *arguments]
    piped = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "# \u202e\u200b\n" in piped.stdout


ANSWERS = [
    ("an array", b"[]"),
    ("a text", b'"certificates"'),
    ("nested deep", b"[" * 50_000 + b"]" * 50_000),
    ("not JSON", b"<html>\x1b[2J"),
    ("no UTF-8", b"\xff"),
    ("no certificates", b"{}"),
    ("certificates of another shape", b'{"certificates": [1]}'),
    ("certificates that are none", b'{"certificates": {"a": 1}}'),
]


async def asked(body: bytes, status: int, *arguments: str) -> int:
    async def answer(_reader: object, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        return await asyncio.to_thread(main, [*arguments, "--admin", address])


@pytest.mark.parametrize("body", [a[1] for a in ANSWERS], ids=[a[0] for a in ANSWERS])
async def test_what_answers_for_a_sidecar_is_named_and_not_shown(
    body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("list", "pins"):
        assert await asked(body, 200, "certs", command) == 1
        assert "is not the admin port of a sidecar" in capsys.readouterr().err


async def test_what_a_sidecar_says_is_shown_in_its_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = {"name": NASTY, "chain_pem": f"-----BEGIN{NASTY}", NASTY: [NASTY], "n": {"a": None}}
    assert await asked(json.dumps(row).encode(), 200, "certs", "show", "edge") == 0
    assert await asked(json.dumps({"certificates": [row]}).encode(), 200, "certs", "list") == 0
    assert await asked(json.dumps({"error": NASTY}).encode(), 500, "certs", "renew", "edge") == 1
    said = capsys.readouterr()
    assert (said.out + said.err).replace("\n", "").isprintable()
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:x", "127.0.0.1:99999", ":"])
def test_an_address_that_is_none(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "show", "\udcff", "--admin", address]) == 1
    assert capsys.readouterr().err.startswith("sidecar: ")
