"""The control plane, the proxy and the names of a cluster."""

import os
from pathlib import Path

from kubernetes import client, config

from tests.cluster.certificates import PORT, make_certificates
from tests.cluster.parts import ADDRESS, BIN, DNS, NODES, Parts, run, wait_until

ETCD = 16443
MANAGER = (
    # more requests a second than usual: ready in 3 s instead of 9; a dead node is noticed in 10 s
    "--kube-api-qps=300",
    "--kube-api-burst=600",
    "--node-monitor-period=1s",
    "--node-monitor-grace-period=12s",
)
COREFILE = """\
cluster.local:53 in-addr.arpa:53 {{
  bind {dns}
  errors
  kubernetes cluster.local in-addr.arpa {{
    kubeconfig {kubeconfig}
    pods insecure
    ttl 2
  }}
}}
"""
PROXY = """\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {{kubeconfig: {kubeconfig}}}
clusterCIDR: 10.244.0.0/24
hostnameOverride: node1
bindAddress: 127.0.0.1
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
nodePortAddresses: ["10.244.0.0/24"]
conntrack: {{maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
"""


def make_network() -> None:
    """Loopback, and a bridge that has the nodes' addresses and that of the name server."""
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "lens0", "type", "bridge")
    for address in NODES.values():
        run("ip", "address", "add", f"{address}/24", "dev", "lens0")
    run("ip", "address", "add", f"{DNS}/32", "dev", "lens0")
    run("ip", "link", "set", "lens0", "up")


def start_control_plane(parts: Parts) -> Path:
    """Start etcd, API server, controller manager and scheduler; the administrator's kubeconfig, once they answer."""
    folder, pki = parts.folder, parts.folder / "pki"
    make_certificates(pki)
    peers = f"http://127.0.0.1:{ETCD + 1}"
    parts.start(
        "etcd",
        [
            f"{BIN}/etcd",
            "--name=test",
            f"--data-dir={folder}/etcd",
            f"--listen-client-urls=http://127.0.0.1:{ETCD}",
            f"--advertise-client-urls=http://127.0.0.1:{ETCD}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=test={peers}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ],
    )
    parts.start("apiserver", _api_server(pki))
    admin = pki / "admin.kubeconfig"
    core = client.CoreV1Api(config.new_client_from_config(str(admin)))
    wait_until("API server", lambda: bool(core.list_namespace().items))
    parts.start("controller-manager", _controller_manager(pki))
    scheduler = f"{pki}/scheduler.kubeconfig"
    parts.start(
        "scheduler",
        [
            f"{BIN}/kube-scheduler",
            *(f"--{name}={scheduler}" for name in _KUBECONFIGS),
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
    )
    wait_until("service account", lambda: bool(core.read_namespaced_service_account("default", "default")))
    return admin


def wait_for_nodes(kubeconfig: Path) -> None:
    """Wait until all nodes take pods."""
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))

    def ready() -> bool:
        conditions = [condition for node in core.list_node().items for condition in node.status.conditions or ()]
        return sum(item.type == "Ready" and item.status == "True" for item in conditions) == len(NODES)

    wait_until("nodes", ready)


def start_services(parts: Parts, kubeconfig: Path) -> None:
    """Start the proxy, for addresses of services, and the name server, by which pods find each other."""
    (parts.folder / "proxy.yaml").write_text(PROXY.format(kubeconfig=kubeconfig))
    parts.start("proxy", [f"{BIN}/kube-proxy", f"--config={parts.folder}/proxy.yaml"])
    (parts.folder / "Corefile").write_text(COREFILE.format(dns=DNS, kubeconfig=kubeconfig))
    parts.start("coredns", [f"{BIN}/coredns", "-conf", f"{parts.folder}/Corefile"])


_KUBECONFIGS = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")


def _api_server(pki: Path) -> list[str]:
    return [
        f"{BIN}/kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{ETCD}",
        f"--bind-address={ADDRESS}",
        f"--advertise-address={ADDRESS}",
        f"--secure-port={PORT}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/tokens.pub",
        f"--service-account-signing-key-file={pki}/tokens.key",
        "--allow-privileged=true",
    ]


def _controller_manager(pki: Path) -> list[str]:
    own = f"{pki}/controller-manager.kubeconfig"
    return [
        f"{BIN}/kube-controller-manager",
        *(f"--{name}={own}" for name in _KUBECONFIGS),
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/tokens.key",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        *MANAGER,
    ]


def environment_of_nodes() -> dict[str, str]:
    """Programs that a node calls by name are ours."""
    return {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
