"""Evaluates tokens without a server, with the server's own decision.

Each token is put into an ``Authorization`` header of a request to a route that requires only a
token, and ``authz.evaluate.decide`` decides it: its size, form, key and claims, personal data in
them, and revocations, in the order and with the messages of the edge. What routes require beyond
that (tenant, roles, scopes, another place of the token) is for ``sidecar check``.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from sidecar.authz.decision import RequestView
from sidecar.authz.evaluate import decide
from sidecar.authz.routes import Route, RouteTable
from sidecar.authz.snapshot import build_snapshot
from sidecar.cli.entry_file import entry_of
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.keys.sources import parse_keys
from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.keyring import KeyRing, VerificationKey
from sidecar.tokens.policy import TokenPolicy
from sidecar.tokens.revocation import (
    NOTHING_REVOKED,
    RevocationEntry,
    RevocationFault,
    Revocations,
    read_revocations,
)
from sidecar.tokens.strict import decode_base64url, decode_json_object

_HOST = b"token.invalid"
"""A host of no tenant: a name that can't be registered (RFC 2606 §2)."""


class TokenResult(NamedTuple):
    """The result for one token; ``claims`` are set when it is accepted."""

    ok: bool
    reason: str
    detail: str
    kid: str = ""
    claims: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()


class TokenEvaluator:
    """The server's rules for tokens.

    Without a configuration any issuer and audience is accepted, and every other setting has its
    default.
    """

    def __init__(
        self,
        config: model.Config | None,
        keys: Iterable[VerificationKey],
        entry: RevocationEntry | None,
    ) -> None:
        """``entry`` has the revocations."""
        settings = config or _ANYONE
        revocations = revocations_of(settings, entry)
        snapshot = build_snapshot(settings, KeyRing(admitted(settings, keys, revocations)))
        self._snapshot = msgspec.structs.replace(
            snapshot,
            routes=RouteTable([Route(name="token", auth="required", path="/")]),
            tokens=TokenPolicy() if config is None else snapshot.tokens,
            revocations=revocations,
        )

    def judge(self, token: bytes, now: float) -> TokenResult:
        """Evaluate one token in compact serialisation at ``now`` (Unix seconds)."""
        headers = {"authorization": b"Bearer " + token}
        view = RequestView(method=b"GET", host=_HOST, path=b"/", headers=headers)
        decision = decide(view, self._snapshot, now)
        verified = decision.token
        if not decision.allowed or verified is None:
            return TokenResult(ok=False, reason=str(decision.outcome), detail=decision.detail)
        payload = decode_base64url(token.split(b".")[1], "the payload")
        return TokenResult(
            ok=True,
            reason=str(decision.outcome),
            detail=decision.detail,
            kid=verified.kid,
            claims=decode_json_object(payload, "the payload"),
            warnings=decision.warnings,
        )


def admitted(
    config: model.Config, keys: Iterable[VerificationKey], revocations: Revocations
) -> list[VerificationKey]:
    """Return the keys that a server would accept: none that is denied or revoked."""
    denied = {*config.keys.denied_kids, *revocations.kids}
    return [key for key in keys if key.kid not in denied]


def revocations_of(config: model.Config, entry: RevocationEntry | None) -> Revocations:
    """Compile the revocations; nothing is dropped for its age, whatever time is verified."""
    if entry is None:
        return NOTHING_REVOKED
    return Revocations(entry, 0.0, config.tokens.token_seconds)


def keys_of(
    text: str, config: model.Config | None, issuer: str | None
) -> tuple[VerificationKey, ...]:
    """Read keys and bind them to their issuer, as a server's sources do.

    Raises ``Fault`` where the issuer is not configured, or must be given.
    """
    if config is None:
        return parse_keys(text, issuer)
    names = [each.issuer for each in config.tokens.issuers]
    if issuer is None and len(names) > 1:
        raise Fault(
            "several issuers are configured: name the one of these keys with --issuer, one of: "
            f"{', '.join(names)}"
        )
    if issuer is not None and issuer not in names:
        raise Fault(f"--issuer is not one of tokens.issuers: {', '.join(names)}")
    issuer = issuer or names[0]
    (allowed,) = (each.algorithms for each in config.tokens.issuers if each.issuer == issuer)
    return parse_keys(text, issuer, [ALGORITHMS[name] for name in allowed])


def parse_revocations(text: str) -> RevocationEntry:
    """Read the entry of ``keys.revocations`` as JSON: its data, or as Vault's commands print it.

    Raises ``Fault``.
    """
    try:
        return read_revocations(entry_of(text, "the revocation list"))
    except RevocationFault as fault:
        raise RevocationFault(f"the revocation list: {fault}") from None


_ANYONE = model.Config(
    vault=model.Vault(address="", auth=model.TokenFileAuth(path="")),
    tokens=model.Tokens(issuers=()),
    routes=(),
)
"""The default settings."""
