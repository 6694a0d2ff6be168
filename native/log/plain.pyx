# cython: language_level=3, boundscheck=False, wraparound=False
"""Plain sales, out of their bytes into rows; `sync_server.projection` says which those are."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int64_t, uint8_t
from libc.stdlib cimport free

from native.rows.out cimport (
    Out, begin, end, put, put_bigint, put_boolean, put_integer, put_null, put_number, put_sized
)

cdef extern from "plain.h":
    ctypedef struct reader:
        pass
    ctypedef struct text:
        const uint8_t *data
        size_t size
    ctypedef struct plain_line:
        text code
        int64_t quantity
        int64_t amount_cents
        bint keyed
    ctypedef struct plain_tender:
        text kind
        int64_t amount_cents
    ctypedef struct plain_sale:
        int64_t at_ms
        int64_t opened_at_ms
        int64_t total_cents
        int64_t change_cents
        int64_t lines
        int64_t tenders
        reader at_lines
        reader at_tenders
        text how
        const uint8_t *token
        int64_t member
        int64_t checkout[4]
    enum:
        TOKEN_BYTES
    bint read_plain(const uint8_t *data, size_t size, int64_t seq, plain_sale *sale) nogil
    plain_line next_line(reader *r) nogil
    plain_tender next_tender(reader *r) nogil

cdef enum:
    SALE_COLUMNS = 17
    LINE_COLUMNS = 8
    TENDER_COLUMNS = 6
    TOUCHPOINT_COLUMNS = 15
    TENTH_MS = 100
    LONG = 0xFFFF
    DIGITS_MAX = 20
    HEAD_BYTES = 19

cdef object STORE = "store", PURCHASE = "purchase"


cdef class Till:
    """A till's epoch: what all of its rows have in common."""

    cdef object till_id, epoch, store_id
    cdef object touchpoint, reference  # what the names of touchpoints and purchases begin with
    cdef bytes till_data, store_data, touchpoint_data, reference_data
    cdef int64_t number

    def __cinit__(self, str till_id, epoch, str store_id):
        self.till_id, self.epoch, self.store_id = till_id, epoch, store_id
        self.number = epoch
        self.touchpoint = f"sale/{till_id}/{epoch}/"
        self.reference = f"KR.{till_id}.{epoch}.".upper()
        self.till_data, self.store_data = till_id.encode(), store_id.encode()
        self.touchpoint_data = self.touchpoint.encode()
        self.reference_data = self.reference.encode()


cdef class Day:
    """What the sales of a till's day add up to."""

    cdef object day, store_id, till_id
    cdef int64_t sales, lines, turnover_cents, linked_sales, linked_turnover_cents
    cdef int64_t failed_scans, voided_lines
    cdef bytearray tenths, persons
    cdef dict hows

    def __cinit__(self, day, store_id, till_id):
        self.day, self.store_id, self.till_id = day, store_id, till_id
        self.tenths, self.persons, self.hows = bytearray(), bytearray(), {}

    cdef add(self, plain_sale *sale):
        self.sales += 1
        self.lines += sale.lines
        self.turnover_cents += sale.total_cents
        self.failed_scans += sale.checkout[1]
        self.voided_lines += sale.checkout[2]
        if sale.how.data != NULL:
            self.linked_sales += 1
            self.linked_turnover_cents += sale.total_cents
            self.persons += little(sale.member, 4)
            how = ascii(sale.how)
            self.hows[how] = self.hows.get(how, 0) + 1
        if sale.checkout[0] > 0:
            tenths = sale.checkout[0] // TENTH_MS
            if tenths >= LONG:
                self.tenths += little(LONG, 2)
            self.tenths += little(tenths, 2 if tenths < LONG else 8)

    cdef tuple told(self):
        return (
            self.day, self.store_id, self.till_id, self.sales, self.lines, self.turnover_cents,
            self.linked_sales, self.linked_turnover_cents, self.failed_scans, self.voided_lines,
            bytes(self.tenths), bytes(self.persons), self.hows,
        )


cdef bytes little(int64_t value, int size):
    cdef char data[8]
    cdef int at
    for at in range(size):
        data[at] = <char> (value >> (8 * at))
    return PyBytes_FromStringAndSize(data, size)


cdef object ascii(text found):
    return PyUnicode_DecodeASCII(<const char *> found.data, found.size, NULL)


cdef class Rows:
    """Where rows go: into a COPY's bytes, or into tuples. Of each table in the order of events."""

    cdef sale(self, Till till, int64_t seq, plain_sale *sale):
        raise NotImplementedError

    cdef tuple told(self):
        raise NotImplementedError


cdef class Copies(Rows):
    """A binary COPY of each table; nothing for one without rows."""

    cdef Out sales, lines, tenders, touchpoints

    def __cinit__(self):
        for out in range(4):
            begin(self.at(out))

    def __dealloc__(self):
        for out in range(4):
            free(self.at(out).data)

    cdef Out *at(self, int number):
        if number == 0:
            return &self.sales
        if number == 1:
            return &self.lines
        return &self.tenders if number == 2 else &self.touchpoints

    cdef sale(self, Till till, int64_t seq, plain_sale *sale):
        cdef Out *out = &self.sales
        cdef reader r = sale.at_lines
        cdef plain_line line
        cdef plain_tender tender
        cdef int64_t number
        put_key(out, SALE_COLUMNS, till, seq)
        put_bytes(out, till.store_data)
        put_bigint(out, sale.opened_at_ms)
        put_bigint(out, sale.at_ms)
        put_bigint(out, sale.total_cents)
        put_bigint(out, sale.change_cents)
        put_integer(out, sale.lines)
        if sale.how.data == NULL:
            for number in range(4):
                put_null(out)
        else:
            put_sized(out, <const char *> sale.how.data, sale.how.size)
            put_sized(out, <const char *> sale.token, TOKEN_BYTES)
            put_bigint(out, sale.member)
            put_bigint(out, sale.member)
        put_bigint(out, sale.checkout[0])
        put_integer(out, sale.checkout[1])
        put_integer(out, sale.checkout[2])
        put_bigint(out, sale.checkout[3])
        out = &self.lines
        for number in range(1, sale.lines + 1):
            line = next_line(&r)
            put_key(out, LINE_COLUMNS, till, seq)
            put_integer(out, number)
            put_sized(out, <const char *> line.code.data, line.code.size)
            put_integer(out, line.quantity)
            put_bigint(out, line.amount_cents)
            put_boolean(out, line.keyed)
        out = &self.tenders
        r = sale.at_tenders
        for number in range(1, sale.tenders + 1):
            tender = next_tender(&r)
            put_key(out, TENDER_COLUMNS, till, seq)
            put_integer(out, number)
            put_sized(out, <const char *> tender.kind.data, tender.kind.size)
            put_bigint(out, tender.amount_cents)
        out = &self.touchpoints
        put_number(out, TOUCHPOINT_COLUMNS, 2)
        put_named(out, till.touchpoint_data, seq)
        put_sized(out, b"purchase", 8)
        put_bigint(out, sale.at_ms)
        put_bytes(out, till.store_data)
        if sale.how.data == NULL:
            put_null(out)
        else:
            put_bigint(out, sale.member)
        put_sized(out, b"store", 5)
        put_bytes(out, till.till_data)
        put_bigint(out, till.number)
        put_bigint(out, seq)
        put_bigint(out, sale.total_cents)
        put_named(out, till.reference_data, seq)
        for number in range(4):
            put_null(out)

    cdef tuple told(self):
        told = []
        for number in range(4):
            out = self.at(number)
            if out.used == HEAD_BYTES:
                told.append(b"")
                continue
            end(out)
            told.append(PyBytes_FromStringAndSize(out.data, out.used))
        return tuple(told)


cdef int put_bytes(Out *out, bytes data) except -1:
    return put_sized(out, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef int put_key(Out *out, int columns, Till till, int64_t seq) except -1:
    put_number(out, columns, 2)
    put_bytes(out, till.till_data)
    put_bigint(out, till.number)
    return put_bigint(out, seq)


cdef int put_named(Out *out, bytes begins, int64_t seq) except -1:
    cdef char digits[DIGITS_MAX]
    cdef int at = DIGITS_MAX
    while seq > 0:
        at -= 1
        digits[at] = 48 + seq % 10
        seq //= 10
    put_number(out, PyBytes_GET_SIZE(begins) + DIGITS_MAX - at, 4)
    put(out, PyBytes_AS_STRING(begins), PyBytes_GET_SIZE(begins))
    return put(out, digits + at, DIGITS_MAX - at)


cdef class Tuples(Rows):
    """A tuple for each row."""

    cdef list sales, lines, tenders, touchpoints

    def __cinit__(self):
        self.sales, self.lines, self.tenders, self.touchpoints = [], [], [], []

    cdef sale(self, Till till, int64_t seq, plain_sale *sale):
        cdef reader r = sale.at_lines
        cdef plain_line line
        cdef plain_tender tender
        cdef int64_t number
        how = token = member = None
        if sale.how.data != NULL:
            how, member = ascii(sale.how), sale.member
            token = PyBytes_FromStringAndSize(<const char *> sale.token, TOKEN_BYTES)
        till_id, epoch, store_id = till.till_id, till.epoch, till.store_id
        seq_number, at_ms, total_cents = seq, sale.at_ms, sale.total_cents
        self.sales.append((
            till_id, epoch, seq_number, store_id, sale.opened_at_ms, at_ms, total_cents,
            sale.change_cents, sale.lines, how, token, member, member, sale.checkout[0],
            sale.checkout[1], sale.checkout[2], sale.checkout[3],
        ))
        for number in range(1, sale.lines + 1):
            line = next_line(&r)
            self.lines.append((
                till_id, epoch, seq_number, number, ascii(line.code), line.quantity,
                line.amount_cents, line.keyed,
            ))
        r = sale.at_tenders
        for number in range(1, sale.tenders + 1):
            tender = next_tender(&r)
            self.tenders.append((
                till_id, epoch, seq_number, number, ascii(tender.kind), tender.amount_cents,
            ))
        self.touchpoints.append((
            f"{till.touchpoint}{seq_number}", PURCHASE, at_ms, store_id, member, STORE, till_id,
            epoch, seq_number, total_cents, f"{till.reference}{seq_number}", None, None, None, None,
        ))

    cdef tuple told(self):
        return self.sales, self.lines, self.tenders, self.touchpoints


def rows(events, stores, day_of, bint as_copies):
    """What the plain sales among `events` make of the tables.

    `events` are till, epoch, place there and bytes of each; `stores` has the store of a till and
    epoch; `day_of` gives the day of a store and a time. Returns the rows of sales, lines, tenders and
    touchpoints (tuples, or with `as_copies` the bytes of a binary COPY of each); the persons; what
    the sales of each till's day add up to; and which of `events` are no plain sales.
    """
    cdef Rows made = Copies() if as_copies else Tuples()
    cdef plain_sale sale
    cdef Till till = None
    cdef Day day = None
    cdef bytes data
    cdef int64_t seq
    cdef Py_ssize_t at = 0
    tills, days, persons, left = {}, {}, set(), []
    for till_id, epoch, seq, data in events:
        if data is None:
            raise TypeError("an event is bytes, not None")
        if read_plain(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), seq, &sale):
            if till is None or till_id != till.till_id or epoch != till.epoch:
                till = tills.get((till_id, epoch))
                if till is None:
                    till = tills[till_id, epoch] = Till(till_id, epoch, stores[till_id, epoch])
                day = None
            number = day_of(till.store_id, sale.at_ms)
            if day is None or number != day.day:
                key = number, till.store_id, till.till_id
                day = days.get(key)
                if day is None:
                    day = days[key] = Day(number, till.store_id, till.till_id)
            day.add(&sale)
            if sale.how.data != NULL:
                persons.add(sale.member)
            made.sale(till, seq, &sale)
        else:
            left.append(at)
        at += 1
    return made.told(), persons, [(<Day> one).told() for one in days.values()], left
