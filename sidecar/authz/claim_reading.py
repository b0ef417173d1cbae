"""Says how an issuer's claims are read, in a form that two configurations can be compared by."""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from sidecar.config import model
from sidecar.tokens.claims import MODEL_MAPPING
from sidecar.tokens.mapping import ClaimsMapping, TenantPlace
from sidecar.tokens.policy import DEFAULT_REQUIRED, ClaimReading, IssuerPolicy

NO_NONCE = "!nonce"
"""Among what is required: that there is no ``nonce``. No claim's path begins so."""
_DIGITS = 12
_OFF = "off"


def reading_of(rules: IssuerPolicy, pii: model.Pii) -> ClaimReading:
    """Return how the claims of an issuer's tokens are read, and searched for personal data."""
    mapping = MODEL_MAPPING if rules.mapping is None else rules.mapping
    described = _described(rules.audience_claim, mapping)
    is_models = described == _described("aud", MODEL_MAPPING)
    required = (*sorted(rules.required), *sorted(path.text for path in rules.required_paths))
    if rules.refuses_nonce:
        required = (*required, NO_NONCE)
    return ClaimReading(
        digest="" if is_models else _digest(described),
        of_tenants=_of_tenants(described, mapping.tenant),
        required=None if required == tuple(sorted(DEFAULT_REQUIRED)) else required,
        unsought=(
            *(("name",) if pii.by_name == _OFF else ()),
            *(("value",) if pii.by_value == _OFF else ()),
            *sorted(rules.may_hold_pii),
        ),
    )


def _described(audience_claim: str, mapping: ClaimsMapping) -> tuple[object, ...]:
    """Return where every claim is and what it must be; a table's words are not in it."""
    tenant = mapping.tenant
    return (
        audience_claim,
        (tenant.path.text, tenant.type, tenant.fixed, tenant.source, tenant.table is not None),
        mapping.user.text,
        mapping.token_id.text,
        None if mapping.client is None else mapping.client.text,
        *(
            tuple((each.path.text, *msgspec.structs.astuple(each)[1:]) for each in places)
            for places in (mapping.roles, mapping.scopes)
        ),
    )


def _of_tenants(described: tuple[object, ...], tenant: TenantPlace) -> Mapping[str, str]:
    """Return the digest of each tenant of a table in the configuration."""
    if tenant.source is not None or tenant.table is None:
        return {}
    words: dict[str, list[str]] = {}
    for word, tenant_id in tenant.table.items():
        words.setdefault(tenant_id, []).append(word)
    return {tenant_id: _digest((described, sorted(those))) for tenant_id, those in words.items()}


def _digest(value: object) -> str:
    return sha256(msgspec.json.encode(value)).hexdigest()[:_DIGITS]
