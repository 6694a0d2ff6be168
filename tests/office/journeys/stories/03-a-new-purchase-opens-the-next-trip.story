# Rule 3.
> day 0 10:00 purchase receipt=A
> day 5 10:00 purchase receipt=B
as of day 6
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 5: purchase(purchase) -> not_back_yet, repeat after 5 days
