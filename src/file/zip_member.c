/*
 * The members of a zip archive: their local headers, which must repeat what the directory says, the
 * descriptors behind their data, and their content.
 *
 * Sorted by offset the members must tile the archive: a byte that belongs to none could be a member
 * that only other readers see.
 */
#include "file/zip_internal.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    LOCAL_BYTES = 30,
    DESCRIPTOR_MAX = 24,
    EXTRA_ZIP64 = 0x0001,
    EXTRA_UNICODE_NAME = 0x7075,
    WINDOW = 1024,  /* a descriptor, the next local header, its name and padding are one read */
    PIECE = 1 << 16 /* of packed bytes */
};

/* --- extra fields ------------------------------------------------------------------------------- */

static bool widen(uint64_t *value, const uint8_t *field, size_t size, size_t *at)
{
    if (*value != UINT32_MAX)
        return true;
    if (size - *at < 8)
        return false;
    *value = sonde__zip_u64(field + *at);
    *at += 8;
    return true;
}

/* Order fixed by the format: unpacked size, packed size, offset of the local header. */
static bool read_zip64(const uint8_t *field, size_t size, sonde__zip_sizes *sizes)
{
    size_t at = 0;
    return widen(&sizes->bytes, field, size, &at) && widen(&sizes->packed, field, size, &at) &&
           widen(&sizes->header, field, size, &at);
}

sonde_status sonde__zip_extra(const sonde__zip *zip, const char *member, const uint8_t *extra,
                              size_t size, uint64_t at, sonde__zip_sizes *sizes)
{
    bool seen = false;
    for (size_t i = 0; size - i >= 4;) {
        unsigned id = sonde__zip_u16(extra + i);
        size_t length = sonde__zip_u16(extra + i + 2);
        i += 4;
        if (length > size - i)
            return sonde__zip_fail(zip, SONDE_ERROR_FORMAT, member, at,
                                   "an extra field leaves its header");
        if (id == EXTRA_UNICODE_NAME)
            return sonde__zip_fail(zip, SONDE_ERROR_UNSUPPORTED, member, at,
                                   "it has a second name in an extra field");
        if (id == EXTRA_ZIP64) {
            if (seen || !read_zip64(extra + i, length, sizes))
                return sonde__zip_fail(zip, SONDE_ERROR_FORMAT, member, at,
                                       "its zip64 field is double or too short");
            seen = true;
        }
        i += length;
    }
    return SONDE_OK;
}

/* --- local headers ------------------------------------------------------------------------------ */

/* The last piece of the file that was read. */
typedef struct window {
    const sonde__zip *zip;
    uint8_t bytes[WINDOW];
    uint64_t offset, end; /* of what lies in `bytes`; `end` also bounds later reads */
    size_t size;
} window;

/* `size` bytes at `offset`, valid until the next call; NULL where the members' part ends. */
static sonde_status look(window *w, uint64_t offset, size_t size, const uint8_t **bytes)
{
    *bytes = NULL;
    if (offset > w->end || size > w->end - offset || size > WINDOW)
        return SONDE_OK;
    if (offset < w->offset || offset - w->offset > w->size ||
        size > w->size - (offset - w->offset)) {
        uint64_t left = w->end - offset;
        w->size = 0;
        w->offset = offset;
        size_t take = left < WINDOW ? (size_t)left : WINDOW;
        SONDE_TRY(sonde__input_read(w->zip->input, "zip members", offset, w->bytes, take));
        w->size = take;
    }
    *bytes = w->bytes + (offset - w->offset);
    return SONDE_OK;
}

static bool same_or_later(uint64_t local, uint64_t central, bool later)
{
    return local == central || (later && local == 0);
}

/* With bit 3 a writer that cannot seek leaves zeros, and puts a descriptor behind the data. */
static bool local_agrees(const sonde__zip_entry *entry, const uint8_t *head,
                         const sonde__zip_sizes *sizes)
{
    const sonde__zip_member *member = &entry->member;
    bool later = entry->flags & SONDE__ZIP_FLAG_DESCRIPTOR;
    return sonde__zip_u16(head + 6) == entry->flags &&
           sonde__zip_u16(head + 8) == (member->deflated ? 8 : 0) &&
           same_or_later(sonde__zip_u32(head + 14), member->crc, later) &&
           same_or_later(sizes->packed, member->packed, later) &&
           same_or_later(sizes->bytes, member->bytes, later);
}

/* The extra fields of a local header can be longer than the window. */
static sonde_status local_extra(window *w, const sonde__zip_entry *entry, uint64_t at, size_t size,
                                sonde__zip_sizes *sizes)
{
    const char *name = entry->member.name;
    const uint8_t *near = NULL;
    SONDE_TRY(look(w, at, size, &near));
    if (near)
        return sonde__zip_extra(w->zip, name, near, size, at, sizes);
    uint8_t *far = sonde__alloc(w->zip->context, size, 1);
    if (!far)
        return sonde_context_error(w->zip->context)->status;
    sonde_status status = sonde__input_read(w->zip->input, name, at, far, size);
    if (status == SONDE_OK)
        status = sonde__zip_extra(w->zip, name, far, size, at, sizes);
    sonde__free(w->zip->context, far);
    return status;
}

/* The name at `at` is the directory's; it can be longer than the window. */
static sonde_status local_name(window *w, const char *name, uint64_t at, size_t size, bool *same)
{
    const uint8_t *bytes = NULL;
    *same = size == strlen(name);
    for (size_t i = 0; *same && i < size; i += WINDOW) {
        size_t piece = size - i < WINDOW ? size - i : WINDOW;
        SONDE_TRY(look(w, at + i, piece, &bytes));
        *same = bytes && memcmp(bytes, name + i, piece) == 0;
    }
    return SONDE_OK;
}

static sonde_status check_local(window *w, sonde__zip_entry *entry)
{
    uint8_t head[LOCAL_BYTES];
    const char *name = entry->member.name;
    const uint8_t *bytes = NULL;
    uint64_t at = entry->header;
    SONDE_TRY(look(w, at, LOCAL_BYTES, &bytes));
    if (!bytes || memcmp(bytes, "PK\3\4", 4) != 0)
        return sonde__zip_fail(w->zip, SONDE_ERROR_FORMAT, name, at,
                               "there is no local header where the directory says");
    memcpy(head, bytes, LOCAL_BYTES);
    size_t name_bytes = sonde__zip_u16(head + 26), extra_bytes = sonde__zip_u16(head + 28);
    if (w->end - at - LOCAL_BYTES < name_bytes + extra_bytes)
        return sonde__zip_fail(w->zip, SONDE_ERROR_FORMAT, name, at,
                               "its local header reaches into the directory");
    sonde__zip_sizes sizes = {sonde__zip_u32(head + 22), sonde__zip_u32(head + 18), 0};
    bool same = false;
    SONDE_TRY(local_name(w, name, at + LOCAL_BYTES, name_bytes, &same));
    if (same)
        SONDE_TRY(local_extra(w, entry, at + LOCAL_BYTES + name_bytes, extra_bytes, &sizes));
    if (!same || !local_agrees(entry, head, &sizes))
        return sonde__zip_fail(w->zip, SONDE_ERROR_FORMAT, name, at,
                               "its local header and the directory say different things");
    entry->member.offset = at + LOCAL_BYTES + name_bytes + extra_bytes;
    return SONDE_OK;
}

/* The four forms of a descriptor: with and without signature, sizes of 4 and of 8 bytes. */
static bool descriptor_agrees(const uint8_t *bytes, size_t size, const sonde__zip_member *member)
{
    if (size == 16 || size == 24) {
        if (memcmp(bytes, "PK\7\10", 4) != 0)
            return false;
        bytes += 4;
        size -= 4;
    }
    if (size == 12)
        return sonde__zip_u32(bytes) == member->crc &&
               sonde__zip_u32(bytes + 4) == member->packed &&
               sonde__zip_u32(bytes + 8) == member->bytes;
    return size == 20 && sonde__zip_u32(bytes) == member->crc &&
           sonde__zip_u64(bytes + 4) == member->packed &&
           sonde__zip_u64(bytes + 12) == member->bytes;
}

/* What lies between the data of `entry` and the next header, or the directory. */
static sonde_status check_gap(window *w, const sonde__zip_entry *entry, uint64_t next)
{
    const sonde__zip_member *member = &entry->member;
    if (member->offset > next || member->packed > next - member->offset)
        return sonde__zip_fail(w->zip, SONDE_ERROR_FORMAT, member->name, member->offset,
                               "it overlaps what follows it");
    uint64_t end = member->offset + member->packed, gap = next - end;
    bool good = gap == 0;
    if (entry->flags & SONDE__ZIP_FLAG_DESCRIPTOR) {
        const uint8_t *bytes = NULL;
        good = false;
        if (gap >= 12 && gap <= DESCRIPTOR_MAX) {
            SONDE_TRY(look(w, end, (size_t)gap, &bytes));
            good = bytes && descriptor_agrees(bytes, (size_t)gap, member);
        }
    }
    if (!good)
        return sonde__zip_fail(w->zip, SONDE_ERROR_FORMAT, member->name, end,
                               "behind it lie bytes of no member, or a descriptor that does not "
                               "repeat the directory");
    return SONDE_OK;
}

static int compare_offsets(const void *a, const void *b)
{
    const sonde__zip_entry *const *x = a, *const *y = b;
    return ((*x)->header > (*y)->header) - ((*x)->header < (*y)->header);
}

static sonde_status check_tiling(window *w, sonde__zip_entry **order, size_t count)
{
    if (count == 0 ? w->end != 0 : order[0]->header != 0)
        return sonde__zip_fail(w->zip, SONDE_ERROR_FORMAT, NULL, 0,
                               "bytes of no member stand in front of the first one");
    for (size_t i = 0; i < count; i++) {
        SONDE_TRY(check_local(w, order[i]));
        SONDE_TRY(check_gap(w, order[i], i + 1 < count ? order[i + 1]->header : w->end));
    }
    return SONDE_OK;
}

sonde_status sonde__zip_check_members(sonde__zip *zip, uint64_t directory)
{
    sonde__zip_entry **order = sonde__alloc(zip->context, zip->count, sizeof *order);
    if (!order)
        return sonde_context_error(zip->context)->status;
    for (size_t i = 0; i < zip->count; i++)
        order[i] = &zip->entries[i];
    qsort(order, zip->count, sizeof *order, compare_offsets);
    window w = {.zip = zip, .end = directory};
    sonde_status status = check_tiling(&w, order, zip->count);
    sonde__free(zip->context, order);
    return status;
}

/* --- content ------------------------------------------------------------------------------------ */

static void *zlib_alloc(void *context, unsigned count, unsigned size)
{
    return sonde__alloc_quiet(context, count, size);
}

static void zlib_free(void *context, void *block)
{
    sonde__free(context, block);
}

/* zlib counts in 32 bits: room is handed out in pieces. */
static int inflate_piece(z_stream *stream, uint8_t *to, size_t room, size_t *done)
{
    int result = Z_OK;
    while (result == Z_OK && stream->avail_in > 0) {
        size_t left = room - *done;
        uInt give = left < UINT32_MAX ? (uInt)left : UINT32_MAX;
        stream->next_out = to + *done;
        stream->avail_out = give;
        result = inflate(stream, Z_NO_FLUSH);
        *done += give - stream->avail_out;
        if (result == Z_BUF_ERROR)
            return Z_DATA_ERROR; /* more content than the directory says */
    }
    return result;
}

static sonde_status unpack(const sonde__zip *zip, const sonde__zip_member *member, uint8_t *to,
                           uint8_t *piece)
{
    z_stream stream = {.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = zip->context};
    uint64_t taken = 0;
    size_t done = 0;
    int result = Z_OK;
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return sonde__zip_fail(zip, SONDE_ERROR_MEMORY, member->name, member->offset,
                               "no memory to unpack it");
    sonde_status status = SONDE_OK;
    while (status == SONDE_OK && result == Z_OK && taken < member->packed) {
        uint64_t left = member->packed - taken;
        size_t take = left < PIECE ? (size_t)left : PIECE;
        status = sonde__input_read(zip->input, member->name, member->offset + taken, piece, take);
        stream.next_in = piece;
        stream.avail_in = (uInt)take;
        taken += take;
        if (status == SONDE_OK)
            result = inflate_piece(&stream, to, (size_t)member->bytes, &done);
    }
    bool whole = result == Z_STREAM_END && taken == member->packed && stream.avail_in == 0 &&
                 done == member->bytes;
    inflateEnd(&stream);
    if (status == SONDE_OK && result == Z_MEM_ERROR)
        return sonde__zip_fail(zip, SONDE_ERROR_MEMORY, member->name, member->offset,
                               "no memory to unpack it");
    if (status == SONDE_OK && !whole)
        status = sonde__zip_fail(zip, SONDE_ERROR_CORRUPT, member->name, member->offset,
                                 "its packed data is damaged, or not of the size that it claims");
    return status;
}

static sonde_status fill(const sonde__zip *zip, const sonde__zip_member *member, uint8_t *to)
{
    if (!member->deflated)
        return sonde__input_read(zip->input, member->name, member->offset, to,
                                 (size_t)member->bytes);
    uint8_t *piece = sonde__alloc(zip->context, PIECE, 1);
    if (!piece)
        return sonde_context_error(zip->context)->status;
    sonde_status status = unpack(zip, member, to, piece);
    sonde__free(zip->context, piece);
    return status;
}

sonde_status sonde__zip_read(const sonde__zip *zip, const sonde__zip_member *member, size_t limit,
                             uint8_t **bytes, size_t *size)
{
    if (member->bytes > limit)
        return sonde__zip_fail(zip, SONDE_ERROR_UNSUPPORTED, member->name, member->offset,
                               "it is larger than what is read whole");
    uint8_t *block = sonde__alloc(zip->context, (size_t)member->bytes, 1);
    if (!block)
        return sonde_context_error(zip->context)->status;
    sonde_status status = fill(zip, member, block);
    if (status == SONDE_OK && zip->checksums &&
        crc32_z(0, block, (size_t)member->bytes) != member->crc)
        status = sonde__zip_fail(zip, SONDE_ERROR_CORRUPT, member->name, member->offset,
                                 "its content does not fit its checksum (CRC-32)");
    if (status != SONDE_OK) {
        sonde__free(zip->context, block);
        return status;
    }
    *bytes = block;
    *size = (size_t)member->bytes;
    return SONDE_OK;
}
