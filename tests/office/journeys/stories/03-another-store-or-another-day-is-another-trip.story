# Rule 3. Five minutes apart, but in another store; five minutes apart, but over midnight.
> day 0 23:50 purchase receipt=A store=north
> day 0 23:55 purchase receipt=B store=south
> day 1 00:00 purchase receipt=C store=south
as of day 2
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 0: purchase(purchase) -> next_trip, repeat after 0 days
= trip 3, day 1: purchase(purchase) -> not_back_yet, repeat after 1 days
