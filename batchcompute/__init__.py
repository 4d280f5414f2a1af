"""The BatchCompute SDK, API 2015-06-30, and a place where its jobs still run.

from batchcompute import Client, JobDescription
with Client("local") as client:
    job = client.create_job(JobDescription(...))
    print(client.wait(job).State)
"""

from __future__ import annotations

from typing import Any

from .client import Client
from .config import Config, CredentialsConfig, PluginConfig, RetryConfig, TracingConfig, TransportConfig
from .credentials import Credentials
from .errors import (
    AmbiguousResultError,
    BatchComputeError,
    ClientError,
    ClockSkewWarning,
    ConfigError,
    ConfigWarning,
    ConnectError,
    CredentialsError,
    DecodeError,
    FieldError,
    JobFailedError,
    JobStoppedError,
    JsonError,
    NotFoundError,
    PluginError,
    PluginWarning,
    Problem,
    RequestTimeoutError,
    ResponseLostError,
    ServerError,
    StateConflictError,
    ThrottlingError,
    TransportError,
    UnknownPropertyWarning,
    ValidationError,
    WaitError,
    WaitTimeoutError,
    warn_caller,
)
from .packing import pack
from .regions import CN_HANGZHOU, CN_QINGDAO, CN_SHENZHEN, Range, Ranges, Region
from .resources import JobDescription, ResourceDescription, TaskDag, TaskDescription
from .responses import (
    ActionResponse,
    CreateResponse,
    GetResponse,
    Image,
    Instance,
    Job,
    ListResponse,
    Task,
)

__version__ = "3.0.0"

__all__ = [
    "CN_HANGZHOU",
    "CN_QINGDAO",
    "CN_SHENZHEN",
    "ActionResponse",
    "AmbiguousResultError",
    "BatchComputeError",
    "Client",
    "ClientError",
    "ClockSkewWarning",
    "Config",
    "ConfigError",
    "ConfigWarning",
    "ConnectError",
    "CreateResponse",
    "Credentials",
    "CredentialsConfig",
    "CredentialsError",
    "DecodeError",
    "FieldError",
    "GetResponse",
    "Image",
    "Instance",
    "Job",
    "JobDescription",
    "JobFailedError",
    "JobStoppedError",
    "JsonError",
    "ListResponse",
    "NotFoundError",
    "PluginConfig",
    "PluginError",
    "PluginWarning",
    "Problem",
    "Range",
    "Ranges",
    "Region",
    "RequestTimeoutError",
    "ResourceDescription",
    "ResponseLostError",
    "RetryConfig",
    "ServerError",
    "StateConflictError",
    "Task",
    "TaskDag",
    "TaskDescription",
    "ThrottlingError",
    "TracingConfig",
    "TransportConfig",
    "TransportError",
    "UnknownPropertyWarning",
    "ValidationError",
    "WaitError",
    "WaitTimeoutError",
    "pack",
]

# Names that the reference's examples use by mistake (section 2.1, (1)).
_OLD_NAMES: dict[str, Any] = {"Jobdescription": JobDescription, "Taskdescription": TaskDescription}


def __getattr__(name: str) -> Any:
    if name in _OLD_NAMES:
        warn_caller(f"batchcompute.{name} is called {_OLD_NAMES[name].__name__}", DeprecationWarning)
        return _OLD_NAMES[name]
    raise AttributeError(f"module 'batchcompute' has no attribute {name!r}")
