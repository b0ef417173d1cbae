"""Masks secrets in text from outside, before it is written anywhere.

The first line of defence is that such text is not recorded at all: an audit line has a
fixed list of fields, and no message quotes a credential. This is the second, for the
fields that a client controls (a path, a host) and for exceptions of libraries.
"""

import re
from functools import lru_cache

MASK = "[redacted]"
_SHORT = 64
_SECRETS = re.compile(
    r"""
      # Anything of a JWT's shape, whatever its header's JSON begins with. The look-behind keeps
      # the search linear.
      (?<![A-Za-z0-9_-])(?:[A-Za-z0-9_-]{16,}+(?:\.|%2[Ee])){2}[A-Za-z0-9_-]{43,}+
    | eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}        # a JWT or a part of one
    | (?i:\b(?:bearer|basic|negotiate)(?:\s|%20|\+)+)[^\s"',;]+
    | \b(?:hv[sbr]|[sbr])\.[A-Za-z0-9_-]{20,}               # tokens of Vault and OpenBao
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)


def redact(text: str, max_length: int = 1024) -> str:
    """Return ``text`` with everything that looks like a credential masked, and cut to length.

    Masked before it is cut, so that no cut makes a credential unrecognisable.
    """
    if len(text) <= _SHORT and max_length >= _SHORT:
        if (
            "." not in text
            and " " not in text
            and "%" not in text
            and "+" not in text
            and "eyJ" not in text
            and text.isprintable()
        ):
            return text  # every pattern has one of these, or other white space
        return _redact_short(text)
    masked = _SECRETS.sub(MASK, text[: 16 * max_length])
    if len(masked) > max_length:
        return masked[: max_length - 1] + "…"
    return masked


@lru_cache(maxsize=8192)
def _redact_short(text: str) -> str:
    """Cache the results for names and paths, which recur.

    Texts of a token's length are not cached.
    """
    return _SECRETS.sub(MASK, text)
