/*
 * gzip (RFC 1952) from memory to memory over zlib's inflate.
 *
 * Nothing is believed: the size in the trailer is used only as a first guess, capped by a multiple
 * of the packed size, and what comes out may never exceed the caller's limit (archive bombs).
 */
#include "file/data_internal.h"

#include <string.h>
#include <zlib.h>

typedef struct unpacker {
    sonde_context *context;
    const char *path;
    const uint8_t *in;
    size_t in_size, limit;
    z_stream stream;
    uint8_t *out;
    size_t out_size, capacity;
} unpacker;

static void *zlib_alloc(void *context, unsigned count, unsigned size)
{
    return sonde__alloc_quiet(context, count, size);
}

static void zlib_free(void *context, void *block)
{
    sonde__free(context, block);
}

bool sonde__is_gzip(const void *bytes, size_t size)
{
    return size >= 2 && memcmp(bytes, "\x1f\x8b", 2) == 0;
}

static bool start(z_stream *stream, sonde_context *context)
{
    *stream = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = context};
    return inflateInit2(stream, 16 + MAX_WBITS) == Z_OK;
}

/* zlib counts in 32 bits: hands it the next piece of input and of room. */
static int step(unpacker *u, size_t consumed)
{
    enum { PIECE = 1 << 30 };
    size_t in_left = u->in_size - consumed, out_left = u->capacity - u->out_size;
    uInt in_piece = (uInt)(in_left < PIECE ? in_left : PIECE);
    uInt out_piece = (uInt)(out_left < PIECE ? out_left : PIECE);
    u->stream.next_in = (z_const Bytef *)(u->in + consumed);
    u->stream.avail_in = in_piece;
    u->stream.next_out = u->out + u->out_size;
    u->stream.avail_out = out_piece;
    int result = inflate(&u->stream, Z_NO_FLUSH);
    u->out_size += out_piece - u->stream.avail_out;
    return result;
}

/* The trailer's size, if it is believable, and one byte more so that the end is seen at once. */
static size_t first_guess(const unpacker *u)
{
    size_t guess = u->in_size < SIZE_MAX / 8 ? 4 * u->in_size + 4096 : u->in_size;
    if (u->in_size >= 18) {
        const uint8_t *last = u->in + u->in_size - 4;
        size_t claimed =
            (size_t)last[0] | (size_t)last[1] << 8 | (size_t)last[2] << 16 | (size_t)last[3] << 24;
        if (claimed < guess)
            guess = claimed + 1;
    }
    return guess < u->limit ? guess : u->limit + 1;
}

static sonde_status grow(unpacker *u)
{
    if (u->out_size > u->limit)
        return sonde__fail_at(u->context, SONDE_ERROR_FORMAT, u->path, NULL, -1,
                              "%s: unpacks to more than the %zu bytes it should hold", u->path,
                              u->limit);
    if (u->out_size < u->capacity)
        return SONDE_OK;
    size_t capacity = u->capacity ? u->capacity + u->capacity / 2 + 4096 : first_guess(u);
    if (capacity > u->limit)
        capacity = u->limit + 1; /* one more, to notice the excess */
    uint8_t *larger = sonde__resize(u->context, u->out, capacity, 1);
    if (!larger)
        return sonde_context_error(u->context)->status;
    u->out = larger;
    u->capacity = capacity;
    return SONDE_OK;
}

static sonde_status explain(const unpacker *u, int result, size_t consumed)
{
    const char *why = u->stream.msg ? u->stream.msg : "the packed data is damaged";
    switch (result) {
    case Z_MEM_ERROR:
        return sonde__fail_at(u->context, SONDE_ERROR_MEMORY, u->path, NULL, -1,
                              "%s: no memory to unpack it", u->path);
    case Z_BUF_ERROR:
        return sonde__fail_at(u->context, SONDE_ERROR_TRUNCATED, u->path, NULL, (int64_t)consumed,
                              "%s: the packed data ends too early, at byte %zu; fetch it again",
                              u->path, consumed);
    default:
        return sonde__fail_at(u->context, SONDE_ERROR_CORRUPT, u->path, NULL, (int64_t)consumed,
                              "%s: damaged near byte %zu (%s); fetch it again", u->path, consumed,
                              why);
    }
}

static sonde_status unpack_all(unpacker *u)
{
    size_t consumed = 0;
    for (;;) {
        SONDE_TRY(grow(u));
        if (sonde__cancelled(u->context))
            return sonde__fail(u->context, SONDE_ERROR_CANCELLED, "unpacking was cancelled");
        int result = step(u, consumed);
        consumed = (size_t)(u->stream.next_in - u->in);
        if (result == Z_STREAM_END) {
            if (consumed == u->in_size)
                break;
            if (!sonde__is_gzip(u->in + consumed, u->in_size - consumed))
                return sonde__fail_at(
                    u->context, SONDE_ERROR_FORMAT, u->path, NULL, (int64_t)consumed,
                    "%s: other bytes follow the packed data at byte %zu", u->path, consumed);
            inflateReset(&u->stream);
        } else if (result == Z_OK && (consumed < u->in_size || u->stream.avail_out == 0)) {
            continue;
        } else if (result == Z_BUF_ERROR && u->stream.avail_out == 0) {
            continue;
        } else {
            return explain(u, result == Z_OK ? Z_BUF_ERROR : result, consumed);
        }
    }
    return u->out_size > u->limit ? grow(u) : SONDE_OK;
}

sonde_status sonde__gunzip(sonde_context *context, const char *path, const void *bytes, size_t size,
                           size_t limit, uint8_t **out, size_t *out_size)
{
    unpacker u = {.context = context, .path = path, .in = bytes, .in_size = size, .limit = limit};
    if (!start(&u.stream, context))
        return sonde__fail_at(context, SONDE_ERROR_MEMORY, path, NULL, -1,
                              "%s: no memory to unpack it", path);
    sonde_status status = unpack_all(&u);
    inflateEnd(&u.stream);
    if (status != SONDE_OK) {
        sonde__free(context, u.out);
        return status;
    }
    *out = u.out;
    *out_size = u.out_size;
    return SONDE_OK;
}

sonde_status sonde__gunzip_head(sonde_context *context, const sonde__source *source, uint8_t *head,
                                size_t room, size_t *got)
{
    z_stream stream;
    if (!start(&stream, context))
        return sonde__fail_at(context, SONDE_ERROR_MEMORY, source->path, NULL, -1,
                              "%s: no memory to unpack it", source->path);
    stream.next_in = (z_const Bytef *)source->bytes;
    stream.avail_in = (uInt)(source->size < 65536 ? source->size : 65536);
    stream.next_out = head;
    stream.avail_out = (uInt)room;
    int result;
    do
        result = inflate(&stream, Z_SYNC_FLUSH);
    while (result == Z_OK && stream.avail_out > 0 && stream.avail_in > 0);
    *got = room - stream.avail_out;
    inflateEnd(&stream);
    return SONDE_OK;
}

sonde_status sonde__source_unpack(sonde_context *context, sonde__source *source, size_t limit)
{
    uint8_t *content = NULL;
    size_t size = 0;
    if (!sonde__is_gzip(source->bytes, source->size))
        return SONDE_OK;
    SONDE_TRY(
        sonde__gunzip(context, source->path, source->bytes, source->size, limit, &content, &size));
    sonde__free(context, source->bytes);
    source->bytes = content;
    source->size = size;
    return SONDE_OK;
}
