"""Who an agent is, towards its controller: a token file at first, then a certificate of its own."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path


class IdentityError(Exception):
    """A file that does not serve: one line that names it and the cure."""


@dataclass(frozen=True)
class Token:
    """What a token file holds: a secret, and a certificate that is good for joining only."""

    token_id: str
    secret: str
    certificate_pem: bytes
    key_pem: bytes


def read_token(path: str) -> Token:
    """Read a token file as `heyfleet ca token` writes it."""
    text = _read(path, "--token-file").decode("utf-8", "replace")
    head, _, pem = text.partition("-----BEGIN CERTIFICATE-----")
    fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
    certificate, _, key = f"-----BEGIN CERTIFICATE-----{pem}".partition("-----BEGIN PRIVATE KEY-----")
    if not text.startswith("heyfleet-token 1\n") or not {"id", "secret"} <= fields.keys() or not key:
        raise IdentityError(f"--token-file: {path!r} is not a token file; `heyfleet ca token` makes one")
    if Path(path).stat().st_mode & 0o077:
        print(f"heyfleet agent: others may read {path}; chmod 600 {path}", file=sys.stderr)
    return Token(
        fields["id"], fields["secret"], certificate.encode(), f"-----BEGIN PRIVATE KEY-----{key}".encode()
    )


def read_ca(path: str) -> bytes:
    """Read a CA's certificate."""
    pem = _read(path, "--ca")
    if b"-----BEGIN CERTIFICATE-----" not in pem:
        raise IdentityError(f"--ca: {path!r} has no certificate; take the ca.pem of the controller")
    return pem


def _read(path: str, flag: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise IdentityError(f"{flag}: can't read {path!r}: {error.strerror}") from None


def new_key() -> tuple[bytes, bytes]:
    """A fresh private key and a request for its certificate (PKCS #10), both in PEM."""
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
    """Find out here what a failed handshake would not tell. IdentityError."""
    import datetime

    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    try:
        certificate = x509.load_pem_x509_certificate(token.certificate_pem)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_pem))
    except (ValueError, TypeError, InvalidSignature):
        raise IdentityError(
            "--token-file and --ca do not belong together: take both from the same controller"
        ) from None
    if certificate.not_valid_after_utc < datetime.datetime.now(datetime.UTC):
        raise IdentityError(
            f"--token-file: the token expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC;"
            " `heyfleet ca token` makes a new one"
        )
