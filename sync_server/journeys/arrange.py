"""Touchpoints as Arrow tables: sorted, each id once, with the links the fold goes by. Pure.

The same as `touchpoint.in_order` and `touchpoint.links`, for millions of rows at once.
"""

from typing import Any

from sync_server.journeys.arrow import pa, pc
from sync_server.journeys.rows import COLUMNS, NAMES_MAX, Vocabulary
from sync_server.journeys.touchpoint import PURCHASE

_TYPES = {"q": pa.int64(), "i": pa.int32(), "H": pa.uint16(), "B": pa.uint8()}
BUFFERS = [name for name, _ in COLUMNS]
SCHEMA: Any = pa.schema(
    [
        *(pa.field(name, _TYPES[code], nullable=False) for name, code in COLUMNS),
        pa.field("till", pa.string(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("reference", pa.string()),
        pa.field("cause", pa.string()),
        pa.field("voucher", pa.string()),
    ]
)
"""Of a bucket's file: what the fold reads, and what the rows are sorted and linked by."""

WITHDRAWN = NAMES_MAX
"""The kind of a row that takes an earlier one away: no name has this code."""

EVENT = ("person", "at_ms", "till", "epoch", "seq")
_ROW, _IS_OTHER, _PURCHASE_ROW = "row", "is_other", "purchase_row"


def newest(table: Any) -> Any:
    """Of a person's rows with one id, the last, if that one does not take the others away."""
    numbered = table.append_column(_ROW, _numbers(table))
    last = numbered.group_by(["person", "id"]).aggregate([(_ROW, "max")]).column(f"{_ROW}_max")
    if len(last) < table.num_rows:
        table = table.take(_sorted(last))
    if pc.any(pc.equal(table.column("kind"), WITHDRAWN)).as_py():
        table = table.filter(pc.not_equal(table.column("kind"), WITHDRAWN))
    return table


def arrange(table: Any, vocabulary: Vocabulary) -> Any:
    """The rows of whole persons by person and time, with `joins`, `belongs` and `caused` set."""
    purchase = vocabulary.kinds.code(PURCHASE)
    is_other = pc.cast(pc.not_equal(table.column("kind"), purchase), pa.uint8())
    order = [(name, "ascending") for name in (*EVENT, _IS_OTHER, "id")]
    table = table.append_column(_IS_OTHER, is_other).sort_by(order).drop_columns([_IS_OTHER])
    table = table.combine_chunks().append_column(_ROW, _numbers(table))
    purchases = table.filter(
        pc.and_(pc.equal(table.column("kind"), purchase), pc.is_valid(table.column("reference")))
    )
    first = purchases.group_by(["person", "reference"]).aggregate([(_ROW, "min")])
    first = first.rename_columns(["person", "reference", _PURCHASE_ROW])
    is_purchase = pc.equal(table.column("kind"), purchase)
    belongs = pc.if_else(is_purchase, 0, _rows_back(table, first, "reference"))
    columns = {
        "joins": _joins(table),
        "belongs": pc.cast(belongs, pa.int32()),
        "caused": pc.cast(_rows_back(table, first, "cause"), pa.int32()),
    }
    for name, column in columns.items():
        table = table.set_column(table.column_names.index(name), SCHEMA.field(name), column)
    return table.select(SCHEMA.names).cast(SCHEMA)


def _rows_back(table: Any, first: Any, receipt: str) -> Any:
    """How many rows before each row the purchase named in `receipt` is; 0 for none before it."""
    named = table.select([_ROW, "person", receipt])
    named = named.filter(pc.is_valid(named.column(receipt)))
    found = named.join(first, ["person", receipt], ["person", "reference"], join_type="inner")
    back = pc.subtract(found.column(_ROW), found.column(_PURCHASE_ROW))
    all_rows = table.select([_ROW]).join(
        pa.table({_ROW: found.column(_ROW), "back": back}), _ROW, join_type="left outer"
    )
    back = all_rows.sort_by(_ROW).column("back")
    return pc.max_element_wise(pc.fill_null(back, 0), 0)


def _joins(table: Any) -> Any:
    """1 for each row of the same event as the row before."""
    if table.num_rows == 0:
        return pa.array([], pa.uint8())
    same: Any = None
    for name in EVENT:
        column = table.column(name)
        equal = pc.equal(column.slice(1), column.slice(0, table.num_rows - 1))
        same = equal if same is None else pc.and_(same, equal)
    chunks = [pa.array([0], pa.uint8()), *pc.cast(same, pa.uint8()).chunks]
    return pa.chunked_array(chunks)


def _numbers(table: Any) -> Any:
    return pa.array(range(table.num_rows), pa.int64())


def _sorted(numbers: Any) -> Any:
    return numbers.take(pc.sort_indices(numbers))
