# Decodes content as it comes (RFC 9110, 8.4): gzip, deflate, br and zstd, several in a row. Decoded bytes are counted and
# discarded. A response borrows its decoders from the worker's pool, from its first byte of encoded content to the last.
#
# Where the standards leave a choice:
# - deflate may come without its zlib wrapper, as some servers send it (RFC 9110, 8.4.1.2).
# - gzip may have several members (RFC 1952, 2.2), zstd several frames (RFC 8878, 3.1); what else follows the end is an error.
# - Content of no bytes at all is no error, whatever its coding.

from libc.stdlib cimport malloc
from libc.string cimport memcpy

from heyfleet.ext cimport c_codings as codings
from heyfleet.ext.c_codings cimport BrotliDecoderState, ZSTD_DCtx, ZSTD_inBuffer, ZSTD_outBuffer, z_stream

cdef enum:
    DECODED_BYTES_AT_MOST = 1073741824  # of one response, by all of its codings together
    CODINGS_AT_MOST = 4
    CODING_TEXT_BYTES = 128
    DECODE_BYTES = 65536                # decoded at a time
    ZLIB_WINDOW = 15
    ZLIB_GZIP = 16                      # added to the window: with gzip's wrapper
    ZSTD_MAGIC = 4                      # bytes
    ZSTD_WINDOW = 23                    # 8 MiB (RFC 9659, 3)

cdef enum DecodeResult:
    DECODE_GOOD
    DECODE_BROKEN
    DECODE_UNKNOWN
    DECODE_TOO_LARGE
    DECODE_NO_MEMORY

cdef enum Coding:
    CODING_GZIP
    CODING_DEFLATE
    CODING_BROTLI
    CODING_ZSTD

# One coding of a response. The state that a library can reuse stays for later responses.
cdef struct Decoder:
    Coding coding
    bint ended                  # at the end of a member, frame or stream
    bint decided                # deflate: whether there is a wrapper is known
    uint8_t first               # deflate: the first byte, while there is no second; zstd: bytes of a frame so far, up to ZSTD_MAGIC
    bint first_there
    bint zlib_made
    z_stream zlib
    BrotliDecoderState *brotli
    ZSTD_DCtx *zstd

# Decoders in the order of decoding: the coding that was applied last is the first.
cdef struct DecodeChain:
    DecodeChain *next_free
    uint64_t decoded_bytes_of_all         # by all of its decoders, since the last one may yield little
    uint32_t count
    Decoder[CODINGS_AT_MOST] decoders

# The decoders of a worker that are not in use.
cdef struct DecodePool:
    DecodeChain *free
    uint8_t *out                # DECODE_BYTES for each decoder of a chain

# The content of the response on one connection.
cdef struct Decoding:
    DecodePool *pool
    DecodeChain *chain          # NULL: no encoded content has come yet
    uint64_t decoded_bytes
    uint32_t text_bytes         # above CODING_TEXT_BYTES: it did not fit
    uint8_t[CODING_TEXT_BYTES] text  # of Content-Encoding; several values are joined by commas


cdef inline bint decode_pool_init(DecodePool *pool) noexcept nogil:
    pool.free = NULL
    pool.out = <uint8_t *> malloc(CODINGS_AT_MOST * DECODE_BYTES)
    return pool.out != NULL


cdef void decode_pool_free(DecodePool *pool) noexcept nogil:
    """Free the pool, after every chain was returned."""
    cdef DecodeChain *chain = pool.free
    cdef DecodeChain *next
    cdef int index
    while chain != NULL:
        next = chain.next_free
        for index in range(CODINGS_AT_MOST):
            if chain.decoders[index].zlib_made:
                codings.inflateEnd(&chain.decoders[index].zlib)
            codings.ZSTD_freeDCtx(chain.decoders[index].zstd)
        free(chain)
        chain = next
    free(pool.out)
    pool.free = NULL
    pool.out = NULL


cdef void decode_forget(Decoding *decoding) noexcept nogil:
    """Return the decoders of a response to the pool."""
    cdef DecodeChain *chain = decoding.chain
    cdef uint32_t index
    if chain == NULL:
        return
    for index in range(chain.count):
        if chain.decoders[index].brotli != NULL:  # it can't be reused
            codings.BrotliDecoderDestroyInstance(chain.decoders[index].brotli)
            chain.decoders[index].brotli = NULL
    chain.next_free = decoding.pool.free
    decoding.pool.free = chain
    decoding.chain = NULL


cdef inline void decode_start(Decoding *decoding) noexcept nogil:
    """Prepare for another response."""
    decode_forget(decoding)
    decoding.decoded_bytes = 0
    decoding.text_bytes = 0


cdef int error_from_decode(int result) noexcept nogil:
    """The error kind of a result other than DECODE_GOOD."""
    return ERROR_OTHER if result == DECODE_NO_MEMORY else ERROR_CONTENT_BROKEN + result - DECODE_BROKEN


cdef void decode_text(Decoding *decoding, const uint8_t *text, size_t bytes) noexcept nogil:
    """Append to the field's value."""
    if bytes > CODING_TEXT_BYTES - min(decoding.text_bytes, <uint32_t> CODING_TEXT_BYTES):
        decoding.text_bytes = CODING_TEXT_BYTES + 1
    elif bytes > 0:
        memcpy(decoding.text + decoding.text_bytes, text, bytes)
        decoding.text_bytes += <uint32_t> bytes


cdef inline bint decode_is(const uint8_t *word, size_t bytes, const char *name, size_t name_bytes) noexcept nogil:
    cdef size_t index
    if bytes != name_bytes:
        return False
    for index in range(bytes):
        if word[index] | 0x20 != <uint8_t> name[index] | 0x20:
            return False
    return True


cdef DecodeResult decode_add(DecodeChain *chain, const uint8_t *word, size_t bytes) noexcept nogil:
    """Add a coding, which is decoded before those added earlier."""
    cdef Coding coding
    if decode_is(word, bytes, b"identity", 8):
        return DECODE_GOOD
    if decode_is(word, bytes, b"gzip", 4) or decode_is(word, bytes, b"x-gzip", 6):
        coding = CODING_GZIP
    elif decode_is(word, bytes, b"deflate", 7):
        coding = CODING_DEFLATE
    elif decode_is(word, bytes, b"br", 2):
        coding = CODING_BROTLI
    elif decode_is(word, bytes, b"zstd", 4):
        coding = CODING_ZSTD
    else:
        return DECODE_UNKNOWN
    if chain.count == CODINGS_AT_MOST:
        return DECODE_UNKNOWN
    chain.decoders[chain.count].coding = coding
    chain.count += 1
    return DECODE_GOOD


cdef DecodeResult decode_list(const Decoding *decoding, DecodeChain *chain) noexcept nogil:
    """Parse the field's codings, the last one first."""
    cdef uint32_t end = decoding.text_bytes
    cdef uint32_t begin, last
    cdef DecodeResult result
    chain.count = 0
    chain.decoded_bytes_of_all = 0
    if end > CODING_TEXT_BYTES:
        return DECODE_UNKNOWN
    while True:
        begin = end
        while begin > 0 and decoding.text[begin - 1] != c",":
            begin -= 1
        last = begin
        while end > last and (decoding.text[end - 1] == c" " or decoding.text[end - 1] == c"\t"):
            end -= 1
        while last < end and (decoding.text[last] == c" " or decoding.text[last] == c"\t"):
            last += 1
        if last < end:
            result = decode_add(chain, decoding.text + last, end - last)
            if result != DECODE_GOOD:
                return result
        if begin == 0:
            return DECODE_GOOD
        end = begin - 1


cdef bint decoder_begin(Decoder *decoder) noexcept nogil:
    """Prepare a decoder for a stream. False: no memory."""
    decoder.ended = decoder.decided = decoder.first_there = False
    decoder.first = 0
    if decoder.coding == CODING_GZIP:
        return decoder_zlib(decoder, ZLIB_WINDOW + ZLIB_GZIP)
    if decoder.coding == CODING_BROTLI:
        decoder.brotli = codings.BrotliDecoderCreateInstance(NULL, NULL, NULL)
        return decoder.brotli != NULL
    if decoder.coding == CODING_ZSTD:
        if decoder.zstd == NULL:
            decoder.zstd = codings.ZSTD_createDCtx()
            if decoder.zstd == NULL:
                return False
            codings.ZSTD_DCtx_setParameter(decoder.zstd, codings.ZSTD_d_windowLogMax, ZSTD_WINDOW)
        codings.ZSTD_DCtx_reset(decoder.zstd, codings.ZSTD_reset_session_only)
    return True


cdef bint decoder_zlib(Decoder *decoder, int window) noexcept nogil:
    if decoder.zlib_made:
        return codings.inflateReset2(&decoder.zlib, window) == codings.Z_OK
    memset(&decoder.zlib, 0, sizeof(decoder.zlib))
    decoder.zlib_made = codings.inflateInit2(&decoder.zlib, window) == codings.Z_OK
    return decoder.zlib_made


cdef DecodeResult decode_begin(Decoding *decoding) noexcept nogil:
    """Set up decoders for a response whose encoded content begins."""
    cdef DecodeChain *chain = decoding.pool.free
    cdef DecodeResult result
    cdef uint32_t index
    if chain != NULL:
        decoding.pool.free = chain.next_free
    else:
        chain = <DecodeChain *> calloc(1, sizeof(DecodeChain))
        if chain == NULL:
            return DECODE_NO_MEMORY
    decoding.chain = chain
    result = decode_list(decoding, chain)
    if result != DECODE_GOOD:
        chain.count = 0
        return result
    for index in range(chain.count):
        if not decoder_begin(&chain.decoders[index]):
            return DECODE_NO_MEMORY
    return DECODE_GOOD


cdef DecodeResult decode_feed(Decoding *decoding, const uint8_t *data, size_t bytes) noexcept nogil:
    """Decode more content."""
    cdef DecodeResult result
    if decoding.text_bytes == 0 or bytes == 0:
        decoding.decoded_bytes += bytes
        return DECODE_GOOD
    if decoding.chain == NULL:
        result = decode_begin(decoding)
        if result != DECODE_GOOD:
            return result
    return decode_from(decoding, 0, data, bytes)


cdef DecodeResult decode_end(Decoding *decoding) noexcept nogil:
    """End the content; DECODE_BROKEN if a coding has not ended."""
    cdef uint32_t index
    cdef DecodeResult result = DECODE_GOOD
    if decoding.chain == NULL:
        return DECODE_GOOD
    for index in range(decoding.chain.count):
        if not decoding.chain.decoders[index].ended:
            result = DECODE_BROKEN
    decode_forget(decoding)
    return result


cdef DecodeResult decode_from(Decoding *decoding, uint32_t index, const uint8_t *data, size_t bytes) noexcept nogil:
    """Give bytes to a decoder of the chain; behind the last one they are only counted."""
    cdef DecodeChain *chain = decoding.chain
    cdef Decoder *decoder
    if index > 0:
        chain.decoded_bytes_of_all += bytes
        if chain.decoded_bytes_of_all > DECODED_BYTES_AT_MOST:
            return DECODE_TOO_LARGE
    if index == chain.count:
        decoding.decoded_bytes += bytes
        return DECODE_GOOD
    decoder = &chain.decoders[index]
    if decoder.coding == CODING_BROTLI:
        return decode_brotli(decoding, index, data, bytes)
    if decoder.coding == CODING_ZSTD:
        return decode_zstd(decoding, index, data, bytes)
    if decoder.coding == CODING_DEFLATE and not decoder.decided:
        return decode_wrapped(decoding, index, data, bytes)
    return decode_zlib(decoding, index, data, bytes)


cdef DecodeResult decode_wrapped(Decoding *decoding, uint32_t index, const uint8_t *data, size_t bytes) noexcept nogil:
    """Detect the wrapper of deflate: its first two bytes are divisible by 31 (RFC 1950, 2.2)."""
    cdef Decoder *decoder = &decoding.chain.decoders[index]
    cdef uint8_t first = decoder.first
    cdef uint8_t second
    cdef bint alone = decoder.first_there
    cdef DecodeResult result
    if not alone and bytes < 2:
        decoder.first = data[0]
        decoder.first_there = True
        return DECODE_GOOD
    if alone:
        second = data[0]
    else:
        first, second = data[0], data[1]
    decoder.decided = True
    if not decoder_zlib(decoder, ZLIB_WINDOW if first & 15 == 8 and (first << 8 | second) % 31 == 0 else -ZLIB_WINDOW):
        return DECODE_NO_MEMORY
    if alone:
        result = decode_zlib(decoding, index, &first, 1)
        if result != DECODE_GOOD:
            return result
    return decode_zlib(decoding, index, data, bytes)


cdef DecodeResult decode_zlib(Decoding *decoding, uint32_t index, const uint8_t *data, size_t bytes) noexcept nogil:
    cdef Decoder *decoder = &decoding.chain.decoders[index]
    cdef uint8_t *out = decoding.pool.out + index * DECODE_BYTES
    cdef z_stream *stream = &decoder.zlib
    cdef DecodeResult result
    cdef int status
    stream.next_in = <unsigned char *> data  # zlib only reads it
    stream.avail_in = <unsigned int> bytes  # at most what a backend hands out at a time, or DECODE_BYTES
    while True:
        if decoder.ended:
            if stream.avail_in == 0:
                return DECODE_GOOD
            if decoder.coding != CODING_GZIP or codings.inflateReset2(stream, ZLIB_WINDOW + ZLIB_GZIP) != codings.Z_OK:
                return DECODE_BROKEN
            decoder.ended = False
        stream.next_out = out
        stream.avail_out = DECODE_BYTES
        status = codings.inflate(stream, codings.Z_NO_FLUSH)
        if status not in (codings.Z_OK, codings.Z_STREAM_END, codings.Z_BUF_ERROR):
            return DECODE_BROKEN
        decoder.ended = status == codings.Z_STREAM_END
        if stream.avail_out < DECODE_BYTES:
            result = decode_from(decoding, index + 1, out, DECODE_BYTES - stream.avail_out)
            if result != DECODE_GOOD:
                return result
        if not decoder.ended and stream.avail_out > 0:
            return DECODE_GOOD


cdef DecodeResult decode_brotli(Decoding *decoding, uint32_t index, const uint8_t *data, size_t bytes) noexcept nogil:
    cdef Decoder *decoder = &decoding.chain.decoders[index]
    cdef uint8_t *out = decoding.pool.out + index * DECODE_BYTES
    cdef uint8_t *next
    cdef size_t room
    cdef codings.BrotliDecoderResult status
    cdef DecodeResult result
    if decoder.ended:
        return DECODE_BROKEN
    while True:
        next = out
        room = DECODE_BYTES
        status = codings.BrotliDecoderDecompressStream(decoder.brotli, &bytes, &data, &room, &next, NULL)
        if status == codings.BROTLI_DECODER_RESULT_ERROR:
            return DECODE_BROKEN
        if room < DECODE_BYTES:
            result = decode_from(decoding, index + 1, out, DECODE_BYTES - room)
            if result != DECODE_GOOD:
                return result
        if status == codings.BROTLI_DECODER_RESULT_SUCCESS:
            decoder.ended = True
            return DECODE_GOOD if bytes == 0 else DECODE_BROKEN
        if status == codings.BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT:
            return DECODE_GOOD


cdef DecodeResult decode_zstd(Decoding *decoding, uint32_t index, const uint8_t *data, size_t bytes) noexcept nogil:
    cdef Decoder *decoder = &decoding.chain.decoders[index]
    cdef ZSTD_inBuffer taken
    cdef ZSTD_outBuffer output
    cdef size_t left
    cdef DecodeResult result
    taken.src = data
    taken.pos = 0
    while True:
        # Pass a frame's first bytes one by one. libzstd reads whole frames in another way, with other errors, and looks for its
        # formats before version 1 wherever a piece begins.
        taken.size = bytes if decoder.first == ZSTD_MAGIC else taken.pos + 1
        output.dst = decoding.pool.out + index * DECODE_BYTES
        output.size = DECODE_BYTES
        output.pos = 0
        left = codings.ZSTD_decompressStream(decoder.zstd, &output, &taken)
        if codings.ZSTD_isError(left):
            return DECODE_BROKEN
        decoder.ended = left == 0
        if decoder.ended:
            decoder.first = 0
        elif decoder.first < ZSTD_MAGIC:
            decoder.first += 1
        if output.pos > 0:
            result = decode_from(decoding, index + 1, <const uint8_t *> output.dst, output.pos)
            if result != DECODE_GOOD:
                return result
        if taken.pos == bytes and (decoder.ended or output.pos < output.size):
            return DECODE_GOOD
