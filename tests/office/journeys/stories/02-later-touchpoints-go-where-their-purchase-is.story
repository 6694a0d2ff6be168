# Rule 2. What refers to a purchase belongs to that purchase's trip, whenever it comes: here the
# return of A comes 45 days after it, and after B, and says nothing about the trip of B.
> day 0 10:00 web_visit
> day 1 10:00 purchase receipt=A
> day 40 10:00 purchase receipt=B
> day 46 09:00 return receipt=A
as of day 50
= trip 1, day 0: web_visit(orientation) purchase(purchase) return(service) -> next_trip, first unknown
= trip 2, day 40: purchase(purchase) -> not_back_yet, repeat after 39 days
