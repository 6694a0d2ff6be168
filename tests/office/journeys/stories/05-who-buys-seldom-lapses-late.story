# Rule 5. Own intervals 40 and 50 days, median 45: lapsed after more than 135 days, not 60.
> day 0 10:00 purchase receipt=A
> day 40 10:00 purchase receipt=B
> day 90 10:00 purchase receipt=C
as of day 225
lapses on day 226
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 40: purchase(purchase) -> next_trip, repeat after 40 days
= trip 3, day 90: purchase(purchase) -> not_back_yet, repeat after 50 days
