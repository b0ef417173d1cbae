"""Texts on what certificates need of Vault."""

from sidecar.certificates.challenges.challenge_list import MAX_IN_FLIGHT
from sidecar.certificates.issuers.acme.account import KEY_FIELD, KID_FIELD, MAC_FIELD
from sidecar.certificates.issuers.vault_kv import MAX_PEM_CHARACTERS
from sidecar.certificates.on_demand.domains import MAX_DOMAINS, MAX_TENANT_ID_CHARACTERS
from sidecar.certificates.on_demand.kv_prefix_resolver import MAX_LISTED_WITH_VERSIONS
from sidecar.doctor.entry_texts.text import EntryText
from workload.x509.chains import MAX_CHAIN

_START_FAILS = "At the start, the start fails."
_ORDER_FAILS = (
    "The order fails, and is repeated with growing pauses. What is served is served until it ends."
)
_START_THEN_ORDER = (
    f"{_START_FAILS} Later the order fails, and is repeated with growing pauses; what is served is "
    "served until it ends."
)
_START_THEN_SERVED = f"{_START_FAILS} Later what is served is served until it ends."
_REGISTRATION = (
    (
        "`tenant_id`",
        f"text: who owns the domain, 1 to {MAX_TENANT_ID_CHARACTERS} printable characters",
    ),
    ("`issuer`", "text: a name of `issuers`; optional"),
    ("`wildcard`", "true or false: one certificate for all names below a `*.` domain; optional"),
    ("`shared`", "true or false: other tenants may have names below the domain; optional"),
)

PKI_SIGN = EntryText(
    title="Certificates of Vault PKI",
    purpose="Has a certificate signed by a role. The private key is made in the sidecar, and is "
    "not sent.",
    content=(
        ("sent", "a CSR, `common_name`, `alt_names`, `uri_sans`, `ip_sans` and `ttl`"),
        (
            "answer",
            (
                f"the certificate and its chain, 1 to {MAX_CHAIN} certificates, for the key and "
                "the names of the order"
            ),
        ),
    ),
    read="Asked at the start for each certificate in the settings, at each renewal, and for each "
    "new name on demand.",
    missing=_START_THEN_ORDER,
    malformed="An answer for another key, for other names or with wrong dates is rejected: the "
    "order has failed.",
    away=_START_THEN_ORDER,
    page="[Certificate issuers](certificates.md#issuers)",
)
STORED_CERTIFICATE = EntryText(
    title="Certificates that somebody else stores in KV",
    purpose="A certificate and its key, written by another program. The entry is named like the "
    "certificate; of a wildcard, `*.` is written `_wildcard.`.",
    content=(
        (
            "the field that `certificate_field` names",
            (
                f"text: the chain in PEM, the certificate first; {MAX_PEM_CHARACTERS:,} characters "
                f"and {MAX_CHAIN} certificates at most"
            ),
        ),
        (
            "the field that `key_field` names",
            (
                "text: its unencrypted private key in PEM, EC on P-256 or P-384, or RSA of 2,048 "
                "bits or more"
            ),
        ),
    ),
    read="The version is polled every `issuers[].poll_seconds`. The entry is read at the start, "
    "when the version has changed, and at each renewal.",
    missing=_START_THEN_SERVED,
    malformed="Treated as missing. A certificate for another name or another key, or one that has "
    "ended, is malformed too.",
    away=_START_THEN_SERVED,
    page="[Certificate issuers](certificates.md#issuers)",
)
ACME_ACCOUNT = EntryText(
    title="The key of an ACME account",
    purpose="The account of the fleet at an ACME CA.",
    content=((f"`{KEY_FIELD}`", "text: a private key in PEM, EC on P-256"),),
    read="Read once by each process, with its first order.",
    missing="The first sidecar makes the key and writes it with check-and-set; the others use it.",
    malformed=_ORDER_FAILS,
    away=f"{_ORDER_FAILS} After its first order a process has the key in memory.",
    page="[ACME](certificates.md#acme)",
)
EXTERNAL_ACCOUNT = EntryText(
    title="External account binding",
    purpose="The credential that some ACME CAs ask for when an account is opened.",
    content=(
        (f"`{KID_FIELD}`", "text: the key's id, as the CA gave it"),
        (f"`{MAC_FIELD}`", "text: the HMAC key, as the CA gave it"),
    ),
    read="Read once by each process, with its first order.",
    missing=_ORDER_FAILS,
    malformed=_ORDER_FAILS,
    away=_ORDER_FAILS,
    page="[ACME](certificates.md#acme)",
)
TSIG_KEY = EntryText(
    title="The TSIG key of dynamic updates",
    purpose="Signs the updates of a DNS zone, for the challenge dns-01.",
    content=(
        ("`name`", "text: the key's name, as the DNS server has it"),
        ("`secret`", "text: the key in base64, 16 bytes or more"),
        (
            "`algorithm`",
            "text: `hmac-sha256`, `hmac-sha384` or `hmac-sha512`; without it, `hmac-sha256`",
        ),
    ),
    read="Read at each order.",
    missing=_ORDER_FAILS,
    malformed=_ORDER_FAILS,
    away=_ORDER_FAILS,
    page="[dns-01](certificates.md#dns-01)",
)
ACME_DNS_ACCOUNT = EntryText(
    title="Accounts of acme-dns",
    purpose="One entry for each host name: the account that writes its challenge, as `POST "
    "/register` of acme-dns answers it.",
    content=tuple(
        (f"`{field}`", "text of 1 to 256 visible ASCII characters")
        for field in ("username", "password", "subdomain", "fulldomain")
    ),
    read="Read at each order.",
    missing=_ORDER_FAILS,
    malformed=_ORDER_FAILS,
    away=_ORDER_FAILS,
    page="[dns-01](certificates.md#dns-01)",
)
CERTIFICATE_STORE = EntryText(
    title="The fleet's certificates",
    purpose="What sidecars share, so that one of them orders a certificate and all serve it. They "
    "write these entries themselves.",
    content=(
        (
            "`certificates/<issuer>/<names>`",
            "`certificate` and `private_key` in PEM, `serial`, `not_after`",
        ),
        (
            "`leases/<issuer>/<names>`",
            "`holder`, `seconds`, `failures`, `fault`: which sidecar orders, and until when",
        ),
        (
            "`challenges`",
            (
                "an object by token: `host`, `answer`, `until`, `kind`; "
                f"{MAX_IN_FLIGHT:,} challenges at most"
            ),
        ),
    ),
    read="Read at each order and renewal, and while another sidecar orders. The challenges are "
    "read when a CA asks for one that this sidecar did not place.",
    missing="Made by the sidecar that orders.",
    malformed="A stored certificate that can't be served is ordered again and overwritten. A "
    "challenge or a lease that can't be read counts as none.",
    away="The order fails, and is repeated with growing pauses. A certificate that was ordered and "
    "can't be stored is served by this sidecar alone. Challenges of other sidecars are not "
    "answered.",
    page="[One order for the fleet](certificates.md#one-order-for-the-fleet)",
)
DOMAIN_LIST = EntryText(
    title="Customers' domains in one entry",
    purpose="Who owns each domain for which a certificate may be ordered on demand.",
    content=(
        (
            "`domains`",
            f"list of objects, {MAX_DOMAINS:,} at most, each with the fields below",
        ),
        ("`domain`", "text: a host name, or `*.` and one for the names one label below it"),
        *_REGISTRATION,
    ),
    read="The version is polled every `on_demand.registry.poll_seconds`; the entry is read when it "
    "has changed. Also polled on `SIGHUP` and on `POST /keys/refresh`.",
    missing=f"{_START_FAILS} Later the domains that were read stay in force.",
    malformed="A wrong object, such as one with an unknown field, is left out and logged. Content "
    "that is no such list is treated as missing.",
    away=f"{_START_FAILS} Later the domains that were read stay in force.",
    page="[The registry](on-demand.md#the-registry)",
)
DOMAIN_ENTRIES = EntryText(
    title="Customers' domains, an entry each",
    purpose="The same with one entry for each domain, named like it; of a wildcard, `*.` is "
    "written `_wildcard.`.",
    content=(("`domain`", "text: as the entry is named; optional"), *_REGISTRATION),
    read="The names are polled every `on_demand.registry.poll_seconds`, and on `SIGHUP` and `POST "
    "/keys/refresh`. An entry is read when a "
    "handshake first asks for its name, and again after `on_demand.registry.entry_ttl_seconds`. "
    f"For up to {MAX_LISTED_WITH_VERSIONS:,} entries the versions are compared instead, where "
    "Vault lists them.",
    missing="The domain is not registered: its name is not served.",
    malformed="An entry with an unknown field is malformed too. Its name is not obtained; one that "
    "is held already stays.",
    away=f"{_START_FAILS} Later no new name is obtained, and those that are held stay.",
    page="[The registry](on-demand.md#the-registry)",
)
