# Rule 8. The second purchase, a year later; nobody has lapsed.
trade durable_goods
> day 0 10:00 purchase receipt=A
> day 365 10:00 purchase receipt=B
as of day 366
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 365: purchase(loyalty) -> not_back_yet, repeat after 365 days
