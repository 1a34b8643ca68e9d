"""The images, as far as they can be checked without building them: what the Dockerfile says, and what it runs."""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "images"
TEXT = (IMAGES / "Dockerfile").read_text()


def load(name: str) -> ModuleType:
    """A script of images/ as a module."""
    spec = importlib.util.spec_from_file_location(name, IMAGES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


oci = load("oci")
LINES = oci.instructions(TEXT)


def test_each_image_has_a_target_with_its_requirements() -> None:
    stages = {stage for stage, word, _ in LINES if word == "FROM"}
    for kind in ("flow", "cpu", "gpu"):
        assert {kind, f"built-{kind}"} <= stages
        installs = [rest for stage, word, rest in LINES if (stage, word) == (f"built-{kind}", "RUN")]
        assert any(f"/opt/requirements/{kind}.txt" in rest for rest in installs)
        assert (ROOT / "requirements" / f"{kind}.txt").exists()


def test_bases_are_pinned_and_nothing_is_fetched_unseen() -> None:
    bases = [rest for _, word, rest in LINES if word == "ARG" and rest.startswith("BASE=")]
    assert len(bases) == 1
    assert re.fullmatch(r"BASE=python:\d+\.\d+\.\d+-slim-[a-z]+", bases[0])
    stages = {stage for stage, _, _ in LINES}
    for _, word, rest in LINES:
        assert word != "ADD"
        if word == "FROM":
            assert rest.split()[0] in {"${BASE}", *stages}
        if word == "RUN":
            assert "://" not in rest
            for tool in re.findall(r"\"(uv[^\"]*)\"", rest):
                assert tool in ("uv",) or re.fullmatch(r"uv==[\d.]+", tool), rest


def test_final_images_are_for_a_numeric_user_and_need_no_shell() -> None:
    for kind in ("flow", "cpu", "gpu"):
        own = [(word, rest) for stage, word, rest in LINES if stage == kind]
        assert own[0] == ("FROM", f"runtime AS {kind}")
        assert {word for word, _ in own} <= {"FROM", "ENV", "COPY"}
        assert all("--from=built-" in rest for word, rest in own if word == "COPY")
    config = oci.runtime_config(TEXT)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"])
    assert config["Entrypoint"] == ["/opt/venv/bin/lenscore"]
    assert {"title", "version", "licenses", "revision"} <= {name.rpartition(".")[2] for name in config["Labels"]}
    places = dict(item.split("=", 1) for item in config["Env"])
    assert {places[name].split("/")[1] for name in ("HOME", "TMPDIR", "LENSCORE_SCRATCH", "PREFECT_HOME")} == {"tmp"}


def test_the_user_and_version_are_the_launcher_s_and_the_project_s() -> None:
    import tomllib

    from flows.launchers.cluster import ClusterSettings

    settings, config = ClusterSettings(), oci.runtime_config(TEXT)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert config["User"] == f"{settings.user}:{settings.user}"
    assert config["Labels"]["org.opencontainers.image.version"] == version
    assert f"version={version}\n" in (IMAGES / "build-rootfs.sh").read_text()
    assert {settings.cpu_image, settings.gpu_image} == {f"lenscore-{kind}:{version}" for kind in ("cpu", "gpu")}


def test_the_flow_image_has_neither_torch_nor_cuda() -> None:
    names = {
        line.partition("==")[0] for line in (ROOT / "requirements/flow.txt").read_text().splitlines() if "==" in line
    }
    assert {"prefect", "prefect-kubernetes", "kubernetes", "obstore", "asyncpg"} <= names
    assert not {name for name in names if re.match(r"torch|nvidia|cuda|triton|faiss|galsim", name)}


def test_versions_agree_between_images() -> None:
    def pins(kind: str) -> dict[str, str]:
        lines = (ROOT / "requirements" / f"{kind}.txt").read_text().splitlines()
        return {line.partition("==")[0]: line for line in lines if "==" in line and ";" not in line}

    flow, cpu, gpu = pins("flow"), pins("cpu"), pins("gpu")
    assert {name for name in flow.keys() & cpu.keys() if flow[name] != cpu[name]} == set()
    assert {name for name in cpu.keys() & gpu.keys() if cpu[name] != gpu[name]} == set()


def test_only_what_the_images_hold_goes_to_the_builder() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert kept == {*load("assemble").PARTS, "images", "requirements"}
    script = (IMAGES / "build-rootfs.sh").read_text()
    assert set(re.search(r"-cf - (.*?) \|", script)[1].split()) == kept  # type: ignore[index]


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An environment that the project was put into: the environment, and the program's folder."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    # The packages of this environment stand for those of the requirements.
    packages = next((folder / "venv" / "lib").glob("python3.*")) / "site-packages"
    here = next(Path(path) for path in sys.path if path.endswith("site-packages"))
    (packages / "here.pth").write_text(f"{here}\n")
    command = [str(folder / "venv/bin/python"), str(IMAGES / "assemble.py"), str(ROOT), str(folder / "lenscore")]
    subprocess.run(command, check=True, timeout=300)
    return folder / "venv", folder / "lenscore"


def test_the_command_runs_from_a_read_only_place(assembled: tuple[Path, Path], tmp_path: Path) -> None:
    environment, program = assembled
    variables = {"PATH": "", "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(environment / "bin" / "lenscore"), "job", "list", "--json"]
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "pretrain" in {row["job"] for row in json.loads(done.stdout)}
    where = [str(environment / "bin" / "python"), "-c", "import flows.settings as s; print(s.__file__)"]
    done = subprocess.run(where, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str(program / "flows" / "settings.py")
    assert (program / "prefect.yaml").exists()
    assert (program / "configs" / "demo.toml").exists()


def test_the_bill_of_materials_lists_what_is_installed(assembled: tuple[Path, Path]) -> None:
    document = json.loads((assembled[1] / "sbom.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    found = {item["purl"].partition("@")[0] for item in document["components"]}
    assert {"pkg:pypi/prefect", "pkg:pypi/pyarrow", "pkg:pypi/lenscore"} <= found
    assert all(item["version"] for item in document["components"])


def test_an_image_without_docker_holds_its_layer(tmp_path: Path) -> None:
    layer, out = tmp_path / "layer.tar", tmp_path / "image.tar"
    with tarfile.open(layer, "w") as archive:
        archive.add(IMAGES / "oci.py", "opt/oci.py")
    oci.write_image(layer, out, "lenscore-flow:0.1.0", "amd64")
    with tarfile.open(out) as image:
        blobs = {
            name.rpartition("/")[2]: image.extractfile(name).read() for name in image.getnames() if "blobs" in name
        }  # type: ignore[union-attr]
        index = json.loads(image.extractfile("index.json").read())  # type: ignore[union-attr]
    assert all(hashlib.sha256(data).hexdigest() == digest for digest, data in blobs.items())
    manifest = json.loads(blobs[index["manifests"][0]["digest"].removeprefix("sha256:")])
    assert blobs[manifest["layers"][0]["digest"].removeprefix("sha256:")] == layer.read_bytes()
    config = json.loads(blobs[manifest["config"]["digest"].removeprefix("sha256:")])
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert config["config"]["User"] == "65532:65532"


def test_the_script_is_a_script() -> None:
    assert os.access(IMAGES / "build-rootfs.sh", os.X_OK)
    subprocess.run(["sh", "-n", str(IMAGES / "build-rootfs.sh")], check=True)
