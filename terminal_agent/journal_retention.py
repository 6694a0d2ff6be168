"""What of the journal may go: pure decisions about numbers and times."""

from collections.abc import Iterable

DAY_MS = 86_400_000


def keep_from(epoch: int, acknowledged: int, last_sale: tuple[int, int]) -> int:
    """The first event of `epoch` that stays, however old.

    That is the last acknowledged one, whose hash the chain goes on from, or the till's last sale
    (epoch and number) if that comes before.
    """
    sale_epoch, sale_seq = last_sale
    return min(acknowledged, sale_seq) if sale_epoch == epoch else acknowledged


def trims_upto(times: Iterable[tuple[int, int]], before_ms: int, now_ms: int, keep: int) -> int:
    """The last event that may go; 0 when none may.

    `times` are an epoch's first events, their numbers and times. All up to an event that is kept
    must be older than `before_ms`. One dated in the future was recorded while the clock was wrong:
    it goes when an event after it is old.
    """
    upto = 0
    for seq, at_ms in times:
        if seq >= keep:
            break
        if at_ms < before_ms:
            upto = seq
        elif at_ms <= now_ms:
            break
    return upto
