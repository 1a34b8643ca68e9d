"""Certificates of a cluster, and the files by which its programs know it."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.parts import ADDRESS, NODES

CLIENTS = {
    "admin": ("system:masters", "admin"),
    "controller-manager": ("", "system:kube-controller-manager"),
    "scheduler": ("", "system:kube-scheduler"),
    "kubelet-client": ("system:masters", "kube-apiserver-kubelet-client"),
    **{node: ("system:nodes", f"system:node:{node}") for node in NODES},
}
API_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
API_ADDRESSES = ("127.0.0.1", "10.96.0.1", ADDRESS)
PORT = 6443


def make_certificates(folder: Path) -> None:
    """Make an authority, a certificate for each program, and their kubeconfig files."""
    folder.mkdir(parents=True)
    authority = _Authority(folder)
    authority.issue("apiserver", "", "kube-apiserver", API_NAMES, API_ADDRESSES)
    for node, address in NODES.items():
        authority.issue(f"{node}-serving", "system:nodes", f"system:node:{node}", (node,), (address,))
    for name, (group, user) in CLIENTS.items():
        authority.issue(name, group, user)
        (folder / f"{name}.kubeconfig").write_text(_kubeconfig(folder, name))
    tokens = rsa.generate_private_key(65537, 2048)
    _write_key(folder / "tokens.key", tokens)
    public = tokens.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "tokens.pub").write_bytes(public)


class _Authority:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name("", "test cluster")
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = self._builder(self.name, self.key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self._write("ca", builder.add_extension(usage, critical=True), self.key)

    def issue(
        self, name: str, group: str, user: str, names: tuple[str, ...] = (), addresses: tuple[str, ...] = ()
    ) -> None:
        """Make a key and a certificate: a server's where names or addresses are given, else a client's."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if addresses else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(_name(group, user), key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if addresses:
            known = [*map(x509.DNSName, names), *(x509.IPAddress(ipaddress.ip_address(item)) for item in addresses)]
            builder = builder.add_extension(x509.SubjectAlternativeName(known), critical=False)
        self._write(name, builder, key)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=7))
        )

    def _write(self, name: str, builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> None:
        signed = builder.sign(self.key, hashes.SHA256())
        (self.folder / f"{name}.crt").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        _write_key(self.folder / f"{name}.key", key)


def _name(group: str, user: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    path.chmod(0o600)


def _kubeconfig(folder: Path, user: str) -> str:
    return f"""\
apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "https://{ADDRESS}:{PORT}", certificate-authority: {folder}/ca.crt}}}}]
users: [{{name: test, user: {{client-certificate: {folder}/{user}.crt, client-key: {folder}/{user}.key}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
current-context: test
"""
