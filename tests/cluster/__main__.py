"""Runs a command beside a real Kubernetes cluster: `python -m tests.cluster COMMAND...`.

The cluster lives in namespaces of its own (network, mounts, processes), as does the command, which finds it through
KUBECONFIG; when the command ends, the kernel ends all of them, and nothing is left behind. With KUBECONFIG set, the
command runs against that cluster instead; see tests/cluster/conftest.py for what such a cluster needs.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster.control_plane import make_network, start_control_plane, start_services, wait_for_nodes
from tests.cluster.image import make_images
from tests.cluster.node import remove_cgroup, start_node
from tests.cluster.parts import ADDRESS, BIN, CACHE, NODES, ROOT, Parts, run

# The first process collects those that lost their parents; a shell does, when it has something to wait for.
NAMESPACES = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
FIRST = ("bash", "-c", '"$@"; exit $?', "init")
HIDDEN = (Path("/run"), Path("/var/log"), Path("/var/lib/cni"), Path("/var/lib/kubelet"))
NEEDED = ("kube-apiserver", "kubelet", "containerd", "runc", "cni/bridge", "coredns", "kubectl")


def main(command: list[str]) -> int:
    """Run a command beside a cluster; its exit code."""
    if os.environ.get("KUBECONFIG"):
        return subprocess.call(command, env={**os.environ, "LENSCORE_CLUSTER_TESTS": "1"})
    missing = _missing()
    if missing:
        print(f"no cluster tests: {missing}; or set KUBECONFIG to a cluster for tests", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    subprocess.run([ROOT / "tests" / "cluster" / "build.sh", CACHE], check=True)
    make_images()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is below is cleared away then, too
    folder = Path(tempfile.mkdtemp(prefix="lenscluster-"))
    ours = [path for path in HIDDEN if not path.exists()]
    try:
        inside = (sys.executable, "-m", "tests.cluster", "--inside", str(folder), *command)
        return subprocess.call([*NAMESPACES, *FIRST, *inside])
    finally:
        remove_cgroup(folder.name)
        shutil.rmtree(folder, ignore_errors=True)
        for path in ours:
            with contextlib.suppress(OSError):
                path.rmdir()


def inside(folder: Path, command: list[str]) -> int:
    """Start the cluster in the namespaces that this process has, and run the command."""
    for path in HIDDEN:
        path.mkdir(exist_ok=True)
        run("mount", "-t", "tmpfs", "tmpfs", str(path))
    make_network()
    parts = Parts(folder)
    try:
        kubeconfig = start_control_plane(parts)
        for node in NODES:
            start_node(parts, node, folder.name)
        start_services(parts, kubeconfig)
        wait_for_nodes(kubeconfig)
    except (TimeoutError, RuntimeError) as error:
        print(f"the cluster did not start: {error}", file=sys.stderr)
        for log in sorted((folder / "logs").glob("*.log")):
            print(f"{log.name}: {log.read_text(errors='replace')[-400:]}", file=sys.stderr)
        return 1
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "KUBECONFIG": str(kubeconfig),
        "LENSCORE_CLUSTER_TESTS": "1",
        "LENSCORE_CLUSTER_ADDRESS": ADDRESS,
        "LENSCORE_CLUSTER_LOGS": str(folder / "logs"),
    }
    try:
        return subprocess.call(command, env=environment)
    finally:
        parts.stop()


def _missing() -> str:
    if os.geteuid() != 0:
        return "they need root, for containers"
    if not all((BIN / name).exists() for name in NEEDED) and shutil.which("go") is None:
        return "they need Go, to build Kubernetes"
    return ""


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(inside(Path(given[1]), given[2:]) if given[:1] == ["--inside"] else main(given))
