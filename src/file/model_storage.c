/*
 * The bytes of a storage: as they lie in the file, or inflated (RFC 1951) as a stream.
 *
 * The stream stays where it is after a read, so that slices that follow each other cost no more than
 * one pass over the storage; a read further back begins anew. Checksums are those of zip (CRC-32).
 */
#include <string.h>

#include <zlib.h>

#include "file/model_state.h"

enum { PACKED_PIECE = 64 << 10, AT_ONCE = 1 << 30 };

struct sonde__unpacker {
    z_stream stream;
    uint32_t storage;
    uint64_t taken;    /* packed bytes read from the file */
    uint64_t position; /* unpacked bytes that have come out */
    bool ended;
    uint8_t packed[PACKED_PIECE];
};

static void *zlib_alloc(void *context, unsigned count, unsigned size)
{
    return sonde__alloc_quiet(context, count, size);
}

static void zlib_free(void *context, void *block)
{
    sonde__free(context, block);
}

void sonde__unpacker_free(sonde_model *model)
{
    if (!model->unpacker)
        return;
    inflateEnd(&model->unpacker->stream);
    sonde__free(model->context, model->unpacker);
    model->unpacker = NULL;
}

static const char *path_of(const sonde_model *model, uint32_t storage)
{
    return sonde__input_path(model->inputs[model->storages[storage].about.input]);
}

static const char *entry_of(const sonde_model *model, uint32_t storage, const char *item)
{
    const char *entry = model->storages[storage].about.entry;
    return entry ? entry : item;
}

/* --- inflating ---------------------------------------------------------------------------------- */

static sonde_status rewind_unpacker(sonde_model *model, uint32_t storage)
{
    sonde__unpacker *unpacker = model->unpacker;
    if (!unpacker) {
        unpacker = sonde__alloc(model->context, 1, sizeof *unpacker);
        if (!unpacker)
            return sonde_context_error(model->context)->status;
        unpacker->stream =
            (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = model->context};
        if (inflateInit2(&unpacker->stream, -MAX_WBITS) != Z_OK) {
            sonde__free(model->context, unpacker);
            return sonde__fail(model->context, SONDE_ERROR_MEMORY, "no memory to unpack with");
        }
        model->unpacker = unpacker;
    }
    inflateReset(&unpacker->stream);
    unpacker->stream.avail_in = 0;
    unpacker->storage = storage;
    unpacker->taken = unpacker->position = 0;
    unpacker->ended = false;
    return SONDE_OK;
}

static sonde_status fail_packed(sonde_model *model, const char *item, sonde_status status,
                                const char *why)
{
    const sonde__unpacker *unpacker = model->unpacker;
    const sonde__storage *storage = &model->storages[unpacker->storage].about;
    const char *path = path_of(model, unpacker->storage);
    const char *entry = entry_of(model, unpacker->storage, item);
    const uint64_t at = storage->offset + unpacker->taken - unpacker->stream.avail_in;
    return sonde__fail_at(model->context, status, path, entry, (int64_t)at,
                          "%s: %.200s cannot be unpacked at byte %llu of the file (%s); fetch it "
                          "again",
                          path, entry ? entry : "", (unsigned long long)at, why);
}

static sonde_status feed(sonde_model *model, const char *item)
{
    sonde__unpacker *unpacker = model->unpacker;
    const sonde__storage *storage = &model->storages[unpacker->storage].about;
    const uint64_t left = storage->packed - unpacker->taken;
    const size_t piece = left < PACKED_PIECE ? (size_t)left : PACKED_PIECE;
    if (unpacker->stream.avail_in > 0 || piece == 0)
        return SONDE_OK;
    SONDE_TRY(sonde__input_read(model->inputs[storage->input],
                                entry_of(model, unpacker->storage, item),
                                storage->offset + unpacker->taken, unpacker->packed, piece));
    unpacker->taken += piece;
    unpacker->stream.next_in = unpacker->packed;
    unpacker->stream.avail_in = (uInt)piece;
    return SONDE_OK;
}

/* The next bytes of the stream, at most `size`; fewer at its end. */
static sonde_status inflate_some(sonde_model *model, const char *item, uint8_t *to, size_t size,
                                 size_t *got)
{
    sonde__unpacker *unpacker = model->unpacker;
    *got = 0;
    while (*got < size && !unpacker->ended) {
        SONDE_TRY(feed(model, item));
        const uInt room = (uInt)(size - *got < AT_ONCE ? size - *got : AT_ONCE);
        unpacker->stream.next_out = to + *got;
        unpacker->stream.avail_out = room;
        const int result = inflate(&unpacker->stream, Z_NO_FLUSH);
        *got += room - unpacker->stream.avail_out;
        unpacker->position += room - unpacker->stream.avail_out;
        if (result == Z_STREAM_END)
            unpacker->ended = true;
        else if (result == Z_MEM_ERROR)
            return sonde__fail(model->context, SONDE_ERROR_MEMORY, "no memory to unpack with");
        else if (result == Z_BUF_ERROR)
            return fail_packed(model, item, SONDE_ERROR_TRUNCATED, "it ends too early");
        else if (result != Z_OK)
            return fail_packed(model, item, SONDE_ERROR_CORRUPT,
                               unpacker->stream.msg ? unpacker->stream.msg : "damaged");
        if (sonde__cancelled(model->context))
            return sonde__fail(model->context, SONDE_ERROR_CANCELLED, "reading was cancelled");
    }
    return SONDE_OK;
}

static sonde_status inflate_all(sonde_model *model, const char *item, uint8_t *to, size_t size)
{
    size_t got = 0;
    SONDE_TRY(inflate_some(model, item, to, size, &got));
    if (got < size)
        return fail_packed(model, item, SONDE_ERROR_TRUNCATED,
                           "it has fewer bytes than the archive says");
    return SONDE_OK;
}

static sonde_status read_deflated(sonde_model *model, uint32_t storage, const char *item,
                                  uint64_t offset, uint8_t *to, size_t size)
{
    uint8_t passed[4096];
    const sonde__unpacker *unpacker = model->unpacker;
    if (!unpacker || unpacker->storage != storage || unpacker->position > offset)
        SONDE_TRY(rewind_unpacker(model, storage));
    while (model->unpacker->position < offset) {
        const uint64_t left = offset - model->unpacker->position;
        SONDE_TRY(
            inflate_all(model, item, passed, left < sizeof passed ? (size_t)left : sizeof passed));
    }
    return inflate_all(model, item, to, size);
}

sonde_status sonde__storage_read(sonde_model *model, uint32_t storage, const char *item,
                                 uint64_t offset, void *to, size_t size)
{
    const sonde__storage *about = &model->storages[storage].about;
    if (about->deflated)
        return read_deflated(model, storage, item, offset, to, size);
    return sonde__input_read(model->inputs[about->input], item, about->offset + offset, to, size);
}

/* --- checksums ---------------------------------------------------------------------------------- */

/* The unpacked bytes, whatever number of them there is. */
static sonde_status crc_of_deflated(sonde_model *model, uint32_t storage, const char *item,
                                    uint64_t *bytes, uint32_t *crc)
{
    uLong sum = crc32(0, NULL, 0);
    const uint64_t limit = model->storages[storage].about.bytes;
    SONDE_TRY(rewind_unpacker(model, storage));
    size_t got = 0;
    do {
        SONDE_TRY(inflate_some(model, item, model->staging, SONDE__STAGING, &got));
        sum = crc32(sum, model->staging, (uInt)got);
    } while (got > 0 && model->unpacker->position <= limit);
    *bytes = model->unpacker->position;
    *crc = (uint32_t)sum;
    return SONDE_OK;
}

static sonde_status crc_of_stored(sonde_model *model, uint32_t storage, const char *item,
                                  uint32_t *crc)
{
    uLong sum = crc32(0, NULL, 0);
    const sonde__storage *about = &model->storages[storage].about;
    for (uint64_t done = 0; done < about->bytes;) {
        const uint64_t left = about->bytes - done;
        const size_t piece = left < SONDE__STAGING ? (size_t)left : SONDE__STAGING;
        SONDE_TRY(sonde__input_read(model->inputs[about->input], item, about->offset + done,
                                    model->staging, piece));
        sum = crc32(sum, model->staging, (uInt)piece);
        done += piece;
        if (sonde__cancelled(model->context))
            return sonde__fail(model->context, SONDE_ERROR_CANCELLED, "reading was cancelled");
    }
    *crc = (uint32_t)sum;
    return SONDE_OK;
}

static sonde_status fail_damaged(const sonde_model *model, uint32_t storage, const char *entry,
                                 const char *what, uint64_t value, uint64_t claimed)
{
    const char *path = path_of(model, storage);
    return sonde__fail_at(model->context, SONDE_ERROR_CORRUPT, path, entry,
                          (int64_t)model->storages[storage].about.offset,
                          "%s: %.200s is damaged: %s the archive says (0x%llx, not 0x%llx); fetch "
                          "it again",
                          path, entry ? entry : "", what, (unsigned long long)value,
                          (unsigned long long)claimed);
}

sonde_status sonde__storage_verify(sonde_model *model, uint32_t storage, const char *item)
{
    sonde__held *held = &model->storages[storage];
    if (held->verified || !model->options.verify || !held->about.has_crc)
        return SONDE_OK;
    const char *entry = entry_of(model, storage, item);
    uint64_t bytes = held->about.bytes;
    uint32_t crc = 0;
    if (held->about.deflated)
        SONDE_TRY(crc_of_deflated(model, storage, entry, &bytes, &crc));
    else
        SONDE_TRY(crc_of_stored(model, storage, entry, &crc));
    if (bytes != held->about.bytes)
        return fail_damaged(model, storage, entry, "it unpacks to more bytes than", bytes,
                            held->about.bytes);
    if (crc != held->about.crc)
        return fail_damaged(model, storage, entry, "its checksum is not that which", crc,
                            held->about.crc);
    held->verified = true;
    return SONDE_OK;
}
