"""A file in anonymous memory: a path for the length of a block, and no file."""

from pathlib import Path

import pytest

from workload.mtls.memory import in_memory


def test_a_file_in_memory_is_no_file() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with in_memory(b"secret") as path:
        assert Path(path).read_bytes() == b"secret"
        assert str(Path(path).readlink()).startswith("/memfd:"), "it has no name in a file system"
        with Path(path).open("r+b", buffering=0) as file, pytest.raises(PermissionError):
            file.write(b"x")
    assert set(Path("/proc/self/fd").iterdir()) <= before, "and it is gone"


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_all_of_it_is_there(size: int) -> None:
    with in_memory(b"x" * size) as path:
        assert Path(path).read_bytes() == b"x" * size


def test_it_is_gone_after_an_exception_too() -> None:
    with pytest.raises(KeyError), in_memory(b"secret") as path:
        raise KeyError
    assert not Path(path).exists()
