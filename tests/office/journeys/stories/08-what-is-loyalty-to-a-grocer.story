# Rule 8. Four purchases, each within a week of the one before.
> day 0 10:00 purchase receipt=A
> day 6 10:00 purchase receipt=B
> day 12 10:00 purchase receipt=C
> day 18 10:00 purchase receipt=D
> day 26 10:00 purchase receipt=E
as of day 27
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 6: purchase(purchase) -> next_trip, repeat after 6 days
= trip 3, day 12: purchase(purchase) -> next_trip, repeat after 6 days
= trip 4, day 18: purchase(loyalty) -> next_trip, repeat after 6 days
= trip 5, day 26: purchase(purchase) -> not_back_yet, repeat after 8 days
