"""Writes the catalogue, the same on every run: `python -m shop.search.catalogue`.

What it writes is a migration, and applied migrations are never edited: a new assortment is a new
file. No randomness: every price and stock is worked out from the name.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args
from zlib import crc32

from shop.search.contract import Item

Dialect = Literal["sqlite", "postgres"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
MIGRATIONS = Path(__file__).parent / "migrations"
FILE = "0002_catalogue.sql"
INDEX = "\ninsert into item_words (item_words) values ('rebuild');\n"  # PostgreSQL keeps its own up to date


class Shelf(NamedTuple):
    """A category: what there is, each thing from how many euros on, and in which kinds."""

    category: str
    prefix: str
    things: dict[str, int]
    kinds: str
    uses: list[str]


SHELVES = [
    Shelf(
        "Kitchen",
        "KIT",
        {
            "Kettle": 39,
            "Teapot": 29,
            "Mixing Bowl": 14,
            "Chopping Board": 19,
            "Saucepan": 34,
            "Coffee Grinder": 45,
            "Pepper Mill": 22,
            "Bread Knife": 27,
            "Casserole": 59,
            "Carafe": 18,
        },
        "Copper Steel Enamel Cast-Iron Walnut Beech Olive-Wood Stoneware Porcelain Glass Marble "
        "Bamboo Brass Terracotta Slate Maple Ash Cork Granite Ceramic",
        ["for slow mornings", "for a full table", "that outlives its owner", "for small kitchens"],
    ),
    Shelf(
        "Garden",
        "GDN",
        {
            "Watering Can": 24,
            "Trowel": 12,
            "Planter": 21,
            "Bird House": 26,
            "Lantern": 17,
            "Bench": 129,
            "Rake": 23,
            "Bucket": 11,
            "Trellis": 32,
            "Garden Fork": 28,
        },
        "Zinc Oak Teak Cedar Willow Larch Copper Rust-Red Moss-Green Slate-Grey Galvanised Rattan "
        "Sandstone Pine Chestnut Ivory Cobalt Terracotta Acacia Black",
        ["for balconies", "for old roses", "made to weather", "for muddy hands"],
    ),
    Shelf(
        "Desk",
        "DSK",
        {
            "Lamp": 49,
            "Notebook": 9,
            "Pencil Case": 13,
            "Letter Tray": 16,
            "Fountain Pen": 54,
            "Ruler": 6,
            "Bookend": 19,
            "Desk Pad": 25,
            "Clock": 38,
            "Paperweight": 15,
        },
        "Walnut Oak Linen Leather Brass Anthracite Indigo Cork Felt Birch Aluminium Marble Crimson "
        "Sage Navy Ochre Cherry Graphite Cream Titanium",
        ["for long letters", "for tidy minds", "that keeps its place", "for late ideas"],
    ),
    Shelf(
        "Bath",
        "BTH",
        {
            "Towel": 18,
            "Soap Dish": 9,
            "Bath Mat": 24,
            "Mirror": 44,
            "Laundry Basket": 36,
            "Robe": 69,
            "Brush": 12,
            "Stool": 48,
            "Shelf": 39,
            "Tumbler": 8,
        },
        "Linen Waffle Bamboo Cotton Terrazzo Teak Chrome Sea-Blue Sand Cedar Pearl Charcoal Mint "
        "Rose Ivory Stoneware Alabaster Hemp Cloud-Grey Amber",
        ["for quiet Sundays", "soft from the first day", "for guests", "that dries quickly"],
    ),
    Shelf(
        "Travel",
        "TRV",
        {
            "Backpack": 79,
            "Suitcase": 119,
            "Bottle": 21,
            "Umbrella": 29,
            "Neck Pillow": 19,
            "Wash Bag": 17,
            "Passport Case": 14,
            "Blanket": 42,
            "Day Bag": 49,
            "Head Torch": 26,
        },
        "Canvas Felt Leather Ripstop Waxed Merino Olive Navy Rust Graphite Sand Alpine Ocean Ember "
        "Sky-Blue Forest Saffron Plum Night-Black Wool",
        ["for short trips", "that fits under the seat", "for bad weather", "for far places"],
    ),
    Shelf(
        "Play",
        "PLY",
        {
            "Chess Set": 64,
            "Kite": 22,
            "Puzzle": 18,
            "Marble Run": 47,
            "Yo-Yo": 8,
            "Train": 33,
            "Doll's House": 98,
            "Domino": 15,
            "Spinning Top": 7,
            "Juggling Balls": 16,
        },
        "Wooden Rainbow Beech Midnight Lacquered Pocket Grand Painted Maple Velvet Sunny Magnetic "
        "Classic Tin Folding Golden Meadow Cherry Polar Giant",
        ["for rainy afternoons", "for three generations", "for patient hands", "for two"],
    ),
]


def items() -> Iterator[Item]:
    """Every item: each thing of a shelf in each of its kinds. Few are nearly or wholly sold out."""
    for shelf in SHELVES:
        things = [
            (f"{kind} {thing}", thing) for thing in shelf.things for kind in shelf.kinds.split()
        ]
        for number, (name, thing) in enumerate(things, 1):
            chance = crc32(name.encode())
            euros = shelf.things[thing] + chance // 7 % (shelf.things[thing] // 2 + 3)
            yield Item(
                sku=f"{shelf.prefix}-{number:04}",
                name=name,
                category=shelf.category,
                description=f"{_with_article(name)} {shelf.uses[chance % len(shelf.uses)]}.",
                price_cents=euros * 100 + (90, 50, 0)[chance % 3],
                stock=chance // 50 % 4 if chance % 50 == 0 else 300 + chance // 11 % 900,
            )


def _with_article(name: str) -> str:
    article = "An" if name[0] in "AEIOU" else "A"
    return f"{article} {name.lower()}"


def sql(dialect: Dialect) -> str:
    """The migration that puts the items on sale."""
    rows = ",\n".join(
        f"    ({_quoted(item.sku)}, {_quoted(item.name)}, {_quoted(item.category)}, "
        f"{_quoted(item.description)}, {item.price_cents}, {item.stock})"
        for item in items()
    )
    return (
        "-- Written by `python -m shop.search.catalogue`.\n"
        "insert into items (sku, name, category, description, price_cents, stock) values\n"
        f"{rows};\n"
        f"{INDEX if dialect == 'sqlite' else ''}"
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


if __name__ == "__main__":
    for dialect in DIALECTS:
        (MIGRATIONS / dialect / FILE).write_text(sql(dialect), encoding="utf-8")
