# One coding of content: gzip, deflate, br or zstd, step by step.

from heyfleet.ext cimport c_codings as codings
from heyfleet.ext.c_codings cimport BrotliDecoderState, ZSTD_DCtx, ZSTD_inBuffer, ZSTD_outBuffer, z_stream

cdef enum:
    DECODE_BYTES = 65536                # decoded at a time
    DECODE_INPUT_BYTES = 4096           # read at a time: tables without content can take a microsecond for each
    ZLIB_WINDOW = 15
    ZLIB_GZIP = 16                      # added to the window: with gzip's wrapper
    ZSTD_MAGIC = 4                      # bytes
    ZSTD_WINDOW = 23                    # 8 MiB (RFC 9659, 3)

cdef enum DecodeResult:
    DECODE_GOOD
    DECODE_PAUSED               # the work is spent: the same piece of content must be passed again
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
    bint drained                # the piece of input is read, and all of its output was made
    size_t read_bytes           # of the piece
    size_t out_bytes            # of output that the next decoder has not read yet
    bint decided                # deflate: whether there is a wrapper is known
    uint8_t first               # deflate: the first byte, while there is no second; zstd: bytes of a frame so far, up to ZSTD_MAGIC
    bint first_there
    bint zlib_made
    z_stream zlib
    BrotliDecoderState *brotli
    ZSTD_DCtx *zstd


cdef bint decoder_begin(Decoder *decoder) noexcept nogil:
    """Prepare a decoder for a stream. False: no memory."""
    decoder.ended = decoder.decided = decoder.first_there = decoder.drained = False
    decoder.first = 0
    decoder.read_bytes = decoder.out_bytes = 0
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

# Steps. Each reads on in a piece of input, or fills `out` with DECODE_BYTES of output, and says so in the decoder.

cdef inline DecodeResult decoder_step(Decoder *decoder, const uint8_t *data, size_t bytes, uint8_t *out) noexcept nogil:
    if decoder.coding == CODING_BROTLI:
        return step_brotli(decoder, data, bytes, out)
    if decoder.coding == CODING_ZSTD:
        return step_zstd(decoder, data, bytes, out)
    if decoder.coding == CODING_DEFLATE and not decoder.decided:
        return step_wrapper(decoder, data, bytes, out)
    return step_zlib(decoder, data, bytes, out)


cdef DecodeResult step_wrapper(Decoder *decoder, const uint8_t *data, size_t bytes, uint8_t *out) noexcept nogil:
    """Detect the wrapper of deflate: its first two bytes are divisible by 31 (RFC 1950, 2.2)."""
    cdef uint8_t first = decoder.first if decoder.first_there else data[0]
    cdef uint8_t second
    if not decoder.first_there and bytes < 2:
        decoder.first = first
        decoder.first_there = decoder.drained = True
        decoder.read_bytes = bytes
        return DECODE_GOOD
    second = data[0] if decoder.first_there else data[1]
    decoder.decided = True
    if not decoder_zlib(decoder, ZLIB_WINDOW if first & 15 == 8 and (first << 8 | second) % 31 == 0 else -ZLIB_WINDOW):
        return DECODE_NO_MEMORY
    if decoder.first_there:
        # One byte yields no output, and ends nothing: the shortest block has ten bits (RFC 1951, 3.2.6).
        decoder.zlib.next_in = &first
        decoder.zlib.avail_in = 1
        decoder.zlib.next_out = out
        decoder.zlib.avail_out = DECODE_BYTES
        if codings.inflate(&decoder.zlib, codings.Z_NO_FLUSH) != codings.Z_OK:
            return DECODE_BROKEN
    return DECODE_GOOD


cdef DecodeResult step_zlib(Decoder *decoder, const uint8_t *data, size_t bytes, uint8_t *out) noexcept nogil:
    cdef z_stream *stream = &decoder.zlib
    cdef int status
    if decoder.ended:
        if decoder.coding != CODING_GZIP or codings.inflateReset2(stream, ZLIB_WINDOW + ZLIB_GZIP) != codings.Z_OK:
            return DECODE_BROKEN
        decoder.ended = False
    stream.next_in = <unsigned char *> data + decoder.read_bytes  # zlib only reads it
    stream.avail_in = <unsigned int> (bytes - decoder.read_bytes)  # at most what a backend hands out, or DECODE_BYTES
    stream.next_out = out
    stream.avail_out = DECODE_BYTES
    status = codings.inflate(stream, codings.Z_NO_FLUSH)
    if status not in (codings.Z_OK, codings.Z_STREAM_END, codings.Z_BUF_ERROR):
        return DECODE_BROKEN
    decoder.read_bytes = bytes - stream.avail_in
    decoder.out_bytes = DECODE_BYTES - stream.avail_out
    decoder.ended = status == codings.Z_STREAM_END
    decoder.drained = stream.avail_in == 0 if decoder.ended else stream.avail_out > 0
    return DECODE_GOOD


cdef DecodeResult step_brotli(Decoder *decoder, const uint8_t *data, size_t bytes, uint8_t *out) noexcept nogil:
    cdef const uint8_t *at = data + decoder.read_bytes
    cdef size_t left = bytes - decoder.read_bytes
    cdef size_t room = DECODE_BYTES
    cdef codings.BrotliDecoderResult status
    if decoder.ended:
        return DECODE_BROKEN
    status = codings.BrotliDecoderDecompressStream(decoder.brotli, &left, &at, &room, &out, NULL)
    if status == codings.BROTLI_DECODER_RESULT_ERROR:
        return DECODE_BROKEN
    decoder.read_bytes = bytes - left
    decoder.out_bytes = DECODE_BYTES - room
    decoder.ended = status == codings.BROTLI_DECODER_RESULT_SUCCESS
    decoder.drained = left == 0 if decoder.ended else status == codings.BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT
    return DECODE_GOOD


cdef DecodeResult step_zstd(Decoder *decoder, const uint8_t *data, size_t bytes, uint8_t *out) noexcept nogil:
    cdef ZSTD_inBuffer taken
    cdef ZSTD_outBuffer output
    cdef size_t left
    taken.src = data
    taken.pos = decoder.read_bytes
    # Pass a frame's first bytes one by one. libzstd reads whole frames in another way, with other errors, and looks for its
    # formats before version 1 wherever a piece begins.
    taken.size = bytes if decoder.first == ZSTD_MAGIC else taken.pos + 1
    output.dst = out
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
    decoder.read_bytes = taken.pos
    decoder.out_bytes = output.pos
    decoder.drained = taken.pos == bytes and (decoder.ended or output.pos < output.size)
    return DECODE_GOOD
