# Rule 3. Looking or choosing after a purchase, not before it, begins the next trip at once.
> day 0 10:00 price_check
> day 0 10:20 purchase receipt=A
> day 0 10:40 price_check
as of day 1
= trip 1, day 0: price_check(consideration) purchase(purchase) -> next_trip, first unknown
= trip 2, day 0: price_check(consideration) -> under_way
