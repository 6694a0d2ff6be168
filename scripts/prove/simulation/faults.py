"""What goes wrong in a run: each run has a mixture of its own, drawn from its seed.

A run with every fault at once finds less than many runs with a few each: one fault hides another.
"""

from dataclasses import dataclass, fields
from random import Random


@dataclass(frozen=True)
class Faults:
    """Shares (0 to 1) of messages, or chances a step. Zero: this run does not have the fault."""

    lost: float = 0.0
    """Requests that never arrive."""
    answer_lost: float = 0.0
    """The office took it; the till never hears."""
    late: float = 0.0
    """The till gives up; the request arrives all the same, after newer ones."""
    doubled: float = 0.0
    garbage: float = 0.0
    """Something else answers: a proxy, a sign-in page, half an answer."""
    slow: float = 0.0
    """Others act while this one waits for its answer."""
    line_down: float = 0.0
    limited: float = 0.0
    """Something on the way lets only short batches through for a while."""
    poisoned: float = 0.0
    """Something on the way refuses every batch with a certain sale in it, to the end."""
    till_stops: float = 0.0
    office_stops: float = 0.0
    crowded: float = 0.0
    """Batches wait at the office for others, to be taken in one transaction with them."""
    power_cut: float = 0.0
    """Of the stops of a machine: those that lose what was not synced."""
    till_disk: float = 0.0
    """A commit of a till fails."""
    till_full: float = 0.0
    till_newer: float = 0.0
    """Events of a kind that this office does not know."""
    office_disk: float = 0.0
    office_full: float = 0.0
    till_clock: float = 0.0
    office_clock: float = 0.0
    till_restored: float = 0.0
    """A till's disk is put back to an earlier state."""
    till_cloned: float = 0.0
    office_restored: float = 0.0
    members_late: float = 0.0
    """Cards that the registry learns of after they were used."""
    feed: float = 0.0
    """Tills ask for the feed, while members come and go and offers change."""
    key_changes: float = 0.0
    """Tills change their keys. Not where a disk is put back or copied: the older key is no key."""
    office_keys: float = 0.0
    """The office changes its signing key, while tills ask for the feed. Not where the office is put
    back: who loses the file with its keys enrols every till anew."""


HIGHEST = Faults(
    lost=0.3,
    answer_lost=0.3,
    late=0.25,
    doubled=0.3,
    garbage=0.2,
    slow=0.6,
    line_down=0.02,
    limited=0.03,
    poisoned=0.05,
    till_stops=0.12,
    office_stops=0.12,
    crowded=0.9,
    power_cut=1.0,
    till_disk=0.1,
    till_full=0.03,
    till_newer=0.3,
    office_disk=0.08,
    office_full=0.03,
    till_clock=0.08,
    office_clock=0.05,
    members_late=1.0,
)
SHARE_OF_FAULTS = 0.45
"""How many of the faults a run has."""
SHARE_OF_HISTORIES = 0.3
"""How many runs have a disk that is put back or copied: one of these at most."""

SHARE_OF_FEEDS = 0.25
"""How many runs have tills that ask for the feed, which makes half of such a run."""
SHARE_OF_KEYS = 0.4
"""How many runs without such a history have tills that change their keys."""
SHARE_OF_OFFICE_KEYS = 0.5
"""How many of the runs with a feed have an office that changes its own."""


def draw(chance: Random) -> Faults:
    """The faults of one run."""
    shares = {
        field.name: getattr(HIGHEST, field.name) * chance.random()
        for field in fields(Faults)[:-2]
        if chance.random() < SHARE_OF_FAULTS
    }
    if chance.random() < SHARE_OF_HISTORIES:
        history = chance.choice(("till_restored", "till_cloned", "office_restored"))
        shares[history] = 1.0
    if chance.random() < SHARE_OF_FEEDS:
        shares["feed"] = 1.0
    has_history = any(map(shares.get, ("till_restored", "till_cloned", "office_restored")))
    # Apart, so that what else a run draws stays what it was.
    if not has_history and Random(repr(shares)).random() < SHARE_OF_KEYS:
        shares["key_changes"] = 1.0
    may_change = "feed" in shares and "office_restored" not in shares
    if may_change and Random(f"office {shares}").random() < SHARE_OF_OFFICE_KEYS:
        shares["office_keys"] = 1.0
    return Faults(**shares)
