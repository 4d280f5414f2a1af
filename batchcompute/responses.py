"""The answers under the name of version 3.0, which stands in pickles and in annotations of scripts.

The classes are in `values.responses`.
"""

from .values.responses import (
    ActionResponse as ActionResponse,
    CreateResponse as CreateResponse,
    GetResponse as GetResponse,
    Image as Image,
    Instance as Instance,
    Job as Job,
    JobDescriptionResponse as JobDescriptionResponse,
    JobResponse as JobResponse,
    ListResponse as ListResponse,
    RawResponse as RawResponse,
    Task as Task,
)
