"""Writes an image without any daemon or registry: `python images/oci.py ROOTFS.tar OUT.tar NAME`.

OUT.tar is an OCI image layout of one layer; `ctr images import`, `podman load` and `skopeo` take it. User, environment,
labels and entry point are read from images/Dockerfile, so that both ways give the same image.
"""

import hashlib
import json
import shlex
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

DOCKERFILE = Path(__file__).with_name("Dockerfile")
BLOCK = 1 << 20
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def instructions(text: str) -> list[tuple[str, str, str]]:
    """(stage, instruction, arguments) of each line of a Dockerfile; continued lines are joined."""
    found, stage = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if not word or word.startswith("#"):
            continue
        if word == "FROM":
            stage = rest.split()[-1]
        found.append((stage, word, rest.strip()))
    return found


def runtime_config(text: str) -> dict[str, Any]:
    """What the stage `runtime` says, as an image's configuration."""
    own = [(word, rest) for stage, word, rest in instructions(text) if stage == "runtime"]
    build = {key: value for word, rest in own if word == "ARG" for key, _, value in [rest.partition("=")]}
    pairs = {
        word: [item for key, rest in own if key == word for item in shlex.split(rest)] for word in ("ENV", "LABEL")
    }
    labels = dict(item.split("=", 1) for item in pairs["LABEL"])
    for key, value in build.items():
        labels = {name: text.replace(f"${{{key}}}", value) for name, text in labels.items()}
    last = dict(own)
    return {
        "Env": pairs["ENV"],
        "Labels": labels,
        "User": last["USER"],
        "WorkingDir": last["WORKDIR"],
        "Entrypoint": json.loads(last["ENTRYPOINT"]),
        "Cmd": json.loads(last["CMD"]),
    }


def write_image(layer: Path, out: Path, name: str, architecture: str) -> None:
    """Write an image of one layer.

    Args:
        layer: tar of the root file system; it is streamed, not held in memory.
        out: OCI layout as a tar.
        name: such as lenscore-flow:0.1.0.
        architecture: amd64 or arm64.
    """
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": runtime_config(DOCKERFILE.read_text()),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    )
    layers = [_descriptor("application/vnd.oci.image.layer.v1.tar", digest, layer.stat().st_size)]
    described = _descriptor("application/vnd.oci.image.config.v1+json", _sha256(config), len(config))
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = _json({"schemaVersion": 2, "mediaType": kind, "config": described, "layers": layers})
    entry = _descriptor(kind, _sha256(manifest), len(manifest))
    entry["annotations"] = {
        "io.containerd.image.name": f"docker.io/library/{name}",
        "org.opencontainers.image.ref.name": name,
    }
    with tarfile.open(out, "w") as image:
        _add(image, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(image, "index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
        for data in (config, manifest):
            _add(image, f"blobs/sha256/{_sha256(data)}", data)
        image.add(layer, f"blobs/sha256/{digest}", recursive=False)


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def _add(image: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    image.addfile(info, BytesIO(data))


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    import platform

    write_image(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], ARCHITECTURES[platform.machine()])
