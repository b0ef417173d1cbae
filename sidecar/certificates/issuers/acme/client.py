"""An ACME CA through certbot's ``acme`` library: blocking, bounded, without redirects.

Its methods run in threads (``common.blocking``). Every order has its own client, because the
library keeps nonces without a lock; directory and account are shared. Nothing is read from the
environment, and a directory over HTTPS can't lead to plain HTTP.
"""

import contextlib
import time
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from acme import challenges, errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.json_util import field as json_field
from josepy.jwa import ES256
from josepy.jwk import JWKEC
from josepy.util import ComparableECKey

from sidecar.certificates.challenges.http01 import HTTP, TLS_ALPN
from sidecar.certificates.issuers.acme.faults import AcmeFault, from_problem, translate
from sidecar.certificates.issuers.base import RenewalAdvice
from sidecar.common.base64url import encode_base64url
from sidecar.common.http_client import make_session

_MAX_ANSWER_BYTES = 262_144
_MAX_RETRY_AFTER_SECONDS = 7 * 86_400.0
_USER_AGENT = "septem-sidecar"
_NONCES = 4


class AccountKeyMaterial:
    """The keys that open an account. ``repr`` does not show them."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, external: tuple[str, str] | None = None
    ) -> None:
        self.jwk = JWKEC(key=ComparableECKey(key))
        self.external = external
        """Key id and MAC key (base64url) of an external account (RFC 8555 §7.3.4)."""


class Network(ClientNetwork):
    """The library's transport on our session. It stores the last ``Retry-After``."""

    def __init__(
        self, key: Any, ca_file: str | None, timeout_seconds: float, *, https: bool
    ) -> None:
        super().__init__(key, alg=ES256, user_agent=_USER_AGENT)
        self.session = make_session(ca_file=ca_file, max_response_bytes=_MAX_ANSWER_BYTES)
        self.verify_ssl = ca_file or True  # type: ignore[assignment]  # requests takes a path
        self._default_timeout = timeout_seconds  # type: ignore[assignment]
        self._https = https
        self.retry_after_seconds: float | None = None

    def _send_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:
        if self._https and not url.startswith("https://"):
            raise AcmeFault(
                "other", "the CA's directory is https, and it refers to a URL that is not"
            )
        self.retry_after_seconds = None
        response = super()._send_request(method, url, *args, allow_redirects=False, **kwargs)
        self.retry_after_seconds = retry_after_of(response.headers.get("Retry-After"), time.time())
        return response

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """POST, and repeat it with a new nonce if the CA refuses the nonce (RFC 8555 §6.5)."""
        for _ in range(_NONCES):
            try:
                return self._post_once(*args, **kwargs)
            except messages.Error as problem:
                if problem.code != "badNonce":
                    raise
        return self._post_once(*args, **kwargs)


class OrderWithReplaces(messages.NewOrder):
    """A new order with ``replaces`` (RFC 9773 §5): CAs exempt such orders from rate limits."""

    replaces: str = json_field("replaces", omitempty=True)


@challenges.ChallengeResponse.register
class TlsAlpnResponse(challenges.KeyAuthorizationChallengeResponse):
    """The message that tls-alpn-01 is ready (RFC 8737 §3)."""

    typ = TLS_ALPN


@challenges.Challenge.register
class TlsAlpn(challenges.KeyAuthorizationChallenge):
    """A challenge of tls-alpn-01, which the library no longer has."""

    response_cls = TlsAlpnResponse
    typ = TLS_ALPN

    def validation(self, account_key: JWKEC, **_: Any) -> str:
        """Return the key authorization; ``challenges.tls_alpn01`` makes the certificate from it."""
        return str(self.key_authorization(account_key))


class AcmeClient:
    """The requests to the CA for one order. Every method raises only ``AcmeFault``."""

    def __init__(
        self,
        directory_url: str,
        account_key: AccountKeyMaterial,
        *,
        ca_file: str | None,
        timeout_seconds: float,
    ) -> None:
        self._where = directory_url
        self._account_key = account_key
        https = directory_url.startswith("https://")
        self._net = Network(account_key.jwk, ca_file, timeout_seconds, https=https)
        self._client: ClientV2 | None = None

    @property
    def thumbprinted(self) -> Any:
        """Return the account's key, for key authorizations."""
        return self._account_key.jwk

    @property
    def retry_after_seconds(self) -> float | None:
        """Return the ``Retry-After`` of the CA's last answer."""
        return self._net.retry_after_seconds

    def open(
        self,
        directory: messages.Directory | None,
        account: messages.RegistrationResource | None,
        contacts: tuple[str, ...],
    ) -> tuple[messages.Directory, messages.RegistrationResource]:
        """Read the directory and open the account, unless they are given."""
        with self._translated():
            if directory is None:
                directory = ClientV2.get_directory(self._where, self._net)
            self._client = ClientV2(directory, self._net)
            if account is None:
                account = self._open_account(directory, contacts)
            self._net.account = account
            return directory, account

    def _open_account(
        self, directory: messages.Directory, contacts: tuple[str, ...]
    ) -> messages.RegistrationResource:
        binding = None
        if self._account_key.external is not None:
            kid, mac_key = self._account_key.external
            binding = messages.ExternalAccountBinding.from_data(
                self._account_key.jwk.public_key(), kid, mac_key, directory
            )
        wanted = messages.NewRegistration(
            contact=contacts, terms_of_service_agreed=True, external_account_binding=binding
        )
        client = self._ready()
        try:
            return client.new_account(wanted)
        except errors.ConflictError as known:
            # The account exists already: another sidecar of the fleet opened it.
            return messages.RegistrationResource(
                body=messages.Registration(), uri=str(known.location)
            )

    def new_order(
        self, csr_pem: str, names: tuple[str, ...], profile: str | None, replaces: str | None
    ) -> messages.OrderResource:
        """Place an order and read its authorizations."""
        with self._translated():
            client = self._ready()
            wanted: dict[str, Any] = {
                "identifiers": [
                    messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name) for name in names
                ],
                "profile": profile or "",
            }
            if replaces is not None and _knows_renewals(client.directory):
                wanted["replaces"] = replaces
            post = client._post  # noqa: SLF001 - the library's own new_order can't say "replaces"
            response = post(client.directory["newOrder"], OrderWithReplaces(**wanted))
            body = messages.Order.from_json(response.json())
            return messages.OrderResource(
                body=body,
                uri=response.headers.get("Location"),
                authorizations=[self.poll(url) for url in body.authorizations],
                csr_pem=csr_pem.encode("ascii"),
            )

    def poll(self, url: str) -> messages.AuthorizationResource:
        """Read an authorization."""
        with self._translated():
            response = self._ready()._post_as_get(url)  # noqa: SLF001 - ``poll`` without an object
            body = messages.Authorization.from_json(response.json())
            return messages.AuthorizationResource(body=body, uri=url)

    def answer(self, challenge: messages.ChallengeBody) -> None:
        """Tell the CA that the answer of a challenge is in place."""
        with self._translated():
            response = challenge.chall.response(self._account_key.jwk)
            self._ready()._post(challenge.uri, response)  # noqa: SLF001 - OpenBao sends no "up" link

    def finalize(self, order: messages.OrderResource) -> messages.OrderResource:
        """Send the CSR; if the order is not ready yet, the next poll tries again."""
        with self._translated():
            try:
                return self._ready().begin_finalization(order)
            except messages.Error as problem:
                if problem.code != "orderNotReady":
                    raise
                return order

    def poll_order(self, order: messages.OrderResource) -> messages.OrderResource:
        """Read the state of an order, with its chain if it is done."""
        with self._translated():
            client = self._ready()
            response = client._post_as_get(order.uri)  # noqa: SLF001 - the library's own sleeps
            retry_after = self._net.retry_after_seconds
            body = messages.Order.from_json(response.json())
            if body.status == messages.STATUS_INVALID:
                if body.error is not None:
                    raise from_problem(body.error, retry_after)
                raise AcmeFault("other", "the order failed, and the CA did not say why")
            if body.status == messages.STATUS_VALID and body.certificate is not None:
                chain = client._post_as_get(body.certificate).text  # noqa: SLF001
                done: messages.OrderResource = order.update(body=body, fullchain_pem=chain)
                return done
            self._net.retry_after_seconds = retry_after
            updated: messages.OrderResource = order.update(body=body)
            return updated

    def advise(self, chain_pem: bytes) -> RenewalAdvice:
        """Ask when to renew (ARI, RFC 9773)."""
        with self._translated():
            when, again = self._ready().renewal_time(chain_pem)
            renew_at = when.timestamp() if isinstance(when, datetime) else None
            return RenewalAdvice(renew_at, again.timestamp())

    def _ready(self) -> ClientV2:
        if self._client is None:
            raise AcmeFault("other", "the ACME account is not open")
        return self._client

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except AcmeFault:
            raise
        except Exception as exc:  # noqa: BLE001 - no library's exception leaves this module
            cause = exc.__cause__ if isinstance(exc, errors.ARIError) else exc
            shown = cause if isinstance(cause, Exception) else exc
            raise translate(shown, self._where, self._net.retry_after_seconds) from None


def _knows_renewals(directory: messages.Directory) -> bool:
    try:
        return bool(directory["renewalInfo"])
    except KeyError:
        return False


def challenge_of(
    authorization: messages.AuthorizationResource, kind: str
) -> messages.ChallengeBody | None:
    """Return the challenge of a kind that an authorization offers; ``None`` if it has none."""
    wanted = challenges.HTTP01 if kind == HTTP else TlsAlpn
    for offered in authorization.body.challenges:
        if isinstance(offered.chall, wanted):
            return offered
    return None


def certificate_id(chain_pem: bytes) -> str | None:
    """Return the ARI identifier of a certificate (RFC 9773 §4.1); ``None`` if it has none."""
    leaf = x509.load_pem_x509_certificate(chain_pem)
    try:
        extension = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    except x509.ExtensionNotFound:
        return None
    issuer = extension.value.key_identifier
    if issuer is None:
        return None
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    return f"{encode_base64url(issuer)}.{encode_base64url(serial)}"


def retry_after_of(header: str | None, now: float) -> float | None:
    """Return the seconds of a ``Retry-After`` (RFC 9110 §10.2.3), at most a week."""
    if header is None:
        return None
    try:
        seconds = (
            float(header) if header.isdigit() else parsedate_to_datetime(header).timestamp() - now
        )
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)
