"""When a disk or the machine is full: what cannot be done now is done later, and fails nothing. Standard library only."""

from __future__ import annotations

import errno

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}


def is_exhausted(error: BaseException | None) -> bool:
    """Whether `error`, or one that it was made of, says that there is no room."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
