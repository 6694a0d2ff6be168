# Rule 3. And the history counts them as one: the third basket is the second purchase.
> day 0 10:00 purchase receipt=A
> day 0 10:10 purchase receipt=B
> day 0 10:21 purchase receipt=C
as of day 1
= trip 1, day 0: purchase(purchase) purchase(purchase) -> next_trip, first unknown
= trip 2, day 0: purchase(purchase) -> not_back_yet, repeat after 0 days
