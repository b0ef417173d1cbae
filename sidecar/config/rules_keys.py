"""The rules of the keys' addresses: which URLs an issuer and its key set may have."""

from collections.abc import Iterator

from sidecar.common.web_url import is_nobodys, on_loopback, read_web_url
from sidecar.config.keys import JwksKeys, OidcKeys
from sidecar.config.model import Config
from sidecar.config.problem import Problem


def check_keys(config: Config) -> Iterator[Problem]:
    """Yield what is wrong with the addresses of issuers and of their keys."""
    for index, issuer in enumerate(config.tokens.issuers):
        where = ("tokens", "issuers", index)
        if isinstance(issuer.keys, OidcKeys):
            if problem := issuer_url_problem(issuer.issuer):
                yield Problem((*where, "issuer"), f"{problem}, because keys.source is oidc")
        elif isinstance(issuer.keys, JwksKeys) and (problem := key_url_problem(issuer.keys.url)):
            yield Problem((*where, "keys", "url"), problem)


def issuer_url_problem(issuer: str) -> str:
    """Return why an issuer's metadata can't be looked for (RFC 8414 §2); empty if they can."""
    try:
        url = read_web_url(issuer)
    except ValueError as error:
        return str(error)
    if url.query:
        return "must have no query"
    if "//" in url.path:
        return "must have no empty segment in its path"
    if url.scheme != "https" and not on_loopback(url.host):
        return "must be https: altered metadata would name another's keys"
    return ""


def key_url_problem(text: str) -> str:
    """Return why keys can't be read at a URL of the settings; empty if they can."""
    try:
        url = read_web_url(text)
    except ValueError as error:
        return str(error)
    if is_nobodys(url.host):
        return "is an address where nobody publishes keys"
    return ""
