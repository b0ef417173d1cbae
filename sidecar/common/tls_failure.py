"""Why a TLS connection to somebody else's server failed, for an operator."""

import ssl

_MAX_CHAIN = 16


def tls_failure(exc: BaseException, ca_file: str) -> str:
    """Return one clause, with OpenSSL's words where it did not accept the server's certificate.

    ``ca_file`` is the setting to look at. Libraries wrap the exception that has the words, so its
    causes are looked through.
    """
    found: BaseException | None = exc
    for _ in range(_MAX_CHAIN):
        if found is None:
            break
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"TLS fails ({found.verify_message}); check {ca_file}"
        found = found.__cause__ or found.__context__
    return f"TLS fails; check {ca_file}"
