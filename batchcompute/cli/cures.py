"""What to do about an error, for `failures` and `doctor`. It follows from the code of the error, not from a status.

A service, a gateway and any other web server use the same few statuses for many reasons.
"""

from __future__ import annotations

_ADDRESS = (
    "an answer of this service has an error code: another web server or a proxy may be at this address; "
    "`batchcompute doctor` shows the address"
)
_KEYS = "`batchcompute doctor` shows the key in use and its source; `batchcompute local credentials` prints the key of a `serve`"
_OPERATION = "the service at this address does not offer this operation; `batchcompute doctor` shows the address"
_JOBS = "`batchcompute job list` shows the jobs"
_RIGHTS = "this access key has no right to do it: ask the owner of the account, or use another key or --profile"
_REFRESH = "fetch new temporary credentials; `batchcompute doctor` shows the source of the present ones"
_OTHER_KEY = f"the secret is not that of this access key; {_KEYS}"
_CLOCK = "set this machine's clock, for instance with NTP"
_DOCTOR = "`batchcompute doctor` finds the cause"
_CODES = {
    "InvalidAccessKeyId.Inactive": "the key is disabled: use another one; for a `serve`: `batchcompute local account enable KEY`",
    "InvalidAccessKeyId": f"the service does not know this access key; {_KEYS}",
    "SignatureDoesNotMatch": _OTHER_KEY,
    "IncompleteSignature": _OTHER_KEY,
    "Forbidden": _RIGHTS,
    "NoPermission": _RIGHTS,
    "AccessDenied": _RIGHTS,
    "InvalidTimeStamp": _CLOCK,
    "IllegalTimestamp": _CLOCK,
    "RequestTimeTooSkewed": _CLOCK,
    "ResourceNotFound": _JOBS,
    "InvalidResource.NotFound": _JOBS,
    "InvalidVersion": _OPERATION,
    "InvalidApi": _OPERATION,
    "InvalidAction": _OPERATION,
    "InvalidUrlPattern": _OPERATION,
    "MethodNotAllowed": _OPERATION,
    "UnsupportedHTTPMethod": _OPERATION,
    "UnsupportedOperation": _OPERATION,
    "InvalidProtocol.NeedSsl": "use https:// in the endpoint",
    "StateConflict": "stop is for Waiting and Running jobs, start and priority for Stopped and Failed ones, delete for jobs that "
    "have ended",
    "QuotaExhausted": "wait until jobs have ended, or delete old ones: `batchcompute job prune --older-than 7d`",
    "Throttling": "wait, and send requests less often",
    "HTTP": _ADDRESS,
}
"""What to do by the beginning of an error code; the first that fits. An answer without a code has HTTP and its status."""
_KINDS = {
    "AuthenticationError": f"the service does not accept this access key; {_KEYS}",
    "PermissionDeniedError": _RIGHTS,
    "ConnectError": _DOCTOR,
    "RequestTimeoutError": _DOCTOR,
    "ResponseLostError": _DOCTOR,
    "AmbiguousResultError": "check with `batchcompute job list` before you repeat it",
    "DecodeError": "another web server, a proxy or another version may be at this address; `batchcompute doctor` shows it",
    "CredentialsError": "`batchcompute config init` creates a file for the key; for a `serve`, `batchcompute local credentials` "
    "prints it on its machine",
    "SettingsError": "correct the file; region local does not start with it",
}
"""What to do by the class of the error, where its code says nothing."""


def find_cure(error: BaseException) -> str:
    """Return what to do about an error: its notes, and what its code, its class or its cause says; "" if nothing is known."""
    from ..errors import BatchComputeError
    from ..messages import RAISED

    notes = getattr(error, "__notes__", ())
    if isinstance(error, BatchComputeError):  # which plugin has raised it is no cure
        notes = [note for note in notes if not note.startswith(RAISED)]
    return "; ".join(filter(None, [*notes, _find(error)]))


def cure_left_out(why: str) -> str:
    """Return what to do to have a plugin that was left out. why: the reason, as in `Hooks.skipped`."""
    from ..hooks.loading import BLOCKED, OFF

    chosen = {OFF: "add it to plugins.enable to use it", BLOCKED: "remove it from plugins.block to use it"}
    return chosen.get(why, "update or uninstall its distribution")


def _find(error: BaseException) -> str:
    code = getattr(error, "code", None)
    if isinstance(code, str):
        if "SecurityToken" in code:
            return _REFRESH
        for beginning, cure in _CODES.items():
            if code.startswith(beginning):
                return cure
    for one in (error, error.__cause__):
        if isinstance(one, PermissionError) and one.filename:
            return f"change the rights of {one.filename} or of its folder, or use another one; {_DOCTOR}"
        for kind in type(one).__mro__:
            if kind.__name__ in _KINDS:
                return _KINDS[kind.__name__]
    return ""
