"""What a command prints is compared with its page as a reader would."""

import pytest

from tests.support.consoles import ROOT, Console, Step, matches, steps_of


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ((), "anything\n"),
        (("HTTP/2 401", "…", "{…}"), "HTTP/2 401 \r\nserver: x\r\n\r\n{}"),
        (("a   b",), "a b\n"),
        (("…", "last"), "last\n"),
        (("first", "…"), "first\n"),
        (("serial …", "1 problem found"), "serial 5af\n1 problem found\n"),
    ],
)
def test_it_is_what_the_page_shows(shown: tuple[str, ...], printed: str) -> None:
    assert matches(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (("HTTP/2 200",), "HTTP/2 401\n"),
        (("first",), "first\nsecond\n"),
        (("first", "second"), "first\n"),
        (("a…",), "b\n"),
        (("a.c",), "abc\n"),
        (("shown",), ""),
    ],
)
def test_it_is_something_else(shown: tuple[str, ...], printed: str) -> None:
    assert not matches(shown, printed)


def test_commands_are_read_with_their_output_and_their_section() -> None:
    steps = steps_of("docs/quick-start.md", "tests/docs/test_quick_start.py")
    assert {step.section for step in steps} == {"Steps"}
    assert steps[-1].command == "sidecar config check mistake.yaml"
    assert steps[-1].shown[-1] == "1 problem found"
    several = steps_of("docs/connect-your-envoy.md", "tests/docs/test_connect_your_envoy.py")
    assert any("\\\n" in step.command for step in several), "a command in two lines is one"


@pytest.mark.parametrize(("command", "shown"), [("false", ()), ("echo one", ("two",))])
def test_a_command_that_does_otherwise_fails(
    command: str, shown: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    console = Console(tmp_path_factory.mktemp("reader"), {"PATH": "/usr/bin:/bin"}, {})
    with pytest.raises(AssertionError, match="page"):
        console.run(Step("page", "Steps", command, shown))


def test_every_test_that_a_page_names_exists() -> None:
    for page in (ROOT / "docs").glob("*.md"):
        for line in page.read_text().splitlines():
            if line.strip().startswith("<!-- run by: "):
                name = line.strip().removeprefix("<!-- run by: ").removesuffix(" -->")
                assert f"docs/{page.name}" in (ROOT / name).read_text(), (page.name, name)
