"""Hardware that is not there: scanner and printer on real ptys, and the cashier between them."""
