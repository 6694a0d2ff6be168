"""Serves the office with granian: one process that watches, and workers that answer."""

import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from granian.constants import Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server

from sync_server.errors import SettingsError
from sync_server.settings import DATA_VARIABLE, DATABASE_VARIABLE, Settings

STOP_WAIT_S_MAX = 20
HEADER_WAIT_MS_MAX = 10_000
BACKLOG_MAX = 1024

_LOG: dict[str, Any] = {
    "handlers": {
        "console": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
    },
    "loggers": {"_granian": {"handlers": ["console"], "level": "WARNING", "propagate": False}},
}


class Listen(NamedTuple):
    """Where the office listens; with both files it speaks TLS."""

    host: str
    port: int
    workers: int = 1
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @property
    def url(self) -> str:
        """The office's address for clients on this machine."""
        scheme = "https" if self.tls_cert else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


def serve(settings: Settings, listen: Listen) -> None:
    """Serves until SIGTERM or SIGINT; requests under way are finished. Raises `SettingsError`."""
    log = structlog.get_logger("server")
    # What the workers open is said by their environment: they are processes of their own.
    os.environ[DATA_VARIABLE] = str(settings.data_dir)
    if settings.database_url.get_backend_name() != "sqlite":
        os.environ[DATABASE_VARIABLE] = settings.database_url.render_as_string(hide_password=False)
    try:
        server = Server(
            "sync_server.app:application",
            factory=True,
            address=listen.host,
            port=listen.port,
            interface=Interfaces.ASGI,
            workers=listen.workers,
            loop=Loops.asyncio,
            websockets=False,
            backlog=BACKLOG_MAX,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_WAIT_MS_MAX),
            log_level=LogLevels.warning,
            log_dictconfig=_LOG,
            ssl_cert=listen.tls_cert,
            ssl_key=listen.tls_key,
            respawn_failed_workers=True,
            workers_kill_timeout=STOP_WAIT_S_MAX,
        )
        server.on_startup(lambda: log.info("serving", url=listen.url, workers=listen.workers))
        server.serve()
    except (OSError, RuntimeError) as error:
        raise _cannot_listen(listen, error) from error
    log.info("stopped")


def require_free(listen: Listen) -> None:
    """Raises `SettingsError` when the address is not this machine's, or somebody listens there.

    granian shares its port with whoever asks (SO_REUSEPORT): a second office would get half of the
    requests. A socket that does not share finds out.
    """
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((listen.host, listen.port))
    except OSError as error:
        raise _cannot_listen(listen, error) from error


def _cannot_listen(listen: Listen, error: Exception) -> SettingsError:
    return SettingsError(
        "listen",
        f"The office cannot listen at {listen.url}: {error}.",
        "Take another with --host and --port, or stop what listens there.",
    )
