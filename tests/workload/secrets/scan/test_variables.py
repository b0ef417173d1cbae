"""Environment variables with secrets, in each kind of file that sets them."""

import pytest

from tests.workload.secrets.scan import samples
from workload.secrets.scan.findings import Piece
from workload.secrets.scan.variables import find_in_image_config, find_variables, holds_secret

VALUE = samples.PASSWORD


def found(path: str, text: str) -> list[tuple[str, int]]:
    return [(each.kind, each.line) for each in find_variables(Piece(path, path, text))]


POD = """\
apiVersion: v1
kind: Pod
spec:
  containers:
    - name: app
      env:
        - {name: DB_USER, value: shop}
        - name: DB_PASSWORD
          value: VALUE
"""
COMPOSE = """\
services:
  app:
    environment:
      DB_PASSWORD: VALUE
  other:
    environment:
      - MODE=fast
      - API_KEY=VALUE
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData:\n  anything: VALUE\n"


@pytest.mark.parametrize(
    ("path", "text", "lines"),
    [
        ("pod.yaml", POD, [("environment", 9)]),
        ("pod.json", '{"env": [{"name": "A_TOKEN", "value": "VALUE"}]}', [("environment", 1)]),
        ("two.yml", f"{POD}---\n{POD}", [("environment", 9), ("environment", 19)]),
        ("compose.yaml", COMPOSE, [("environment", 4), ("environment", 8)]),
        ("secret.yaml", SECRET, [("kubernetes-secret", 1)]),
        ("Dockerfile", "FROM x\nENV DB_PASSWORD=VALUE MODE=a\n", [("environment", 2)]),
        ("Dockerfile.prod", "ARG API_KEY=VALUE\n", [("environment", 1)]),
        ("Containerfile", "ENV SIGNING_KEY VALUE\n", [("environment", 1)]),
        ("a.service", "[Service]\nEnvironment=A=b TOKEN=VALUE\n", [("environment", 2)]),
        ("a.service", '[Service]\nEnvironment="DB_PASSWORD=VALUE"\n', [("environment", 2)]),
        (".env", "MODE=a\nexport DB_PASSWORD=VALUE\n", [("environment", 2)]),
        ("prod.env", "DB_PASSWORD='VALUE'\n", [("environment", 1)]),
        (".env", f"DATABASE={samples.URL}\n", [("environment", 1)]),
    ],
)
def test_it_is_found_where_it_is_set(path: str, text: str, lines: list[tuple[str, int]]) -> None:
    assert sorted(found(f"deploy/{path}", text.replace("VALUE", VALUE))) == lines


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("pod.yaml", POD.replace("value: VALUE", "valueFrom: {secretKeyRef: {name: a, key: b}}")),
        ("pod.yaml", POD.replace("VALUE", "$(OTHER)")),
        ("pod.yaml", POD.replace("DB_PASSWORD", "DB_PASSWORD_FILE").replace("VALUE", "a.txt")),
        ("compose.yaml", COMPOSE.replace("VALUE", "${DB_PASSWORD:?}")),
        ("compose.yaml", COMPOSE.replace("VALUE", "/run/secrets/db")),
        ("secret.yaml", SECRET.replace("VALUE", "{{ .Values.password }}")),
        ("secret.yaml", "kind: Secret\ndata: {a: b}\n"),
        ("broken.yaml", "a: [\n" + POD),
        ("loop.yaml", "a: &a [*a]\nenv: &b {b: *b}\n"),
        ("Dockerfile", "ARG API_KEY\nENV TOKEN_TTL=30\nRUN echo PASSWORD=x\n"),
        ("a.service", "[Service]\nEnvironmentFile=/run/secrets\nEnvironment=TOKEN_FILE=%d/t\n"),
        ("code.py", "DB_PASSWORD=VALUE"),
        (".env", "DB_PASSWORD=\n# TOKEN=VALUE\n"),
        (".env", f"# septem: allow-secret of a test\nDB_PASSWORD={VALUE}\n"),
    ],
)
def test_what_is_none_is_not(path: str, text: str) -> None:
    assert found(path, text) == []


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("DB_PASSWORD", "x9", True),
        ("db_password", "x9", True),
        ("DBPASSWORD", "x9", False),
        ("PASSWORD_2", "x9", True),
        ("TOKENS_PER_SECOND", "9", False),
        ("MONKEY", "x9", False),
        ("API_KEY", '"x9"', True),
        ("ANY", samples.URL, True),
        ("ANY", "postgresql://shop:${PASSWORD}@db/shop", False),
        ("ANY", "https://example.com/a:b@c", False),
        ("TOKEN", "vault:secret/data/app#token", False),
    ],
)
def test_a_name_or_a_url_says_it(name: str, value: str, holds: bool) -> None:
    assert holds_secret(name, value) is holds


def test_an_image_s_configuration() -> None:
    variables = ["PATH=/bin", f"DB_PASSWORD={VALUE}", "TOKEN"]
    (finding,) = find_in_image_config("image", variables)
    assert (finding.path, finding.kind) == ("Env DB_PASSWORD", "environment")
