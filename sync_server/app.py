"""The application: which routes there are, what goes round them, what runs beside them."""

import gc
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from litestar import Litestar
from litestar.concurrency import sync_to_thread
from litestar.datastructures import MutableScopeHeaders, State
from litestar.exceptions import HTTPException
from litestar.types import Message, Scope

from sync_server import health
from sync_server.answers import (
    HISTORY,
    TIME_HEADER,
    on_fault,
    on_http_error,
    on_office_error,
    on_refused,
)
from sync_server.auth import routes as auth_routes
from sync_server.auth.attempts import Attempts
from sync_server.auth.key_ring import KeyRing
from sync_server.auth.tills import till_rate
from sync_server.bodies import Places
from sync_server.dashboard import routes as dashboard_routes
from sync_server.document import openapi_config
from sync_server.errors import OfficeError, Refused
from sync_server.feed import routes as feed_routes
from sync_server.feed.parts import FeedParts
from sync_server.feed.watch import closed_by_signals
from sync_server.history.history import history_for
from sync_server.ingest import routes as ingest_routes
from sync_server.ingest.together import Together
from sync_server.journeys import intervals
from sync_server.logs import set_up_logs
from sync_server.office import Office, open_office
from sync_server.projector import follower
from sync_server.registry import routes as registry_routes
from sync_server.settings import read_settings
from sync_server.touchpoints import routes as touchpoint_routes
from sync_server.touchpoints import serving as touchpoint_serving

STOP_WAIT_S_MAX = 10
WARM_UP_AFTER_S = 10.0
SWITCH_S = 0.001
"""How long a thread that computes keeps the interpreter while others want it. Batches, projector
and summaries share it, and each wants it back after every wait for the database."""
GC_ALLOCATIONS_MIN = 50_000
"""Allocations between two looks of the collector: a batch makes thousands, and no cycles."""
REQUEST_BYTES_MAX = 64 * 1024
"""For requests that say nothing else: the office takes large bodies in one place only."""


def create_app(office: Office, *, is_projecting: bool = True) -> Litestar:
    """The application that serves `office`; with `is_projecting` a thread projects beside it."""
    projector = follower(office) if is_projecting else None
    touchpoints = touchpoint_serving.Serving(office, is_projecting=is_projecting)
    feed_parts = FeedParts()
    history = history_for(office)

    @asynccontextmanager
    async def beside(_: Litestar) -> AsyncGenerator[None]:
        if projector is not None:
            projector.start()
            if history is not None:
                history.start()
        try:
            with closed_by_signals(feed_parts.watch):
                yield
        finally:
            if projector is not None:
                await sync_to_thread(projector.stop, STOP_WAIT_S_MAX)
                if history is not None:
                    await sync_to_thread(history.stop)
            office.database.close()

    return Litestar(
        route_handlers=[
            *ingest_routes.routes,
            *feed_routes.routes,
            *registry_routes.routes,
            *health.routes,
            *auth_routes.routes,
            *dashboard_routes.routes,
            *touchpoint_routes.routes,
        ],
        state=State(
            {
                "office": office,
                "attempts": Attempts(),
                "batch_places": Places(),
                "key_ring": KeyRing(),
                "together": Together(office),
                "till_rate": till_rate(),
                "feed_parts": feed_parts,
                "projector": projector,
                HISTORY: history,
                touchpoint_serving.STATE: touchpoints,
            }
        ),
        lifespan=[beside, touchpoints.beside],
        exception_handlers={
            Refused: on_refused,
            OfficeError: on_office_error,
            HTTPException: on_http_error,
            HTTPStatus.INTERNAL_SERVER_ERROR: on_fault,
            Exception: on_fault,
        },
        before_send=[_add_headers],
        openapi_config=openapi_config(),
        request_max_body_size=REQUEST_BYTES_MAX,
        logging_config=None,
    )


def application() -> Litestar:
    """The application of this process's environment (what granian's workers load)."""
    set_up_logs()
    data_dir = os.environ.get("KLANTREIS_DATA")
    settings = read_settings(Path(data_dir) if data_dir else None, os.environ)
    app = create_app(open_office(settings))
    # What is loaded stays: the collector need not look at it again with every batch.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS_MIN)
    sys.setswitchinterval(SWITCH_S)
    # The first summary shall not wait for it; nor shall the tills that waited for the start.
    warm_up = threading.Timer(WARM_UP_AFTER_S, intervals.warm_up)
    warm_up.daemon = True
    warm_up.start()
    return app


async def _add_headers(message: Message, scope: Scope) -> None:
    """Headers that every answer has, unless it says something else."""
    if message["type"] != "http.response.start":
        return
    headers = MutableScopeHeaders.from_message(message)
    office = scope["litestar_app"].state["office"]
    headers.setdefault(TIME_HEADER, str(office.now_ms()))
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Referrer-Policy", "no-referrer")
