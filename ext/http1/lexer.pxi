# Steps of the HTTP/1 parser: words, ends of lines, and the Location.

from heyfleet.ext.c_bytes16 cimport equal_run16, text_end, word_run16


cdef inline void http1_start(Http1 *parser, bint head_request, Http1Location *location, Decoding *decoding=NULL) noexcept nogil:
    """Prepare for a response. One to a HEAD request has no content (RFC 9112, 6.3).

    `location`: where the Location of a redirect goes; NULL: nowhere. `decoding`: what decodes content; NULL: nothing does.
    """
    memset(parser, 0, sizeof(Http1))
    parser.location = location
    if location != NULL:
        location.bytes = 0
    if decoding != NULL:
        parser.decoding = decoding
        decode_start(decoding)
    parser.head_left_bytes = HTTP1_HEAD_LIMIT_BYTES
    parser.state = HTTP1_IN_VERSION
    parser.index = HTTP1_TEXT_VERSION
    parser.flags = HTTP1_FLAG_MINOR | (HTTP1_FLAG_HEAD_REQUEST if head_request else 0)


cdef inline Http1State http1_broken(Http1 *parser, Http1Reason reason) noexcept nogil:
    parser.reason = reason
    parser.keep_alive = False
    return HTTP1_BROKEN


cdef inline void http1_match(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    """Read a literal up to its end, the end of the input, or the first byte that differs."""
    cdef const uint8_t *text = http1_texts + parser.index
    cdef unsigned run = equal_run16(cursor.at, cursor.end, text, text + HTTP1_TEXTS_BYTES)
    parser.index += run
    cursor.at += run


cdef inline bint http1_matched(const Http1 *parser) noexcept nogil:
    """Whether the literal was read to its end."""
    return http1_texts[HTTP1_TEXTS_BYTES + parser.index] == 0x80


cdef inline bint http1_crlf(Http1Cursor *cursor) noexcept nogil:
    """Read CR LF if both have come."""
    if cursor.end - cursor.at < 2 or memcmp(cursor.at, b"\r\n", 2) != 0:
        return False
    cursor.at += 2
    return True


cdef inline Http1State http1_end_line(
    Http1 *parser, Http1Cursor *cursor, Http1State next_state, Http1Reason reason
) noexcept nogil:
    """Read CR LF or LF. Any other byte breaks the response for `reason`."""
    if http1_crlf(cursor):
        return next_state
    if cursor.at[0] == HTTP1_CR:
        cursor.at += 1
        if cursor.at == cursor.end:
            parser.next_state = next_state
            return HTTP1_AT_LF
        if cursor.at[0] != HTTP1_LF:
            return http1_broken(parser, HTTP1_REASON_BARE_CR)
    elif cursor.at[0] != HTTP1_LF:
        return http1_broken(parser, reason)
    cursor.at += 1
    return next_state


cdef inline Http1Literal http1_member(const Http1 *parser, uint8_t first) noexcept nogil:
    """The only member of this list with this first letter that matters."""
    first |= 0x20
    if parser.field == HTTP1_TRANSFER_ENCODING:
        return HTTP1_TEXT_CHUNKED if first == c"c" else HTTP1_TEXT_IDENTITY if first == c"i" else HTTP1_TEXT_OTHER
    return HTTP1_TEXT_CLOSE if first == c"c" else HTTP1_TEXT_KEEP_ALIVE if first == c"k" else HTTP1_TEXT_OTHER


cdef inline bint http1_end_member(Http1 *parser) noexcept nogil:
    """Take a member of Connection or Transfer-Encoding."""
    if parser.index == HTTP1_TEXT_CLOSE_END:
        parser.flags |= HTTP1_FLAG_CLOSE
    elif parser.index == HTTP1_TEXT_KEEP_ALIVE_END:
        parser.flags |= HTTP1_FLAG_KEEP_ALIVE
    elif parser.field == HTTP1_TRANSFER_ENCODING and parser.index != HTTP1_TEXT_NONE:
        if parser.index == HTTP1_TEXT_IDENTITY_END:
            parser.flags &= ~(0 if parser.flags & HTTP1_FLAG_CODINGS else HTTP1_FLAG_CODED)
            return True
        parser.flags |= HTTP1_FLAG_CODED | HTTP1_FLAG_CODINGS
        if parser.index != HTTP1_TEXT_CHUNKED_END:
            parser.flags &= ~HTTP1_FLAG_CHUNKED
        elif parser.flags & HTTP1_FLAG_CHUNKED:
            return False
        else:
            parser.flags |= HTTP1_FLAG_CHUNKED
    return True


cdef bint http1_append_location(Http1Location *location, const uint8_t *text, size_t length) noexcept nogil:
    """Append to a Location, without leading spaces. False: it is too long, or no memory."""
    cdef void *grown
    while location.bytes == 0 and length > 0 and text[0] == HTTP1_SP:
        text += 1
        length -= 1
    if length > HTTP1_LOCATION_LIMIT_BYTES - location.bytes:
        return False
    if location.bytes + length > location.room:
        grown = realloc(location.data, 2 * (location.bytes + length))
        if grown == NULL:
            return False
        location.data = <uint8_t *> grown
        location.room = <uint32_t> (2 * (location.bytes + length))
    if length > 0:
        memcpy(location.data + location.bytes, text, length)
    location.bytes += <uint32_t> length
    return True


cdef Http1State http1_location(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    cdef const uint8_t *start = cursor.at
    cursor.at = text_end(cursor.at, cursor.end)
    if not http1_append_location(parser.location, start, <size_t> (cursor.at - start)):
        return http1_broken(parser, HTTP1_REASON_LOCATION)
    if cursor.at == cursor.end:
        return HTTP1_IN_LOCATION
    if cursor.at[0] == HTTP1_HT:
        cursor.at += 1
        return HTTP1_IN_LOCATION
    while parser.location.bytes > 0 and parser.location.data[parser.location.bytes - 1] == HTTP1_SP:
        parser.location.bytes -= 1
    return http1_end_line(parser, cursor, HTTP1_AT_LINE_START, HTTP1_REASON_CONTROL)


cdef Http1State http1_coding(Http1 *parser, Http1Cursor *cursor) noexcept nogil:
    """Read the value of Content-Encoding."""
    cdef const uint8_t *start = cursor.at
    cursor.at = text_end(cursor.at, cursor.end)
    decode_text(parser.decoding, start, <size_t> (cursor.at - start))
    if cursor.at == cursor.end:
        return HTTP1_IN_CODING
    if cursor.at[0] == HTTP1_HT:
        decode_text(parser.decoding, cursor.at, 1)
        cursor.at += 1
        return HTTP1_IN_CODING
    return http1_end_line(parser, cursor, HTTP1_AT_LINE_START, HTTP1_REASON_CONTROL)


cdef Http1State http1_decode_end(Http1 *parser, Http1State state) noexcept nogil:
    """End the content, and check that its codings have ended too."""
    if decode_end(parser.decoding) == DECODE_GOOD:
        return state
    return http1_broken(parser, HTTP1_REASON_CODING_BROKEN)


cdef inline int http1_hex_digit(uint8_t byte) noexcept nogil:
    cdef uint8_t digit = byte - <uint8_t> c"0"
    if digit <= 9:
        return digit
    digit = (byte | 0x20) - <uint8_t> c"a"
    return digit + 10 if digit < 6 else -1
