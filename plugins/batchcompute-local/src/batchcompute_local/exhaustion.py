"""Full disks and exhausted machines: work is done later, and does not fail. Standard library only."""

from __future__ import annotations

import errno

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}


def is_exhausted(error: BaseException | None) -> bool:
    """Check if `error`, or one of its causes, means that there is no room."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
