"""Certificates for test servers, signed by a test authority."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Tls:
    """TLS contexts of a server and of its clients."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    """Trusts the authority only."""
    authority: Path
    """PEM file of the authority's certificate."""


def tls(directory: Path, *names: str, identifiers: bool = True) -> Tls:
    """Create an authority that is valid for one day, and sign a certificate for DNS names.

    Without ``identifiers``, the certificates have no key identifiers, which RFC 5280 requires. EKS clusters issue such
    certificates.
    """
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _unsigned("authority", "authority", root_key)
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(_SIGNS, critical=True)
    leaf = _unsigned(names[0], "authority", key)
    leaf = leaf.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
    if identifiers:
        identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
        root = root.add_extension(identifier, critical=False)
        signer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        leaf = leaf.add_extension(signer, critical=False)

    authority, secret, public = (directory / name for name in ("authority.pem", "server.key", "server.pem"))
    authority.write_bytes(root.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    secret.write_bytes(private)
    public.write_bytes(leaf.sign(root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(public, secret)
    return Tls(server, ssl.create_default_context(cafile=str(authority)), authority)


def _unsigned(subject: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(_name(issuer), _name(subject), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
