"""Error answers of the endpoint, with the codes of OSS."""

from __future__ import annotations

from collections.abc import Mapping

STATUS = {
    "AccessDenied": 403,
    "BadRequest": 400,
    "BucketAlreadyExists": 409,
    "BucketNotEmpty": 409,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "FileAlreadyExists": 409,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidBucketName": 400,
    "InvalidDigest": 400,
    "InvalidObjectName": 400,
    "InvalidPart": 400,
    "InvalidPartOrder": 400,
    "InvalidRange": 416,
    "InvalidSecurityToken": 403,
    "InvalidTag": 400,
    "InvalidTargetType": 400,
    "MalformedXML": 400,
    "MethodNotAllowed": 405,
    "MissingArgument": 400,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NotImplemented": 400,
    "NotModified": 304,
    "ObjectNotAppendable": 409,
    "PositionNotEqualToLength": 409,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "RequestTimeout": 400,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "SymlinkTargetNotExist": 404,
}
"""The HTTP status of each code that the endpoint answers."""


class OssError(Exception):
    """An error answer. `details` become elements beside Code and Message, `headers` headers of the answer."""

    def __init__(
        self,
        code: str,
        message: str,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = STATUS[code]
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


def invalid(name: str, value: str, allowed: str) -> OssError:
    """Make an InvalidArgument that names the argument, its value and what is allowed."""
    text = f"{name} is {value[:100]!r}; it has to be {allowed}."
    text = f"{name} is {value[:100]!r}; it has to be {allowed}."
    return OssError("InvalidArgument", text, {"ArgumentName": name, "ArgumentValue": value[:100]})


def not_implemented(what: str) -> OssError:
    """Make a NotImplemented."""
    return OssError("NotImplemented", f"This service does not have {what}; docs/objects.md lists what it has.")
