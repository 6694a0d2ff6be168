"""Vouchers that are spent: the projector tells of them, tills refuse them at the lane."""

from collections import defaultdict
from collections.abc import Iterable

import structlog
from sqlalchemy import Connection, delete, func, select
from sqlmodel import col

from sync_server.bulk import find_rows
from sync_server.database import upsert
from sync_server.projection import Projected, VoucherKey
from sync_server.registry.generations import Part, next_generation
from sync_server.registry.offers import VALID_DAYS_MAX
from sync_server.tables import SpentVoucher, Voucher
from wire.events import VoucherState
from wire.feed import SPENT_VOUCHERS_MAX, IssuedBy, SpentVouchers

log = structlog.get_logger("feed")

KEYS_A_SELECT = 500
DAY_MS = 86_400_000
_KEY = ("issuer", "serial")
REDEEMED = "redeemed"
VOID = str(VoucherState.VOID)
DELTA_SHARE_MAX = 0.5
"""What came since a till's list is sent alone while it is at most this share of the whole."""


def note_spent(connection: Connection, projected: Projected, now_ms: int) -> None:
    """Takes up the vouchers that these rows of the projection spend; expired ones are let go.

    A voucher whose own sale is not here yet is kept for as long as any voucher can be good.
    """
    wanted: dict[VoucherKey, tuple[str, int]] = {}
    for row in projected.redemptions:
        latest_ms = row["occurred_at_ms"] + VALID_DAYS_MAX * DAY_MS
        wanted[row["issuer"], row["serial"]] = REDEEMED, latest_ms
    for key, row in projected.vouchers.items():
        if row["state"] == VOID:
            wanted.setdefault(key, (VOID, row["expires_at_ms"]))
    if not wanted:
        return
    for key, expires_at_ms in _expiries(connection, wanted):
        wanted[key] = wanted[key][0], expires_at_ms
    for key in _known(connection, wanted):
        del wanted[key]
    rows = [
        {"issuer": issuer, "serial": serial, "state": state, "expires_at_ms": expires_at_ms}
        for (issuer, serial), (state, expires_at_ms) in wanted.items()
        if expires_at_ms >= now_ms
    ]
    if not rows:
        return
    # Generations follow the clock: a database that was put back never counts one a second time,
    # so a till's list, which only grows, can be asked for from any generation on.
    as_of = next_generation(connection, Part.VOUCHERS, now_ms, at_least=now_ms)
    upsert(connection, SpentVoucher, [{**row, "generation": as_of} for row in rows])
    connection.execute(delete(SpentVoucher).where(col(SpentVoucher.expires_at_ms) < now_ms))


def spent_vouchers(connection: Connection, version: str, since: str, now_ms: int) -> SpentVouchers:
    """The list of `version` (the part's version in this transaction) as a till gets it.

    What came to the list of version `since` if that is much shorter, else all of it.
    """
    whole = connection.execute(
        select(func.count()).where(col(SpentVoucher.expires_at_ms) >= now_ms)
    ).scalar_one()
    begins = _generation(since)
    if begins is not None and begins <= (_generation(version) or 0):
        fresh = connection.execute(
            select(func.count()).where(
                col(SpentVoucher.expires_at_ms) >= now_ms, col(SpentVoucher.generation) > begins
            )
        ).scalar_one()
        if fresh <= whole * DELTA_SHARE_MAX or fresh == 0:
            return _list(connection, version, since, begins, now_ms)
    if whole > SPENT_VOUCHERS_MAX:
        log.warning("more spent vouchers than tills are told of", count=whole)
    return _list(connection, version, "", -1, now_ms)


def _list(
    connection: Connection, version: str, since: str, begins: int, now_ms: int
) -> SpentVouchers:
    found = connection.execute(
        select(col(SpentVoucher.issuer), col(SpentVoucher.serial), col(SpentVoucher.state))
        .where(col(SpentVoucher.expires_at_ms) >= now_ms, col(SpentVoucher.generation) > begins)
        .order_by(
            col(SpentVoucher.generation).desc(),
            col(SpentVoucher.issuer),
            col(SpentVoucher.serial),
        )
        .limit(SPENT_VOUCHERS_MAX)
    )
    by_state: dict[str, dict[str, list[str]]] = {
        REDEEMED: defaultdict(list),
        VOID: defaultdict(list),
    }
    for issuer, serial, state in found:
        by_state[state][issuer].append(serial)
    redeemed, void = (
        tuple(IssuedBy(issuer, tuple(serials)) for issuer, serials in sorted(one.items()))
        for one in (by_state[REDEEMED], by_state[VOID])
    )
    return SpentVouchers(version, since, redeemed, void)


def _expiries(connection: Connection, keys: Iterable[VoucherKey]) -> list[tuple[VoucherKey, int]]:
    columns = (*_KEY, "expires_at_ms")
    return [
        ((issuer, serial), at_ms)
        for chunk in _chunks(keys)
        for issuer, serial, at_ms in find_rows(connection, Voucher, columns, _KEY, chunk)
    ]


def _known(connection: Connection, keys: Iterable[VoucherKey]) -> list[VoucherKey]:
    return [
        (issuer, serial)
        for chunk in _chunks(keys)
        for issuer, serial in find_rows(connection, SpentVoucher, _KEY, _KEY, chunk)
    ]


def _chunks(keys: Iterable[VoucherKey]) -> Iterable[list[VoucherKey]]:
    ordered = sorted(keys)
    for start in range(0, len(ordered), KEYS_A_SELECT):
        yield ordered[start : start + KEYS_A_SELECT]


def _generation(version: str) -> int | None:
    number = version.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else None
