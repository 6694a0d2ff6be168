# Rule 5. With no interval of their own yet.
> day 0 10:00 purchase receipt=A
> day 61 10:00 purchase receipt=B
as of day 62
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 61: purchase(purchase) -> not_back_yet, return after 61 days
