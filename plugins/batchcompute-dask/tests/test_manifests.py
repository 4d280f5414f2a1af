"""The manifests for Kubernetes: every field is one that we know, of the right kind, and names that belong together are the same.

The tables are those parts of the schema of apps/v1 and core/v1 that are used here; any other field fails.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

import click
import pytest
import yaml
from batchcompute_dask.commands import dask
from batchcompute_dask.manifests import render

_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_METADATA = {"name": _NAME, "labels": {"app": _NAME}}
_QUANTITIES = {"cpu": r"[1-9]\d*m", "memory": r"[1-9]\d*Mi"}
_CONTAINER = {
    "name": _NAME,
    "image": r"\S+",
    "command": [r"\S+"],
    "resources": {"requests": _QUANTITIES, "limits": _QUANTITIES},
    "volumeMounts": [{"name": _NAME, "mountPath": r"/\S+", "readOnly": bool}],
    "securityContext": {"allowPrivilegeEscalation": bool, "capabilities": {"drop": ["ALL"]}},
}
_POD = {
    "automountServiceAccountToken": bool,
    "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "runAsGroup": int, "fsGroup": int},
    "containers": [_CONTAINER],
    "volumes": [{"name": _NAME, "emptyDir": {}, "secret": {"secretName": _NAME, "defaultMode": int}}],
}
SCHEMAS: dict[str, Any] = {
    "Deployment": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _METADATA,
        "spec": {
            "replicas": int,
            "selector": {"matchLabels": {"app": _NAME}},
            "template": {"metadata": {"labels": {"app": _NAME}}, "spec": _POD},
        },
    },
    "Service": {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _METADATA,
        "spec": {
            "selector": {"app": _NAME},
            "ports": [{"name": _NAME, "port": int, "targetPort": int, "protocol": "TCP"}],
        },
    },
}


def check(value: Any, schema: Any, where: str) -> None:
    """Raise AssertionError for what the schema does not have."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        for name, each in value.items():
            assert name in schema, f"{where}.{name} is not known"
            check(each, schema[name], f"{where}.{name}")
    elif isinstance(schema, list):
        assert isinstance(value, list), where
        assert value, where
        for each in value:
            check(each, schema[0], f"{where}[]")
    elif isinstance(schema, type):
        assert type(value) is schema, f"{where}: {value!r}"
    else:
        assert isinstance(value, str), f"{where}: {value!r}"
        assert re.fullmatch(schema, value), f"{where}: {value!r}"


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    """The manifests by kind and name."""
    found = list(yaml.safe_load_all(render("registry.example.com/batchcompute:3.1", 10, 450, 8000, 4)))
    return {f"{one['kind']} {one['metadata']['name']}": one for one in found}


def test_all_fields_are_known(documents: dict[str, Any]) -> None:
    assert list(documents) == [
        "Deployment batchcompute-scheduler",
        "Service batchcompute-scheduler",
        "Deployment batchcompute-worker",
    ]
    for name, document in documents.items():
        check(document, SCHEMAS[document["kind"]], name)


@pytest.mark.parametrize("kind", ["scheduler", "worker"])
def test_names_belong_together_and_nothing_runs_as_root(kind: str, documents: dict[str, Any]) -> None:
    deployment = documents[f"Deployment batchcompute-{kind}"]
    template = deployment["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    assert {one["name"] for one in pod["volumes"]} == {one["name"] for one in container["volumeMounts"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    service = documents["Service batchcompute-scheduler"]["spec"]
    assert service["selector"] == {"app": "batchcompute-scheduler"}
    (port,) = service["ports"]
    command = container["command"]
    assert command[:3] == ["batchcompute", "dask", kind]
    where = f"--port={port['targetPort']}" if kind == "scheduler" else f"tls://batchcompute-scheduler:{port['port']}"
    assert where in command
    mounts = {one["mountPath"] for one in container["volumeMounts"]}
    assert all(word.partition("=")[2].rpartition("/")[0] in mounts for word in command if "/" in word and "=" in word)
    one = dask.commands[kind]  # the command line takes it, but for the files, which are not here
    names = {name for each in one.params for name in each.opts if isinstance(each, click.Option)}
    assert {word.partition("=")[0] for word in command if word.startswith("--")} <= names


def test_a_node_announces_what_its_pod_has(documents: dict[str, Any]) -> None:
    deployment = documents["Deployment batchcompute-worker"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert deployment["spec"]["replicas"] == 10
    assert container["resources"]["limits"] == {"cpu": "4500m", "memory": "8000Mi"}
    assert shlex.join(container["command"]).count("--slots=4 --cpu=450 --memory=8000") == 1
