# A voucher redeemed on the basket right after the one that printed it closes no loop.
> day 0 10:00 purchase receipt=A
> day 0 10:05 purchase receipt=B cause=A
as of day 1
= trip 1, day 0: purchase(purchase) purchase(purchase) -> not_back_yet, first unknown
