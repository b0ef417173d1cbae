"""The values of Envoy's file: where the sidecar is, and what the configuration says of headers."""

import pytest
import yaml

from sidecar.cli.envoy_file import EnvoyChoices, addresses, endpoint, envoy_text
from sidecar.config import parse_config
from tests.config.documents import MINIMAL

CHOICES = EnvoyChoices("app.internal:80", "::1", 80, 443, 443, 9901, "", "", "/c", "/k")


@pytest.mark.parametrize(
    ("address", "made"),
    [
        ("unix:/run/a b.sock", '{pipe: {path: "/run/a b.sock"}}'),
        ("localhost:1", '{socket_address: {address: "127.0.0.1", port_value: 1}}'),
        ("[::1]:2", '{socket_address: {address: "::1", port_value: 2}}'),
        ("app.internal:3", "{socket_address: {address: app.internal, port_value: 3}}"),
    ],
)
def test_endpoints(address: str, made: str) -> None:
    assert endpoint(address).strip() == f"- endpoint: {{address: {made}}}"


def test_where_the_sidecar_listens_on_every_address_envoy_asks_on_loopback() -> None:
    listen = (
        "listen: {authz: {address: '0.0.0.0:9110', workers: 2}, sds: {address: '[::1]:9101'}}\n"
    )
    values = addresses(parse_config(MINIMAL + listen, "test"), CHOICES)
    assert [line.split("port_value: ")[1][:4] for line in values["AUTHZ"].splitlines()] == [
        "9110", "9111",
    ]  # fmt: skip
    assert values["AUTHZ"].count('"127.0.0.1"') == 2
    assert (values["AUTHZ_TYPE"], values["APPLICATION_TYPE"]) == ("STATIC", "STRICT_DNS")


def test_values_of_the_configuration_are_quoted() -> None:
    value = 'a=(), b=("https://c.example")'
    config = parse_config(f"{MINIMAL}headers: {{permissions_policy: '{value}'}}\n", "test")
    text = envoy_text(config, CHOICES, "x\ny.yaml")
    assert 'value: "a=(), b=(\\"https://c.example\\")"}' in text
    assert yaml.safe_load(text)
    assert 'for the configuration "x\\ny.yaml"' in text, "nor does its name end the comment"


def test_the_longest_life_of_a_token_bounds_a_websocket() -> None:
    text = MINIMAL.replace("audiences:", "max_lifetime_seconds: 7200, audiences:")
    made = envoy_text(parse_config(text, "test"), CHOICES, "x.yaml")
    assert (
        "max_stream_duration: {max_stream_duration: 7200s, grpc_timeout_header_max: 7200s}" in made
    )
