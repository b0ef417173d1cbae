"""The Python of the documents runs as it stands, block after block of a page, and is typed."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from demo.openbao import OpenBao
from tests.support.documents import BLOCKS, ROOT, Block, Kind, kind_of, not_marked
from tests.support.real import TokenFile

MYPY_SECONDS = 300


def by_page() -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for block in BLOCKS:
        if kind_of(block) is Kind.PYTHON and not_marked(block):
            found.setdefault(block.page, []).append(block)
    return found


PAGES = by_page()
OF_THE_READER: Mapping[str, str] = {
    "docs/mtls.md": """\
from asyncio import StreamReader, StreamWriter
async def serve(reader: StreamReader, writer: StreamWriter) -> None: ...
""",
    "docs/tenancy.md": """\
from workload.tenancy.asgi import AsgiApplication
app: AsgiApplication
conninfo: str
""",
}
"""What the reader of a page has already, with its types."""
RUN_ELSEWHERE = {"docs/tenancy.md"}
"""Pages whose code follows their commands: test_command_blocks.py."""


def test_mypy_accepts_every_page(tmp_path: Path) -> None:
    for number, (page, blocks) in enumerate(PAGES.items()):
        text = "".join(f"# {block.name}\n{block.text}" for block in blocks)
        (tmp_path / f"page_{number}.py").write_text(OF_THE_READER.get(page, "") + text)
    wrong = tmp_path / "page_wrong.py"
    wrong.write_text("from workload.settings import KvEntry\nKvEntry(path=1)\n")
    command = [
        sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent",
        "--disable-error-code=func-returns-value", *map(str, sorted(tmp_path.glob("*.py"))),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=MYPY_SECONDS, check=False
    )
    found = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert [line for line in found if wrong.name not in line] == [], done.stderr
    assert len(found) == 1, "it looked"


@pytest.mark.parametrize("page", sorted(set(PAGES) - RUN_ELSEWHERE))
def test_a_page_runs(page: str, tmp_path: Path) -> None:
    """What its functions do with real servers is tested beside what they use."""
    names: dict[str, Any] = {"__name__": "page"}
    for text in (OF_THE_READER.get(page, ""), *(block.text for block in PAGES[page])):
        there = text.replace("/var/lib/pwned-passwords", str(tmp_path))
        exec(compile(there, f"<{page}>", "exec"), names)  # noqa: S102 - the page's own code


@pytest.mark.real
async def test_the_pepper_of_the_page_is_read(openbao: OpenBao, token_file: TokenFile) -> None:
    page = "docs/passwords.md"
    (policy,) = (b.text for b in BLOCKS if b.page == page and kind_of(b) is Kind.POLICY)
    kv = openbao.client.secrets.kv.v2
    kv.create_or_update_secret(
        "passwords/pepper", {"1": "cGVwcGVyIG9mIHRoZSBwYWdlLCAzMiBieXRlcy4uLi4=", "current": "1"}
    )
    token_file.write(openbao.token_for(policy, name="page"))
    names: dict[str, Any] = {"__name__": "page"}
    (code,) = (b.text for b in PAGES[page] if "async def start" in b.text)
    code = code.replace("https://vault.internal:8200", openbao.address)
    exec(code.replace("/run/vault/token", str(token_file.path)), names)  # noqa: S102
    passwords = await names["start"]()
    assert "keyid=MQ" in await passwords.hash("correct horse battery staple")
