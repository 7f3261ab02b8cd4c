"""Settings of TLS that can't be used are refused before anything is sent."""

import pytest

from heyfleet.ext import TlsContext

from ...certificates import Authority

AUTHORITY = Authority()
PAIR = AUTHORITY.sign("client.test")


def test_what_can_be_used() -> None:
    for name in ("name.test", "name.test.", "127.0.0.1", "::1"):
        TlsContext(
            name, ca_pem=AUTHORITY.pem * 2, certificate_pem=PAIR.certificate + AUTHORITY.pem, key_pem=PAIR.key
        )
    TlsContext("name.test", certificate_pem=PAIR.key + PAIR.certificate, version="1.3", protocols=())


def test_authorities_that_are_none() -> None:
    with pytest.raises(ValueError, match="the certificates to trust hold none in PEM"):
        TlsContext("name.test", ca_pem=PAIR.key)


def test_a_certificate_that_is_none() -> None:
    with pytest.raises(ValueError, match="the client certificate is none in PEM"):
        TlsContext("name.test", certificate_pem=b"junk", key_pem=PAIR.key)


def test_keys_that_do_not_fit() -> None:
    with pytest.raises(
        ValueError, match=r"the client's key is not that of its certificate \(key values mismatch\)"
    ):
        TlsContext("name.test", certificate_pem=PAIR.certificate, key_pem=AUTHORITY.sign("other.test").key)
    with pytest.raises(ValueError, match="the client's key can't be read"):
        TlsContext("name.test", certificate_pem=PAIR.certificate, key_pem=b"junk")


def test_a_key_with_a_password_is_not_asked_for() -> None:
    secret = AUTHORITY.sign("client.test", password=b"secret")
    with pytest.raises(ValueError, match="without a password"):
        TlsContext("name.test", certificate_pem=secret.certificate, key_pem=secret.key)


def test_a_version_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"TLS versions are 1\.2 and 1\.3, not 1\.1"):
        TlsContext("name.test", version="1.1")
