"""What flags say of TLS, read and checked before anything is sent."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from heyfleet.errors import InputError
from heyfleet.plan.requests import read_file
from heyfleet.plan.url import Url
from heyfleet.proto.plan_pb2 import Tls

if TYPE_CHECKING:
    from heyfleet.plan.build import Flags


def make_tls(flags: Flags, url: Url) -> Tls:
    """How connections to an https URL speak TLS. InputError."""
    if flags.key and not flags.certificate:
        raise InputError("--key is the key of a certificate; name that with --cert")
    tls = Tls(
        name=_name(flags.host) or url.host,
        insecure=flags.insecure,
        no_resume=flags.no_resume,
        version=flags.tls_version or "",
    )
    if flags.authorities:
        tls.ca_pem = read_file(flags.authorities, "--cacert")
        _check_authorities(flags.authorities)
    if flags.certificate:
        tls.certificate_pem = read_file(flags.certificate, "--cert")
        tls.key_pem = read_file(flags.key or flags.certificate, "--key" if flags.key else "--cert")
        _check_identity(flags.certificate, flags.key or flags.certificate)
    return tls


def _name(host: str | None) -> str:
    """The name in a Host header, without its port."""
    if not host:
        return ""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _check_authorities(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise InputError(
            f"--cacert: {path!r} holds no certificates in PEM that can be trusted ({_words(error)})"
        ) from None


def _check_identity(certificate: str, key: str) -> None:
    def no_password() -> str:
        raise InputError(
            f"--key: {key!r} needs a password; give it a key without one (openssl pkey -in {key})"
        )

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=no_password)
    except (ssl.SSLError, OSError) as error:
        raise InputError(
            f"--cert: {certificate!r} and the key {key!r} can't be used together ({_words(error)}); "
            "both must be in PEM, and the key that of the certificate"
        ) from None


def _words(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else error.strerror or str(error)
