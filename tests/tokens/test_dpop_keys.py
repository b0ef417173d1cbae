"""The key in a proof's header. What is refused is in ``test_dpop``; here is what is accepted."""

import pytest

from sidecar.common.errors import Denied
from sidecar.tokens.dpop_keys import read_proof_key
from tests.support.proving import Prover


def test_the_thumbprint_of_rfc_9449_figure_12() -> None:
    jwk = {
        "kty": "EC",
        "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        "crv": "P-256",
    }
    assert read_proof_key(jwk, "ES256").thumbprint == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def test_the_thumbprint_of_rfc_8037_appendix_a_3() -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert read_proof_key(jwk, "EdDSA").thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_other_members_do_not_change_a_thumbprint() -> None:
    prover = Prover()
    more = {**prover.jwk, "kid": "x", "use": "sig"}
    assert read_proof_key(more, "ES256").thumbprint == prover.jkt


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_no_member_of_a_private_or_symmetric_key_is_taken(member: str) -> None:
    with pytest.raises(Denied, match="private or symmetric"):
        read_proof_key({**Prover().jwk, member: ""}, "ES256")


def test_a_kid_of_any_form_is_not_looked_at() -> None:
    prover = Prover()
    assert read_proof_key({**prover.jwk, "kid": 5}, "ES256").thumbprint == prover.jkt
