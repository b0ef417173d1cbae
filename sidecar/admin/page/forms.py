"""Forms of the operator's page: the token that shows that a form is this page's. Pure.

A page of another origin can have a browser send a form here, and can't read ours. So each form has
a token, which is bound to this process, to its action and to what that is done to. There is no
cookie: nothing that a browser sends by itself allows anything.
"""

import hashlib
import hmac
import secrets
from typing import NamedTuple
from urllib.parse import parse_qs

MAX_FIELDS = 8
_SECRET_BYTES = 32


class PostedForm(NamedTuple):
    """What a form asks for."""

    action: str
    target: str
    back: str
    token: str


class FormTokens:
    """Makes and checks the tokens of this process's forms."""

    def __init__(self, secret: bytes | None = None) -> None:
        self._secret = secrets.token_bytes(_SECRET_BYTES) if secret is None else secret

    def token(self, action: str, target: str) -> str:
        """Return the token of a form."""
        # The lengths come first, so that no other pair of texts gives the same bytes.
        said = f"{len(action)}:{action}{len(target)}:{target}".encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, said, hashlib.sha256).hexdigest()

    def is_ours(self, form: PostedForm) -> bool:
        """Tell whether a form has the token of its action and target; in constant time."""
        expected = self.token(form.action, form.target).encode("ascii")
        return hmac.compare_digest(expected, form.token.encode("utf-8", "surrogatepass"))


def read_form(body: bytes) -> PostedForm | None:
    """Return what a form asks for; ``None`` where a field is missing, or is there twice."""
    try:
        fields = parse_qs(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except (ValueError, UnicodeDecodeError):
        return None
    values = [fields.get(name, []) for name in PostedForm._fields]
    if any(len(value) != 1 for value in values):
        return None
    return PostedForm(*(value[0] for value in values))
