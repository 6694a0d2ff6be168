"""A shop without an office: a till's data directory that knows products, members and an offer.

For what is tried at a till alone. Where an office takes part, the office makes all of this.
"""

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from native.matcher import Scheme, build
from terminal_agent.identity import KeyFile, save_identity
from wire.feed import Offer, OfferList, Product, ProductList, encode_feed
from wire.identifiers import gs1_check_digit

IDENTIFIER_KEY = bytes(range(32))
OFFICE_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

TILL = """
[till]
data = "."
[office]
url = "http://127.0.0.1:9"
[scanner]
port = "{data}/scanner"
[printer]
port = "{data}/printer"
profile = "epson-tm-t20iii"
flow = "rtscts"
baudrate = 115200
[[card]]
name = "loyalty"
prefixes = ["29"]
lengths = [13]
check = "gs1"
"""


def ean13(digits: str) -> str:
    return digits + gs1_check_digit(digits)


def card(member: int) -> str:
    return ean13(f"29{member:010d}")


def product(number: int) -> str:
    return ean13(f"87{number:010d}")


def open_shop(data: Path, *, members: int, products: int) -> Path:
    """Fills `data`, with an office that never answers; the path of the configuration.

    Scanner and printer are expected at `data`/scanner and `data`/printer.
    """
    private = Ed25519PrivateKey.generate().private_bytes_raw()
    office = OFFICE_KEY.public_key().public_bytes_raw()
    key = KeyFile("shop-1", "s", "Corner Shop", 1, "", private, IDENTIFIER_KEY, office)
    save_identity(data / "till.key", key)
    feed = data / "feed"
    feed.mkdir(mode=0o700)
    listed = tuple(Product(product(n), f"Article {n}", 100 + n % 900) for n in range(products))
    (feed / "products").write_bytes(encode_feed(ProductList("1", listed)))
    offer = Offer("next-visit", "1.00 off your next visit", 100, 30)
    (feed / "offers").write_bytes(encode_feed(OfferList("1", (offer,), ())))
    build(
        feed / "members",
        [Scheme("card", "number", "gs1", (13,))],
        (("card", card(n), n) for n in range(members)),
        key=IDENTIFIER_KEY,
        generation=1,
        sign=OFFICE_KEY.sign,
    )
    versions = {"versions": {"products": "1", "offers": "1", "members": "1"}}
    (feed / "versions").write_bytes(msgspec.json.encode(versions))
    file = data / "till.toml"
    file.write_text(TILL.format(data=data), encoding="utf-8")
    return file
