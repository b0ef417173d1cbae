"""Two calls into the kernel, and their errors."""

import errno
import os

import pytest

from sidecar.runtime.hardening.kernel import PR_SET_DUMPABLE, prctl, syscall

PR_GET_DUMPABLE = 3
GETPID = {"x86_64": 39, "aarch64": 172}[os.uname().machine]


def test_the_result_is_the_kernels() -> None:
    assert syscall(GETPID) == os.getpid()
    assert prctl(PR_GET_DUMPABLE) in {0, 1}


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda: prctl(PR_SET_DUMPABLE, 99), errno.EINVAL),
        (lambda: syscall(100_000), errno.ENOSYS),
    ],
)
def test_an_error_is_an_os_error_with_its_reason(call: object, number: int) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as error:
        call()  # type: ignore[operator]
    assert error.value.errno == number
