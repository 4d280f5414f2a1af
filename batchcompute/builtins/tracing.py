"""Events of every call, attempt and decision, made by structlog, sent through the standard logger `batchcompute`.

The Client decides what is logged: with `tracing.level` off, to the level of the logger `batchcompute`, as the program has set it;
otherwise to that level, whatever the logger's. So two Clients in one process keep their own levels and formats.
Where it goes is up to the process: to the handlers that the program has set up, and where it has none, to stderr, if a Client
asks for it. No handler is ever added, so none is there twice, and structlog is never configured globally.

Events have the keys of `KEYS`, and what the program has bound to structlog's contextvars: no headers, no bodies, no credentials,
no messages of errors.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TextIO

from ..config import Config
from ..credentials import Credentials
from ..errors import ClientError, DecodeError, TransportError
from ..hooks import AttemptContext, CallResult, hookimpl
from ..wire import Endpoint

KEYS = (
    "operation",
    "region",
    "endpoint",
    "transport",
    "credentials",
    "hook",
    "plugin",
    "answer",
    "attempt",
    "attempts",
    "status",
    "code",
    "error",
    "request_id",
    "object",
    "elapsed",
    "bytes_sent",
    "bytes_received",
)
"""Every key that an event of ours can have; `elapsed` is seconds. What is not here is dropped."""

if TYPE_CHECKING:
    _Stream = logging.StreamHandler[TextIO]
else:
    _Stream = logging.StreamHandler

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}
_logger = logging.getLogger("batchcompute")
_logger.addHandler(logging.NullHandler())


def observing(hook: str, config: Config) -> bool:
    """Return whether an event of that hook may be wanted: if none is, no context is built."""
    return hook != "after_attempt" or _wanted(config, logging.DEBUG)


@hookimpl(trylast=True)
def after_attempt(ctx: AttemptContext) -> None:
    """`attempt` at DEBUG."""
    config = ctx.call.config
    if _wanted(config, logging.DEBUG):
        _tell(
            config,
            logging.DEBUG,
            "attempt",
            attempt=ctx.number,
            endpoint=ctx.endpoint.authority,
            transport=ctx.endpoint.transport,
            credentials=ctx.credentials.source if ctx.credentials else None,
            **_outcome(ctx),
        )


@hookimpl(trylast=True)
def after_call(ctx: CallResult) -> None:
    """`call` at INFO, or WARNING when it failed."""
    config = ctx.call.config
    level = logging.INFO if ctx.error is None else logging.WARNING
    if _wanted(config, level):
        _tell(config, level, "call", attempts=ctx.attempts, **_outcome(ctx))


def note_object(config: Config, event: str, error: BaseException | None, **values: object) -> None:
    """Log an event of an operation on an object, for plugins: `attempt` at DEBUG, `call` at INFO, or WARNING when it failed.

    An object that is absent is no failure.

    `values` have keys of `KEYS`, such as operation, object, attempt, elapsed (seconds), status and request_id. Those of a refusal
    follow from `error`.
    """
    is_well = error is None or isinstance(error, FileNotFoundError)
    level = logging.DEBUG if event == "attempt" else logging.INFO if is_well else logging.WARNING
    if "tracing" in config.plugins.block or not _wanted(config, level):
        return
    if error is not None:
        values["error"] = type(error).__name__
    if isinstance(error, ClientError):
        values |= {"status": error.status, "code": error.code, "request_id": error.request_id}
    _tell(config, level, event, **values)


def decisions(config: Config) -> Callable[[str, str, object], None] | None:
    """Return a function that logs which plugin decided what, at DEBUG; None if nobody reads it or tracing is blocked."""
    if "tracing" in config.plugins.block or not _wanted(config, logging.DEBUG):
        return None
    return partial(_decided, config)


def _decided(config: Config, hook: str, plugin: str, answer: object) -> None:
    shown = f"{answer.url} by {answer.transport}" if isinstance(answer, Endpoint) else type(answer).__name__
    if isinstance(answer, Credentials):
        shown = answer.source
    _tell(config, logging.DEBUG, "decision", hook=hook, plugin=plugin, answer=shown)


def _wanted(config: Config, level: int) -> bool:
    name = config.tracing.level
    if name == "off":
        return _logger.isEnabledFor(level) and _heard()
    return level >= _LEVELS[name] and _logger.manager.disable < level


def _heard() -> bool:
    """Return whether the program has a handler for what is logged here."""
    logger: logging.Logger | None = _logger
    while logger is not None:
        if any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _tell(config: Config, level: int, event: str, **values: object) -> None:
    shown = {key: value for key, value in values.items() if key in KEYS and value is not None}
    getattr(_structured(config.tracing.format), _NAMES[level])(event, **shown)


_NAMES = {number: name for name, number in _LEVELS.items()}


class _Stderr(_Stream):
    """Writes to what is sys.stderr at that moment: programs and tests replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # an attribute there
        return sys.stderr


_stderr = _Stderr()


class _Output:
    """Where structlog's lines go: the level was checked before, so that of the logger has no say."""

    def debug(self, line: str) -> None:
        self._emit(logging.DEBUG, line)

    def info(self, line: str) -> None:
        self._emit(logging.INFO, line)

    def warning(self, line: str) -> None:
        self._emit(logging.WARNING, line)

    def _emit(self, level: int, line: str) -> None:
        record = _logger.makeRecord(_logger.name, level, "batchcompute", 0, line, (), None)
        if _heard():
            _logger.handle(record)
        elif not _logger.disabled:
            _stderr.handle(record)


@cache
def _structured(style: str) -> Any:
    """A structlog logger of our own; made for the first event."""
    import structlog

    renderer = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
    )
    return structlog.wrap_logger(
        _Output(),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _outcome(ctx: AttemptContext | CallResult) -> dict[str, object]:
    event: dict[str, object] = {
        "operation": ctx.call.operation.name,
        "region": ctx.call.region.name,
        "elapsed": round(ctx.elapsed, 6),
        "bytes_sent": len(ctx.call.request.body),
    }
    if ctx.response is not None:
        event |= {
            "status": ctx.response.status,
            "request_id": ctx.response.request_id,
            "bytes_received": len(ctx.response.body),
        }
    if ctx.error is not None:
        event["error"] = type(ctx.error).__name__
    if ctx.response is None and isinstance(ctx.error, (TransportError, DecodeError)) and ctx.error.status:
        event |= {"status": ctx.error.status, "request_id": ctx.error.request_id}  # of an answer that broke off
    if isinstance(ctx.error, ClientError):
        event["code"] = ctx.error.code
    return event
