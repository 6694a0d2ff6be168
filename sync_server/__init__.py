"""The office: takes what tills send, keeps it, and draws journeys out of it."""
