"""What an agent identifies itself by: a token file to join with, and after that a certificate of its own."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.errors import InputError
from heyfleet.files import MAX_TEXT_BYTES, read_file

_CERTIFICATE = "-----BEGIN CERTIFICATE-----"
_PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----"


class CredentialsError(InputError):
    """A CA or token file that can't be used."""


@dataclass(frozen=True)
class Token:
    """The contents of a token file: a secret, and a certificate that permits joining only."""

    token_id: str
    secret: str
    certificate_pem: bytes
    key_pem: bytes


@dataclass(frozen=True)
class Certificate:
    """An agent's certificate with its key, and the CA that the controller's certificate must be of; all in PEM."""

    ca_pem: bytes
    key_pem: bytes
    certificate_pem: bytes


def read_token(path: str) -> Token:
    """Read a token file as `heyfleet ca token` writes it; CredentialsError."""
    text = _read(path, "--token-file").decode("utf-8", "replace")
    header, _, pem = text.partition(_CERTIFICATE)
    fields = dict(line.split(": ", 1) for line in header.splitlines()[1:] if ": " in line)
    certificate, _, key = f"{_CERTIFICATE}{pem}".partition(_PRIVATE_KEY)
    if not text.startswith("heyfleet-token 1\n") or not {"id", "secret"} <= fields.keys() or not key:
        raise CredentialsError(
            f"--token-file: {path!r} is not a token file", "create one with `heyfleet ca token`"
        )
    return Token(fields["id"], fields["secret"], certificate.encode(), f"{_PRIVATE_KEY}{key}".encode())


def read_ca(path: str) -> bytes:
    """Read the CA's certificate, in PEM; CredentialsError."""
    pem = _read(path, "--ca")
    if _CERTIFICATE.encode() not in pem:
        raise CredentialsError(
            f"--ca: {path!r} contains no certificate", "pass the ca.pem that the controller wrote"
        )
    return pem


def new_key() -> tuple[bytes, bytes]:
    """Create a private key and a signing request for it (PKCS #10), both in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key_pem, request.public_bytes(serialization.Encoding.PEM)


def check(token: Token, ca_pem: bytes) -> None:
    """Check that a token is of this CA and has not expired, which a failed handshake would not explain.

    Raises CredentialsError.
    """
    import datetime

    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        certificate = x509.load_pem_x509_certificate(token.certificate_pem)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem))
    except (ValueError, TypeError, InvalidSignature):
        raise CredentialsError(
            "--token-file and --ca do not belong together", "take both from the same controller"
        ) from None
    expiry = certificate.not_valid_after_utc
    if expiry < datetime.datetime.now(datetime.UTC):
        raise CredentialsError(
            f"--token-file: the token expired at {expiry:%Y-%m-%d %H:%M:%S} UTC",
            "create another with `heyfleet ca token`",
        )


def _read(path: str, flag: str) -> bytes:
    return read_file(path, flag, MAX_TEXT_BYTES, error=CredentialsError)
