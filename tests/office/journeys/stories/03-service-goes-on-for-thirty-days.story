# Rule 3. Without a reference: day 30 after the purchase is service, day 31 is something new.
> day 0 10:00 purchase receipt=A
> day 30 23:00 service_contact
> day 31 01:00 service_contact
as of day 32
= trip 1, day 0: purchase(purchase) service_contact(service) -> next_trip, first unknown
= trip 2, day 31: service_contact(service) -> under_way
