# Requests that are not the same each time: a program of segments, rendered into the connection's own buffer before each sending.
#
# Every value comes from the request's number in the plan and from the seed, so that it is the same in every run, and unique over
# all workers and agents. Lengths that depend on values (Content-Length; strings and frames of HTTP/2) are computed first.

# A column of the data: where each row's value begins in one text.
cdef struct Column:
    const uint8_t *text
    size_t *begins              # one more than rows
    uint64_t rows

cdef struct Piece:
    const uint8_t *text
    size_t bytes

# A worker's place to render in.
cdef struct Rendering:
    Piece *pieces
    uint8_t *digits


cdef size_t put_decimal(uint8_t *out, uint64_t number) noexcept nogil:
    """Digits of a number; how many."""
    cdef uint8_t digits[20]
    cdef size_t count = 0
    cdef size_t place
    while count == 0 or number > 0:
        digits[19 - count] = <uint8_t> (c"0" + number % 10)
        number //= 10
        count += 1
    for place in range(count):
        out[place] = digits[20 - count + place]
    return count


cdef size_t put_signed(uint8_t *out, int64_t number) noexcept nogil:
    if number >= 0:
        return put_decimal(out, <uint64_t> number)
    out[0] = c"-"
    return 1 + put_decimal(out + 1, <uint64_t> -number)


cdef void put_uuid(uint8_t *out, uint64_t high, uint64_t low) noexcept nogil:
    """36 characters, version 4."""
    cdef const char *letters = b"0123456789abcdef"
    cdef int place = 0, nibble
    cdef uint64_t bits
    high = high & <uint64_t> 0xffffffffffff0fffULL | 0x4000
    low = low & <uint64_t> 0x3fffffffffffffffULL | <uint64_t> 0x8000000000000000ULL
    for nibble in range(32):
        if nibble == 8 or nibble == 12 or nibble == 16 or nibble == 20:
            out[place] = c"-"
            place += 1
        bits = high if nibble < 16 else low
        out[place] = <uint8_t> letters[bits >> (60 - 4 * (nibble % 16)) & 15]
        place += 1


cdef size_t string_head_bytes(size_t length) noexcept nogil:
    """Of an HPACK string's length, whose first byte holds up to 126."""
    cdef size_t bytes = 1
    if length < 127:
        return 1
    length -= 127
    while length >= 128:
        length >>= 7
        bytes += 1
    return bytes + 1


cdef void put_string_head(uint8_t *out, size_t length) noexcept nogil:
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


cdef class Templates(Redirects):
    """Renders a worker's templates."""

    cdef:
        Rendering rendering
        Column *columns
        uint32_t column_count
        uint64_t seed
        list column_objects

    cdef bint render(self, Conn *conn, const Template *template, uint64_t number) noexcept nogil:
        """Make a connection's own message; False without memory."""
        cdef size_t total = self.measure(template, number)
        cdef const uint8_t *body
        cdef void *grown
        if total > conn.room:
            grown = realloc(conn.rendered, total + total // 4)
            if grown == NULL:
                return False
            conn.rendered = <uint8_t *> grown
            conn.room = total + total // 4
        conn.own = conn.message[0]
        body = self.write(template, conn.rendered)
        if template.expects:
            conn.own.head_bytes = <size_t> (body - conn.rendered)
        conn.own.data = conn.rendered
        conn.own.bytes = total
        conn.message = &conn.own
        return True

    cdef size_t measure(self, const Template *template, uint64_t number) noexcept nogil:
        """Find every piece; the bytes of all together."""
        cdef uint64_t random = chance_seed(self.seed, number)
        cdef uint32_t place, body = template.count
        cdef size_t total = 0, body_bytes = 0
        cdef Piece *piece
        cdef const Segment *segment
        for place in range(template.count):
            segment = &template.segments[place]
            piece = &self.rendering.pieces[place]
            piece.text = self.rendering.digits + place * SEGMENT_DIGITS
            piece.bytes = 0
            if segment.kind == SEGMENT_BODY:
                body = place
            else:
                self.find_piece(segment, piece, number, &random)
            if place > body:
                body_bytes += piece.bytes
            total += piece.bytes
        for place in range(template.count):
            segment = &template.segments[place]
            piece = &self.rendering.pieces[place]
            if segment.kind == SEGMENT_LENGTH:
                piece.bytes = put_decimal(<uint8_t *> piece.text, body_bytes)
                total += piece.bytes
            elif segment.kind == SEGMENT_FRAME:
                piece.bytes = H2_REQUEST_HEAD_BYTES + H2_HEAD_BYTES
                total += piece.bytes
        for place in range(template.count):
            if template.segments[place].kind == SEGMENT_STRING:
                total += self.measure_string(template, place)
        return total

    cdef inline void find_piece(self, const Segment *segment, Piece *piece, uint64_t number, uint64_t *random) noexcept nogil:
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
                <uint8_t *> piece.text, segment.low + <int64_t> (chance_draw(random) % (segment.span + 1))
            )
        elif segment.kind == SEGMENT_UUID:
            high = chance_draw(random)
            put_uuid(<uint8_t *> piece.text, high, chance_draw(random))
            piece.bytes = 36

    cdef size_t measure_string(self, const Template *template, uint32_t place) noexcept nogil:
        """The length of a string that follows, put into the piece before it; how long that is."""
        cdef Piece *piece = &self.rendering.pieces[place]
        cdef size_t length = 0
        cdef uint32_t next
        for next in range(place + 1, place + 1 + template.segments[place].count):
            length += self.rendering.pieces[next].bytes
        piece.bytes = string_head_bytes(length)
        put_string_head(<uint8_t *> piece.text, length)
        return piece.bytes

    cdef const uint8_t *write(self, const Template *template, uint8_t *out) noexcept nogil:
        """Put all pieces together; where the body begins."""
        cdef uint8_t *at = out
        cdef uint8_t *body = NULL
        cdef uint32_t place
        cdef const Piece *piece
        for place in range(template.count):
            piece = &self.rendering.pieces[place]
            if template.segments[place].kind == SEGMENT_BODY:
                body = at
            elif template.segments[place].kind == SEGMENT_FRAME:
                at += piece.bytes
            else:
                memcpy(at, piece.text, piece.bytes)
                at += piece.bytes
        if template.segments[0].kind == SEGMENT_FRAME:
            self.write_frame(template, out, body if body != NULL else at, at)
        return body if body != NULL else at

    cdef void write_frame(self, const Template *template, uint8_t *out, const uint8_t *body, const uint8_t *end) noexcept nogil:
        """The numbers of the request, and the head of its only frame."""
        cdef uint32_t fields = <uint32_t> (body - out) - H2_REQUEST_HEAD_BYTES
        cdef uint8_t flags = H2_END_HEADERS | (H2_END_STREAM if body == end else 0)
        h2_put_uint32(out + H2_REQUEST_TABLE, H2_REQUEST_UNPRIMED)
        h2_put_uint32(out + H2_REQUEST_FIRST, fields)
        h2_put_uint32(out + H2_REQUEST_LATER, 0)
        h2_put_uint32(out + H2_REQUEST_PLAIN, 0)
        h2_put_head(
            out + H2_REQUEST_HEAD_BYTES, fields - H2_HEAD_BYTES, H2_HEADERS, flags, H2_HEAD_REQUEST if template.head else 0
        )

    cdef Template *make_template(self, list segments, bint head) except NULL:
        """From (name, ...) tuples; see Engine. ValueError."""
        cdef Template *template
        cdef Segment *segment
        cdef uint32_t index
        if not 0 < len(segments) <= SEGMENTS_AT_MOST:
            raise ValueError(f"a template has up to {SEGMENTS_AT_MOST} segments")
        template = <Template *> calloc(1, sizeof(Template))
        if template == NULL:
            raise MemoryError
        template.head = head
        template.segments = <Segment *> calloc(len(segments), sizeof(Segment))
        if template.segments == NULL:
            free(template)
            raise MemoryError
        template.count = len(segments)
        for index, (name, *more) in enumerate(segments):
            segment = &template.segments[index]
            segment.kind = <SegmentKind> <int> SEGMENT_NAMES.index(name)
            if segment.kind == SEGMENT_TEXT:
                segment.text = <const uint8_t *> <const char *> <bytes> more[0]
                segment.bytes = len(more[0])
            elif segment.kind == SEGMENT_RAND:
                segment.low = more[0]
                segment.span = <uint64_t> (more[1] - more[0])
            elif segment.kind == SEGMENT_COLUMN:
                segment.column = more[0]
            elif segment.kind == SEGMENT_STRING:
                segment.count = more[0]
        if any(each[0] == "column" and each[1] >= self.column_count for each in segments):
            free_template(template)
            raise ValueError("a template names a column that is not there")
        if any(each[0] == "string" and place + each[1] >= len(segments) for place, each in enumerate(segments)):
            free_template(template)
            raise ValueError("a string ends behind its template")
        return template

    cdef take_columns(self, list columns):
        """Each a list of values; ValueError."""
        cdef Column *column
        cdef uint64_t row
        cdef size_t at
        self.column_objects = []
        self.columns = <Column *> calloc(max(len(columns), 1), sizeof(Column))
        self.rendering.pieces = <Piece *> calloc(SEGMENTS_AT_MOST, sizeof(Piece))
        self.rendering.digits = <uint8_t *> calloc(SEGMENTS_AT_MOST, SEGMENT_DIGITS)
        if self.columns == NULL or self.rendering.pieces == NULL or self.rendering.digits == NULL:
            raise MemoryError
        for values in columns:
            if not values:
                raise ValueError("a column has at least one row")
            column = &self.columns[self.column_count]
            column.begins = <size_t *> calloc(len(values) + 1, sizeof(size_t))
            if column.begins == NULL:
                raise MemoryError
            self.column_count += 1
            text = b"".join(values)
            self.column_objects.append(text)
            column.text = <const uint8_t *> <const char *> <bytes> text
            column.rows = len(values)
            at = 0
            for row, value in enumerate(values):
                at += <size_t> len(value)
                column.begins[row + 1] = at

    cdef void free_templates(self):
        cdef uint32_t index
        for index in range(self.column_count):
            free(self.columns[index].begins)
        free(self.columns)
        free(self.rendering.pieces)
        free(self.rendering.digits)


cdef void free_template(Template *template) noexcept:
    if template != NULL:
        free(template.segments)
        free(template)
