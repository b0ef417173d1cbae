"""Tokens of a real Ory Hydra; opt-in (``make test-idps``), for who has Go."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import Run
from tests.idp.edge import IssuerEdge
from tests.idp.servers import AUDIENCE, Hydra

pytestmark = pytest.mark.real
TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def test_its_tokens_are_let_in_and_the_command_says_how(run: Run, tmp_path: Path) -> None:
    with Hydra() as hydra:
        token = hydra.token()
        entry: dict[str, Any] = {
            "issuer": hydra.issuer,
            "audiences": [AUDIENCE],
            "keys": {"source": "oidc", "timeout_seconds": 30},
            "algorithms": ["RS256"],
            "types": ["JWT"],
            "max_lifetime_seconds": 3600,
            "claims": {
                "tenant": {"fixed": TENANT},
                "client": "client_id",
                "scopes": [{"path": "scp", "optional": True}],
            },
        }
        with IssuerEdge([entry], tmp_path, scopes=["api:read"]) as edge:
            reply = edge.ask(token)
            assert reply.status == 200, reply.body
            assert reply.told["seen"]["HTTP_X_TENANT_ID"] == TENANT
        code, out, _ = run("idp", "inspect", hydra.issuer, "--token", "-", stdin=token.encode())
        assert code == 0, out
        assert "path: scp" in out
