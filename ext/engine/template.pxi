# Requests that differ each time: a program of segments, rendered into the connection's own buffer before each request is sent.
#
# Every value follows from the request's number in the plan and from the seed. So it is the same in every run, and unique over all
# workers and agents. Lengths that depend on values (Content-Length; strings and frames of HTTP/2) are computed first.

cdef enum SegmentKind:
    SEGMENT_TEXT
    SEGMENT_SEQ                 # the request's number, from 0
    SEGMENT_RAND                # an integer from low to high
    SEGMENT_UUID                # of version 4 (RFC 9562, 5.4)
    SEGMENT_COLUMN              # a value from the row of the request's number; rows repeat
    SEGMENT_BODY                # the body begins here
    SEGMENT_LENGTH              # the body's length in decimal digits
    SEGMENT_STRING              # HTTP/2: the length of the string made by the next segments (RFC 7541, 5.2)
    SEGMENT_FRAME               # HTTP/2: the head of a request as Http2Io takes it, before everything else

SEGMENT_NAMES = ("text", "seq", "rand", "uuid", "column", "body", "length", "string", "frame")

cdef enum:
    SEGMENTS_AT_MOST = 512
    SEGMENT_DIGITS = 40         # the longest generated value

cdef struct Segment:
    SegmentKind kind
    const uint8_t *text
    size_t bytes
    int64_t low
    uint64_t span
    uint32_t column
    uint32_t count

cdef struct Template:
    Segment *segments
    uint32_t count
    bint head                   # HTTP/2: its response has no content
    bint expects_continue       # its body waits for 100 (Continue)

# A column of the data: one text, and the offset in it at which each row's value begins.
cdef struct Column:
    const uint8_t *text
    size_t *begins              # one more than rows
    uint64_t rows

# The bytes of one segment of the request being rendered.
cdef struct Piece:
    const uint8_t *text
    size_t bytes


cdef size_t put_decimal(uint8_t *out, uint64_t number) noexcept nogil:
    """Write a number in decimal digits; return how many."""
    cdef uint8_t digits[20]
    cdef size_t count = 0
    cdef size_t index
    while count == 0 or number > 0:
        digits[19 - count] = <uint8_t> (c"0" + number % 10)
        number //= 10
        count += 1
    for index in range(count):
        out[index] = digits[20 - count + index]
    return count


cdef size_t put_signed(uint8_t *out, int64_t number) noexcept nogil:
    """Write a number in decimal digits, with its sign if it is negative; return the length."""
    if number >= 0:
        return put_decimal(out, <uint64_t> number)
    out[0] = c"-"
    return 1 + put_decimal(out + 1, <uint64_t> -number)


cdef void put_uuid(uint8_t *out, uint64_t high, uint64_t low) noexcept nogil:
    """Write the 36 characters of a version 4 UUID (RFC 9562, 5.4)."""
    cdef const char *letters = b"0123456789abcdef"
    cdef int nibble
    cdef uint64_t bits
    high = high & <uint64_t> 0xffffffffffff0fffULL | 0x4000
    low = low & <uint64_t> 0x3fffffffffffffffULL | <uint64_t> 0x8000000000000000ULL
    for nibble in range(32):
        if nibble == 8 or nibble == 12 or nibble == 16 or nibble == 20:
            out[0] = c"-"
            out += 1
        bits = high if nibble < 16 else low
        out[0] = <uint8_t> letters[bits >> (60 - 4 * (nibble % 16)) & 15]
        out += 1


cdef size_t hpack_length_bytes(size_t length) noexcept nogil:
    """How many bytes the length of an HPACK string takes; the first one holds up to 126 (RFC 7541, 5.1)."""
    cdef size_t bytes = 1
    if length < 127:
        return 1
    length -= 127
    while length >= 128:
        length >>= 7
        bytes += 1
    return bytes + 1


cdef void put_hpack_length(uint8_t *out, size_t length) noexcept nogil:
    """Write the length of an HPACK string that is not Huffman coded."""
    if length < 127:
        out[0] = <uint8_t> length
        return
    out[0] = 127
    length -= 127
    while length >= 128:
        out += 1
        out[0] = <uint8_t> (length & 127 | 128)
        length >>= 7
    out[1] = <uint8_t> length


cdef list template_head_texts(list segments):
    """The texts in a template's head, whatever its values."""
    count = segments.index(("body",)) if ("body",) in segments else len(segments)
    return [each[1] for each in segments[:count] if each[0] == "text"]


cdef bint template_expects_continue(list segments):
    """Whether a template has a body that waits for 100 (Continue)."""
    has_body = ("body",) in segments and segments.index(("body",)) < len(segments) - 1
    return has_body and any(head_expects_continue(text) for text in template_head_texts(segments))


cdef Template *template_new(list segments, bint head, uint32_t columns) except NULL:
    """Compile (name, ...) tuples, as RequestConfig describes them. Raises ValueError and MemoryError."""
    cdef Template *template
    cdef uint32_t index
    if not 0 < len(segments) <= SEGMENTS_AT_MOST:
        raise ValueError(f"a template has 1 to {SEGMENTS_AT_MOST} segments, not {len(segments)}")
    if any(each[0] == "column" and each[1] >= columns for each in segments):
        raise ValueError("a template names a column that the data does not have")
    if any(each[0] == "string" and index + each[1] >= len(segments) for index, each in enumerate(segments)):
        raise ValueError("a string extends past the end of its template")
    template = <Template *> calloc(1, sizeof(Template))
    if template == NULL:
        raise MemoryError
    template.head = head
    template.segments = <Segment *> calloc(len(segments), sizeof(Segment))
    if template.segments == NULL:
        free(template)
        raise MemoryError
    template.count = len(segments)
    try:
        for index, segment in enumerate(segments):
            segment_set(&template.segments[index], segment)
    except BaseException:
        template_free(template)
        raise
    return template


cdef segment_set(Segment *segment, tuple source):
    name, *arguments = source
    segment.kind = <SegmentKind> <int> SEGMENT_NAMES.index(name)
    if segment.kind == SEGMENT_TEXT:
        segment.text = <const uint8_t *> <const char *> <bytes> arguments[0]
        segment.bytes = len(arguments[0])
    elif segment.kind == SEGMENT_RAND:
        segment.low = arguments[0]
        segment.span = <uint64_t> (arguments[1] - arguments[0])
    elif segment.kind == SEGMENT_COLUMN:
        segment.column = arguments[0]
    elif segment.kind == SEGMENT_STRING:
        segment.count = arguments[0]


cdef void template_free(Template *template) noexcept:
    if template != NULL:
        free(template.segments)
        free(template)


@final
cdef class TemplateRenderer:
    """Renders templates, one at a time, with the columns of the data."""

    cdef:
        Column *columns
        uint32_t column_count
        list texts                  # of the columns
        uint64_t seed
        Piece *pieces               # of the request being rendered, by segment
        uint8_t *digits             # room for generated values, by segment

    def __cinit__(self, list columns, uint64_t seed):
        """Take columns, each a list of values. Raises ValueError and MemoryError."""
        self.seed = seed
        self.texts = []
        self.columns = <Column *> calloc(max(len(columns), 1), sizeof(Column))
        self.pieces = <Piece *> calloc(SEGMENTS_AT_MOST, sizeof(Piece))
        self.digits = <uint8_t *> calloc(SEGMENTS_AT_MOST, SEGMENT_DIGITS)
        if self.columns == NULL or self.pieces == NULL or self.digits == NULL:
            raise MemoryError
        for values in columns:
            self.add_column(values)

    def __dealloc__(self):
        cdef uint32_t index
        for index in range(self.column_count):
            free(self.columns[index].begins)
        free(self.columns)
        free(self.pieces)
        free(self.digits)

    cdef add_column(self, list values):
        cdef Column *column = &self.columns[self.column_count]
        cdef uint64_t row
        cdef size_t offset = 0
        if not values:
            raise ValueError("a column has at least one row")
        column.begins = <size_t *> calloc(len(values) + 1, sizeof(size_t))
        if column.begins == NULL:
            raise MemoryError
        self.column_count += 1
        text = b"".join(values)
        self.texts.append(text)
        column.text = <const uint8_t *> <const char *> <bytes> text
        column.rows = len(values)
        for row, value in enumerate(values):
            offset += <size_t> len(value)
            column.begins[row + 1] = offset

    cdef bint render(self, const Template *template, const Message *message, uint64_t number, RenderedMessage *own) noexcept nogil:
        """Make the plan's request of a number from `message` and its template; False without memory."""
        cdef size_t total = self.measure(template, number)
        cdef const uint8_t *body
        cdef void *grown
        if total > own.room:
            grown = realloc(own.data, total + total // 4)
            if grown == NULL:
                return False
            own.data = <uint8_t *> grown
            own.room = total + total // 4
        own.message = message[0]
        body = self.write(template, own.data)
        if template.expects_continue:
            own.message.head_bytes = <size_t> (body - own.data)
        own.message.data = own.data
        own.message.bytes = total
        return True

    cdef size_t measure(self, const Template *template, uint64_t number) noexcept nogil:
        """Fill in every piece; return their total length in bytes."""
        cdef uint64_t random = random_seed(self.seed, number)
        cdef uint32_t index, body = template.count
        cdef size_t total = 0, body_bytes = 0
        cdef Piece *piece
        cdef const Segment *segment
        for index in range(template.count):
            segment = &template.segments[index]
            piece = &self.pieces[index]
            piece.text = self.digits + index * SEGMENT_DIGITS
            piece.bytes = 0
            if segment.kind == SEGMENT_BODY:
                body = index
            else:
                self.fill_piece(segment, piece, number, &random)
            if index > body:
                body_bytes += piece.bytes
            total += piece.bytes
        for index in range(template.count):
            segment = &template.segments[index]
            piece = &self.pieces[index]
            if segment.kind == SEGMENT_LENGTH:
                piece.bytes = put_decimal(<uint8_t *> piece.text, body_bytes)
                total += piece.bytes
            elif segment.kind == SEGMENT_FRAME:
                piece.bytes = H2_REQUEST_HEAD_BYTES + H2_HEAD_BYTES
                total += piece.bytes
        for index in range(template.count):
            if template.segments[index].kind == SEGMENT_STRING:
                total += self.fill_string_length(template, index)
        return total

    cdef inline void fill_piece(self, const Segment *segment, Piece *piece, uint64_t number, uint64_t *random) noexcept nogil:
        cdef const Column *column
        cdef uint64_t row
        cdef uint64_t high
        if segment.kind == SEGMENT_TEXT:
            piece.text = segment.text
            piece.bytes = segment.bytes
        elif segment.kind == SEGMENT_COLUMN:
            column = &self.columns[segment.column]
            row = number % column.rows
            piece.text = column.text + column.begins[row]
            piece.bytes = column.begins[row + 1] - column.begins[row]
        elif segment.kind == SEGMENT_SEQ:
            piece.bytes = put_decimal(<uint8_t *> piece.text, number)
        elif segment.kind == SEGMENT_RAND:
            piece.bytes = put_signed(
                <uint8_t *> piece.text, segment.low + <int64_t> (random_bits(random) % (segment.span + 1))
            )
        elif segment.kind == SEGMENT_UUID:
            high = random_bits(random)
            put_uuid(<uint8_t *> piece.text, high, random_bits(random))
            piece.bytes = 36

    cdef size_t fill_string_length(self, const Template *template, uint32_t place) noexcept nogil:
        """Fill in the piece that holds the length of the string after it; return the length of that piece."""
        cdef Piece *piece = &self.pieces[place]
        cdef size_t length = 0
        cdef uint32_t index
        for index in range(place + 1, place + 1 + template.segments[place].count):
            length += self.pieces[index].bytes
        piece.bytes = hpack_length_bytes(length)
        put_hpack_length(<uint8_t *> piece.text, length)
        return piece.bytes

    cdef const uint8_t *write(self, const Template *template, uint8_t *out) noexcept nogil:
        """Join all pieces; return where the body begins."""
        cdef uint8_t *at = out
        cdef uint8_t *body = NULL
        cdef uint32_t index
        cdef const Piece *piece
        for index in range(template.count):
            piece = &self.pieces[index]
            if template.segments[index].kind == SEGMENT_BODY:
                body = at
            elif template.segments[index].kind == SEGMENT_FRAME:
                at += piece.bytes
            else:
                memcpy(at, piece.text, piece.bytes)
                at += piece.bytes
        if template.segments[0].kind == SEGMENT_FRAME:
            write_request_frame(out, body if body != NULL else at, at, template.head)
        return body if body != NULL else at


cdef void write_request_frame(uint8_t *out, const uint8_t *body, const uint8_t *end, bint head) noexcept nogil:
    """Fill in the head of a request as Http2Io takes it, and that of its only HEADERS frame."""
    cdef uint32_t fields = <uint32_t> (body - out) - H2_REQUEST_HEAD_BYTES
    cdef uint8_t flags = H2_END_HEADERS | (H2_END_STREAM if body == end else 0)
    h2_put_uint32(out + H2_REQUEST_TABLE, H2_REQUEST_UNPRIMED)
    h2_put_uint32(out + H2_REQUEST_FIRST, fields)
    h2_put_uint32(out + H2_REQUEST_LATER, 0)
    h2_put_uint32(out + H2_REQUEST_PLAIN, 0)
    h2_put_head(
        out + H2_REQUEST_HEAD_BYTES, fields - H2_HEAD_BYTES, H2_HEADERS, flags, H2_HEAD_REQUEST if head else 0
    )
