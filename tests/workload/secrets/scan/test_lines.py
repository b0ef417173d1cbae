"""Which lines hold a secret."""

from collections.abc import Iterator

import pytest

from tests.workload.secrets.scan import samples
from workload.secrets.scan.findings import Piece
from workload.secrets.scan.lines import MAX_LINE, LineDetectors, line_detectors


@pytest.fixture(scope="module")
def detectors() -> Iterator[LineDetectors]:
    with line_detectors(entropy=False) as made:
        yield made


def kinds(detectors: LineDetectors, text: str, path: str = "app.py") -> list[tuple[str, int]]:
    return [(each.kind, each.line) for each in detectors.find(Piece(path, path, text))]


NAMED = samples.NAMED


@pytest.mark.parametrize(
    ("text", "path", "kind"),
    [
        (f'key = "{samples.AWS}"', "a.py", "aws-access-key"),
        (f"token: {samples.GITHUB}", "a.yaml", "github-token"),
        (f"STRIPE={samples.STRIPE}", "a.sh", "stripe-access-key"),
        (f"slack = {samples.SLACK}", "a.toml", "slack-token"),
        (samples.KEY, "a.pem", "private-key"),
        (f"    {samples.KEY}", "values.yaml", "private-key"),
        (f'connect("{samples.URL}")', "a.py", "url-password"),
        (samples.JWT, "notes.md", "jwt"),
        (f'{NAMED} = "{samples.PASSWORD}"', "a.py", "password"),
        (f"{NAMED}: {samples.PASSWORD}", "a.yaml", "password"),
        (f"{NAMED}={samples.PASSWORD}", "a.ini", "password"),
    ],
)
def test_a_secret_is_found(detectors: LineDetectors, text: str, path: str, kind: str) -> None:
    found = kinds(detectors, f"first line\n{text}\n", path)
    assert (kind, 2) in found


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f'{NAMED} = os.environ["DB_{NAMED}"]', "a.py"),
        (f'{NAMED} = secrets.read("db")', "a.py"),
        (f'{NAMED} = "{{{{ vault.db }}}}"', "a.py"),
        (f"{NAMED}: ${{DB}}", "a.yaml"),
        (f"{NAMED}: <your {NAMED}>", "a.yaml"),
        (f"{NAMED}: /run/secrets/db", "a.yaml"),
        (f"{NAMED}: null", "a.yaml"),
        (f"{NAMED}: changeme", "a.yaml"),
        (f'{NAMED} = "…"', "a.py"),
        (f"{NAMED}: the word that you were given at the door", "a.yaml"),
        ("sha256:" + "0123456789abcdef" * 4, "a.lock"),
        ("http://user@example.com/", "a.md"),
        ('tls: {secretName: app-example-com, minimumProtocolVersion: "1.2"}', "a.yaml"),
        ("", "a.py"),
    ],
)
def test_what_is_none_is_not(detectors: LineDetectors, text: str, path: str) -> None:
    assert kinds(detectors, text, path) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f'k = "{samples.AWS}"  # septem: allow-secret of a test', 0),
        (f'# septem: allow-secret of a test\nk = "{samples.AWS}"', 0),
        (f'# septem: allow-secret\nk = "{samples.AWS}"', 1),
        (f'# septem: allow-secret of a test\n\nk = "{samples.AWS}"', 1),
    ],
)
def test_a_reason_allows_its_line_or_the_next(
    detectors: LineDetectors, text: str, found: int
) -> None:
    assert len(kinds(detectors, text)) == found


def test_random_looking_texts_are_asked_for() -> None:
    text = 'x = "' + "Zm9vYmFyMTIzNDU2" + "Nzg5MGFiY2RlZmdoaWprbG1ub3A5OHk3" + '"'
    found = []
    for entropy in (False, True):
        with line_detectors(entropy=entropy) as detectors:
            found.append(len(kinds(detectors, text)))
    assert found == [0, 1]


def test_of_a_very_long_line_the_beginning_is_looked_at(detectors: LineDetectors) -> None:
    assert kinds(detectors, "x" * MAX_LINE + samples.AWS) == []
    assert kinds(detectors, samples.AWS + " " + "x" * 10 * MAX_LINE)


def test_no_finding_holds_the_secret(detectors: LineDetectors) -> None:
    (finding,) = detectors.find(Piece("a.py", "a.py", f'k = "{samples.AWS}"'))
    assert samples.AWS not in repr(finding)
