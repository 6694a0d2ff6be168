"""Which identifiers members have here: the columns of an import, the schemes of the index."""

import re
import tomllib
from pathlib import Path

import msgspec

from native.matcher import Scheme
from sync_server.errors import SettingsError
from wire.identifiers import has_gs1_check_digit, luhn_check_digit

SCHEMES_FILE = "schemes.toml"
IDENTIFIER_CHARS_MAX = 128
DEFAULT_SCHEMES = (
    Scheme(name="card", kind="number", check="gs1", lengths=(13,)),
    Scheme(name="phone", kind="token"),
)


def load_schemes(data_dir: Path) -> tuple[Scheme, ...]:
    """The schemes in `schemes.toml` of the data directory, or the default ones.

    The file has a table a scheme: `[card]`, `kind = "number"`, `check = "gs1"`, `lengths = [13]`.
    Raises `SettingsError`.
    """
    path = data_dir / SCHEMES_FILE
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return DEFAULT_SCHEMES
    except (OSError, ValueError) as error:
        raise _faulty(path, str(error)) from error
    schemes: list[Scheme] = []
    for name, table in tables.items():
        try:
            schemes.append(msgspec.convert({**table, "name": name}, Scheme))
        except (TypeError, ValueError) as error:
            raise _faulty(path, f"[{name}]: {error}") from error
    return tuple(schemes)


def canonical(scheme: Scheme, given: str) -> str:
    """`given` as it is hashed and looked up. Raises `ValueError` with what is wrong with it."""
    identifier = re.sub(r"[\s.-]", "", given) if scheme.kind == "number" else given.strip()
    if not identifier or len(identifier) > IDENTIFIER_CHARS_MAX:
        raise ValueError(
            f"{scheme.name} is empty, or longer than {IDENTIFIER_CHARS_MAX} characters"
        )
    if scheme.lengths and len(identifier) not in scheme.lengths:
        lengths = " or ".join(str(length) for length in scheme.lengths)
        raise ValueError(f"{scheme.name} has {len(identifier)} characters, not {lengths}")
    if scheme.kind == "number" and not (identifier.isascii() and identifier.isdigit()):
        raise ValueError(f"{scheme.name} is not all digits")
    if scheme.kind == "text" and not re.fullmatch(r"[!->@-~]+", identifier):
        raise ValueError(f"{scheme.name} has a character that no such number has")
    good = {
        "none": lambda: True,
        "gs1": lambda: has_gs1_check_digit(identifier),
        "luhn": lambda: luhn_check_digit(identifier[:-1]) == identifier[-1],
    }
    if not good[scheme.check]():
        raise ValueError(f"{scheme.name} has a wrong check digit")
    return identifier


def _faulty(path: Path, reason: str) -> SettingsError:
    return SettingsError(
        "schemes",
        f"{path} cannot be used: {reason}.",
        'Write a table a scheme: [card], kind = "number", check = "gs1", lengths = [13].',
    )
