# Rule 5. On day 60 not yet, on day 61: and the next purchase is a return.
> day 0 10:00 purchase receipt=A
> day 60 10:00 purchase receipt=B
> day 121 10:00 purchase receipt=C
as of day 122
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 60: purchase(purchase) -> next_trip, repeat after 60 days
= trip 3, day 121: purchase(purchase) -> not_back_yet, repeat after 61 days
