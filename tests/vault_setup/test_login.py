"""The policy, and the role that has it alone."""

import msgspec
import pytest

from sidecar.config import model
from sidecar.doctor.needs import doctor_needs, needs_of
from sidecar.vault_setup.login import (
    approle_steps,
    login_plan,
    platform_step,
    policy_step,
    setup_policy,
)
from tests.vault_setup.shapes import shape, short_folder


def config_of(auth: model.VaultAuth | None = None) -> model.Config:
    with short_folder() as folder:
        config = shape("the example", folder, "http://127.0.0.1:1")
    if auth is None:
        return config
    return msgspec.structs.replace(config, vault=msgspec.structs.replace(config.vault, auth=auth))


def test_the_policy_is_what_serving_and_the_doctor_need() -> None:
    config = config_of()
    plain, more = (setup_policy(config, revoking=each) for each in (False, True))
    for need in (*needs_of(config), *doctor_needs(config)):
        assert f'path "{need.path}"' in plain
    assert set(more.splitlines()) - set(plain.splitlines()) == {
        line for line in more.splitlines() if '"pki/revoke"' in line
    }


HELD = {
    "the same": ('path "a" { capabilities = ["read"] }  # s\n', True),
    "without comments, with other spaces": ('path "a"   { capabilities = ["read"] }', True),
    "one that may more": ('path "a" { capabilities = ["read"] }\npath "b" {}\n', False),
    "one that may less": ("# nothing\n", False),
}


@pytest.mark.parametrize(("held", "same"), HELD.values(), ids=HELD)
def test_a_policy_that_is_there_must_be_the_same(held: str, same: bool) -> None:
    step = policy_step("p", HELD["the same"][0], "sidecar vault policy --config c")
    why = step.judge(held)
    assert (why == "") is same
    assert same or "`bao policy write p -`" in why
    assert step.command == "sidecar vault policy --config c | bao policy write p -"


def test_a_role_has_the_policy_and_no_other() -> None:
    plan = login_plan(config_of(), "edge")
    assert plan is not None
    method, role = approle_steps(plan)
    assert (method.judge({"type": "approle"}), method.judge({"type": "jwt"})) == ("", "is jwt")
    assert role.data()["token_policies"] == ["edge"]
    assert role.data()["token_no_default_policy"] is True
    alone = {"token_no_default_policy": True}
    assert role.judge({"token_policies": ["edge"], **alone}) == ""
    assert "edge, other" in role.judge({"token_policies": ["edge", "other"], **alone})
    assert "has the policies edge, default," in role.judge({"token_policies": ["edge"]})
    assert role.judge({"token_policies": None, **alone})


def test_a_token_in_a_file_lives_longer_than_one_that_is_renewed() -> None:
    plans = [login_plan(config_of(each), "s") for each in (None, model.TokenFileAuth(path="/t"))]
    assert [each and each.token_ttl for each in plans] == ["1h", "24h"]


PLATFORM = {
    "kubernetes": (model.KubernetesAuth(role="edge"), "auth/kubernetes/role/edge"),
    "jwt": (model.JwtAuth(role="edge", jwt_file="/j", mount="spiffe"), "auth/spiffe/role/edge"),
    "cert": (model.CertAuth(certificate_file="/c", key_file="/k"), "auth/cert/certs/p"),
}


@pytest.mark.parametrize(("auth", "path"), PLATFORM.values(), ids=PLATFORM)
def test_a_role_that_only_the_platform_can_bind_is_left(auth: model.VaultAuth, path: str) -> None:
    assert login_plan(config_of(auth), "p") is None
    step = platform_step(auth, "p")
    assert (step.is_left, step.looked_at) == (True, path)
    assert f"bao write {path} token_policies=p " in step.command
