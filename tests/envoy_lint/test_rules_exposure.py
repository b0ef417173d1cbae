"""What clients say of themselves, and what others read of requests: each mistake is found."""

from typing import Any

import pytest

from tests.envoy_lint.broken import Broken, drop, listener, manager, put, rules_of

ENVOY = "type.googleapis.com/envoy"
DETECTION = f"{ENVOY}.extensions.http.original_ip_detection"


def chain(root: Any) -> Any:
    return listener(root)["filter_chains"][0]


def log(root: Any) -> Any:
    return manager(root)["access_log"][0]["typed_config"]["log_format"]


def application(root: Any) -> Any:
    return manager(root)["route_config"]["virtual_hosts"][0]


def proxied(root: Any) -> None:
    kind = f"{ENVOY}.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
    listener(root)["listener_filters"].insert(0, {"name": "pp", "typed_config": {"@type": kind}})


def detected(root: Any) -> None:
    del manager(root)["use_remote_address"]
    manager(root)["original_ip_detection_extensions"] = [
        {"name": "own", "typed_config": {"@type": f"{DETECTION}.custom_header.v3.X"}}
    ]


def only(text: str) -> Any:
    return lambda root: (
        log(root).pop("json_format"),
        log(root).update(text_format_source={"inline_string": text}),
    )[1]


ROWS = [
    Broken("requests-in-the-clear", "on every address", drop(chain, "transport_socket")),
    Broken("trusted-hops", "five", put(5, manager, "xff_num_trusted_hops")),
    Broken("trusted-hops", "the PROXY protocol", proxied),
    Broken("trusted-hops", "a header of their own", detected),
    *(
        Broken("client-certificate-forwarded", each, put(
            each, manager, "forward_client_cert_details"))
        for each in ("FORWARD_ONLY", "APPEND_FORWARD", "ALWAYS_FORWARD_ONLY")
    ),
    Broken("two-framings", "chunked and a length", put(
        {"allow_chunked_length": True}, manager, "http_protocol_options")),
    Broken("secret-logged", "a token", put("%REQ(AUTHORIZATION)%", log, "json_format", "token")),
    Broken("secret-logged", "its beginning", put(
        "%REQ(x-a?authorization):20%", log, "json_format", "token")),
    Broken("secret-logged", "cookies, in a line", only("%REQ(:PATH)% %REQUEST_HEADER(Cookie)%\n")),
    Broken("secret-logged", "new cookies", put("%RESP(set-cookie)%", log, "json_format", "c")),
    Broken("secret-logged", "in spans", put(
        {"custom_tags": [{"tag": "who", "request_header": {"name": "Authorization"}}]},
        manager, "tracing")),
    Broken("bodies-held", "of every route", drop(application, "typed_per_filter_config")),
]  # fmt: skip
GOOD = [
    ("in the clear on loopback", lambda root: (
        chain(root).pop("transport_socket"),
        listener(root)["address"]["socket_address"].update(address="127.0.0.1"))[1]),
    ("a certificate that is ours to set", put(
        "SANITIZE_SET", manager, "forward_client_cert_details")),
    ("a header whose name begins alike", put(
        "%REQ(x-authorization-kind)%", log, "json_format", "kind")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.rule}-{row.mistake}")
def test_a_mistake_is_found_and_nothing_else(row: Broken) -> None:
    found = rules_of(row)
    assert row.rule in found
    assert found - {row.rule} <= row.also


@pytest.mark.parametrize(("name", "change"), GOOD, ids=[name for name, _ in GOOD])
def test_what_is_no_mistake_is_none(name: str, change: Any) -> None:
    assert rules_of(Broken("", name, change)) == set()
