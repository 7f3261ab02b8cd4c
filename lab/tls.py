"""Certificates of the faulty server, created when it starts: a valid one, and bad ones that a client selects by name."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

HOST = "localhost"
FAULTS = {
    "expired": "the certificate has expired",
    "wrong-name": "the certificate is of another host",
    "unknown-ca": "the certificate is of an unknown authority",
    "closed": "the server aborts the handshake",
}
_DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority; `pem` is its own certificate."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key(), 365 * _DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = builder.sign(self._key, SHA256()).public_bytes(serialization.Encoding.PEM)

    def context(self, *names: str, ends_in: datetime.timedelta = 30 * _DAY) -> ssl.SSLContext:
        """Return a server context with a certificate for these hosts and loopback; a negative `ends_in` is in the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        hosts = [x509.DNSName(name) for name in names]
        loopback = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
        builder = self._builder(subject, key.public_key(), ends_in)
        builder = builder.add_extension(x509.SubjectAlternativeName([*hosts, *loopback]), critical=False)
        certificate = builder.sign(self._key, SHA256())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2", "http/1.1"])
        with tempfile.TemporaryDirectory() as folder:  # ssl takes files only
            pem = Path(folder, "both.pem")
            pem.write_bytes(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
                + certificate.public_bytes(serialization.Encoding.PEM)
            )
            context.load_cert_chain(pem)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, ends_in: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now + ends_in)
        )


def context(ca_file: str) -> ssl.SSLContext:
    """Return a server context whose certificate depends on the requested server name (SNI), and write its CA to a file.

    A name that begins with one of FAULTS, such as expired.localhost, gets that fault. OSError if the file can't be
    written.
    """
    authority = Authority("heyfleet lab")
    Path(ca_file).write_bytes(authority.pem)
    good = authority.context(HOST)
    bad = {
        "expired": authority.context(f"expired.{HOST}", ends_in=-_DAY),
        "wrong-name": authority.context("another.invalid"),
        "unknown-ca": Authority("unknown").context(f"unknown-ca.{HOST}"),
    }

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        fault = (name or "").partition(".")[0]
        if fault == "closed":
            return ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE
        connection.context = bad.get(fault, good)
        return None

    good.sni_callback = choose
    return good
