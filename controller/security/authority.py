"""A certificate authority for one fleet, with P-256 keys (RFC 5280)."""

from __future__ import annotations

import datetime
import hmac
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from heyfleet.proto.protocol import ROLE_AGENT, SERVER_NAME

CA_VALID = timedelta(days=365)
AGENT_VALID = timedelta(days=7)
_PRIVATE_VALUE_BYTES = 66  # of the largest curve, P-521
_CLOCK_SKEW = timedelta(
    minutes=5
)  # certificates are valid from earlier on, for hosts whose clocks are behind


class Authority:
    """A CA's certificate and key, and the certificates that it signs."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, valid: timedelta = CA_VALID) -> Authority:
        """Make a new CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "heyfleet CA")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            _builder(name, name, key.public_key(), now - _CLOCK_SKEW, now + valid)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @classmethod
    def from_pem(cls, ca_pem: bytes, key_pem: bytes) -> Authority:
        """Load a CA from PEM. Raises ValueError if the two are not a certificate and its key."""
        certificate = x509.load_pem_x509_certificate(ca_pem)
        key = serialization.load_pem_private_key(key_pem, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise ValueError("the key does not belong to the CA's certificate")
        return cls(certificate, key)

    @property
    def ca_pem(self) -> bytes:
        """The CA's certificate, which agents, operators and the controller verify each other against."""
        return _pem(self._certificate)

    @property
    def key_pem(self) -> bytes:
        """The CA's private key. Its owner controls the fleet."""
        return _key_pem(self._key)

    @property
    def expires(self) -> datetime.datetime:
        """When the CA's certificate expires, and with it all that it signed."""
        return self._certificate.not_valid_after_utc

    def server(self) -> tuple[bytes, bytes]:
        """Return a key and certificate for a controller, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(
            key.public_key(), SERVER_NAME, ExtendedKeyUsageOID.SERVER_AUTH, CA_VALID, server_name=SERVER_NAME
        )
        return _key_pem(key), certificate

    def client(self, role: str, name: str, valid: timedelta) -> tuple[bytes, bytes]:
        """Return a key and certificate for a client with a role, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH
        return _key_pem(key), self._sign(key.public_key(), f"{role}:{name}", purpose, valid)

    def sign_agent(self, request_pem: bytes, agent: str, valid: timedelta = AGENT_VALID) -> bytes:
        """Return the certificate of an agent in PEM. Only the public key of its signing request (PKCS #10) is used.

        Raises ValueError.
        """
        try:
            request = x509.load_pem_x509_csr(request_pem)
            key, is_signed = request.public_key(), request.is_signature_valid
        except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
            raise ValueError(f"the certificate request can't be read: {error}") from None
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.key_size < 256:
            raise ValueError("the certificate request is not for an elliptic curve key of 256 bits or more")
        if not is_signed:
            raise ValueError("the certificate request is not signed by its own key")
        return self._sign(key, f"{ROLE_AGENT}:{agent}", ExtendedKeyUsageOID.CLIENT_AUTH, valid)

    def derived_key(self, purpose: str) -> bytes:
        """Return a secret key that everybody with the CA's private key can derive, and nobody else."""
        secret = self._key.private_numbers().private_value.to_bytes(_PRIVATE_VALUE_BYTES)
        return hmac.digest(secret, purpose.encode(), "sha256")

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey,
        common_name: str,
        purpose: x509.ObjectIdentifier,
        valid: timedelta,
        server_name: str = "",
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        begin = max(now - _CLOCK_SKEW, self._certificate.not_valid_before_utc)
        builder = (
            _builder(subject, self._certificate.subject, key, begin, min(now + valid, self.expires))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if server_name:
            names = x509.SubjectAlternativeName([x509.DNSName(server_name)])
            builder = builder.add_extension(names, critical=False)
        return _pem(builder.sign(self._key, hashes.SHA256()))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    begin: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
