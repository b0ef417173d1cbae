"""What a decision was made from, as an audit line has it where ``audit.record_inputs`` is set.

So a decision can be made again under another configuration (``sidecar replay``). Recorded is what
rules ask for, and nothing else of a token: no claim of another name, no value of a credential, no
key's or certificate's bytes. It is bounded: what does not fit, or looks like a credential, is
left out whole and marked ``cut``, so that nobody decides by a part of it.
"""

import msgspec

from sidecar.common.printable import escape_json
from sidecar.common.redact import redact

MAX_BYTES = 2048
"""The most bytes of the member ``inputs``, encoded."""
_MAX_NAME = 512


class RecordedInputs(
    msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False
):
    """The inputs of one decision. The claims' names are their own; times are Unix seconds."""

    iss: str = ""
    """The token's issuer; empty where no token was verified."""
    alg: str = ""
    """The algorithm of its signature."""
    typ: str = ""
    """The header's, in lower case; empty where it has none."""
    params: tuple[str, ...] = ()
    """Names of the header's other parameters."""
    aud: tuple[str, ...] = ()
    """What ``audience_claim`` names."""
    iat: float = 0
    """When it was issued, in Unix seconds."""
    nbf: float = 0
    """From when it holds; 0 where that is ``iat``."""
    exp: float = 0
    """Until when it holds."""
    roles: tuple[str, ...] = ()
    """Its roles, as the issuer's settings find them."""
    scopes: tuple[str, ...] = ()
    """Its scopes."""
    cnf: tuple[str, ...] = ()
    """How the token is bound, of ``dpop`` and ``certificate``."""
    reading: str = ""
    """A digest of the rules by which the claims were found; empty for the security model's."""
    required: tuple[str, ...] | None = None
    """The claims that had to be there; ``None`` for sub, iat, jti and nbf."""
    unsought: tuple[str, ...] = ()
    """Where personal data was not looked for: by ``name``, by ``value``, in a claim."""
    size: int = 0
    """The token's bytes."""
    place: str = ""
    """Where the token was, as in ``routes[].token_from``; empty for a verified one's header."""
    dpop: str = ""
    """For a token under the scheme ``DPoP``, a digest of the rules of its proof."""
    searched: tuple[str, ...] = ()
    """The places that the route reads; empty for the header alone, where a token was found."""
    in_query: bool = False
    """The query held a token."""
    rules: str = ""
    """For a credential that failed before its claims were read, a digest of the rules of then."""
    peer: tuple[str, ...] = ()
    """The names of the client's certificate, where the route reads it."""
    origin: str = ""
    """Of a preflight: the page's origin."""
    announced: str = ""
    """Of a preflight: the method that the page announces."""
    cut: bool = False
    """Something was left out, so this decision can't be made again from the line."""


NO_INPUTS = RecordedInputs()
CUT = RecordedInputs(cut=True)
_encoder = msgspec.json.Encoder()


def inputs_fragment(inputs: RecordedInputs) -> bytes:
    """Encode the member ``inputs`` with a comma before it; nothing where there are none."""
    recorded = fitting(inputs)
    return b"" if recorded is None else b',"inputs":' + escape_json(_encoder.encode(recorded))


def fitting(inputs: RecordedInputs) -> RecordedInputs | None:
    """Return the inputs as they are recorded: ``CUT`` for what may not be, ``None`` for none."""
    if inputs == NO_INPUTS:
        return None
    return inputs if _fits(inputs) else CUT


def _fits(inputs: RecordedInputs) -> bool:
    """Return whether the inputs are short, and no text of them would be masked or cut."""
    try:
        if len(escape_json(_encoder.encode(inputs))) > MAX_BYTES:
            return False
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can name
        return False
    lists = (inputs.params, inputs.aud, inputs.roles, inputs.scopes, inputs.searched, inputs.peer)
    single = (inputs.iss, inputs.typ, inputs.place, inputs.origin, inputs.announced)
    texts = (*single, *(text for texts in lists for text in texts))
    return all(redact(text, _MAX_NAME) == text for text in texts)
