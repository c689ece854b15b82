"""How both daemons log: one event a line on standard error, for people or for machines."""

import logging
import sys

import msgspec
import structlog


def configure(form: str, level: str) -> None:
    """Set up structlog for the process.

    Tracebacks come without the frames' variables: printing the world takes seconds, in which no
    lease is renewed, and manifests may hold secrets.

    Args:
        form: ``console`` or ``json``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[structlog.types.Processor] = [structlog.processors.add_log_level, stamp]
    if form == "json":
        structlog.configure(
            processors=[
                *shared,
                structlog.processors.ExceptionRenderer(
                    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
                ),
                structlog.processors.JSONRenderer(serializer=_to_json),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
            logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
            cache_logger_on_first_use=True,
        )
        return
    structlog.configure(
        processors=[
            *shared,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_number(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _number(level: str) -> int:
    number: int = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    return number


def _to_json(event: object, **_options: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
