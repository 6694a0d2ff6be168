"""Which keys a till takes for the office's, and for how long. No I/O; the time is an argument."""

from collections.abc import Iterable

from msgspec import Struct

from terminal_agent.errors import TillError
from wire.office_keys import KeyStatement, Verify, is_signed


class TrustedKey(Struct, frozen=True):
    """A public key of the office. `until_ms` by the office's clock, 0 for no end."""

    public_key: bytes
    until_ms: int = 0

    def is_good(self, now_ms: int) -> bool:
        """Whether what comes now may be signed with it."""
        return not self.until_ms or now_ms < self.until_ms


def learn(
    trusted: Iterable[TrustedKey], said: Iterable[KeyStatement], now_ms: int, verify: Verify
) -> tuple[TrustedKey, ...]:
    """The keys after the office `said` these statements, oldest first.

    A statement counts when a key signed it that is still good. One whose time is over leads to no
    new key: who had the old key since then could have made it. A key's end only comes nearer.
    """
    until = {key.public_key: key.until_ms for key in trusted}
    for statement in said:
        if statement.before not in until or not is_signed(statement, verify):
            continue
        before = TrustedKey(statement.before, until[statement.before])
        if statement.after not in until:
            if not before.is_good(now_ms) or now_ms >= statement.before_until_ms:
                continue
            until[statement.after] = 0
        ends_ms = statement.before_until_ms
        until[statement.before] = min(before.until_ms or ends_ms, ends_ms)
    return tuple(TrustedKey(key, ends_ms) for key, ends_ms in until.items())


def good_keys(trusted: Iterable[TrustedKey], now_ms: int) -> tuple[bytes, ...]:
    """The keys that what comes now may be signed with."""
    return tuple(key.public_key for key in trusted if key.is_good(now_ms))


def without_ended(
    trusted: Iterable[TrustedKey], now_ms: int, in_force: bytes | None
) -> tuple[TrustedKey, ...]:
    """The keys that the till still needs: those that are good, and the one of its own files."""
    return tuple(key for key in trusted if key.is_good(now_ms) or key.public_key == in_force)


def key_unknown(till_id: str) -> TillError:
    """What is told when the office signs with a key that nothing good leads to."""
    return TillError(
        "office_key_unknown",
        "The office signs the member index with a key that this till does not know: it changed its "
        "key while this till was away.",
        f"Go on selling; members stay as they were. At the office: klantreis-office till add "
        f"{till_id}; here: stop the till, klantreis-till enrol with that code, start it. "
        "Unsent sales stay and are sent.",
    )
