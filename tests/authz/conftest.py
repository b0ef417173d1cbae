"""A service over a small policy, with a clock that stands still."""

from dataclasses import dataclass, field

import pytest

from sidecar.authz.ports import Outcome
from sidecar.authz.response_cache import AllowedCheck
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.config import parse_config
from sidecar.tokens.cache import TokenCache
from tests.authz.checks import Answer, check_request, read_answer
from tests.support.ids import numbered_ids
from tests.support.minting import AUDIENCE, ISSUER, NOW, TENANT, Issuer

CONFIG = f"""\
vault:
  address: https://vault.internal:8200
  auth: {{method: token_file, path: /run/vault/token}}
tokens:
  issuers: [{{issuer: {ISSUER}, audiences: [{AUDIENCE}]}}]
routes:
  - {{name: public, path_prefix: /public, auth: none}}
  - {{name: kept, path_prefix: /kept, auth: optional, keep_overrides: [x-forwarded-host]}}
  - {{name: either, path_prefix: /either, auth: optional}}
  - {{name: api, path_prefix: /api, csp: api}}
  - {{name: shell, path_prefix: /shell}}
headers:
  remove_from_request: [x-internal-debug]
tenants:
  - {{tenant_id: {TENANT}, domain: shop.acme.example}}
"""


@dataclass
class Bench:
    """A CheckService and everything that it reported to its observer."""

    issuer: Issuer
    outcomes: list[Outcome] = field(default_factory=list)
    allowed_checks: list[AllowedCheck] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    now: float = NOW
    config: str = CONFIG
    cache: TokenCache | None = None

    def __post_init__(self) -> None:
        self.service = CheckService(
            build_snapshot(parse_config(self.config, "test"), self.issuer.ring),
            now=lambda: self.now,
            elapsed_ns=lambda: 0,
            new_id=numbered_ids(),
            observer=self,
            on_fault=self.faults.append,
            cache=self.cache,
        )

    def decided(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def allowed_fast(self, allowed_check: AllowedCheck) -> None:
        self.allowed_checks.append(allowed_check)

    def ask(self, token: bytes | None = None, **changes: object) -> Answer:
        """Check one request, with a Bearer token where one is given."""
        if token is not None:
            headers = changes.setdefault("headers", {})
            headers["authorization"] = f"Bearer {token.decode()}"  # type: ignore[index]
        return read_answer(self.handle(check_request(**changes)))  # type: ignore[arg-type]

    def handle(self, raw: bytes) -> bytes:
        """Answer at once: a service without a lane always does."""
        answer = self.service.handle(raw)
        assert isinstance(answer, bytes)
        return answer

    @property
    def last(self) -> Outcome:
        return self.outcomes[-1]


@pytest.fixture
def bench(issuer: Issuer) -> Bench:
    return Bench(issuer)
