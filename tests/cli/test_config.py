"""``sidecar config check``: every problem of a file, and what others must be configured for."""

import json
from pathlib import Path

from tests.cli.commands import Run

ROOT = Path(__file__).parents[2]


def test_the_example_is_good(run: Run) -> None:
    code, out, _ = run("config", "check", ROOT / "config.example.yaml")
    assert code == 0
    assert "good (3 routes" in out


def test_what_envoy_and_the_application_must_agree_with_is_a_note(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    text = (ROOT / "config.example.yaml").read_text()
    path.write_text(
        text.replace(
            "  - name: api\n",
            '  - {name: page, path_prefix: /page, token_from: [header, "cookie:session"]}\n'
            "  - {name: socket, path: /Assets/, token_from: [websocket]}\n  - name: api\n",
        )
    )
    code, out, _ = run("config", "check", path)
    assert code == 0
    first, second, third, last = out.splitlines()
    lines = path.read_text().splitlines()
    socket = next(at for at, line in enumerate(lines, 1) if "name: socket" in line)
    start = f"{path}: note: line {socket}: routes[3]: differs from the path of route 'assets'"
    assert first.startswith(start)
    routes = lines.index("routes:") + 2
    assert f"note: line {routes}: routes: page: routes read tokens there (token_from)" in second
    assert "{exact: sec-websocket-protocol} in ext_authz's allowed_headers" in third
    assert "good (5 routes" in last


def test_every_problem_of_a_file_is_shown(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("vault: {address: x}\nlog: {level: loud}\n")
    code, _, err = run("config", "check", path)
    assert code == 2
    assert f"{path}: line 1: vault.address:" in err
    assert f"{path}: line 2: log.level:" in err
    assert "vault.auth: is missing" in err
    assert err.splitlines()[-1] == "5 problems found"


def test_a_file_that_is_not_there(run: Run) -> None:
    assert run("config", "check", "/none.yaml")[::2] == (
        2,
        "/none.yaml: cannot be read: No such file or directory\n1 problem found\n",
    )


CAREFUL = """\
vault: {address: "https://v:8200", auth: {method: token_file, path: /t}}
tokens: {issuers: [{issuer: "https://i", audiences: [a]}]}
routes:
  - {name: api, path_prefix: /api}
  - {name: admin, path_prefix: /api/admin, roles: [root]}
"""


def test_a_stricter_route_behind_a_wider_one_is_a_warning_with_its_line(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "careful.yaml"
    path.write_text(CAREFUL)
    code, out, _ = run("config", "check", path)
    assert code == 0
    assert f"{path}: warning: line 5: routes[1]: no request reaches 'admin'" in out
    assert run("config", "check", "--strict", path)[0] == 2


def test_everything_is_there_as_json_too(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "careful.yaml"
    path.write_text(CAREFUL)
    code, out, _ = run("config", "check", "--json", path)
    found = json.loads(out)
    assert (code, found["good"], found["problems"]) == (0, True, [])
    (warning,) = found["warnings"]
    assert (warning["line"], warning["path"]) == (5, "routes[1]")
    path.write_text(CAREFUL.replace("roles: [root]", "rolls: [root]"))
    code, out, err = run("config", "check", "--json", path)
    found = json.loads(out)
    assert (code, found["good"], err) == (2, False, "")
    (problem,) = found["problems"]
    assert (problem["line"], problem["path"]) == (5, "routes[1].rolls")
    assert "did you mean roles?" in problem["message"]


def test_the_schema_is_printed(run: Run) -> None:
    code, out, _ = run("config", "schema")
    assert code == 0
    assert out == (ROOT / "sidecar/config/schema.json").read_text()
