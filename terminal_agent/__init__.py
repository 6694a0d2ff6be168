"""The till: an agent on POS hardware, from the scanner's bytes to the journal and the receipt."""
