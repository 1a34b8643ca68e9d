"""The rights that docs/kubernetes.md asks for are enough, and no others are needed."""

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from lenscore.artifacts import Store
from lenscore.artifacts.lifecycle import verify
from tests.cluster.conftest import Space
from tests.cluster.heard import PLAIN, Flow

RULES = [
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "delete"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["create"]},
]


def test_a_flow_needs_no_more_than_the_documented_rights(
    space: Space, s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(limited_access(space, tmp_path)))
    store = Store.open(f"s3://lenscore/{uuid.uuid4().hex}")
    assert allowed(space, "create", "jobs", "batch")
    for verb, resource in (("get", "secrets"), ("create", "pods"), ("list", "nodes"), ("create", "pods/exec")):
        assert not allowed(space, verb, resource)
    flow = Flow(space.settings(), store, "simulate", {"objects": 5, **PLAIN})
    assert list(verify(flow.made())) == []


def limited_access(space: Space, folder: Path) -> Path:
    """A kubeconfig of an account that has the documented rights and no others."""
    rights = client.RbacAuthorizationV1Api()
    space.core.create_namespaced_service_account(space.name, {"metadata": {"name": "flow"}})
    rights.create_namespaced_role(space.name, {"metadata": {"name": "flow"}, "rules": RULES})
    account = {"kind": "ServiceAccount", "name": "flow", "namespace": space.name}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "flow"}
    binding: dict[str, Any] = {"metadata": {"name": "flow"}, "subjects": [account], "roleRef": role}
    rights.create_namespaced_role_binding(space.name, binding)
    token = space.core.create_namespaced_service_account_token("flow", space.name, {"spec": {}}).status.token
    loaded = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    loaded["users"][0]["user"] = {"token": token}
    path = folder / "flow.kubeconfig"
    path.write_text(yaml.safe_dump(loaded))
    return path


def allowed(space: Space, verb: str, resource: str, group: str = "") -> bool:
    """Whether the account of KUBECONFIG may do something in the namespace."""
    own = config.new_client_from_config(os.environ["KUBECONFIG"])
    name, _, part = resource.partition("/")
    asked = {"namespace": space.name, "verb": verb, "resource": name, "subresource": part, "group": group}
    review = {"spec": {"resourceAttributes": asked}}
    return bool(client.AuthorizationV1Api(own).create_self_subject_access_review(review).status.allowed)
