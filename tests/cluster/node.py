"""A node of a cluster: containerd and kubelet, with control groups of its own."""

import json
import shutil
from pathlib import Path

from tests.cluster.control_plane import environment_of_nodes
from tests.cluster.parts import ADDRESS, BIN, CACHE, DNS, NODES, Parts, run, wait_until

CGROUPS = Path("/sys/fs/cgroup")
CONTAINERD = """\
version = 3
root = "{folder}/root"
state = "{folder}/state"
oom_score = 0
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs"]
[grpc]
  address = "{folder}/c.sock"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{bin}/cni"]
    conf_dir = "{run}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        BinaryName = "{bin}/runc"
        SystemdCgroup = false
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "localhost/pause:1"
"""


def start_node(parts: Parts, name: str, cgroup: str) -> None:
    """Start a node; it is ready some seconds later."""
    folder = parts.folder / name
    folder.mkdir()
    make_cgroup(f"{cgroup}/{name}")
    _write_network(parts.folder)
    config = folder / "containerd.toml"
    config.write_text(CONTAINERD.format(folder=folder, bin=BIN, run=parts.folder))
    environment = environment_of_nodes()
    parts.start(f"{name}-containerd", [f"{BIN}/containerd", f"--config={config}"], environment)
    wait_until("containerd", lambda: bool(run(*_ctr(folder), "version")))
    for image in sorted((CACHE / "images").glob("*.tar")):
        run(*_ctr(folder), "-n", "k8s.io", "images", "import", str(image))
    (folder / "kubelet.yaml").write_text(json.dumps(_kubelet(parts.folder, name, f"{cgroup}/{name}")))
    parts.start(
        f"{name}-kubelet",
        [
            f"{BIN}/kubelet",
            f"--config={folder}/kubelet.yaml",
            f"--kubeconfig={parts.folder}/pki/{name}.kubeconfig",
            f"--root-dir={folder}/kubelet",
            f"--cert-dir={folder}/kubelet/pki",
            f"--hostname-override={name}",
            f"--node-ip={NODES[name]}",
        ],
        environment,
    )


def make_cgroup(path: str) -> None:
    """Make a control group in every controller; a new cpuset has no cores until it is told."""
    if (CGROUPS / "cgroup.controllers").exists():
        group = CGROUPS
        for part in Path(path).parts:
            (group / "cgroup.subtree_control").write_text("+cpu +memory +pids +cpuset +io")
            group = group / part
            group.mkdir(exist_ok=True)
        return
    for controller in filter(Path.is_dir, CGROUPS.iterdir()):
        group = controller
        for part in Path(path).parts:
            above, group = group, group / part
            group.mkdir(exist_ok=True)
            if controller.name == "cpuset":
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (group / name).write_text((above / name).read_text())


def remove_cgroup(path: str) -> None:
    """Remove a control group, whose processes have ended, from every controller."""
    tops = [CGROUPS / path] if (CGROUPS / "cgroup.controllers").exists() else sorted(CGROUPS.glob(f"*/{path}"))
    for top in tops:
        inside = [item for item in top.rglob("*") if item.is_dir()]
        for group in sorted([top, *inside], key=lambda item: -len(item.parts)):
            wait_until(f"{group} empty", lambda group=group: group.rmdir() is None, 10)


def _ctr(folder: Path) -> tuple[str, ...]:
    return (f"{BIN}/ctr", f"--address={folder}/c.sock")


def _write_network(folder: Path) -> None:
    if not (folder / "cni").exists():
        (folder / "cni").mkdir()
        addresses = {"subnet": "10.244.0.0/24", "rangeStart": "10.244.0.10", "gateway": ADDRESS}
        ipam = {
            "type": "host-local",
            "dataDir": f"{folder}/addresses",
            "ranges": [[addresses]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {"type": "bridge", "bridge": "lens0", "isGateway": True, "hairpinMode": True, "ipam": ipam}
        network = {"cniVersion": "1.0.0", "name": "test", "plugins": [bridge]}
        (folder / "cni" / "10-bridge.conflist").write_text(json.dumps(network))


def _kubelet(folder: Path, name: str, cgroup: str) -> dict[str, object]:
    pki, address = folder / "pki", NODES[name]
    free = shutil.disk_usage(folder).free // 2**30
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": address,
        "healthzBindAddress": address,
        "tlsCertFile": f"{pki}/{name}-serving.crt",
        "tlsPrivateKeyFile": f"{pki}/{name}-serving.key",
        "authentication": {"anonymous": {"enabled": False}, "x509": {"clientCAFile": f"{pki}/ca.crt"}},
        "containerRuntimeEndpoint": f"unix://{folder}/{name}/c.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failSwapOn": False,
        "failCgroupV1": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "clusterDomain": "cluster.local",
        "clusterDNS": [DNS],
        "resolvConf": "",
        "podLogsDir": f"{folder}/{name}/podlogs",
        "volumePluginDir": f"{folder}/{name}/plugins",
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": f"{min(1, free)}Gi"},
        # without the right to set limits above the harness's own
        "featureGates": {"KubeletInUserNamespace": True},
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "4s",
    }
