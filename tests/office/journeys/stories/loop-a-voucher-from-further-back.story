# The voucher says which trip caused it: not always the one right before.
> day 0 10:00 purchase receipt=A
> day 3 10:00 purchase receipt=B
> day 9 10:00 purchase receipt=C cause=A
as of day 10
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 3: purchase(purchase) -> next_trip, repeat after 3 days
= trip 3, day 9: purchase(loyalty) -> not_back_yet, repeat after 6 days, loop of 1
