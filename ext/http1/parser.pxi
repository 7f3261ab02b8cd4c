# Sans-I/O parser of HTTP/1.x responses (RFC 9112), one at a time: bytes in, a result and a few facts out.
#
# It takes the stream in pieces of any size, and stores none of it except Location and Content-Encoding on demand. It checks even
# what it does not use.
#
# Where RFC 9112 leaves a choice:
# - A line may end in a bare LF (2.2), chunk lines too. A CR without an LF behind it is bad.
# - An empty line before the status line is bad: 2.2 tolerates it from clients, not from servers.
# - A reason phrase may be missing together with the space before it.
# - A fold in a field value (5.2) reads as a space; in the three fields that frame the message it is bad.
# - Transfer-Encoding that does not end in chunked is read to the close (6.3); chunked twice in a row is bad (7.1). The coding
#   identity, which RFC 2616 had, changes nothing.
# - Chunk extensions are skipped unread; trailer fields are checked, then discarded (7.1.1, 7.1.2).

cdef inline Http1State http1_version(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    """Read `HTTP/1.`, a digit, a space (RFC 9112, 4), and as much of the status as it shares with 200, the most common one."""
    http1_match(parser, cursor)
    if parser.index >= HTTP1_TEXT_VERSION_END:
        if parser.index == HTTP1_TEXT_200_END:
            parser.status = 200
        elif parser.index > HTTP1_TEXT_VERSION_END:
            parser.status = 2 if parser.index == HTTP1_TEXT_VERSION_END + 1 else 20
        return HTTP1_IN_STATUS
    if cursor.at == cursor.end:
        return HTTP1_IN_VERSION
    if parser.index < HTTP1_TEXT_MINOR:
        return http1_broken(parser, HTTP1_REASON_VERSION)
    if parser.index > HTTP1_TEXT_MINOR or not c"0" <= cursor.at[0] <= c"9":
        return http1_broken(parser, HTTP1_REASON_STATUS_LINE)
    if cursor.at[0] == c"0":
        parser.flags &= ~HTTP1_FLAG_MINOR
    parser.index += 1
    cursor.at += 1
    return HTTP1_IN_VERSION


cdef inline Http1State http1_status(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    """Read three digits, the first one not 0, then the end of the line, or a space and the reason phrase."""
    cdef unsigned digit
    while cursor.at < cursor.end:
        if parser.status >= 100:
            if cursor.at[0] == HTTP1_SP:
                return HTTP1_IN_TEXT
            return http1_end_line(parser, cursor, HTTP1_AT_LINE_START, HTTP1_REASON_STATUS_LINE)
        digit = cursor.at[0] - <unsigned> c"0"
        if digit > 9:
            return http1_broken(parser, HTTP1_REASON_STATUS_LINE)
        parser.status = parser.status * 10 + digit
        if parser.status == 0:
            return http1_broken(parser, HTTP1_REASON_STATUS_LINE)
        cursor.at += 1
    return HTTP1_IN_STATUS


cdef inline Http1State http1_line_start(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    """Distinguish a field, a fold and the empty line."""
    cdef uint8_t byte = cursor.at[0]
    cdef uint8_t index = http1_names[byte]
    if index != HTTP1_NO_TOKEN:
        cursor.at += 1
        if parser.location != NULL and byte | 0x20 == c"l" and 300 <= parser.status < 400:
            index = HTTP1_TEXT_LOCATION + 1
        parser.index = index
        parser.field = HTTP1_OTHER_FIELD
        return HTTP1_IN_NAME
    if byte == HTTP1_SP or byte == HTTP1_HT:
        if parser.field == HTTP1_OTHER_FIELD:
            return HTTP1_IN_TEXT
        return http1_broken(parser, HTTP1_REASON_FOLD)
    return http1_end_line(parser, cursor, HTTP1_AFTER_HEAD, HTTP1_REASON_NAME)


cdef inline Http1State http1_framing_field(Http1 *parser) noexcept nogil:
    """Choose the state after the colon of a name that matters."""
    if parser.flags & HTTP1_FLAG_TRAILERS:
        return HTTP1_IN_TEXT
    if parser.index == HTTP1_TEXT_CONTENT_LENGTH_END:
        parser.field = HTTP1_CONTENT_LENGTH
        parser.index = HTTP1_NO_DIGIT
        parser.number = 0
        return HTTP1_IN_LENGTH
    if parser.index == HTTP1_TEXT_LOCATION_END:
        # If there are several, the first one counts.
        return HTTP1_IN_LOCATION if parser.location.bytes == 0 else HTTP1_IN_TEXT
    if parser.index == HTTP1_TEXT_CONTENT_ENCODING_END:
        if parser.decoding.text_bytes > 0:
            decode_text(parser.decoding, b",", 1)
        return HTTP1_IN_CODING
    parser.field = HTTP1_CONNECTION
    if parser.index == HTTP1_TEXT_TRANSFER_ENCODING_END:
        parser.field = HTTP1_TRANSFER_ENCODING
        parser.flags |= HTTP1_FLAG_CODED
    parser.index = HTTP1_TEXT_NONE
    return HTTP1_IN_LIST


cdef inline Http1State http1_name(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    """Read a field name and its colon; no space between them (RFC 9112 5.1)."""
    if parser.index != HTTP1_TEXT_OTHER:
        http1_match(parser, cursor)
        if cursor.at == cursor.end:
            return HTTP1_IN_NAME
        # Names that begin alike.
        if parser.index == HTTP1_TEXT_CONTENT_LENGTH + 3:
            parser.index = HTTP1_TEXT_CONNECTION + 3
            http1_match(parser, cursor)
            if cursor.at == cursor.end:
                return HTTP1_IN_NAME
        elif parser.index == HTTP1_TEXT_CONTENT_LENGTH + 8 and parser.decoding != NULL:
            parser.index = HTTP1_TEXT_CONTENT_ENCODING + 8
            http1_match(parser, cursor)
            if cursor.at == cursor.end:
                return HTTP1_IN_NAME
        if cursor.at[0] == c":" and http1_matched(parser):
            cursor.at += 1
            return http1_framing_field(parser)
        parser.index = HTTP1_TEXT_OTHER
    cursor.at += word_run16(cursor.at, cursor.end)
    if cursor.at == cursor.end:
        return HTTP1_IN_NAME
    if cursor.at[0] == c":":
        cursor.at += 1
        return HTTP1_IN_TEXT
    if http1_names[cursor.at[0]] == HTTP1_NO_TOKEN:
        return http1_broken(parser, HTTP1_REASON_NAME)
    cursor.at += 1
    return HTTP1_IN_NAME


cdef inline bint http1_end_number(Http1 *parser) noexcept nogil:
    """Take a Content-Length; it may be repeated, but not contradicted (RFC 9112 6.3)."""
    if parser.index == HTTP1_NO_DIGIT:
        return False
    if parser.flags & HTTP1_FLAG_LENGTH and parser.number != parser.left_bytes:
        return False
    parser.left_bytes = parser.number
    parser.flags |= HTTP1_FLAG_LENGTH
    return True


cdef inline Http1State http1_length(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    """Read a Content-Length, or several with commas between them."""
    cdef uint8_t byte, digit
    while cursor.at < cursor.end:
        byte = cursor.at[0]
        digit = byte - <uint8_t> c"0"
        if digit <= 9:
            if parser.index == HTTP1_AFTER_DIGITS or parser.number > HTTP1_DECIMAL_LIMIT:
                return http1_broken(parser, HTTP1_REASON_CONTENT_LENGTH)
            parser.number = parser.number * 10 + digit
            parser.index = HTTP1_DIGITS
        elif byte == HTTP1_SP or byte == HTTP1_HT:
            if parser.index == HTTP1_DIGITS:
                parser.index = HTTP1_AFTER_DIGITS
        elif not http1_end_number(parser):
            return http1_broken(parser, HTTP1_REASON_CONTENT_LENGTH)
        elif byte == c",":
            parser.number = 0
            parser.index = HTTP1_NO_DIGIT
        else:
            return http1_end_line(parser, cursor, HTTP1_AT_LINE_START, HTTP1_REASON_CONTENT_LENGTH)
        cursor.at += 1
    return HTTP1_IN_LENGTH


cdef inline Http1State http1_list(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    """Read the members of Connection or Transfer-Encoding (RFC 9110 5.6.1: empty ones are none)."""
    cdef uint8_t byte
    while cursor.at < cursor.end:
        byte = cursor.at[0]
        if byte == HTTP1_SP or byte == HTTP1_HT:
            if not http1_matched(parser):
                parser.index = HTTP1_TEXT_OTHER
            cursor.at += 1
        elif byte == c"," or byte < HTTP1_SP or byte == HTTP1_DEL:
            if not http1_end_member(parser):
                return http1_broken(parser, HTTP1_REASON_TRANSFER_ENCODING)
            if byte != c",":
                return http1_end_line(parser, cursor, HTTP1_AT_LINE_START, HTTP1_REASON_CONTROL)
            parser.index = HTTP1_TEXT_NONE
            cursor.at += 1
        else:
            if parser.index == HTTP1_TEXT_NONE:
                parser.index = http1_member(parser, byte)
            elif http1_matched(parser):
                parser.index = HTTP1_TEXT_OTHER
            if parser.index == HTTP1_TEXT_OTHER:
                cursor.at += 1
                continue
            http1_match(parser, cursor)
            if cursor.at < cursor.end and not http1_matched(parser):
                parser.index = HTTP1_TEXT_OTHER
    return HTTP1_IN_LIST


cdef inline Http1State http1_text(
    Http1 *parser, Http1Cursor *cursor, Http1State state, Http1State next_state
) noexcept nogil:
    """Skip a reason phrase, a field value or a chunk extension (RFC 9110, 5.5)."""
    cursor.at = text_end(cursor.at, cursor.end)
    if cursor.at == cursor.end:
        return state
    if http1_crlf(cursor):
        return next_state
    if cursor.at[0] == HTTP1_HT:
        cursor.at += 1
        return state
    return http1_end_line(parser, cursor, next_state, HTTP1_REASON_CONTROL)


cdef inline Http1State http1_end_head(Http1 *parser) noexcept nogil:
    """Decide, at the empty line, on the length of the content (RFC 9112, 6.3) and on the connection's reuse (9.3)."""
    cdef uint16_t flags = parser.flags
    if flags & HTTP1_FLAG_TRAILERS:
        return HTTP1_ENDED
    if parser.status == 101:
        return HTTP1_ENDED
    if parser.status < 200:
        # An interim response: its fields apply to itself only, but count against the limit.
        parser.continued |= parser.status == 100
        if parser.decoding != NULL:
            parser.decoding.text_bytes = 0
        parser.status = 0
        parser.field = HTTP1_NO_FIELD
        parser.index = HTTP1_TEXT_VERSION
        parser.flags = HTTP1_FLAG_MINOR | (flags & HTTP1_FLAG_HEAD_REQUEST)
        return HTTP1_IN_VERSION
    if not flags & HTTP1_FLAG_CLOSE:
        parser.keep_alive = flags & (HTTP1_FLAG_MINOR | HTTP1_FLAG_KEEP_ALIVE) != 0
    if flags & HTTP1_FLAG_CODED and (flags & HTTP1_FLAG_LENGTH or not flags & HTTP1_FLAG_MINOR):
        # 6.1, 6.3: an intermediary may have framed it differently.
        parser.keep_alive = False
    if flags & HTTP1_FLAG_HEAD_REQUEST or parser.status == 204 or parser.status == 304:
        return HTTP1_ENDED
    if flags & HTTP1_FLAG_CHUNKED:
        parser.left_bytes = 0
        return HTTP1_BEFORE_CHUNKS
    if flags & (HTTP1_FLAG_LENGTH | HTTP1_FLAG_CODED) == HTTP1_FLAG_LENGTH:
        return HTTP1_IN_SIZED if parser.left_bytes else HTTP1_ENDED
    parser.keep_alive = False
    return HTTP1_TO_CLOSE


cdef inline Http1State http1_chunk_size(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    """Read the size of a chunk, up to the end of the line or its extension (RFC 9112 7.1)."""
    cdef int digit
    while cursor.at < cursor.end:
        digit = http1_hex_digit(cursor.at[0])
        if digit >= 0:
            if parser.index == HTTP1_AFTER_DIGITS or parser.number > HTTP1_HEX_LIMIT:
                return http1_broken(parser, HTTP1_REASON_CHUNK_SIZE)
            parser.number = parser.number << 4 | <uint64_t> digit
            parser.index = HTTP1_DIGITS
        elif parser.index == HTTP1_NO_DIGIT:
            return http1_broken(parser, HTTP1_REASON_CHUNK_SIZE)
        elif cursor.at[0] == c";":
            return HTTP1_IN_EXTENSION
        elif cursor.at[0] == HTTP1_SP or cursor.at[0] == HTTP1_HT:
            parser.index = HTTP1_AFTER_DIGITS
        else:
            return http1_end_line(parser, cursor, HTTP1_AFTER_CHUNK_SIZE, HTTP1_REASON_CHUNK_SIZE)
        cursor.at += 1
    return HTTP1_IN_CHUNK_SIZE


cdef inline Http1State http1_after_chunk_size(Http1 *parser) noexcept nogil:
    if parser.number:
        parser.left_bytes = parser.number
        return HTTP1_IN_CHUNK
    parser.flags |= HTTP1_FLAG_TRAILERS
    parser.field = HTTP1_NO_FIELD
    return HTTP1_AT_LINE_START


cdef inline Http1State http1_lines(Http1 *parser, Http1Cursor *cursor, Http1State state) noexcept nogil:
    """Read lines to the end of the input or to content."""
    # The steps stand in the order of a message, so that a line takes a single turn.
    while cursor.at < cursor.end and state < HTTP1_IN_SIZED:
        if state < HTTP1_AT_LINE_START:
            if state == HTTP1_AT_LF:
                if cursor.at[0] != HTTP1_LF:
                    return http1_broken(parser, HTTP1_REASON_BARE_CR)
                cursor.at += 1
                state = <Http1State> parser.next_state
            if state == HTTP1_IN_VERSION:
                state = http1_version(parser, cursor)
            if state == HTTP1_IN_STATUS:
                state = http1_status(parser, cursor)
            if state == HTTP1_AT_CHUNK_END:
                state = http1_end_line(parser, cursor, HTTP1_IN_CHUNK_SIZE, HTTP1_REASON_CHUNK_END)
            if state == HTTP1_IN_CHUNK_SIZE:
                state = http1_chunk_size(parser, cursor)
            if state == HTTP1_IN_EXTENSION:
                state = http1_text(parser, cursor, HTTP1_IN_EXTENSION, HTTP1_AFTER_CHUNK_SIZE)
            if state == HTTP1_AFTER_CHUNK_SIZE:
                state = http1_after_chunk_size(parser)
        if state == HTTP1_AT_LINE_START and cursor.at < cursor.end:
            state = http1_line_start(parser, cursor)
        if state == HTTP1_IN_NAME:
            state = http1_name(parser, cursor)
        if state == HTTP1_IN_LENGTH:
            state = http1_length(parser, cursor)
        if state == HTTP1_IN_LIST:
            state = http1_list(parser, cursor)
        if state == HTTP1_IN_TEXT:
            state = http1_text(parser, cursor, HTTP1_IN_TEXT, HTTP1_AT_LINE_START)
        if HTTP1_IN_LOCATION <= state <= HTTP1_IN_CODING and cursor.at < cursor.end:
            state = http1_location(parser, cursor) if state == HTTP1_IN_LOCATION else http1_coding(parser, cursor)
        if state == HTTP1_AFTER_HEAD:
            state = http1_end_head(parser)
    return state


cdef inline Http1State http1_content(Http1 *parser, Http1Cursor *cursor, Http1State state) noexcept nogil:
    """Count the content that has come and belongs to this response. Every chunk line has a limit of its own."""
    cdef uint64_t taken = cursor.end - cursor.at
    cdef DecodeResult decoded
    if state != HTTP1_TO_CLOSE:
        taken = min(taken, parser.left_bytes)
        parser.left_bytes -= taken
    if parser.decoding != NULL:
        decoded = decode_feed(parser.decoding, cursor.at, taken)
        if decoded == DECODE_PAUSED:
            parser.left_bytes += taken if state != HTTP1_TO_CLOSE else 0
            parser.next_state = state
            return HTTP1_IN_PAUSE
        if decoded != DECODE_GOOD:
            return http1_broken(parser, <Http1Reason> (HTTP1_REASON_CODING_BROKEN + decoded - DECODE_BROKEN))
    cursor.at += taken
    parser.body_bytes += taken
    if state == HTTP1_TO_CLOSE or parser.left_bytes:
        return state
    if state == HTTP1_IN_SIZED:
        return HTTP1_ENDED
    parser.head_left_bytes = HTTP1_HEAD_LIMIT_BYTES
    parser.number = 0
    parser.index = HTTP1_NO_DIGIT
    return HTTP1_AT_CHUNK_END if state == HTTP1_IN_CHUNK else HTTP1_IN_CHUNK_SIZE


cdef inline Http1Result http1_result(const Http1 *parser) noexcept nogil:
    if parser.state == HTTP1_ENDED:
        return HTTP1_DONE
    if parser.state < HTTP1_IN_PAUSE:
        return HTTP1_MORE
    if parser.state == HTTP1_IN_PAUSE:
        return HTTP1_PAUSED
    return HTTP1_TOO_LARGE if parser.reason == HTTP1_REASON_TOO_LARGE else HTTP1_BAD


cdef Http1Result http1_feed(
    Http1 *parser, const uint8_t *data, size_t length, size_t *consumed
) noexcept nogil:
    """Read more of a response. HTTP1_MORE: all bytes are consumed. HTTP1_DONE: those up to the last byte of the response.
    HTTP1_BAD: those up to the offending byte. HTTP1_PAUSED: the rest must be passed again, in a later turn. Nothing is consumed
    after the end."""
    cdef Http1Cursor cursor
    cdef Http1State state = <Http1State> parser.state
    cdef const uint8_t *start
    cdef const uint8_t *end = data + length
    cursor.at = data
    if state == HTTP1_IN_PAUSE:
        state = <Http1State> parser.next_state
    while cursor.at < end and state < HTTP1_IN_PAUSE:
        cursor.end = end
        if state < HTTP1_IN_SIZED:
            start = cursor.at
            cursor.end = start + min(<size_t> (end - start), <size_t> parser.head_left_bytes)
            state = http1_lines(parser, &cursor, state)
            parser.head_left_bytes -= cursor.at - start
            if state < HTTP1_IN_SIZED and parser.head_left_bytes == 0:
                state = http1_broken(parser, HTTP1_REASON_TOO_LARGE)
        else:
            state = http1_content(parser, &cursor, state)
    if state == HTTP1_ENDED and parser.decoding != NULL:
        state = http1_decode_end(parser, state)
    parser.state = state
    consumed[0] = cursor.at - data
    return http1_result(parser)


cdef Http1Result http1_finish(Http1 *parser) noexcept nogil:
    """Take note that the peer has ended the stream, which ends content read to the close and is too early anywhere else."""
    if parser.state == HTTP1_TO_CLOSE:
        parser.state = HTTP1_ENDED if parser.decoding == NULL else http1_decode_end(parser, HTTP1_ENDED)
    return HTTP1_CLOSED_EARLY if parser.state < HTTP1_ENDED else http1_result(parser)
