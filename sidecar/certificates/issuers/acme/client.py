"""An ACME CA through certbot's ``acme`` library: blocking, over ``network``.

Its methods run in threads (``common.blocking``). Every order has its own client, because the
library keeps nonces without a lock; directory and account are shared.
"""

import contextlib
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import requests
from acme import errors, messages
from acme.client import ClientV2
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.jwk import JWKEC
from josepy.util import ComparableECKey

from sidecar.certificates.issuers.acme.extensions import OrderWithReplaces
from sidecar.certificates.issuers.acme.faults import AcmeFault, from_problem, translate
from sidecar.certificates.issuers.acme.network import Network
from sidecar.certificates.issuers.base import RenewalAdvice


class AccountKeyMaterial:
    """The keys that open an account. ``repr`` does not show them."""

    def __init__(
        self, key: ec.EllipticCurvePrivateKey, external: tuple[str, str] | None = None
    ) -> None:
        self.jwk = JWKEC(key=ComparableECKey(key))
        self.external = external
        """Key id and MAC key (base64url) of an external account (RFC 8555 §7.3.4)."""


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
            # The library's own new_order can't say "replaces".
            response = self._post(client.directory["newOrder"], OrderWithReplaces(**wanted))
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
            response = self._post(url, None)
            body = messages.Authorization.from_json(response.json())
            return messages.AuthorizationResource(body=body, uri=url)

    def answer(self, challenge: messages.ChallengeBody) -> None:
        """Tell the CA that the answer of a challenge is in place."""
        with self._translated():
            response = challenge.chall.response(self._account_key.jwk)
            # The library's own answer_challenge wants an "up" link, and OpenBao sends none.
            self._post(challenge.uri, response)

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
            response = self._post(order.uri, None)  # the library's own poll sleeps
            retry_after = self._net.retry_after_seconds
            body = messages.Order.from_json(response.json())
            if body.status == messages.STATUS_INVALID:
                if body.error is not None:
                    raise from_problem(body.error, retry_after)
                raise AcmeFault("other", "the order failed, and the CA did not say why")
            if body.status == messages.STATUS_VALID and body.certificate is not None:
                chain = self._post(body.certificate, None).text
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

    def _post(self, url: str, body: Any) -> requests.Response:
        """POST, signed by the account; without a body it is a POST-as-GET (RFC 8555 §6.3)."""
        return self._net.post(url, body, new_nonce_url=self._ready().directory["newNonce"])

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
