"""Texts on the secrets that Envoy gets over SDS."""

from sidecar.doctor.entry_texts.text import EntryText
from sidecar.sds.secrets.generic import MAX_SECRET_BYTES
from sidecar.sds.secrets.session_tickets import KEY_BYTES, MAX_KEYS
from workload.x509.anchors import MAX_CAS
from workload.x509.crls import MAX_PEM_BYTES

_STAYS = "At the start, the start fails. Later the last value is served."
_UNTIL_IT_ENDS = (
    "At the start, the start fails. Later the last value is served until it ends: at the "
    "`nextUpdate` of a CRL, or with the last root. Then Envoy denies peers, and a critical alert "
    "is sent."
)

TRUST_BUNDLE = EntryText(
    title="Trust bundles in KV",
    purpose="Which CAs are believed, and which of their certificates are revoked.",
    content=(
        (
            "the field that `field` names",
            f"text: certificates of CAs in PEM, {MAX_CAS} and {MAX_PEM_BYTES:,} bytes at most",
        ),
        (
            "the field that `crl_field` names",
            (
                f"text: their CRLs in PEM, {MAX_PEM_BYTES:,} bytes each at most; read only with "
                "that setting"
            ),
        ),
    ),
    read="Polled every `trust_bundles[].poll_seconds`, and earlier if a CRL ends before.",
    missing=_UNTIL_IT_ENDS,
    malformed=f"Rejected as a whole. {_UNTIL_IT_ENDS}",
    away=_UNTIL_IT_ENDS,
    page="[Trust bundles](mtls.md#trust-bundles)",
)
SESSION_TICKETS = EntryText(
    title="Session-ticket keys",
    purpose="The keys by which a TLS session is resumed at any Envoy of the fleet. Sidecars write "
    "the entry themselves, and have Vault keep no older version.",
    content=(
        (
            "`keys`",
            (
                f"list of 1 to {MAX_KEYS} objects with `serial` (a whole number, rising), "
                f"`encrypts_from` (Unix seconds) and `key` ({KEY_BYTES} bytes in base64)"
            ),
        ),
    ),
    read="Polled every `session_ticket_keys[].poll_seconds`, and when the next key begins to "
    "encrypt.",
    missing="The first sidecar makes a key, at any time.",
    malformed=_STAYS,
    away=_STAYS,
    page="[Session-ticket keys](mtls.md#session-ticket-keys)",
)
GENERIC_SECRET = EntryText(
    title="Generic secrets",
    purpose="A secret for one of Envoy's filters.",
    content=(
        ("the field that `field` names", f"text, not empty, {MAX_SECRET_BYTES:,} bytes at most"),
    ),
    read="Polled every `generic_secrets[].poll_seconds`.",
    missing=_STAYS,
    malformed=_STAYS,
    away=_STAYS,
    page="[Generic secrets](mtls.md#generic-secrets)",
)
