"""Kept until 4.0, since pages and examples of 3.0 import it from here: `batchcompute_local.client.control`."""

from batchcompute_local.client.control import (
    command as command,
    connect as connect,
    ensure_running as ensure_running,
    read_credentials as read_credentials,
    status as status,
    stop as stop,
)
from batchcompute_local.filelocks import is_locked as is_locked, locked as locked
from batchcompute_local.known_state import environment as environment
