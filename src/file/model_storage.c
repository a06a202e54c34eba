/*
 * The bytes of a storage: as they lie in the file, or inflated (RFC 1951) as a stream.
 *
 * The stream stays where it is after a read, so that slices that follow each other cost no more than
 * one pass over the storage; a read further back begins anew. A storage that is begun anew again and
 * again (in Fortran order, in turn with another) is unpacked into memory, if it fits. Checksums are
 * those of zip (CRC-32).
 */
#include <string.h>

#include <zlib.h>

#include "file/model_state.h"

enum {
    PACKED_PIECE = 64 << 10,
    AT_ONCE = 1 << 30,
    BEGUN_MAX = 8,       /* passes over a storage, before it is kept in memory */
    WHOLE_MAX = 1 << 30, /* bytes that are kept, of at most KEPT_MAX storages */
    KEPT_MAX = 16
};

struct sonde__unpacker {
    z_stream stream;
    uint32_t storage;
    uint64_t taken;    /* packed bytes read from the file */
    uint64_t position; /* unpacked bytes that have come out */
    bool ended;
    uint8_t packed[PACKED_PIECE];
};

/* A storage that is unpacked in memory. */
struct sonde__unpacked {
    sonde__unpacked *next;
    uint32_t storage;
    uint8_t bytes[];
};

static void *zlib_alloc(void *context, unsigned count, unsigned size)
{
    return sonde__alloc_quiet(context, count, size);
}

static void zlib_free(void *context, void *block)
{
    sonde__free(context, block);
}

static void free_unpacked(sonde_model *model)
{
    for (sonde__unpacked *each = model->unpacked, *next; each; each = next) {
        next = each->next;
        sonde__free(model->context, each);
    }
    model->unpacked = NULL;
    model->unpacked_bytes = model->unpacked_count = 0;
}

void sonde__unpacker_free(sonde_model *model)
{
    free_unpacked(model);
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
    model->storages[storage].begun++;
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

static const sonde__unpacked *find_unpacked(const sonde_model *model, uint32_t storage)
{
    const sonde__unpacked *each = model->unpacked;
    while (each && each->storage != storage)
        each = each->next;
    return each;
}

/* Keeps the storage in memory; nothing is kept, and that is no failure, where there is no room. */
static sonde_status keep_unpacked(sonde_model *model, uint32_t storage, const char *item)
{
    const uint64_t bytes = model->storages[storage].about.bytes;
    const size_t budget = sonde__memory_limit(model->context) / 4;
    const size_t most = budget && budget < WHOLE_MAX ? budget : WHOLE_MAX;
    model->storages[storage].begun = 0; /* another attempt is made after as many more */
    if (bytes > most)
        return SONDE_OK;
    if (bytes > most - model->unpacked_bytes || model->unpacked_count == KEPT_MAX)
        free_unpacked(model);
    sonde__unpacked *whole = sonde__alloc_quiet(model->context, sizeof *whole + (size_t)bytes, 1);
    if (!whole)
        return SONDE_OK;
    sonde_status status = rewind_unpacker(model, storage);
    if (status == SONDE_OK)
        status = inflate_all(model, item, whole->bytes, (size_t)bytes);
    if (status != SONDE_OK) {
        sonde__free(model->context, whole);
        /* Damage further on is told when a read comes there, however many came before. */
        const bool damaged = status == SONDE_ERROR_CORRUPT || status == SONDE_ERROR_TRUNCATED;
        if (damaged)
            model->unpacker->position = UINT64_MAX; /* the next read begins anew */
        return damaged ? SONDE_OK : status;
    }
    whole->storage = storage;
    whole->next = model->unpacked;
    model->unpacked = whole;
    model->unpacked_bytes += (size_t)bytes;
    model->unpacked_count++;
    return SONDE_OK;
}

static bool begins_anew(const sonde_model *model, uint32_t storage, uint64_t offset)
{
    const sonde__unpacker *unpacker = model->unpacker;
    return !unpacker || unpacker->storage != storage || unpacker->position > offset;
}

static sonde_status read_stream(sonde_model *model, uint32_t storage, const char *item,
                                uint64_t offset, uint8_t *to, size_t size)
{
    uint8_t passed[4096];
    if (begins_anew(model, storage, offset))
        SONDE_TRY(rewind_unpacker(model, storage));
    while (model->unpacker->position < offset) {
        const uint64_t left = offset - model->unpacker->position;
        SONDE_TRY(
            inflate_all(model, item, passed, left < sizeof passed ? (size_t)left : sizeof passed));
    }
    return inflate_all(model, item, to, size);
}

static sonde_status read_deflated(sonde_model *model, uint32_t storage, const char *item,
                                  uint64_t offset, uint8_t *to, size_t size)
{
    const sonde__unpacked *whole = find_unpacked(model, storage);
    if (!whole && begins_anew(model, storage, offset) &&
        model->storages[storage].begun >= BEGUN_MAX) {
        SONDE_TRY(keep_unpacked(model, storage, item));
        whole = find_unpacked(model, storage);
    }
    if (!whole)
        return read_stream(model, storage, item, offset, to, size);
    memcpy(to, whole->bytes + offset, size);
    return SONDE_OK;
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

/* Bytes of the file that the stream has taken so far. */
static uint64_t packed_bytes(const sonde__unpacker *unpacker)
{
    return unpacker->taken - unpacker->stream.avail_in;
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
    if (held->about.deflated && packed_bytes(model->unpacker) != held->about.packed)
        return fail_damaged(model, storage, entry, "its packed data ends before",
                            packed_bytes(model->unpacker), held->about.packed);
    if (crc != held->about.crc)
        return fail_damaged(model, storage, entry, "its checksum is not that which", crc,
                            held->about.crc);
    held->verified = true;
    return SONDE_OK;
}
