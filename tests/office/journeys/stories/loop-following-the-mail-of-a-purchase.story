# The click looks for something new, so it opens the next trip, and its cause makes that a loop.
> day 0 10:00 purchase receipt=A
> day 7 08:00 email_click cause=A
> day 7 10:00 purchase receipt=B
as of day 8
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 7: email_click(consideration) purchase(loyalty) -> not_back_yet, repeat after 7 days, loop of 1
