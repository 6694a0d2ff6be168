"""`store`, `till`, `offers`."""

from typing import Annotated

import typer

from sync_server.commands.console import (
    AsJson,
    DataDir,
    opened,
    print_json,
    print_table,
    shown_span,
    shown_time,
)
from sync_server.feed.versions import feed_versions
from sync_server.registry import offers as offers_registry
from sync_server.registry import stores as stores_registry
from sync_server.registry import tills as tills_registry
from sync_server.registry.rotation import ask_rotation
from sync_server.registry.tills import TillRow
from wire.feed import Offer

CODE_MINUTES = 15

store_app = typer.Typer(help="Stores: number, name, time zone.", no_args_is_help=True)
till_app = typer.Typer(help="Tills: enrol, see, revoke.", no_args_is_help=True)
offers_app = typer.Typer(help="Follow-up vouchers that tills print.", no_args_is_help=True)


@store_app.command("add")
def add_store(
    store_id: Annotated[str, typer.Argument(metavar="STORE", help="The store's number.")],
    name: Annotated[str, typer.Option(help="What customers call it.")],
    time_zone: Annotated[str, typer.Option(help="IANA name: a day is the store's day.")] = "UTC",
    data: DataDir = None,
) -> None:
    """Adds a store, or changes its name or time zone."""
    with opened(data) as office, office.database.write() as connection:
        stores_registry.add_store(connection, store_id, name, time_zone, office.now_ms())
    typer.echo(f"Store {store_id}: {name}, {time_zone}.")


@store_app.command("list")
def list_stores(data: DataDir = None, as_json: AsJson = False) -> None:
    """Lists all stores."""
    with opened(data) as office, office.database.read() as connection:
        stores = stores_registry.list_stores(connection)
    if as_json:
        print_json(stores)
    else:
        rows = [(store.store_id, store.name, store.time_zone) for store in stores]
        print_table(("store", "name", "time zone"), rows)


@till_app.command("add")
def add_till(
    till_id: Annotated[str, typer.Argument(metavar="TILL", help="Its name, once for all stores.")],
    store: Annotated[str | None, typer.Option(help="The number of its store.")] = None,
    minutes: Annotated[int, typer.Option(help="How long the code is good.")] = CODE_MINUTES,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Adds a till, or lets a known one enrol again, and prints the one-time code."""
    with opened(data) as office, office.database.write() as connection:
        code = tills_registry.add_till(connection, till_id, store, minutes, office.now_ms())
    if as_json:
        print_json({"till_id": till_id, "code": code, "minutes": minutes})
        return
    typer.echo(code)
    typer.echo(
        f"At till {till_id} run: klantreis-till enrol --config till.toml --code {code}\n"
        f"The code works once, within {minutes} minutes.",
        err=True,
    )


@till_app.command("list")
def list_tills(data: DataDir = None, as_json: AsJson = False) -> None:
    """Lists all tills: last seen, epoch, how far the office has them, and they the feed."""
    with opened(data) as office:
        feed_now = feed_versions(office)
        with office.database.read() as connection:
            tills = tills_registry.list_tills(connection, feed_now=feed_now)
        now_ms = office.now_ms()
    if as_json:
        print_json(tills)
        return
    place = ("till", "store", "state", "epoch", "watermark")
    header = (*place, "last seen", "lag", "feed", "key", "aside", "alarms")
    print_table(header, [_till_cells(till, now_ms) for till in tills])


@till_app.command("rotate")
def rotate_till(
    till_id: Annotated[str, typer.Argument(metavar="TILL")], data: DataDir = None
) -> None:
    """Has a till change its key when it next asks; its vouchers and sales stay good."""
    with opened(data) as office, office.database.write() as connection:
        ask_rotation(connection, till_id, office.now_ms())
    typer.echo(f"Till {till_id} changes its key when it next asks. See: klantreis-office till list")


@till_app.command("revoke")
def revoke_till(
    till_id: Annotated[str, typer.Argument(metavar="TILL")], data: DataDir = None
) -> None:
    """Takes a till's right to speak, at once; other tills stop taking its vouchers."""
    with opened(data) as office, office.database.write() as connection:
        tills_registry.revoke_till(connection, till_id, office.now_ms())
    typer.echo(f"Till {till_id} is revoked.")


@offers_app.command("add")
def add_offer(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN")],
    text: Annotated[str, typer.Option(help="What the voucher says.")],
    value_cents: Annotated[int, typer.Option(help="What it is worth.")],
    valid_days: Annotated[int, typer.Option(help="How long it is good.")] = 30,
    minimum_cents: Annotated[int, typer.Option(help="Least total of a sale that gets it.")] = 0,
    holdout_share: Annotated[
        float, typer.Option(help="Share of members, by chance, who get none: 0.1 is one in ten.")
    ] = 0.0,
    data: DataDir = None,
) -> None:
    """Adds an offer, or changes it: linked sales of at least the minimum get the voucher."""
    offer = Offer(campaign, text, value_cents, valid_days, minimum_cents, holdout_share)
    with opened(data) as office, office.database.write() as connection:
        offers_registry.add_offer(connection, offer, office.now_ms())
    typer.echo(f"Offer {campaign} is out.")


@offers_app.command("list")
def list_offers(data: DataDir = None, as_json: AsJson = False) -> None:
    """Lists the offers that are out."""
    with opened(data) as office, office.database.read() as connection:
        offers = offers_registry.current_offers(connection)
    fields = ("campaign", "text", "value_cents", "valid_days", "minimum_cents", "holdout_share")
    rows = [tuple(getattr(offer, name) for name in fields) for offer in offers]
    if as_json:
        print_json([dict(zip(fields, row, strict=True)) for row in rows])
    else:
        print_table(fields, rows)


@offers_app.command("withdraw")
def withdraw_offer(
    campaign: Annotated[str, typer.Argument(metavar="CAMPAIGN")], data: DataDir = None
) -> None:
    """Ends an offer; vouchers that are printed stay good."""
    with opened(data) as office, office.database.write() as connection:
        offers_registry.withdraw_offer(connection, campaign, office.now_ms())
    typer.echo(f"Offer {campaign} is withdrawn.")


def _till_cells(till: TillRow, now_ms: int) -> tuple[object, ...]:
    state = "enrolled" if till.enrolled_at_ms else "waiting"
    if till.revoked_at_ms:
        state = "revoked"
    lag = "-" if till.last_seen_ms is None else shown_span(now_ms - till.last_seen_ms)
    seen = shown_time(till.last_seen_ms)
    place = (till.till_id, till.store_id, state, till.epoch, till.watermark)
    key = "-" if till.key_since_ms is None else shown_span(now_ms - till.key_since_ms)
    if till.rotate_asked_at_ms is not None:
        key += ", new one asked"
    feed = f"behind: {', '.join(till.feed_behind)}" if till.feed_behind else "current"
    return (*place, seen, lag, feed if till.feed else "-", key, till.set_aside, till.alarms)
