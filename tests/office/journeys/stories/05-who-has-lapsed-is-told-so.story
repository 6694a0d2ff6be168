# Rule 5. The same customer a day later.
> day 0 10:00 purchase receipt=A
> day 40 10:00 purchase receipt=B
> day 90 10:00 purchase receipt=C
as of day 226
lapses on day 226
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 40: purchase(purchase) -> next_trip, repeat after 40 days
= trip 3, day 90: purchase(purchase) -> lapsed, repeat after 50 days
