"""Texts on what operators' commands need besides, and on what Vault answers to anyone."""

from sidecar.doctor.entry_texts.text import EntryText, OpenRead

DOCTOR_CAPABILITIES = EntryText(
    title="What the sidecar's token may do",
    purpose="`sidecar doctor` asks what the login may do at each path that the settings need.",
    content=(("sent", "the paths"), ("answer", "the capabilities of each")),
    read="Asked when the command runs.",
    missing="The checks that need the right are skipped, and the output says so.",
    malformed="The check fails.",
    away="The check fails, and the ones that need Vault are skipped.",
    page="[Look at an installation](doctor.md)",
)
DOCTOR_ROLE = EntryText(
    title="The parameters of PKI roles",
    purpose="`sidecar doctor` compares each role with the certificates that are ordered from it.",
    content=(
        ("answer", "the role's parameters: names that it allows, the type of key, `max_ttl`"),
    ),
    read="Asked when the command runs.",
    missing="The check of the role is skipped without the right, and fails without the role.",
    malformed="The check fails.",
    away="The check fails.",
    page="[Look at an installation](doctor.md)",
)
CERTS_REVOKE = EntryText(
    title="Revoking a certificate",
    purpose="`sidecar certs revoke` has the sidecar revoke a certificate at its CA.",
    content=(("sent", "the certificate's serial number"),),
    read="Asked when the command runs.",
    missing="The command fails, and the certificate stays in use.",
    malformed="The command fails.",
    away="The command fails, and the certificate stays in use.",
    page="[Certificates by hand](operations.md#certificates-by-hand)",
)
BACKUP = EntryText(
    title="A backup of the entries",
    purpose="`sidecar vault backup` copies every entry that the settings name, with a token of its "
    "own. Session-ticket keys are left out.",
    content=(("each entry", "as it is"),),
    read="Read when the command runs.",
    missing="An entry that is not there is left out, and the output says so.",
    malformed="An entry is copied as it is.",
    away="The command fails, and writes no archive.",
    page="[Back up what the sidecar keeps in Vault]"
    "(backups.md#back-up-what-the-sidecar-keeps-in-vault)",
)
RESTORE = EntryText(
    title="A restore of the entries",
    purpose="`sidecar vault restore` compares and writes the entries of an archive, with a token "
    "of its own.",
    content=(("each entry", "as the archive has it"),),
    read="Read and written when the command runs.",
    missing="An entry that is not there is written.",
    malformed="An archive that was altered is rejected as a whole.",
    away="The command fails; run it again, and it goes on where it ended.",
    page="[Restore](backups.md#restore)",
)
OPEN_READS = (
    OpenRead(
        "auth/<mount>/login",
        "the login of `vault.auth`, except with `token_file`",
        "At the start, the start fails. Later the token is used until it ends.",
    ),
    OpenRead(
        "sys/wrapping/unwrap",
        "the AppRole secret id, with `secret_id_wrapped`; its wrapping token authorises it",
        "The login fails.",
    ),
    OpenRead(
        "sys/health",
        "Vault's clock, by which leases and the keys of days are measured; `sidecar doctor`",
        "What needs the clock fails, and is repeated.",
    ),
    OpenRead(
        "<mount>/issuers, <mount>/issuer/<issuer>/json",
        "the CAs of `trust_bundles[].roots` with `source: vault_pki`",
        "At the start, the start fails. Later the last value is served until it ends.",
    ),
    OpenRead(
        "<mount>/issuer/<issuer>/crl, <mount>/issuer/<issuer>/crl/delta",
        "their CRLs; and with `issuers[].crl_poll_seconds`, whether a certificate in use is "
        "revoked",
        "The last CRLs count until they end; no revocation of a certificate in use is noticed.",
    ),
)
