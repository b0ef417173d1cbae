"""What an issuer publishes about itself: where its metadata are, and which of it is believed.

Two documents carry the same: OpenID Connect Discovery 1.0 §4 appends its name to the issuer, RFC
8414 §3 inserts its own between host and path. Pure. In this order:

1. the document is one strict JSON object (``tokens.strict``);
2. its ``issuer`` is exactly the text that was asked for (RFC 8414 §3.3, Discovery §4.3): a
   trailing slash more, another port or another case is another issuer;
3. its ``jwks_uri`` is ``https``, without user name and fragment. ``http`` is taken only on
   loopback, of an issuer that is itself there by ``http``;
4. the host of ``jwks_uri`` may be another than the issuer's: Google's, Entra's and Kubernetes'
   is. Who can alter the document can also alter the keys, so the same host would protect from
   nothing. It must not be a link-local address (a cloud's metadata service), and it is on
   loopback only if the issuer is.
"""

import re

from sidecar.common.errors import Denied, Fault
from sidecar.common.web_url import WebUrl, is_nobodys, on_loopback, read_web_url
from sidecar.tokens.strict import decode_json_object

OPENID = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"
_MAX_AGE = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?([0-9]{1,9})\"?\s*(?=,|$)", re.IGNORECASE)
_NO_STORE = re.compile(r"(?:^|,)\s*no-(?:store|cache)\b", re.IGNORECASE)


class DiscoveryFault(Fault):
    """The metadata of an issuer can't be believed or used."""


def metadata_urls(issuer: str) -> tuple[str, str]:
    """Return where the metadata of an issuer may be, in the order in which they are asked for.

    ``issuer`` is one that ``config.rules_keys.issuer_url_problem`` has nothing against.
    """
    url = read_web_url(issuer)
    path = url.path.removesuffix("/")
    return f"{url.origin}{path}{OPENID}", f"{url.origin}{OAUTH}{path}"


def read_jwks_uri(raw: bytes, issuer: str) -> str:
    """Return the ``jwks_uri`` of the metadata of ``issuer``. Raises ``DiscoveryFault``.

    The message quotes nothing of the document but another issuer's name and the address.
    """
    try:
        document = decode_json_object(raw, "the document")
    except Denied as denied:
        raise DiscoveryFault(denied.detail) from None
    named = document.get("issuer")
    if named != issuer:
        said = f"is {named[:200]!r}" if isinstance(named, str) else "is missing"
        raise DiscoveryFault(
            f"its issuer {said}, not {issuer!r}: write tokens.issuers[].issuer exactly as the "
            "issuer writes it, or take keys.source jwks"
        )
    uri = document.get("jwks_uri")
    if not isinstance(uri, str):
        raise DiscoveryFault("it has no jwks_uri")
    if problem := _jwks_uri_problem(uri, read_web_url(issuer)):
        raise DiscoveryFault(f"its jwks_uri {uri[:200]!r} {problem}")
    return uri


def _jwks_uri_problem(uri: str, issuer: WebUrl) -> str:
    """Return why keys are not read there, in a clause; empty if they are."""
    try:
        url = read_web_url(uri)
    except ValueError as error:
        return str(error)
    here = on_loopback(url.host)
    if url.scheme != "https" and not (here and issuer.scheme == "http"):
        return "must be https"
    if here and not on_loopback(issuer.host):
        return "is on loopback, and its issuer is not"
    if is_nobodys(url.host):
        return "is an address where no issuer publishes keys"
    return ""


def freshness_seconds(
    cache_control: str | None, age: str | None, *, otherwise: float, least: float, most: float
) -> float:
    """Return for how long an answer needs not be asked for again (RFC 9111 §4.2), in seconds.

    ``otherwise`` is of an answer that does not say; the result is within ``least`` and ``most``.
    """
    said = cache_control or ""
    found = _MAX_AGE.search(said)
    seconds = otherwise
    if _NO_STORE.search(said):
        seconds = 0.0
    elif found is not None:
        elapsed = age.strip() if age else ""
        seconds = float(found[1]) - (float(elapsed) if _is_seconds(elapsed) else 0.0)
    return min(max(seconds, least), most)


def _is_seconds(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= len("999999999")
