"""What each certificate permits, and for how long."""

from __future__ import annotations

import base64
import datetime
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from heyfleet.agent.credentials import new_key
from heyfleet.controller.security.authority import Authority
from heyfleet.proto.protocol import SERVER_NAME


def load(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def store(authority: Authority) -> PolicyBuilder:
    return PolicyBuilder().store(Store([load(authority.ca_pem)]))


def test_the_server_certificate_has_the_name_that_clients_verify() -> None:
    authority = Authority.create()
    _, certificate = authority.server()
    store(authority).build_server_verifier(x509.DNSName(SERVER_NAME)).verify(load(certificate), [])
    with pytest.raises(VerificationError):
        store(Authority.create()).build_server_verifier(x509.DNSName(SERVER_NAME)).verify(
            load(certificate), []
        )


def test_a_client_certificate_is_not_accepted_for_the_server() -> None:
    authority = Authority.create()
    _, certificate = authority.client("agent", SERVER_NAME, timedelta(days=1))
    with pytest.raises(VerificationError):
        store(authority).build_server_verifier(x509.DNSName(SERVER_NAME)).verify(load(certificate), [])


def test_the_authority_decides_the_name_in_a_certificate() -> None:
    authority = Authority.create()
    key_pem, _ = new_key()
    key = serialization.load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    requested_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "operator:me")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(requested_name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate = load(authority.sign_agent(request.public_bytes(serialization.Encoding.PEM), "a1"))
    assert name(certificate) == "agent:a1"
    assert certificate.public_key() == key.public_key()
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_invalid_signing_requests_are_refused() -> None:
    authority = Authority.create()
    weak = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = weak.sign(rsa.generate_private_key(65537, 2048), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    with pytest.raises(ValueError, match="elliptic curve"):
        authority.sign_agent(pem, "a1")
    with pytest.raises(ValueError, match=r".+"):
        authority.sign_agent(b"nothing", "a1")


def test_a_damaged_signing_request_is_refused_wherever_the_damage_is() -> None:
    authority, builder = Authority.create(), x509.CertificateSigningRequestBuilder()
    request = builder.subject_name(x509.Name([])).sign(
        ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )
    good = request.public_bytes(serialization.Encoding.DER)
    for index in range(len(good)):
        damaged = bytearray(good)
        damaged[index] ^= 0x41
        text = base64.encodebytes(damaged).decode()
        pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
        with pytest.raises(ValueError, match="certificate request"):
            authority.sign_agent(pem.encode(), "a1")


def test_no_certificate_outlives_the_authority() -> None:
    authority = Authority.create(timedelta(hours=1))
    _, certificate = authority.client("operator", "o", timedelta(days=365))
    assert load(certificate).not_valid_after_utc <= authority.expires
    assert load(certificate).not_valid_before_utc < datetime.datetime.now(datetime.UTC)


def test_an_authority_is_saved_and_loaded() -> None:
    authority = Authority.create()
    loaded = Authority.from_pem(authority.ca_pem, authority.key_pem)
    _, certificate = loaded.client("agent", "a1", timedelta(days=1))
    load(certificate).verify_directly_issued_by(load(authority.ca_pem))
    with pytest.raises(ValueError, match="does not belong to the CA"):
        Authority.from_pem(authority.ca_pem, Authority.create().key_pem)


def test_derived_keys_belong_to_one_ca_and_one_purpose() -> None:
    authority = Authority.create()
    same = Authority.from_pem(authority.ca_pem, authority.key_pem)
    assert authority.derived_key("a") == same.derived_key("a")
    others = {authority.derived_key("b"), Authority.create().derived_key("a")}
    assert len({authority.derived_key("a"), *others}) == 3
