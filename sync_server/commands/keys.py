"""`key`: the office's signing key, and its change."""

from typing import Annotated

import typer
from sqlalchemy import Connection, select
from sqlmodel import col

from sync_server.commands.console import (
    AsJson,
    DataDir,
    opened,
    print_json,
    print_table,
    shown_time,
)
from sync_server.keys import KEYS_FILE
from sync_server.registry.generations import Part
from sync_server.registry.office_key_change import (
    LEAD_MINUTES_MAX,
    OVERLAP_DAYS,
    OVERLAP_DAYS_MAX,
    drop,
    rotate,
)
from sync_server.registry.office_keys import (
    DAY_MS,
    LEAD_MINUTES,
    KeyState,
    name_of,
    office_keys,
    present_of,
)
from sync_server.tables import Till, TillFeed

TILLS_SHOWN_MAX = 20

key_app = typer.Typer(help="The office's signing key: see, change.", no_args_is_help=True)


@key_app.command("rotate")
def rotate_key(
    overlap_days: Annotated[
        int,
        typer.Option(min=1, max=OVERLAP_DAYS_MAX, help="How long the present key stays good."),
    ] = OVERLAP_DAYS,
    signs_in_minutes: Annotated[
        int,
        typer.Option(min=0, max=LEAD_MINUTES_MAX, help="When the next key begins to sign."),
    ] = LEAD_MINUTES,
    data: DataDir = None,
) -> None:
    """Makes the next key and tells tills of it; it signs after a while, both are good meanwhile."""
    with opened(data) as office:
        key = rotate(office, overlap_days * DAY_MS, signs_in_minutes * 60_000)
        path = office.settings.data_dir / KEYS_FILE
    typer.echo(
        f"Key {name_of(key.public_key)} signs from {shown_time(key.due_at_ms)} UTC on, with the "
        f"first base that is built then; the one before is good for {overlap_days} days from now."
    )
    typer.echo(
        f"Back up {path} now, and copy it to the office's other machines before that time. Which "
        "tills know the key: klantreis-office key status"
    )


@key_app.command("status")
def show_keys(data: DataDir = None, as_json: AsJson = False) -> None:
    """Lists the office's keys, and the tills that do not know the newest one yet."""
    with opened(data) as office, office.database.read() as connection:
        states = office_keys(connection, office.keys)
        held = set(office.keys.public_keys())
        unaware, count = _unaware(connection, states[-1])
        now_ms = office.now_ms()
    present = present_of(states)
    rows = [
        (
            name_of(key.public_key),
            _state(key, present, now_ms),
            shown_time(key.signs_from_ms or None),
            shown_time(key.until_ms),
            "here" if key.public_key in held else "-",
        )
        for key in states
    ]
    if as_json:
        fields = ("key", "state", "signs_from_ms", "until_ms", "is_here")
        print_json(
            {
                "keys": [
                    dict(
                        zip(
                            fields,
                            (*row[:2], key.signs_from_ms, key.until_ms, row[4] == "here"),
                            strict=True,
                        )
                    )
                    for row, key in zip(rows, states, strict=True)
                ],
                "tills": count,
                "tills_unaware": unaware,
            }
        )
        return
    print_table(("key", "state", "signs from", "good until", "private half"), rows)
    if unaware:
        more = "" if len(unaware) <= TILLS_SHOWN_MAX else ", …"
        shown = ", ".join(unaware[:TILLS_SHOWN_MAX]) + more
        typer.echo(f"{len(unaware)} of {count} tills do not know the newest key yet: {shown}")
    else:
        typer.echo(f"All {count} tills know the newest key.")


@key_app.command("drop")
def drop_key(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, data: DataDir = None
) -> None:
    """Ends the key before the present one at once: somebody else may have it."""
    with opened(data) as office:
        if not yes:
            typer.confirm(
                "Tills that do not know the present key will have to be enrolled again, and "
                "vouchers that the old key signed are worth nothing. Go on?",
                abort=True,
            )
        dropped = drop(office)
    typer.echo(f"Key {name_of(dropped)} is dropped; tills that are on-line stop taking it at once.")


def _state(key: KeyState, present: bytes, now_ms: int) -> str:
    if key.public_key == present:
        return "signs"
    if key.is_leaked:
        return "dropped"
    if key.signs_from_ms is None:
        return f"next, due {shown_time(key.due_at_ms)}"
    return "still good" if key.is_good(now_ms) else "ended"


def _unaware(connection: Connection, newest: KeyState) -> tuple[list[str], int]:
    """Tills that have not said that they know `newest`, and how many tills there are."""
    found = connection.execute(
        select(col(Till.till_id), col(TillFeed.version))
        .outerjoin(
            TillFeed,
            (col(TillFeed.till_id) == col(Till.till_id))
            & (col(TillFeed.part) == str(Part.OFFICE_KEYS)),
        )
        .where(col(Till.public_key).is_not(None), col(Till.revoked_at_ms).is_(None))
        .order_by(col(Till.till_id))
    ).all()
    unaware = [till for till, version in found if _generation(version) < newest.generation]
    return unaware, len(found)


def _generation(version: str | None) -> int:
    number = (version or "").partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else -1
