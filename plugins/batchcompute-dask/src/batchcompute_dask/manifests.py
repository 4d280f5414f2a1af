"""A cluster on Kubernetes as YAML: a scheduler with its Service, and workers. Nothing of it runs as root."""

from __future__ import annotations

import json
from typing import Any

_USER = 10000
_PORT = 8786
_CERTIFICATE = "/etc/batchcompute/cluster.pem"
_SECRET = "batchcompute-dask"  # noqa: S105  # the name of the object that has it
_SCHEDULER, _WORKER = "batchcompute-scheduler", "batchcompute-worker"


def render(container: str, workers: int, cpu: int, memory: int, slots: int) -> str:
    """Return the manifests. `container` is an image with this package; `cpu` is in hundredths of a core, `memory` in MB."""
    certificate = [f"--tls-ca-file={_CERTIFICATE}", f"--tls-cert={_CERTIFICATE}"]
    scheduler = ["batchcompute", "dask", "scheduler", "--host=0.0.0.0", f"--port={_PORT}", *certificate]
    limits = [f"--slots={slots}", f"--cpu={cpu}", f"--memory={memory}"]
    worker = [
        "batchcompute",
        "dask",
        "worker",
        f"tls://{_SCHEDULER}:{_PORT}",
        *limits,
        "--folder=/nodes/own",
        *certificate,
    ]
    documents = [
        _deployment(_SCHEDULER, 1, container, scheduler, _resources(50, 512), {}),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": _SCHEDULER},
            "spec": {
                "selector": {"app": _SCHEDULER},
                "ports": [{"name": "dask", "port": _PORT, "targetPort": _PORT, "protocol": "TCP"}],
            },
        },
        _deployment(_WORKER, workers, container, worker, _resources(cpu, memory), {"nodes": "/nodes"}),
    ]
    return "".join(f"---\n{_yaml(document)}\n" for document in documents)


def _resources(cpu: int, memory: int) -> dict[str, Any]:
    found = {"cpu": f"{10 * cpu}m", "memory": f"{memory}Mi"}
    return {"requests": found, "limits": found}


def _deployment(
    name: str, replicas: int, container: str, command: list[str], resources: dict[str, Any], folders: dict[str, str]
) -> dict[str, Any]:
    folders = {"tmp": "/tmp", **folders}  # noqa: S108  # of the pod alone
    mounts: list[dict[str, Any]] = [{"name": each, "mountPath": path} for each, path in folders.items()]
    mounts.append({"name": "certificate", "mountPath": _CERTIFICATE.rpartition("/")[0], "readOnly": True})
    volumes: list[dict[str, Any]] = [{"name": each, "emptyDir": {}} for each in folders]
    volumes.append({"name": "certificate", "secret": {"secretName": _SECRET, "defaultMode": 0o440}})
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER},
        "containers": [
            {
                "name": name,
                "image": container,
                "command": command,
                "resources": resources,
                "volumeMounts": mounts,
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
        "volumes": volumes,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def _yaml(value: Any, depth: int = 0) -> str:
    """Return a value as YAML: blocks of maps and lists; texts and numbers as in JSON, which YAML takes."""
    indent = "  " * depth
    if isinstance(value, dict) and value:
        return "\n".join(f"{indent}{name}:{_after(each, depth + 1)}" for name, each in value.items())
    if isinstance(value, list) and value:
        return "\n".join(f"{indent}-{_after(each, depth + 1)}" for each in value)
    return indent + json.dumps(value)


def _after(value: Any, depth: int) -> str:
    return f"\n{_yaml(value, depth)}" if isinstance(value, dict | list) and value else f" {json.dumps(value)}"
