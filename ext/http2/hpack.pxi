# Header compression of HTTP/2 (HPACK, RFC 7541). heyfleet's settings allow the peer no dynamic table, so that responses need only
# the static one. Requests are encoded before the run: the first request on a connection puts the fields that all of them share
# into the peer's table, and later ones refer to them by index.

cdef enum:
    # Indexes into the static table (Appendix A).
    HPACK_STATUS = 8                # to 14: with seven values
    HPACK_CONTENT_ENCODING = 26
    HPACK_CONTENT_LENGTH = 28
    HPACK_LOCATION = 46
    HPACK_TRANSFER_ENCODING = 57
    HPACK_ENTRIES = 61
    HPACK_TABLE_BYTES = 4096        # of the peer, unless its settings differ (RFC 9113, 6.5.2)
    HPACK_ENTRY_BYTES = 32          # that an entry counts besides its name and value (4.1)
    HPACK_LITERAL = 0               # a name that is not in the table
    HUFFMAN_LONGEST = 30
    HUFFMAN_END = 256
    # Of a decoded name: longer ones are unknown to heyfleet.
    HPACK_TEXT_BYTES = 64
    HPACK_CODINGS_AT_MOST = 4
    HPACK_LENGTH_LIMIT = 0x0fffffff
    # The value of content-length is below ten times this, plus nine.
    HPACK_DECIMAL_LIMIT = 922337203685477579

cdef enum HpackResult:
    HPACK_GOOD
    HPACK_MALFORMED                 # the stream must be reset (RFC 9113, 8.1.1)
    HPACK_BROKEN                    # the connection must be closed: COMPRESSION_ERROR

cdef struct HpackText:
    const uint8_t *data
    uint32_t bytes
    bint coded

# The fields of a block that matter.
cdef struct HpackHead:
    HpackText location              # without bytes: missing
    HpackText[HPACK_CODINGS_AT_MOST] codings  # of its content, in their order
    uint32_t coding_count           # of such fields, including those that did not fit
    int64_t content_length          # -1: missing
    uint16_t status                 # 0: missing
    bint fields                     # a regular field has come: no pseudo-field may follow (RFC 9113, 8.3)

_HPACK_STATUS_VALUES = (200, 204, 206, 304, 400, 404, 500)

# Appendix A: the names, repeated for each of their values; then the values.
_HPACK_NAMES = (
    ":authority :method :method :path :path :scheme :scheme :status :status :status :status :status :status :status "
    "accept-charset accept-encoding accept-language accept-ranges accept access-control-allow-origin age allow "
    "authorization cache-control content-disposition content-encoding content-language content-length content-location "
    "content-range content-type cookie date etag expect expires from host if-match if-modified-since if-none-match "
    "if-range if-unmodified-since last-modified link location max-forwards proxy-authenticate proxy-authorization range "
    "referer refresh retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary via "
    "www-authenticate"
).split()
_HPACK_VALUES = ("", "GET", "POST", "/", "/index.html", "http", "https", "200", "204", "206", "304", "400", "404", "500",
                 "", "gzip, deflate")

# Appendix B: the length of each byte's code, then that of the end; g stands for 16. The codes follow: the code is canonical.
_HUFFMAN_LENGTHS = (
    "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f56565666577666567655677"
    "777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqn"
    "qrqqrrrrrsrrrrrqu"
)

cdef uint32_t[HUFFMAN_LONGEST + 1] huffman_first    # code of each length
cdef uint32_t[HUFFMAN_LONGEST + 1] huffman_count
cdef uint32_t[HUFFMAN_LONGEST + 1] huffman_index    # of the first one's symbol
cdef uint16_t[HUFFMAN_END + 1] huffman_symbols
_HUFFMAN_CODES = {}                                 # by symbol: (code, bits)
_HPACK_INDEXES = {}                                  # by name, and by (name, value)


cdef void hpack_make_tables():
    cdef uint32_t code = 0, length, index = 0
    lengths = [int(letter, 36) for letter in _HUFFMAN_LENGTHS]
    for length in range(1, HUFFMAN_LONGEST + 1):
        code <<= 1
        huffman_first[length] = code
        huffman_index[length] = index
        for symbol in range(HUFFMAN_END + 1):
            if lengths[symbol] == length:
                huffman_symbols[index] = symbol
                _HUFFMAN_CODES[symbol] = (code, length)
                index += 1
                code += 1
        huffman_count[length] = index - huffman_index[length]
    for index in range(HPACK_ENTRIES, 0, -1):
        name = _HPACK_NAMES[index - 1].encode()
        _HPACK_INDEXES[name] = index
        if index <= len(_HPACK_VALUES) and _HPACK_VALUES[index - 1]:
            _HPACK_INDEXES[name, _HPACK_VALUES[index - 1].encode()] = index


hpack_make_tables()


# Reading.

cdef inline bint hpack_integer(const uint8_t **at, const uint8_t *end, uint8_t most, uint32_t *value) noexcept nogil:
    """An integer whose first byte has a prefix with `most` as its highest value (5.1); False: cut off, or far too large."""
    cdef uint32_t shift = 0
    cdef uint8_t byte
    value[0] = at[0][0] & most
    at[0] += 1
    if value[0] < most:
        return True
    while at[0] < end and shift <= 21:
        byte = at[0][0]
        at[0] += 1
        value[0] += <uint32_t> (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value[0] <= HPACK_LENGTH_LIMIT
    return False


cdef int huffman_decode(const uint8_t *data, size_t bytes, uint8_t *text, int room) noexcept nogil:
    """Decode a text into `out`, as far as there is room; return its length, or -1 if it is invalid (5.2)."""
    cdef uint32_t code = 0, bits = 0
    cdef uint16_t symbol
    cdef int length = 0
    cdef size_t index
    cdef int shift
    for index in range(bytes):
        for shift in range(7, -1, -1):
            code = code << 1 | (data[index] >> shift & 1)
            bits += 1
            if bits > HUFFMAN_LONGEST:
                return -1
            if code - huffman_first[bits] >= huffman_count[bits]:
                continue
            symbol = huffman_symbols[huffman_index[bits] + code - huffman_first[bits]]
            if symbol == HUFFMAN_END:
                return -1
            if length < room:
                text[length] = <uint8_t> symbol
            length += 1
            code = bits = 0
    # The padding of the last byte is the first bits of the end's code: ones.
    return length if bits < 8 and code == (1u << bits) - 1 else -1


cdef inline bint hpack_string(const uint8_t **at, const uint8_t *end, HpackText *text) noexcept nogil:
    """Read a string literal (5.2) without decoding it. False: it is truncated."""
    if at[0] == end:
        return False
    text.coded = at[0][0] >> 7
    if not hpack_integer(at, end, 0x7f, &text.bytes) or text.bytes > <size_t> (end - at[0]):
        return False
    text.data = at[0]
    at[0] += text.bytes
    return True


cdef inline int hpack_decoded(const HpackText *text, uint8_t *out, int room) noexcept nogil:
    """Decode a string into `out`, as far as there is room; return its length, or -1 if it is invalid."""
    if text.coded:
        return huffman_decode(text.data, text.bytes, out, room)
    memcpy(out, text.data, min(text.bytes, <uint32_t> room))
    return <int> text.bytes


cdef HpackResult hpack_name(const HpackText *name, uint32_t *index) noexcept nogil:
    """Which of the fields that matter has a literal name. Names are in lower case (RFC 9113, 8.2.1)."""
    cdef uint8_t text[HPACK_TEXT_BYTES]
    cdef int length = hpack_decoded(name, text, HPACK_TEXT_BYTES)
    cdef int at
    if length < 0:
        return HPACK_BROKEN
    index[0] = HPACK_LITERAL
    if length == 0:
        return HPACK_MALFORMED
    for at in range(min(length, <int> HPACK_TEXT_BYTES)):
        if c"A" <= text[at] <= c"Z" or text[at] <= c" " or text[at] >= 0x7f or (at and text[at] == c":"):
            return HPACK_MALFORMED
    if length == 7 and memcmp(text, b":status", 7) == 0:
        index[0] = HPACK_STATUS
    elif length == 14 and memcmp(text, b"content-length", 14) == 0:
        index[0] = HPACK_CONTENT_LENGTH
    elif length == 8 and memcmp(text, b"location", 8) == 0:
        index[0] = HPACK_LOCATION
    elif length == 16 and memcmp(text, b"content-encoding", 16) == 0:
        index[0] = HPACK_CONTENT_ENCODING
    elif (length == 17 and memcmp(text, b"transfer-encoding", 17) == 0
            or length == 10 and memcmp(text, b"connection", 10) == 0 or text[0] == c":"):
        # Fields of HTTP/1 (RFC 9113, 8.2.2) and of requests.
        return HPACK_MALFORMED
    return HPACK_GOOD


cdef int64_t hpack_decimal(const HpackText *value) noexcept nogil:
    """Parse a number of digits only; -1 if it is not one."""
    cdef uint8_t text[HPACK_TEXT_BYTES]
    cdef int length = hpack_decoded(value, text, HPACK_TEXT_BYTES)
    cdef int64_t number = 0
    cdef int index
    if length < 1 or length > 19:
        return -1
    for index in range(length):
        if not c"0" <= text[index] <= c"9" or number > <int64_t> HPACK_DECIMAL_LIMIT:
            return -1
        number = number * 10 + text[index] - c"0"
    return number


cdef inline HpackResult hpack_status(HpackHead *head, int64_t status) noexcept nogil:
    if head.status != 0 or head.fields or status < 100 or status > 999:
        return HPACK_MALFORMED
    head.status = <uint16_t> status
    return HPACK_GOOD


cdef inline HpackResult hpack_field(HpackHead *head, uint32_t index, const HpackText *value) noexcept nogil:
    """Take a field with a literal value; `index` is its name's."""
    cdef int64_t number
    if HPACK_STATUS <= index < HPACK_STATUS + 7:
        return hpack_status(head, hpack_decimal(value))
    if 0 < index < HPACK_STATUS or index == HPACK_TRANSFER_ENCODING:
        return HPACK_MALFORMED
    head.fields = True
    if index == HPACK_CONTENT_LENGTH:
        number = hpack_decimal(value)
        if number < 0 or (head.content_length >= 0 and head.content_length != number):
            return HPACK_MALFORMED
        head.content_length = number
    elif index == HPACK_LOCATION and head.location.bytes == 0:
        head.location = value[0]
    elif index == HPACK_CONTENT_ENCODING:
        if head.coding_count < HPACK_CODINGS_AT_MOST:
            head.codings[head.coding_count] = value[0]
        head.coding_count += 1
    return HPACK_GOOD


cdef HpackResult hpack_indexed(HpackHead *head, uint32_t index) noexcept nogil:
    if index == 0 or index > HPACK_ENTRIES:
        return HPACK_BROKEN
    if HPACK_STATUS <= index < HPACK_STATUS + 7:
        return hpack_status(head, hpack_status_values[index - HPACK_STATUS])
    if index < HPACK_STATUS or index == HPACK_TRANSFER_ENCODING or index == HPACK_CONTENT_LENGTH:
        return HPACK_MALFORMED
    head.fields = True
    return HPACK_GOOD


cdef uint16_t[7] hpack_status_values = _HPACK_STATUS_VALUES


cdef HpackResult hpack_read(const uint8_t *at, const uint8_t *end, HpackHead *head) noexcept nogil:
    """Read a whole block of fields. Values that nothing depends on are skipped, coded as they are."""
    cdef HpackResult result = HPACK_GOOD
    cdef HpackText name, value
    cdef uint32_t index
    head.status = 0
    head.content_length = -1
    head.location.bytes = 0
    head.coding_count = 0
    head.fields = False
    while at < end and at[0] & 0xe0 == 0x20:  # a table size (6.3), which can only be 0
        if not hpack_integer(&at, end, 0x1f, &index) or index != 0:
            return HPACK_BROKEN
    while at < end and result != HPACK_BROKEN:
        if at[0] & 0x80:
            if not hpack_integer(&at, end, 0x7f, &index):
                return HPACK_BROKEN
            result = max(result, hpack_indexed(head, index))
            continue
        if at[0] & 0xe0 == 0x20:
            return HPACK_BROKEN
        # With indexing (which does nothing in a table of size 0), without, or never to be indexed: no difference here.
        if not hpack_integer(&at, end, 0x3f if at[0] & 0x40 else 0x0f, &index) or index > HPACK_ENTRIES:
            return HPACK_BROKEN
        if index == HPACK_LITERAL:
            if not hpack_string(&at, end, &name):
                return HPACK_BROKEN
            result = max(result, hpack_name(&name, &index))
        if not hpack_string(&at, end, &value):
            return HPACK_BROKEN
        result = max(result, hpack_field(head, index, &value))
    return result


# Writing, before the run.

def _hpack_integer(number, most, flags):
    if number < most:
        return bytes([flags | number])
    number -= most
    written = bytearray([flags | most])
    while number >= 0x80:
        written.append(number & 0x7f | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _hpack_string(text):
    code, bits = 0, 0
    for symbol in text:
        more, length = _HUFFMAN_CODES[symbol]
        code, bits = code << length | more, bits + length
    filling = (8 - bits % 8) % 8
    coded = ((code + 1 << filling) - 1).to_bytes((bits + filling) // 8, "big")
    if len(coded) < len(text):
        return _hpack_integer(len(coded), 0x7f, 0x80) + coded
    return _hpack_integer(len(text), 0x7f, 0) + text


def hpack_encode(fields, shared=(), bint insert=False):
    """A block of (name, value) fields, both bytes, names in lower case (RFC 7541).

    `shared`: what the dynamic table holds, the oldest first; `insert`: what this block is to put there, and has all of.
    """
    block = bytearray()
    missing = list(shared) if insert else []
    for name, value in fields:
        field = (name, value)
        index = _HPACK_INDEXES.get(field)
        if index is None and field in shared and not insert:
            index = HPACK_ENTRIES + len(shared) - shared.index(field)
        if index is not None:
            block += _hpack_integer(index, 0x7f, 0x80)
            continue
        index = _HPACK_INDEXES.get(name, HPACK_LITERAL)
        if missing and field == missing[0]:
            missing.pop(0)
            block += _hpack_integer(index, 0x3f, 0x40)
        else:
            block += _hpack_integer(index, 0x0f, 0)
        if index == HPACK_LITERAL:
            block += _hpack_string(name)
        block += _hpack_string(value)
    if missing:
        raise ValueError("the fields of the table are not among the request's, in their order")
    return bytes(block)


def hpack_shared(requests):
    """The fields of all requests that are worth an entry in the peer's table, in the order of the first request."""
    first, *others = requests
    room = HPACK_TABLE_BYTES
    shared = []
    for field in first:
        bytes = len(field[0]) + len(field[1]) + HPACK_ENTRY_BYTES
        if field in shared or field in _HPACK_INDEXES or bytes > room or not all(field in other for other in others):
            continue
        # Every request must have them in this order, since any can be the one that adds them.
        if all(_in_order([*shared, field], other) for other in others):
            shared.append(field)
            room -= bytes
    return tuple(shared)


def _in_order(fields, request):
    rest = iter(request)
    return all(field in rest for field in fields)


def hpack_decode(bytes block not None):
    """Decode a block of fields: (result, status, content length). For tests and fuzzing."""
    cdef HpackHead head
    cdef const uint8_t *data = block
    cdef HpackResult result = hpack_read(data, data + len(block), &head)
    return ("good", "malformed", "broken")[<int> result], head.status, head.content_length
