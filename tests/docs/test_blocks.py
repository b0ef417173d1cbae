"""Every block of code in the documents is run by a test, or says why not."""

from collections import Counter
from pathlib import Path

import pytest

from tests.docs import prepared
from tests.support.documents import BLOCKS, ROOT, Block, Kind, blocks_of, kind_of

NOT_RUN = {
    "README.md": 1,
    "workload/README.md": 2,
    "bench/README.md": 2,
    "docs/admin-page.md": 1,
    "docs/audit-sinks.md": 4,
    "docs/certificates.md": 1,
    "docs/deploy-compose.md": 6,
    "docs/deploy-kubernetes.md": 4,
    "docs/deploy-systemd.md": 6,
    "docs/grpc.md": 1,
    "docs/image.md": 5,
    "docs/incident.md": 1,
    "docs/quick-start.md": 1,
    "docs/release.md": 6,
    "docs/secrets.md": 1,
    "docs/tenancy.md": 1,
    "docs/vault.md": 1,
    "docs/what-reaches-your-application.md": 1,
}
"""How many blocks of a page are not run, at most: the fewer the better."""
MOST_NOT_RUN = 0.19
MOST_SHOWN = 20
"""Blocks that are no code. May only shrink: what is printed belongs under its command."""
EACH = pytest.mark.parametrize("block", BLOCKS, ids=[block.name for block in BLOCKS])


@EACH
def test_it_is_fenced_and_something_runs_it_or_it_says_why_not(block: Block) -> None:
    assert block.is_fenced, "an indented block has no language: make it a fence"
    assert block.language, "say the language: ```text, if it is none"
    if not block.not_run:
        assert kind_of(block) is not None, "nothing runs it (tests/support/documents.py)"


@EACH
def test_what_is_said_about_it_is_true(block: Block) -> None:
    if block.not_run:
        assert len(block.not_run.split()) >= 3, "say why"
        assert kind_of(block) not in {Kind.SHOWN, Kind.DIAGRAM}, "such a block is not run anyway"
    if block.run_by:
        assert block.page in (ROOT / block.run_by).read_text(), "that test does not name the page"


def test_few_are_not_run() -> None:
    absent = Counter(block.page for block in BLOCKS if block.not_run)
    assert absent - Counter(NOT_RUN) == Counter(), "more than there were"
    assert absent.total() < MOST_NOT_RUN * len([b for b in BLOCKS if kind_of(b) is not Kind.SHOWN])


def test_few_are_no_code() -> None:
    assert len([block for block in BLOCKS if kind_of(block) is Kind.SHOWN]) <= MOST_SHOWN


def test_every_kind_is_run_by_a_test() -> None:
    files = [*Path(__file__).parent.glob("test_*_blocks.py"), Path(prepared.__file__)]
    tests = "".join(path.read_text() for path in files)
    others = {Kind.SHOWN, Kind.DIAGRAM}  # the second is compared in tests/keys/test_lifecycle.py
    assert {kind for kind in Kind if f"Kind.{kind.name}" not in tests} == others


PAGE = """\
# Title
<!-- not run: needs a cluster -->
```sh
kubectl get pods
```

1. A step:

   <!-- run by: tests/x.py -->
   ```yaml
   limits: {}
   ```

## Section
    indented

```
no language
```

<!-- not run: is two lines away -->

```yaml
unknown: {}
```
"""


def test_the_reader_sees_every_block_and_what_is_said_about_it() -> None:
    found = blocks_of("p.md", PAGE)
    assert [(b.line, b.section, b.language, b.not_run, b.run_by, b.is_fenced) for b in found] == [
        (3, "Title", "sh", "needs a cluster", "", True),
        (10, "Title", "yaml", "", "tests/x.py", True),
        (15, "Section", "", "", "", False),
        (17, "Section", "", "", "", True),
        (23, "Section", "yaml", "", "", True),
    ]
    assert [kind_of(each) for each in found] == [Kind.COMMANDS, Kind.SETTINGS, None, None, None]
    assert found[1].text == "limits: {}\n"
