"""What flows back to the tills: members, products, offers, each with its version."""
