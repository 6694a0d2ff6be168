"""Identifiers that are several people's: a family's address, the tablet at the door."""

from sqlalchemy import delete
from sqlmodel import col

from sync_server.database import upsert
from sync_server.errors import RegistryError
from sync_server.journeys.marks import mark
from sync_server.office import Office
from sync_server.tables import SharedIdentifier
from sync_server.touchpoints import identifiers
from sync_server.touchpoints.incoming import Rules, opaque
from sync_server.touchpoints.projection import MarkDirty, project_again
from sync_server.touchpoints.rules import load_rules


def set_shared(
    office: Office,
    domain: str,
    given: str,
    *,
    undo: bool = False,
    mark_dirty: MarkDirty = mark,
) -> int:
    """Splits what `given` tied together, or ties it again; returns the touchpoints looked at.

    Raises `RegistryError` for an identifier that is none.
    """
    with office.database.write() as connection:
        try:
            token = _token(domain, given, load_rules(office, connection))
        except ValueError as error:
            raise RegistryError("identifier", f"This is none: {error}.", "Check it.") from error
        if undo:
            connection.execute(delete(SharedIdentifier).where(col(SharedIdentifier.token) == token))
        else:
            row = {"token": token, "domain": domain, "since_ms": office.now_ms()}
            upsert(connection, SharedIdentifier, [row])
        return project_again(connection, {token}, mark_dirty)


def _token(domain: str, given: str, rules: Rules) -> bytes:
    if not given:
        raise ValueError(f"{domain} is empty")
    if domain == identifiers.EMAIL:
        return identifiers.email_token(rules.identifier_key, given)
    if domain == identifiers.PHONE:
        return identifiers.phone_token(rules.identifier_key, given, rules.country)
    if domain in (
        identifiers.MEMBER,
        identifiers.RECEIPT,
        identifiers.ORDER,
        identifiers.VOUCHER,
    ):
        return identifiers.text_token(domain, given)
    return opaque(rules, domain, given)
