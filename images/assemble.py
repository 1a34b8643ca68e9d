"""Puts the project into an image's environment: `python assemble.py SOURCE TARGET`, run by the environment's own Python.

It copies the program to TARGET, makes it importable and gives it its commands, compiles it, and writes TARGET/sbom.json,
a software bill of materials (CycloneDX 1.6) of all that is installed: Python distributions and Debian packages.
Standard library only, so that nothing is needed that the image does not hold anyway.
"""

import compileall
import json
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

PARTS = ("lenscore", "jobs", "flows", "configs", "prefect.yaml", "pyproject.toml", "README.md")
DPKG = Path("/var/lib/dpkg/status")
SCRIPT = """#!{python}
import sys
from {module} import {name}
sys.exit({name}())
"""


def main(source: Path, target: Path) -> None:
    """Copy, install, list."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    for part in PARTS:
        _copy(source / part, target / part)
    packages = Path(sysconfig.get_path("purelib"))
    _install(project, target, packages)
    compileall.compile_dir(target, quiet=1)
    components = [*_python_components(), *_debian_components()]
    (target / "sbom.json").write_text(json.dumps(_document(project, components), indent=1))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _install(project: dict[str, Any], target: Path, packages: Path) -> None:
    """What an editable install would write: a path, the metadata, the commands."""
    name, version = project["name"], project["version"]
    (packages / f"{name}.pth").write_text(f"{target}\n")
    metadata = packages / f"{name}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
    (metadata / "INSTALLER").write_text("images/assemble.py\n")
    for command, place in project["scripts"].items():
        module, _, function = place.partition(":")
        path = Path(sysconfig.get_path("scripts")) / command
        path.write_text(SCRIPT.format(python=sys.executable, module=module, name=function))
        path.chmod(0o755)


def _python_components() -> Iterator[dict[str, str]]:
    found = {(item.metadata["Name"].lower().replace("_", "-"), item.version) for item in distributions()}
    for name, version in sorted(found):
        yield {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}


def _debian_components() -> Iterator[dict[str, str]]:
    text = DPKG.read_text() if DPKG.exists() else ""
    for entry in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line and line[0] != " ")
        if "installed" in fields.get("Status", "").split():
            name, version = fields["Package"], fields["Version"]
            yield {"type": "library", "name": name, "version": version, "purl": f"pkg:deb/debian/{name}@{version}"}


def _document(project: dict[str, Any], components: list[dict[str, str]]) -> dict[str, Any]:
    made = {"type": "application", "name": project["name"], "version": project["version"]}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": made},
        "components": components,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
