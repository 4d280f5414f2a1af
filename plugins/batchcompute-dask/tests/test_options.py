"""Where the table `[executors.dask]` has the cluster, and what is said of the rest; test_settings.py has other options."""

from __future__ import annotations

from typing import Any

import pytest
from batchcompute_dask.settings import read_options

TLS = "tls://10.0.0.5:8786"


@pytest.mark.parametrize(
    "table",
    [
        {"scheduler": TLS},
        {"scheduler": TLS, "tls_ca_file": "/a", "tls_cert": "/b", "tls_key": "/c"},
        {"scheduler": "tcp://127.0.0.1:8786", "insecure": True},
        {"cluster": "local", "workers": 2, "local": {"slots": 4}},
        {"cluster": "ssh", "ssh": {"hosts": ["node1", "me@node2"]}, "environment": {"SSH_AUTH_SOCK": "/run/agent"}},
        {"cluster": "slurm", "workers": 8, "slurm": {"cores": 4, "memory": "16 GB", "queue": "long"}},
    ],
)
def test_tables_that_are_taken(table: dict[str, Any]) -> None:
    options = read_options(table)
    assert options.table == table.get(options.cluster, {})
    assert options.cluster == table.get("cluster", "")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({}, 'either the address of a scheduler, such as scheduler = "tls://host:8786", or cluster = "local"'),
        ({"scheduler": TLS, "cluster": "local"}, "either"),
        ({"cluster": "slrum"}, "unknown cluster 'slrum'; did you mean 'slurm'?"),
        ({"cluster": "kubernetes"}, "`batchcompute dask manifests` prints them"),
        ({"cluster": "local", "worker": 2}, "unknown option 'worker'; did you mean 'workers'?"),
        ({"cluster": "local", "workers": -1}, "workers must be a whole number, 0 or more, not -1"),
        ({"cluster": "local", "workers": True}, "workers must be a whole number"),
        ({"cluster": "local", "local": {"slot": 2}}, "unknown option 'slot' of local; did you mean 'slots'?"),
        ({"cluster": "local", "slurm": {}}, "the table of slurm is for cluster = 'slurm', and cluster is 'local'"),
        ({"cluster": "ssh"}, "needs the names of its machines"),
        ({"cluster": "ssh", "ssh": {"hosts": "node1"}}, "hosts must be a list of texts"),
        ({"cluster": "local", "insecure": True}, "a cluster that the service starts has TLS"),
        ({"cluster": "local", "environment": {"A": 1}}, "environment maps"),
        ({"scheduler": TLS, "tls_cert": "/b"}, "are set together"),
        ({"scheduler": TLS, "tls_key": "/b"}, "are set together"),
    ],
)
def test_tables_that_are_refused(table: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"^.+$") as caught:
        read_options(table)
    assert words in str(caught.value)
