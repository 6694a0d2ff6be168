"""What head office enters: stores, tills, members, products, offers."""
