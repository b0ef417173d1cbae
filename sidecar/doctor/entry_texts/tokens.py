"""Texts on what tokens, tenants, limits and modules need of Vault."""

from sidecar.doctor.entry_texts.text import EntryText
from sidecar.keys.refresher import EARLY_REFRESH_SECONDS
from sidecar.keys.revocation_source import MAX_ENTRIES, MAX_REVOKED
from sidecar.keys.sources import MAX_TEXT_BYTES
from sidecar.limits.tenant_limits import MAX_TENANTS
from sidecar.module_signing.publisher_entry import MAX_PUBLISHERS, MAX_WITHDRAWN, WITHDRAWN
from sidecar.tokens.keyring import MAX_KEYS
from sidecar.tokens.revocation_entry import MAX_KIDS, MAX_MARKS, MAX_TOKENS
from sidecar.tokens.tenant_tables import MAX_TABLE_BYTES, MAX_WORD_LENGTH, MAX_WORDS
from sidecar.vault.identity import RENEW_PAUSE_SECONDS

_FORCED = "at once on `SIGHUP` and on `POST /keys/refresh`"
_KEYS_AWAY = (
    "At the start, the start fails. Later the keys that were read stay in force, in the state "
    "`outage`. After `keys.max_age_seconds` the state is `degraded`; tokens are denied then only "
    "if `keys.when_degraded` is `refuse`."
)
_KEYS_READ = (
    f"Polled every `keys.poll_seconds`; {_FORCED}. An unknown `kid` causes a read too, one in "
    f"{EARLY_REFRESH_SECONDS:.0f} s at most."
)
_KEYS_MISSING = (
    "At the start, the start fails. Later the keys that were read stay in force, as while Vault is "
    "away: to end a key, revoke its `kid`."
)

LOGIN = EntryText(
    title="The sidecar's own token",
    purpose="Extends the life of the token that the login gave. With `token_file` nothing is "
    "asked: an agent keeps that token alive.",
    content=(
        ("answer", "the new life of the token; close to the token's maximum it is not of use"),
    ),
    read="Asked at two thirds of the token's life, with the next call to Vault.",
    missing="The sidecar logs in again where it could have renewed.",
    malformed="A renewal that is of no use is followed by a login.",
    away="The token is used until it ends. The renewal is tried again after "
    f"{RENEW_PAUSE_SECONDS:.0f} s.",
    page="[How the sidecar logs in](keys.md#vault-how-the-sidecar-logs-in-and-the-least-it-may-do)",
)
KEYS = EntryText(
    title="Verification keys in KV",
    purpose="The public keys of a token issuer.",
    content=(
        (
            "the field that `field` names",
            (
                f"text: PEM, a JWK or a JWKS; 1 to {MAX_KEYS} keys, {MAX_TEXT_BYTES:,} characters. "
                "Of a private key the public half is kept, and nothing else"
            ),
        ),
    ),
    read=f"{_KEYS_READ} Earlier versions are read at the start and after a rotation that no poll "
    "saw, for as long as their keys may verify.",
    missing=_KEYS_MISSING,
    malformed="Treated as missing. Of a JWKS, a key that can't be used is left out, and the log "
    "names it.",
    away=_KEYS_AWAY,
    page="[Keys](keys.md)",
)
TRANSIT_KEYS = EntryText(
    title="Verification keys in transit",
    purpose="The public halves of a transit key that a token issuer signs with.",
    content=(
        ("type", "`ecdsa-p256`"),
        (
            "versions",
            (
                "each one from `min_decryption_version` up verifies, under its RFC 7638 thumbprint "
                "and under `<name>-v<version>`"
            ),
        ),
    ),
    read=_KEYS_READ,
    missing=_KEYS_MISSING,
    malformed="A key of another type is treated as missing.",
    away=_KEYS_AWAY,
    page="[Keys](keys.md)",
)
TENANT_TABLE = EntryText(
    title="An issuer's words for tenants",
    purpose="Maps what a token issuer calls a tenant to your tenant id.",
    content=(
        (
            "the issuer's word",
            (
                "text: the tenant id, a UUID in lower case. A word has 1 to "
                f"{MAX_WORD_LENGTH} printable characters; there are at most {MAX_WORDS:,} words "
                f"and {MAX_TABLE_BYTES:,} bytes"
            ),
        ),
    ),
    read="Polled every `tokens.issuers[].claims.tenant.tenants_from.poll_seconds`, without it "
    f"every `keys.poll_seconds`; {_FORCED}.",
    missing="At the start, the start fails. Later the table that was read stays in force. For no "
    "tenant at all, write an entry without fields.",
    malformed="One wrong field makes the whole table wrong: at the start, the start fails; later "
    "the table that was read stays in force.",
    away="At the start, the start fails. Later the table that was read stays in force, however "
    "long that lasts.",
    page="[Token rules](token-rules.md)",
)
REVOCATIONS = EntryText(
    title="Revocations",
    purpose="Tokens, users, tenants and keys that are denied before their time. Unless "
    f"`keys.revocations.spread` is false, up to {MAX_ENTRIES} entries below the path are read like "
    f"the one at it. All together may hold {MAX_REVOKED:,} revocations.",
    content=(
        ("`iss`", "text: the issuer of the lines of `tokens` that name none; optional"),
        ("`kids`", f"list of texts, {MAX_KIDS:,} at most; optional"),
        (
            "`tokens`",
            (
                "list of objects with `iss`, `jti` and `exp`; or one text with a line `[<iss>] "
                f"<jti> <exp>` each. {MAX_TOKENS:,} at most; optional"
            ),
        ),
        (
            "`subjects`",
            (
                f"list of objects with `iss`, `sub` and `issued_before`, {MAX_MARKS:,} at most; "
                "optional"
            ),
        ),
        (
            "`tenants`",
            f"list of objects with `tenant` and `issued_before`, {MAX_MARKS:,} at most; optional",
        ),
    ),
    read="Polled every `keys.revocations.poll_seconds`, without it every `keys.poll_seconds`; "
    f"{_FORCED}. The versions are compared, and what has changed is read.",
    missing="Revokes nothing, at the start too. What a removed entry revoked is valid again from "
    "the next poll on.",
    malformed="An unknown field is an error. At the start, the start fails; later what this entry "
    "said before stays in force, and the other entries are read.",
    away="At the start, the start fails. Later everything that was revoked stays revoked, in the "
    "state `outage`. After `keys.revocations.max_age_seconds` the state is `degraded`; tokens are "
    "denied then only if `keys.when_degraded` is `refuse`.",
    page="[Revocations](keys.md#revocations)",
)
TENANT_LIMITS = EntryText(
    title="Tenants' own rate limits",
    purpose="A rate for a tenant, in place of the one in the settings.",
    content=(
        (
            "the tenant's id",
            (
                "a rate: `2000`, `300/60s`, `2000/1s burst 5000`, or an object with `requests`, "
                f"`per_seconds` and `burst`. {MAX_TENANTS:,} tenants at most"
            ),
        ),
    ),
    read=f"Polled every `keys.poll_seconds`; {_FORCED}.",
    missing="No tenant has a rate of its own.",
    malformed="A tenant whose rate can't be read has the one in the settings; the log names it. "
    "The other tenants are not affected.",
    away="At the start, tenants have the rates in the settings until Vault answers. Later the "
    "rates that were read stay in force.",
    page="[Rate limits](limits.md#a-tenants-limit-that-changes-while-it-runs)",
)
PUBLISHERS = EntryText(
    title="Publishers of modules",
    purpose="The keys of the publishers whose bundles are admitted, and the bundles that are "
    "withdrawn.",
    content=(
        (
            "a publisher's id",
            (
                "text: its public keys on P-256 as PEM, a JWK or a JWKS. "
                f"{MAX_PUBLISHERS:,} publishers at most; an id has up to 63 small letters, digits, "
                "`-`"
            ),
        ),
        (
            f"`{WITHDRAWN}`",
            (
                f"SHA-256 digests in lower-case hex, a list or one text; {MAX_WITHDRAWN:,} at "
                "most; optional"
            ),
        ),
    ),
    read=f"Polled every `keys.poll_seconds`; {_FORCED}.",
    missing="Nobody is registered: every bundle is denied.",
    malformed="A publisher whose field can't be read has no key; the others are not affected. A "
    f"`{WITHDRAWN}` that can't be read makes the whole entry unreadable: at the start, the start "
    "fails; later the content before stays in force.",
    away="At the start, the start fails. Later the content that was read stays in force.",
    page="[Register publishers](modules.md#registering-publishers)",
)
