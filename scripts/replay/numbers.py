"""The numbers that the replay prints on products and cards, made from the data's ids. Pure."""

from wire.identifiers import gs1_check_digit

PRODUCT_PREFIX = "952"
"""GS1 gives 952 to demonstrations and examples of its system, so no real article is meant."""
CARD_PREFIX = "29"
"""In the range 20–29, which GS1 leaves to the shop itself (General Specifications 1.4)."""
PRODUCT_DIGITS, CARD_DIGITS = 9, 10


def gtin(product_id: int) -> str:
    """The GTIN-13 of a product: `PRODUCT_PREFIX`, nine digits of id, check digit."""
    return _numbered(PRODUCT_PREFIX, PRODUCT_DIGITS, product_id)


def card_number(household_id: int) -> str:
    """A household's loyalty number, an EAN-13: `CARD_PREFIX`, ten digits of id, check digit."""
    return _numbered(CARD_PREFIX, CARD_DIGITS, household_id)


def _numbered(prefix: str, digits: int, number: int) -> str:
    body = f"{prefix}{number:0{digits}d}"
    if number < 0 or len(body) != len(prefix) + digits:
        raise ValueError(f"{number} does not fit into {digits} digits")
    return body + gs1_check_digit(body)
