> day 0 10:00 purchase receipt=A
> day 2 10:00 rating receipt=A value=5
> day 3 10:00 rating receipt=A value=2
as of day 4
= trip 1, day 0: purchase(purchase) rating(loyalty) rating(service) -> not_back_yet, first unknown
