"""``septem``: one entry point, a group of commands a part of the library."""

import pytest

from workload.cli import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_each_group_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: septem {name}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["tenancy"]])
def test_what_is_no_command_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
