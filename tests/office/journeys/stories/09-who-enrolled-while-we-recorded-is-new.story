# Rule 9.
> day 0 10:00 purchase receipt=A
recording began day -5
enrolled day -1
as of day 1
= trip 1, day 0: purchase(purchase) -> not_back_yet, first
