"""Artifacts at rest: stores, manifests, names, tables and arrays."""

from lenscore.artifacts.arrays import ArraySpec, StoredArray
from lenscore.artifacts.artifact import Artifact, FileInfo
from lenscore.artifacts.checkpoints import Checkpoints
from lenscore.artifacts.inputs import Inputs, Runtime
from lenscore.artifacts.kinds import KINDS, Kind, find_kind
from lenscore.artifacts.manifest import Manifest, Reference, artifact_id
from lenscore.artifacts.names import Name, find_name, list_names, take_name
from lenscore.artifacts.sink import Sink
from lenscore.artifacts.store import Store
from lenscore.artifacts.tables import Table, TableWriter

__all__ = [
    "KINDS",
    "ArraySpec",
    "Artifact",
    "Checkpoints",
    "FileInfo",
    "Inputs",
    "Kind",
    "Manifest",
    "Name",
    "Reference",
    "Runtime",
    "Sink",
    "Store",
    "StoredArray",
    "Table",
    "TableWriter",
    "artifact_id",
    "find_kind",
    "find_name",
    "list_names",
    "take_name",
]
