# Rule 6. Same instant: till "a" comes before till "b".
> day 0 10:00 web_visit till=b
> day 0 10:00 purchase receipt=A till=a
as of day 1
= trip 1, day 0: purchase(purchase) -> next_trip, first unknown
= trip 2, day 0: web_visit(orientation) -> under_way
