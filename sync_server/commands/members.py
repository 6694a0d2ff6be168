"""`members import`, `members remove`, `members density`."""

import random
from typing import Annotated, NamedTuple

import typer
from msgspec import Struct

from sync_server.commands.console import AsJson, DataDir, opened, print_json, print_table
from sync_server.commands.imports import import_members
from sync_server.errors import RegistryError
from sync_server.feed.density import SchemeDensity, scheme_densities
from sync_server.registry.members import remove_identifiers
from sync_server.registry.schemes import canonical, load_schemes
from wire.identifiers import identifier_token

members_app = typer.Typer(help="Loyalty members.", no_args_is_help=True)
members_app.command("import")(import_members)

SAMPLE_DEFAULT = 10_000
SAMPLE_MAX = 10_000_000


class Removal(Struct, frozen=True):
    """What `members remove` did."""

    member: int
    identifiers: int


class _Given(NamedTuple):
    domain: str
    number: str


@members_app.command("remove")
def remove_member(
    member: Annotated[int, typer.Argument(metavar="MEMBER", min=0, help="Your number.")],
    identifier: Annotated[
        list[str] | None,
        typer.Option(metavar="SCHEME=NUMBER", help="Only this one; may be given again."),
    ] = None,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Takes a member's identifiers away; tills stop finding the member with their next feed.

    The member's sales stay: this is no erasure of the journey.
    """
    given = [_split(one) for one in identifier or ()]
    with opened(data) as office:
        schemes = {scheme.name: scheme for scheme in load_schemes(office.settings.data_dir)}
        tokens: list[bytes] = []
        for domain, number in given:
            if domain not in schemes:
                raise _no_identifier(domain, f"there is no scheme {domain}")
            try:
                known = canonical(schemes[domain], number)
            except ValueError as error:
                raise _no_identifier(domain, str(error)) from error
            tokens.append(identifier_token(office.keys.identifier_key, domain, known))
        with office.database.write() as connection:
            removed = remove_identifiers(connection, member, office.now_ms(), tokens or None)
    if as_json:
        print_json(Removal(member, removed))
        return
    typer.echo(f"Member {member} lost {removed} identifier{'' if removed == 1 else 's'}.")


@members_app.command()
def density(
    sample: Annotated[
        int, typer.Option(min=1, max=SAMPLE_MAX, help="Single errors tried a scheme.")
    ] = SAMPLE_DEFAULT,
    data: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Tells how densely numbers are used, and so what becomes of a number that is misread.

    Makes single errors in members' numbers and asks the index as a till does. Reads every number.
    """
    with opened(data) as office:
        found = scheme_densities(office, sample, random.Random(0))  # noqa: S311
    if as_json:
        print_json(found)
        return
    header = ("scheme", "numbers", "possible", "used", "errors", "put right", "ambiguous", "silent")
    print_table(header, [_cells(one) for one in found])


def _cells(one: SchemeDensity) -> tuple[object, ...]:
    if one.possible is None:
        return (one.scheme, one.identifiers, "-", "-", "-", "-", "-", "-")
    shares = (one.corrected_share, one.ambiguous_share, one.silent_share)
    return (
        one.scheme,
        one.identifiers,
        one.possible,
        "-" if one.used_share is None else f"{one.used_share:.2%}",
        one.errors,
        *(f"{share:.2%}" if one.errors else "-" for share in shares),
    )


def _split(text: str) -> _Given:
    domain, equals, number = text.partition("=")
    if not equals:
        raise _no_identifier("identifier", "it is not of the form SCHEME=NUMBER")
    return _Given(domain, number)


def _no_identifier(domain: str, reason: str) -> RegistryError:
    # The reason never repeats the number: what is printed may be kept somewhere.
    return RegistryError(
        "identifier",
        f"The {domain} cannot be looked up: {reason}.",
        "Give it as SCHEME=NUMBER, for example --identifier card=2000000000015",
    )
