"""The BatchCompute SDK, API 2015-06-30, and a place where its jobs still run.

from batchcompute import Client, JobDescription
with Client("local") as client:
    job = client.create_job(JobDescription(...))
    print(client.wait(job).State)
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, whose import takes ten times as long as this one
if TYPE_CHECKING:
    from typing import Any

    from .client import Client as Client
    from .config import (
        Config as Config,
        CredentialsConfig as CredentialsConfig,
        PluginConfig as PluginConfig,
        RetryConfig as RetryConfig,
        TracingConfig as TracingConfig,
        TransportConfig as TransportConfig,
    )
    from .credentials import Credentials as Credentials
    from .errors import (
        AmbiguousResultError as AmbiguousResultError,
        AuthenticationError as AuthenticationError,
        BatchComputeError as BatchComputeError,
        ClientError as ClientError,
        ClockSkewWarning as ClockSkewWarning,
        ConfigError as ConfigError,
        ConfigWarning as ConfigWarning,
        ConnectError as ConnectError,
        CredentialsError as CredentialsError,
        DecodeError as DecodeError,
        FieldError as FieldError,
        JobFailedError as JobFailedError,
        JobStoppedError as JobStoppedError,
        JsonError as JsonError,
        NotFoundError as NotFoundError,
        PackingError as PackingError,
        PermissionDeniedError as PermissionDeniedError,
        PluginError as PluginError,
        PluginWarning as PluginWarning,
        Problem as Problem,
        RequestTimeoutError as RequestTimeoutError,
        ResponseLostError as ResponseLostError,
        ServerError as ServerError,
        ServiceWarning as ServiceWarning,
        StateConflictError as StateConflictError,
        ThrottlingError as ThrottlingError,
        TransportError as TransportError,
        UnknownPropertyWarning as UnknownPropertyWarning,
        ValidationError as ValidationError,
        WaitError as WaitError,
        WaitTimeoutError as WaitTimeoutError,
    )
    from .packing import pack as pack
    from .regions import (
        CN_HANGZHOU as CN_HANGZHOU,
        CN_QINGDAO as CN_QINGDAO,
        CN_SHENZHEN as CN_SHENZHEN,
        Range as Range,
        Ranges as Ranges,
        Region as Region,
    )
    from .surroundings import Surroundings as Surroundings
    from .values.resources import (
        JobDescription as JobDescription,
        ResourceDescription as ResourceDescription,
        TaskDag as TaskDag,
        TaskDescription as TaskDescription,
    )
    from .values.responses import (
        ActionResponse as ActionResponse,
        CreateResponse as CreateResponse,
        GetResponse as GetResponse,
        Image as Image,
        Instance as Instance,
        Job as Job,
        ListResponse as ListResponse,
        Task as Task,
    )
    from .writing import write_whole as write_whole

__version__ = "3.1.0"

# Names by module. They are imported when they are first asked for: the command line, pytest and the service import this
# package long before, or without, making a Client.
_HOMES = {
    "client": ("Client",),
    "config": (
        "Config",
        "CredentialsConfig",
        "PluginConfig",
        "RetryConfig",
        "TracingConfig",
        "TransportConfig",
    ),
    "credentials": ("Credentials",),
    "errors": (
        "AmbiguousResultError",
        "AuthenticationError",
        "BatchComputeError",
        "ClientError",
        "ClockSkewWarning",
        "ConfigError",
        "ConfigWarning",
        "ConnectError",
        "CredentialsError",
        "DecodeError",
        "FieldError",
        "JobFailedError",
        "JobStoppedError",
        "JsonError",
        "NotFoundError",
        "PermissionDeniedError",
        "PluginError",
        "PackingError",
        "PluginWarning",
        "Problem",
        "RequestTimeoutError",
        "ResponseLostError",
        "ServerError",
        "ServiceWarning",
        "StateConflictError",
        "ThrottlingError",
        "TransportError",
        "UnknownPropertyWarning",
        "ValidationError",
        "WaitError",
        "WaitTimeoutError",
    ),
    "packing": ("pack",),
    "regions": (
        "CN_HANGZHOU",
        "CN_QINGDAO",
        "CN_SHENZHEN",
        "Range",
        "Ranges",
        "Region",
    ),
    "surroundings": ("Surroundings",),
    "values.details": (
        "Attempt",
        "InstanceDetails",
        "JobDetails",
        "JobDetailsList",
        "Leftover",
        "Slots",
        "TaskDetails",
    ),
    "values.resources": (
        "JobDescription",
        "ResourceDescription",
        "TaskDag",
        "TaskDescription",
    ),
    "values.responses": (
        "ActionResponse",
        "CreateResponse",
        "GetResponse",
        "Image",
        "Instance",
        "Job",
        "ListResponse",
        "Task",
    ),
    "writing": ("write_whole",),
}
# Modules that are there after `import batchcompute` alone, as in `batchcompute.errors.ClientError`.
_MODULES = frozenset({"client", "config", "credentials", "errors", "packing", "regions", "resources", "responses"})
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)

# Names that the reference's examples use by mistake (section 2.1, (1)).
_OLD_NAMES = {"Jobdescription": "JobDescription", "Taskdescription": "TaskDescription"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOME_OF:
        value = globals()[name] = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
        return value
    if name in _OLD_NAMES:
        from .errors import warn_caller

        warn_caller(f"batchcompute.{name} is called {_OLD_NAMES[name]}", DeprecationWarning)
        return __getattr__(_OLD_NAMES[name])
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module 'batchcompute' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
