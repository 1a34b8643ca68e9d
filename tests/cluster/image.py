"""Images made without a registry: of links only, for pods that see this machine's programs through volumes."""

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

from tests.cluster.parts import BIN, CACHE, ROOT

NAME = "localhost/thin:1"
USER = 65532
FILES = {
    "etc/passwd": f"root:x:0:0::/root:/bin/sh\nlens:x:{USER}:{USER}::/tmp:/bin/sh\n",
    "etc/group": f"root:x:0:\nlens:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\nhosts: files dns\n",
}
HOST_FILES = ("etc/ld.so.cache", "etc/ssl/certs/ca-certificates.crt")
FOLDERS = ("proc", "sys", "dev", "tmp", "etc", "etc/ssl", "etc/ssl/certs")
LINKS = ("bin", "sbin", "lib", "lib64")


def host_folders() -> tuple[Path, ...]:
    """Folders of this machine that pods with the thin image need: system, interpreter, checkout."""
    system = Path("/usr")
    interpreter = Path(sys.base_prefix)
    return (system, ROOT) if interpreter.is_relative_to(system) else (system, interpreter, ROOT)


def make_images() -> None:
    """Make the thin image, and the one that holds a pod's namespaces."""
    folder = CACHE / "images"
    folder.mkdir(parents=True, exist_ok=True)
    _write_image(folder / "thin.tar", NAME, _thin_layer())
    _write_image(folder / "pause.tar", "localhost/pause:1", _layer({"pause": (BIN / "pause").read_bytes()}), ["/pause"])


def _thin_layer() -> bytes:
    files = {name: text.encode() for name, text in FILES.items()}
    files |= {name: Path("/", name).read_bytes() for name in HOST_FILES if Path("/", name).exists()}
    parents = {str(part)[1:] for folder in host_folders() for part in (folder, *folder.parents) if str(part) != "/"}
    links = {name: str(Path("/", name).readlink()) for name in LINKS if Path("/", name).is_symlink()}
    return _layer(files, (*FOLDERS, *sorted(parents)), links)


def _layer(files: dict[str, bytes], folders: tuple[str, ...] = (), links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as layer:
        for name in folders:
            _add(layer, name, tarfile.DIRTYPE, mode=0o1777 if name == "tmp" else 0o755)
        for name, target in (links or {}).items():
            _add(layer, name, tarfile.SYMTYPE, link=target)
        for name, data in files.items():
            _add(layer, name, tarfile.REGTYPE, data, 0o755)
    return buffer.getvalue()


def _write_image(path: Path, name: str, layer: bytes, entrypoint: list[str] | None = None) -> None:
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Entrypoint": entrypoint},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    data = json.dumps(config).encode()
    file = f"{hashlib.sha256(data).hexdigest()}.json"
    manifest = [{"Config": file, "RepoTags": [name], "Layers": ["layer.tar"]}]
    with tarfile.open(path, "w") as image:
        _add(image, file, tarfile.REGTYPE, data)
        _add(image, "layer.tar", tarfile.REGTYPE, layer)
        _add(image, "manifest.json", tarfile.REGTYPE, json.dumps(manifest).encode())


def _add(
    archive: tarfile.TarFile, name: str, kind: bytes, data: bytes = b"", mode: int = 0o644, link: str = ""
) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode, info.linkname = kind, len(data), mode, link
    archive.addfile(info, io.BytesIO(data))
