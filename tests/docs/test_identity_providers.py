"""Every recipe of docs/identity-providers.md is read, and has its issuer's token accepted."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli.token_evaluator import TokenEvaluator
from sidecar.config import parse_config
from sidecar.config.model import Config
from sidecar.keys.sources import parse_key_set
from sidecar.tokens.algorithms import ALGORITHMS
from tests.support.minting import NOW, TENANT
from tests.support.shaped_issuer import ShapedIssuer, shape_named

DOCUMENT = (Path(__file__).parents[2] / "docs" / "identity-providers.md").read_text()
REST = """\
vault: {address: "https://vault.internal", auth: {method: token_file, path: /x}}
routes: [{name: all, path_prefix: /}]
tokens:
  issuers:
"""
SHAPE_OF = {
    "Keycloak": "Keycloak, a user",
    "Auth0": "Auth0, the profile of RFC 9068",
    "Entra ID, tokens of version 2": "Entra, v2",
    "Entra ID, tokens of version 1": "Entra, v1",
    "Okta": "Okta",
    "Amazon Cognito": "Cognito",
    "Firebase and Identity Platform": "Firebase",
    "PingOne": "PingOne",
    "Zitadel": "Zitadel",
    "Ory Hydra": "Hydra",
    "GitHub Actions": "GitHub",
    "Kubernetes service accounts": "Kubernetes",
    "oidc-provider": "oidc-provider",
}


def recipes() -> dict[str, str]:
    """Return the YAML of each chapter that has any."""
    chapters = re.split(r"^## ", DOCUMENT, flags=re.MULTILINE)[1:]
    found = {}
    for chapter in chapters:
        blocks = re.findall(r"^```yaml\n(.*?)^```$", chapter, flags=re.MULTILINE | re.DOTALL)
        if blocks:
            (found[chapter.partition("\n")[0]],) = blocks
    return found


def config_of(recipe: str) -> Config:
    return parse_config(REST + "".join(f"    {line}\n" for line in recipe.splitlines()), "recipe")


def test_every_recipe_has_a_token_to_try_it_with() -> None:
    assert recipes().keys() == SHAPE_OF.keys()


CHANGES: Mapping[str, Mapping[str, Any]] = {
    "Keycloak": {"organization": {"acme": {"id": "42a1"}}, "email": None},
    "Auth0": {
        "org_id": "org_9ybsU1dN2dKfDkBi", "permissions": ["orders:read"], "exp": int(NOW) + 900,
    },
    "Entra ID, tokens of version 1": {"upn": None, "unique_name": None},
    "oidc-provider": {"org": "acme"},
}  # fmt: skip
"""What a chapter's steps at the issuer change in its tokens."""


@pytest.mark.parametrize("chapter", SHAPE_OF)
def test_a_recipe_has_its_issuers_token_accepted(chapter: str) -> None:
    config = config_of(recipes()[chapter])
    (entry,) = config.tokens.issuers
    shape = replace(shape_named(SHAPE_OF[chapter]), algorithm=entry.algorithms[0])
    issuer = ShapedIssuer(shape, entry.issuer)
    claims = {entry.audience_claim: entry.audiences[0], **CHANGES.get(chapter, {})}
    algorithms = [ALGORITHMS[name] for name in entry.algorithms]
    key_set = json.dumps({"keys": [issuer.jwk()]})
    keys = parse_key_set(key_set, entry.issuer, algorithms, is_published=True).keys
    evaluator = TokenEvaluator(config, keys, None)
    result = evaluator.judge(issuer.token(**claims).encode(), NOW + 1)
    assert (result.ok, result.reason, result.detail) == (True, "token_verified", "")
    for claim in ("iss", entry.audience_claim):
        refused = evaluator.judge(
            issuer.token(**{**claims, claim: "https://other.example"}).encode(), NOW + 1
        )
        assert not refused.ok, claim


def test_every_recipe_maps_its_tenant_to_the_one_of_the_example() -> None:
    for chapter, recipe in recipes().items():
        assert TENANT in recipe, chapter


def test_several_issuers_stand_side_by_side() -> None:
    """Every recipe says which tenants its tokens may name."""
    text = "".join(recipes().values())
    assert len(config_of(text).tokens.issuers) == len(SHAPE_OF)
