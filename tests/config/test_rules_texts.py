"""What holds of every text: nothing is replaced in it, and a socket's path fits."""

import pytest

from sidecar.config.load import parse_config
from sidecar.config.rules_texts import MAX_SOCKET_BYTES
from tests.config.documents import MINIMAL, problems


@pytest.mark.parametrize(
    "text",
    ["${ISSUER}", "https://${HOST}/x", "$(ISSUER)", "$ISSUER", "{{ .Values.issuer }}", "%ISSUER%",
     "${ISSUER:-https://iam.example}", "<%= issuer %>"],
)  # fmt: skip
def test_a_variable_that_nobody_replaces_is_a_problem(text: str) -> None:
    (found,) = problems(MINIMAL.replace("https://iam.example", f'"{text}"'))
    assert found.startswith("line 5: tokens.issuers[0].issuer: has ")
    assert "taken letter by letter" in found


@pytest.mark.parametrize("text", ["$5", "a$b", "{name}", "100%", "{tenant_domain}", "$"])
def test_what_only_looks_like_one_is_none(text: str) -> None:
    parse_config(MINIMAL.replace("https://iam.example", f"'{text}'"), "test")


def socket(size: int) -> str:
    return "unix:/run/" + "s" * (size - len("/run/"))


@pytest.mark.parametrize(
    ("listen", "most"),
    [
        ("admin: {address: '%s'}", MAX_SOCKET_BYTES),
        ("authz: {address: '%s'}", MAX_SOCKET_BYTES),
        ("authz: {address: '%s', workers: 9}", MAX_SOCKET_BYTES - 2),
        ("authz: {address: '%s', workers: 11}", MAX_SOCKET_BYTES - 3),
        ("sds: {address: '%s'}", MAX_SOCKET_BYTES - len(".d/s")),
    ],
)
def test_a_sockets_path_fits_with_what_is_appended(listen: str, most: int) -> None:
    parse_config(MINIMAL + f"listen: {{{listen % socket(most)}}}\n", "test")
    (found,) = problems(MINIMAL + f"listen: {{{listen % socket(most + 1)}}}\n")
    assert f"at most {most}" in found or f"has a path of {MAX_SOCKET_BYTES + 1} bytes" in found


def test_bytes_are_counted_and_not_letters() -> None:
    assert "bytes" in problems(MINIMAL + f"listen: {{admin: {{address: 'unix:/{'é' * 60}'}}}}\n")[0]


@pytest.mark.parametrize("path", ["unix:/run/", "unix://", "unix:/run/.."])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_is_no_socket(path: str, workers: int) -> None:
    text = MINIMAL + f"listen: {{authz: {{address: '{path}', workers: {workers}}}}}\n"
    assert "names a folder" in problems(text)[0]


@pytest.mark.parametrize("url", ["https://a:b@h.example/x", "https://a@h.example"])
def test_a_url_has_no_credentials(url: str) -> None:
    text = MINIMAL + f"alerts: {{webhook: {{url: '{url}', secret_file: /s}}}}\n"
    (found,) = problems(text)
    assert found.startswith("line 8: alerts.webhook.url: has a user or a password in the URL")


def test_an_at_sign_in_a_path_is_no_credential() -> None:
    parse_config(
        MINIMAL + "alerts: {webhook: {url: 'https://h.example/a@b', secret_file: /s}}\n", "test"
    )
