"""The public key in a DPoP proof: of one algorithm, and nothing but public (RFC 9449 §4.2, §4.3).

The key comes from whoever sends the proof, so it says nothing about who that is; what counts is
that its thumbprint (RFC 7638) is the one in the token. It is read as strictly as an issuer's key
all the same (``jwk``): type, curve, size, its own ``alg``, ``use`` and ``key_ops`` must fit the
algorithm in the header (RFC 8725 §3.1). A member of a private or symmetric key is denied: such a
key is nobody's secret any more.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.tokens.algorithms import ALGORITHMS
from sidecar.tokens.jwk import PRIVATE_MEMBERS, JwkFault, read_jwk, thumbprint
from sidecar.tokens.keyring import VerificationKey

_KID = "kid"


class ProofKey(NamedTuple):
    """The key of a proof."""

    thumbprint: str
    """RFC 7638, SHA-256, base64url."""
    key: VerificationKey

    def verify(self, signature: bytes, signed: bytes) -> None:
        """Return, or raise ``InvalidSignature`` or ``Denied``."""
        self.key.algorithm.verify(self.key.public, signature, signed)


def read_proof_key(jwk: Mapping[str, Any], name: str) -> ProofKey:
    """Read the ``jwk`` of a proof whose ``alg`` is ``name``, a name of ``ALGORITHMS``.

    Raises ``Denied(dpop_proof_invalid)``.
    """
    if not PRIVATE_MEMBERS.isdisjoint(jwk):
        raise _invalid("its jwk has a member of a private or symmetric key")
    members = {member: value for member, value in jwk.items() if member != _KID}
    try:
        return _read(name, json.dumps(members, sort_keys=True))
    except JwkFault as fault:
        raise _invalid(f"its jwk is no key for it: {fault}") from None


@lru_cache(maxsize=1024)
def _read(name: str, jwk: str) -> ProofKey:
    """Read a key and make its thumbprint; cached, as a client has one key for many proofs."""
    key = read_jwk(json.loads(jwk), None, (ALGORITHMS[name],))
    return ProofKey(thumbprint(key.public), key)


def _invalid(detail: str) -> Denied:
    return Denied(Reason.DPOP_PROOF_INVALID, f"the DPoP proof: {detail}")
