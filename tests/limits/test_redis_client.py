"""Redis over TLS, with a user and a password in a file, and what its errors say."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from redis.exceptions import ResponseError

from sidecar.config.limits import RedisSettings
from sidecar.limits.redis_client import PasswordFile, StoreFault, fault_of
from tests.limits.fleet import Sidecar
from tests.support.authorities import Ca, pem
from tests.support.redis_server import redis_server

pytestmark = pytest.mark.real


COMMANDS = (
    "+eval +evalsha +script|load +ping +time +hgetall +hset +hdel +pexpire +zadd "
    "+zremrangebyscore +zcard +set +get"
)
"""What docs/limits.md lists."""


@pytest.mark.parametrize(
    ("commands", "password", "problem"),
    [
        pytest.param(COMMANDS, "s3cret", "", id="what it needs"),
        pytest.param("+ping", "s3cret", "refuses a command", id="too few commands"),
        pytest.param(COMMANDS, "other", "refuses the user or the password", id="another password"),
        pytest.param(COMMANDS, None, "can't be read from", id="no file"),
    ],
)
async def test_tls_with_certificates_a_user_and_a_password_in_a_file(
    tmp_path: Path, commands: str, password: str | None, problem: str
) -> None:
    ca = Ca("the CA of the store")
    files = {"ca": pem(ca.certificate)}
    for name, names in (("server", ["localhost"]), ("client", ["sidecar.example"])):
        certificate, key = ca.leaf(dns_names=names)
        files[name] = pem(certificate)
        files[f"{name}-key"] = key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode()
    for name, text in files.items():
        (tmp_path / f"{name}.pem").write_text(text)
    if password is not None:
        (tmp_path / "password").write_text(password + "\n")
    arguments = [
        "--tls-cert-file", str(tmp_path / "server.pem"),
        "--tls-key-file", str(tmp_path / "server-key.pem"),
        "--tls-ca-cert-file", str(tmp_path / "ca.pem"),
        "--user", "default", "off",
        "--user", "septem", "on", ">s3cret", "~septem:limits:*", "-@all", *commands.split(),
    ]  # fmt: skip
    with redis_server(tmp_path, *arguments, tls=True) as server:
        settings = RedisSettings(
            address=f"localhost:{server.port}",
            username="septem",
            password_file=str(tmp_path / "password"),
            tls=True,
            ca_file=str(tmp_path / "ca.pem"),
            certificate_file=str(tmp_path / "client.pem"),
            key_file=str(tmp_path / "client-key.pem"),
            timeout_seconds=5.0,
        )
        sidecar = Sidecar(0, settings)
        sidecar.ask()
        await sidecar.fleet.start()
        assert sidecar.fleet.synced == (0 if problem else 1)
        assert problem in sidecar.fleet.status.problem
        assert bool(problem) == bool(sidecar.fleet.status.problem)
        assert "s3cret" not in sidecar.fleet.status.problem
        await sidecar.fleet.close()


async def test_a_server_of_another_ca_is_not_spoken_to(tmp_path: Path) -> None:
    ca, other = Ca("one"), Ca("other")
    certificate, key = ca.leaf(dns_names=["localhost"])
    (tmp_path / "c.pem").write_text(pem(certificate))
    (tmp_path / "k.pem").write_text(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    )
    (tmp_path / "ca.pem").write_text(pem(other.certificate))
    arguments = [
        "--tls-cert-file", str(tmp_path / "c.pem"), "--tls-key-file", str(tmp_path / "k.pem"),
        "--tls-ca-cert-file", str(tmp_path / "c.pem"), "--tls-auth-clients", "no",
    ]  # fmt: skip
    with redis_server(tmp_path, *arguments, tls=True) as server:
        settings = RedisSettings(
            address=f"localhost:{server.port}", tls=True, ca_file=str(tmp_path / "ca.pem")
        )
        sidecar = Sidecar(0, settings)
        await sidecar.fleet.start()
        assert "does not answer" in sidecar.fleet.status.problem
        await sidecar.fleet.close()


@pytest.mark.parametrize("content", ["", "  \n", "x" * 5000, None])
def test_a_password_s_file_without_one_is_named_and_not_quoted(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StoreFault) as fault:
        PasswordFile("septem", path).get_credentials()
    assert str(path) in str(fault.value)
    assert "xxx" not in str(fault.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("READONLY You can't write against a read only replica.", "READONLY"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM"),
        ("something s3cret", "ResponseError"),
    ],
)
def test_a_server_that_can_t_run_the_script_is_named_by_its_code(text: str, said: str) -> None:
    message = str(fault_of(ResponseError(text), RedisSettings(address="localhost:1")))
    assert f"({said})" in message
    assert "s3cret" not in message
