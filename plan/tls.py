"""The TLS options of a plan: certificates are read and checked before anything is sent."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from heyfleet.errors import InputError
from heyfleet.files import MAX_TEXT_BYTES, read_file
from heyfleet.plan.options import RunOptions
from heyfleet.plan.url import Url
from heyfleet.proto.plan_pb2 import Tls


def make_tls(options: RunOptions, url: Url) -> Tls:
    """Return how connections to an https URL speak TLS. Raises InputError."""
    if options.key and not options.certificate:
        raise InputError("--key needs --cert, the certificate that the key belongs to")
    tls = Tls(
        name=_host_name(options.host) or url.host,
        insecure=options.insecure,
        no_resume=options.no_resume,
        version=options.tls_version or "",
    )
    if options.authorities:
        tls.ca_pem = read_file(options.authorities, "--cacert", MAX_TEXT_BYTES)
        _check_authorities(options.authorities, tls.ca_pem)
    if options.certificate:
        tls.certificate_pem = tls.key_pem = read_file(options.certificate, "--cert", MAX_TEXT_BYTES)
        if options.key:
            tls.key_pem = read_file(options.key, "--key", MAX_TEXT_BYTES)
        _check_certificate(options.certificate, options.key or options.certificate, tls)
    return tls


def _host_name(host: str | None) -> str:
    """Return the host of a Host header without its port."""
    if not host:
        return ""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _check_authorities(path: str, pem: bytes) -> None:
    try:
        with _memory_file(pem) as file:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except (ssl.SSLError, OSError) as error:
        raise InputError(
            f"--cacert: {path!r} has no certificates in PEM that can be trusted ({_reason(error)})"
        ) from None


def _check_certificate(certificate: str, key: str, tls: Tls) -> None:
    def refuse_password() -> str:
        raise InputError(
            f"--key: {key!r} needs a password", f"give it a key without one (openssl pkey -in {key})"
        )

    try:
        with _memory_file(tls.certificate_pem) as chain, _memory_file(tls.key_pem) as key_file:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_cert_chain(chain, key_file, password=refuse_password)
    except (ssl.SSLError, OSError) as error:
        raise InputError(
            f"--cert: {certificate!r} and the key {key!r} can't be used together ({_reason(error)})",
            "both must be in PEM, and the key must belong to the certificate",
        ) from None


@contextmanager
def _memory_file(content: bytes) -> Iterator[str]:
    """Return the path of a file in memory: ssl takes only paths, and a pipe can't be read a second time."""
    with open(os.memfd_create("pem"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"


def _reason(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else error.strerror or str(error)
