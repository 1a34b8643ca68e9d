"""Real S3 servers on this machine, built by `make tools`."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import obstore
from obstore.store import S3Store

ROOT = Path(__file__).resolve().parents[2]
KEY, SECRET, BUCKET, REGION = "lenstest", "lenstest-secret", "lenscore", "us-east-1"
READY_SECONDS = 30


def binary(name: str) -> Path:
    """Where a server's program lies."""
    found = ROOT / ".cache" / "bin" / name
    if not found.exists():
        raise FileNotFoundError(f"{found} is missing: run `make tools`, which builds it with Go")
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def s3_server(name: str, folder: Path, host: str = "127.0.0.1") -> Iterator[dict[str, str]]:
    """Run minio or versitygw on a folder, at an address of this machine; yields the environment of its clients."""
    port = free_port()
    environment = _environment(host, port)
    data = folder / name
    (data / BUCKET).mkdir(parents=True, exist_ok=True)
    process = _start(name, data, f"{host}:{port}")
    try:
        _wait(process, environment)
        yield environment
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(data, ignore_errors=True)


def _environment(host: str, port: int) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }


def _start(name: str, data: Path, address: str) -> "subprocess.Popen[bytes]":
    if name == "minio":
        command = [str(binary("minio")), "server", str(data), "--address", address, "--quiet"]
        extra = {"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off"}
    else:
        command = [str(binary("versitygw")), "--port", address, "posix", str(data)]
        extra = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET, "VGW_KEEP_ALIVE": "true", "VGW_QUIET": "true"}
    environment = {**os.environ, **extra}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait(process: "subprocess.Popen[bytes]", environment: dict[str, str]) -> None:
    store = S3Store(
        BUCKET,
        endpoint=environment["AWS_ENDPOINT_URL"],
        access_key_id=KEY,
        secret_access_key=SECRET,
        region=REGION,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    for _ in range(READY_SECONDS * 10):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            obstore.list(store).collect()
            return
        except Exception:
            time.sleep(0.1)
    raise TimeoutError(f"no answer from {environment['AWS_ENDPOINT_URL']} in {READY_SECONDS} s")
