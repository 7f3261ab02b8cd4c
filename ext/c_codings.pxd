# zlib, libbrotlidec and libzstd, which decode content.

from libc.stdint cimport uint8_t

cdef extern from "<zlib.h>" nogil:
    ctypedef struct z_stream:
        unsigned char *next_in
        unsigned int avail_in
        unsigned char *next_out
        unsigned int avail_out
    enum: Z_NO_FLUSH
    enum: Z_OK
    enum: Z_STREAM_END
    enum: Z_BUF_ERROR
    int inflateInit2(z_stream *stream, int window_bits)
    int inflateReset2(z_stream *stream, int window_bits)
    int inflate(z_stream *stream, int flush)
    int inflateEnd(z_stream *stream)

cdef extern from "<brotli/decode.h>" nogil:
    ctypedef struct BrotliDecoderState:
        pass
    ctypedef enum BrotliDecoderResult:
        BROTLI_DECODER_RESULT_ERROR
        BROTLI_DECODER_RESULT_SUCCESS
        BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT
        BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT
    BrotliDecoderState *BrotliDecoderCreateInstance(void *allocate, void *release, void *opaque)
    void BrotliDecoderDestroyInstance(BrotliDecoderState *state)
    BrotliDecoderResult BrotliDecoderDecompressStream(
        BrotliDecoderState *state, size_t *available_in, const uint8_t **next_in, size_t *available_out, uint8_t **next_out,
        size_t *total_out)

cdef extern from "<zstd.h>" nogil:
    ctypedef struct ZSTD_DCtx:
        pass
    ctypedef struct ZSTD_inBuffer:
        const void *src
        size_t size
        size_t pos
    ctypedef struct ZSTD_outBuffer:
        void *dst
        size_t size
        size_t pos
    ctypedef enum ZSTD_dParameter:
        ZSTD_d_windowLogMax
    ctypedef enum ZSTD_ResetDirective:
        ZSTD_reset_session_only
    ZSTD_DCtx *ZSTD_createDCtx()
    size_t ZSTD_freeDCtx(ZSTD_DCtx *context)
    size_t ZSTD_DCtx_reset(ZSTD_DCtx *context, ZSTD_ResetDirective directive)
    size_t ZSTD_DCtx_setParameter(ZSTD_DCtx *context, ZSTD_dParameter parameter, int value)
    size_t ZSTD_decompressStream(ZSTD_DCtx *context, ZSTD_outBuffer *output, ZSTD_inBuffer *input)
    unsigned ZSTD_isError(size_t code)
