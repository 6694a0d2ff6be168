"""How the office is: counts for people and for Prometheus, what was set aside, alarms."""

from collections.abc import Iterator
from typing import Annotated, Any

from litestar import Response, get
from litestar.params import QueryParameter
from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select
from sqlmodel import col

from sync_server.alarms import AlarmRow, is_open, list_alarms
from sync_server.answers import AnyRequest, office_of, refusals
from sync_server.auth.guards import any_user
from sync_server.journeys.marks import LOG
from sync_server.office import Office
from sync_server.projection_rows import cursor
from sync_server.quarantine import (
    QuarantineRow,
    count_quarantine,
    list_quarantine,
)
from sync_server.registry.routes import USER
from sync_server.tables import Alarm, EventLog, Sale, Till, Watermark

QUARANTINE_A_PAGE_MAX = 1_000


class Health(Struct, frozen=True):
    """`lag_events` are logged and not yet projected."""

    status: str
    events_logged: int
    projected_position: int
    lag_events: int
    quarantined: int
    office_time_ms: int


def read_health(connection: Connection, now_ms: int) -> Health:
    """How the office is now."""
    projected = cursor(connection, LOG)
    return Health(
        status="ok",
        # Watermarks are without gaps, so their sum is the number of events.
        events_logged=int(_number(connection, func.coalesce(func.sum(col(Watermark.seq)), 0))),
        projected_position=projected,
        lag_events=connection.execute(
            select(func.count()).where(col(EventLog.position) > projected)
        ).scalar_one(),
        quarantined=count_quarantine(connection),
        office_time_ms=now_ms,
    )


class OfficeCollector(Collector):
    """Figures from the database at the moment of asking: right with any number of processes."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def collect(self) -> Iterator[Metric]:
        """The office's gauges."""
        with self._office.database.read() as connection:
            health = read_health(connection, self._office.now_ms())
            enrolled = _number(connection, func.count(col(Till.enrolled_at_ms)))
            oldest_ms = _number(
                connection,
                select(func.min(col(Till.last_seen_ms)))
                .where(col(Till.revoked_at_ms).is_(None))
                .scalar_subquery(),
            )
            alarms = connection.execute(
                select(func.count()).select_from(Alarm).where(is_open())
            ).scalar_one()
            sales = _number(connection, func.count(col(Sale.seq)))
        silent_s = 0 if oldest_ms is None else max(0, health.office_time_ms - oldest_ms) / 1000
        for name, about, value in (
            ("events_logged", "Events in the log.", health.events_logged),
            ("lag_events", "Events logged and not yet projected.", health.lag_events),
            ("quarantined_events", "Events kept aside.", health.quarantined),
            ("sales", "Sales projected.", sales),
            ("tills_enrolled", "Tills that were ever enrolled.", enrolled),
            ("alarms", "Open alarms of tills.", alarms),
            ("longest_silence_seconds", "How long the quietest till was not heard of.", silent_s),
        ):
            yield GaugeMetricFamily(f"klantreis_{name}", about, value=float(value))


@get(
    "/healthz",
    operation_id="getHealth",
    summary="Whether the office works, in numbers",
    description="For anybody.",
    tags=["health"],
    responses=refusals(),
    sync_to_thread=True,
)
def get_health(request: AnyRequest) -> Health:
    """Counts of the log and the projection."""
    office = office_of(request)
    with office.database.read() as connection:
        return read_health(connection, office.now_ms())


@get(
    "/metrics",
    operation_id="getMetrics",
    summary="The same for Prometheus",
    description="For head office and admins (`authorization` in the scrape configuration).",
    tags=["health"],
    security=USER,
    guards=[any_user],
    media_type="text/plain",
    responses=refusals(401, 403, 429),
    sync_to_thread=True,
)
def get_metrics(request: AnyRequest) -> Response[str]:
    """Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(OfficeCollector(office_of(request)))
    text = generate_latest(registry).decode()
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@get(
    "/v1/quarantine",
    operation_id="listQuarantine",
    summary="Events that could not be understood",
    description="For head office and admins. In the order of the log; page with `after`.",
    tags=["health"],
    security=USER,
    guards=[any_user],
    responses=refusals(400, 401, 403, 429),
    sync_to_thread=True,
)
def get_quarantine(
    request: AnyRequest, after: Annotated[int, QueryParameter(ge=0, le=2**62)] = 0
) -> list[QuarantineRow]:
    """A page of the quarantine."""
    with office_of(request).database.read() as connection:
        return list_quarantine(connection, after=after, rows_max=QUARANTINE_A_PAGE_MAX)


@get(
    "/v1/alarms",
    operation_id="listAlarms",
    summary="Tills whose past is not the office's",
    description="For head office and admins.",
    tags=["health"],
    security=USER,
    guards=[any_user],
    responses=refusals(400, 401, 403, 429),
    sync_to_thread=True,
)
def get_alarms(
    request: AnyRequest,
    closed: Annotated[bool, QueryParameter(description="Those that were closed, too.")] = False,
) -> list[AlarmRow]:
    """Alarms, the latest first."""
    with office_of(request).database.read() as connection:
        return list_alarms(connection, with_closed=closed)


routes: list[Any] = [get_health, get_metrics, get_quarantine, get_alarms]


def _number(connection: Connection, expression: Any) -> Any:
    return connection.execute(select(expression)).scalar_one()
