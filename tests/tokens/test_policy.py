"""Which rules are whose: the key's issuer picks them, and nobody else."""

from sidecar.tokens.policy import IssuerPolicy, TokenPolicy
from tests.support.minting import ISSUER, policy, rules


def test_each_issuer_has_its_own_rules() -> None:
    other = rules(leeway_seconds=1.0)
    both = TokenPolicy({ISSUER: rules(), "https://other.example": other}, others=None)
    assert both.of(ISSUER) == rules()
    assert both.of("https://other.example") is other


def test_who_is_not_configured_has_none() -> None:
    for nobody in ("https://other.example", "", None):
        assert policy().of(nobody) is None


def test_by_hand_any_issuer_is_read_by_the_security_models_rules() -> None:
    for anybody in (ISSUER, None):
        assert TokenPolicy().of(anybody) == IssuerPolicy()
    assert IssuerPolicy().audiences is None
