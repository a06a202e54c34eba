/*
 * Zip archives (PKWARE APPNOTE 6.3), read so that no two readers could see different content.
 *
 * The one end record is located by the file's end, the directory lies directly in front of it, and
 * sorted by offset the members tile the bytes from 0 to the directory: local header, data, and the
 * descriptor where bit 3 announces one. Central and local headers agree in every field.
 */
#include "file/zip.h"

#include <stdlib.h>
#include <string.h>

#include "file/zip_internal.h"

enum {
    END_BYTES = 22,
    LOCATOR_BYTES = 20,
    END64_BYTES = 56,
    CENTRAL_BYTES = 46,
    COMMENT_MAX = 0xffff,
    DIRECTORY_MAX = 256 << 20 /* two million members; bounds the memory of an opened archive */
};

enum {
    FLAG_ENCRYPTED = 1u << 0 | 1u << 6 | 1u << 13,
    FLAG_KNOWN = 1u << 1 | 1u << 2 | SONDE__ZIP_FLAG_DESCRIPTOR | 1u << 11
};

bool sonde__is_zip(const void *head, size_t size)
{
    return size >= 4 && (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "PK\5\6", 4) == 0);
}

static sonde_status fail(const sonde__zip *zip, uint64_t offset, const char *what)
{
    return sonde__zip_fail(zip, SONDE_ERROR_FORMAT, NULL, offset, what);
}

sonde_status sonde__zip_fail(const sonde__zip *zip, sonde_status status, const char *member,
                             uint64_t offset, const char *what)
{
    const char *path = sonde__input_path(zip->input);
    const char *quote = member ? "'" : "";
    return sonde__fail_at(
        zip->context, status, path, member, (int64_t)offset, "%s: %s%s%s%s, at byte %llu%s", path,
        quote, member ? member : "zip", member ? "': " : ": ", what, (unsigned long long)offset,
        status == SONDE_ERROR_UNSUPPORTED ? "; pack it again without that"
                                          : "; fetch the file again, or save it anew");
}

/* --- the end record ----------------------------------------------------------------------------- */

typedef struct end_record {
    uint64_t at; /* of the record that follows the directory */
    uint64_t entries, directory_bytes, directory;
} end_record;

/* The tail of the file: all that can hold the end record, its comment and a zip64 locator. */
typedef struct tail {
    uint8_t *bytes;
    size_t size;
    uint64_t offset;
} tail;

static bool ends_file(const tail *t, size_t at)
{
    return t->size - at >= END_BYTES &&
           (size_t)sonde__zip_u16(t->bytes + at + 20) == t->size - at - END_BYTES;
}

/* The last signature must be an end record whose comment reaches the end of the file, and no other
 * one may do so: a reader that scans from the other side would take that. */
static sonde_status find_end(const sonde__zip *zip, const tail *t, size_t *end)
{
    bool found = false;
    for (size_t i = t->size - 3; i-- > 0;) {
        if (memcmp(t->bytes + i, "PK\5\6", 4) != 0)
            continue;
        if (!ends_file(t, i)) {
            if (!found)
                return fail(zip, t->offset + i,
                            "what looks like its end record does not reach the end of the file");
            continue;
        }
        if (found)
            return fail(zip, t->offset + i, "two end records: one lies in the other's comment");
        found = true;
        *end = i;
    }
    if (!found)
        return sonde__zip_fail(zip, SONDE_ERROR_TRUNCATED, NULL, t->offset + t->size,
                               "the end record is missing: the file was cut short");
    return SONDE_OK;
}

/* 32-bit fields hold the value itself, or all ones where the 64-bit record has it. */
static bool fits64(uint64_t narrow, uint64_t wide, uint64_t ones)
{
    return narrow == wide || narrow == ones;
}

static sonde_status read_end64(const sonde__zip *zip, const uint8_t *locator, uint64_t locator_at,
                               end_record *record)
{
    uint8_t bytes[END64_BYTES];
    uint64_t at = sonde__zip_u64(locator + 8);
    if (sonde__zip_u32(locator + 4) != 0 || sonde__zip_u32(locator + 16) > 1)
        return fail(zip, locator_at, "the archive is split over several disks");
    if (locator_at < END64_BYTES || at > locator_at - END64_BYTES)
        return fail(zip, locator_at, "the zip64 locator points outside the archive");
    SONDE_TRY(sonde__input_read(zip->input, "zip64 end record", at, bytes, sizeof bytes));
    uint64_t size = sonde__zip_u64(bytes + 4);
    if (memcmp(bytes, "PK\6\6", 4) != 0 || size != locator_at - at - 12)
        return fail(zip, at, "the zip64 end record is not where its locator says");
    end_record wide = {at, sonde__zip_u64(bytes + 32), sonde__zip_u64(bytes + 40),
                       sonde__zip_u64(bytes + 48)};
    bool agree = sonde__zip_u32(bytes + 16) == 0 && sonde__zip_u32(bytes + 20) == 0 &&
                 sonde__zip_u64(bytes + 24) == wide.entries &&
                 fits64(record->entries, wide.entries, UINT16_MAX) &&
                 fits64(record->directory_bytes, wide.directory_bytes, UINT32_MAX) &&
                 fits64(record->directory, wide.directory, UINT32_MAX);
    if (!agree)
        return fail(zip, at, "the zip64 end record and the plain one say different things");
    *record = wide;
    return SONDE_OK;
}

static sonde_status check_end(const sonde__zip *zip, const end_record *record)
{
    if (record->directory > record->at || record->directory_bytes != record->at - record->directory)
        return fail(zip, record->at,
                    "the directory does not end where the end record begins (bytes in front of "
                    "the archive, or sizes that lie)");
    if (record->entries > record->directory_bytes / CENTRAL_BYTES)
        return fail(zip, record->at, "the directory is too short for the number of its entries");
    if (record->directory_bytes > DIRECTORY_MAX)
        return sonde__zip_fail(zip, SONDE_ERROR_UNSUPPORTED, NULL, record->directory,
                               "the directory is larger than 256 MiB");
    return SONDE_OK;
}

static sonde_status parse_end(const sonde__zip *zip, const tail *t, end_record *record)
{
    size_t end = 0;
    SONDE_TRY(find_end(zip, t, &end));
    const uint8_t *bytes = t->bytes + end;
    *record = (end_record){t->offset + end, sonde__zip_u16(bytes + 10), sonde__zip_u32(bytes + 12),
                           sonde__zip_u32(bytes + 16)};
    if (sonde__zip_u16(bytes + 4) != 0 || sonde__zip_u16(bytes + 6) != 0 ||
        sonde__zip_u16(bytes + 8) != record->entries)
        return fail(zip, record->at, "the archive is split over several disks");
    if (end >= LOCATOR_BYTES && memcmp(bytes - LOCATOR_BYTES, "PK\6\7", 4) == 0)
        SONDE_TRY(read_end64(zip, bytes - LOCATOR_BYTES, record->at - LOCATOR_BYTES, record));
    return check_end(zip, record);
}

static sonde_status read_end(const sonde__zip *zip, end_record *record)
{
    uint64_t size = sonde__input_size(zip->input);
    size_t most = END_BYTES + COMMENT_MAX + LOCATOR_BYTES;
    tail t = {NULL, size < most ? (size_t)size : most, 0};
    if (size < END_BYTES)
        return sonde__zip_fail(zip, SONDE_ERROR_TRUNCATED, NULL, size,
                               "too short for the end record");
    t.offset = size - t.size;
    t.bytes = sonde__alloc(zip->context, t.size, 1);
    if (!t.bytes)
        return sonde_context_error(zip->context)->status;
    sonde_status status = sonde__input_read(zip->input, "end record", t.offset, t.bytes, t.size);
    if (status == SONDE_OK)
        status = parse_end(zip, &t, record);
    sonde__free(zip->context, t.bytes);
    return status;
}

/* --- the central directory ---------------------------------------------------------------------- */

typedef struct directory {
    const uint8_t *bytes;
    size_t size, at;
    uint64_t offset; /* of `bytes` in the file */
    char *names;     /* where the next name goes */
} directory;

/* Names are compared and shown, never opened; yet one that could leave a folder is an attack on the
 * program that unpacks it, and no writer of models makes one. */
static bool name_is_plain(const char *name, size_t length)
{
    if (length == 0 || name[0] == '/' || memchr(name, 0, length) || memchr(name, '\\', length))
        return false;
    for (size_t i = 0; i < length;) {
        const char *slash = memchr(name + i, '/', length - i);
        size_t part = slash ? (size_t)(slash - (name + i)) : length - i;
        if (part == 2 && memcmp(name + i, "..", 2) == 0)
            return false;
        i += part + 1;
    }
    return true;
}

static sonde_status check_kind(const sonde__zip *zip, const sonde__zip_entry *entry,
                               const uint8_t *head, uint64_t at)
{
    const char *name = entry->member.name;
    unsigned method = sonde__zip_u16(head + 10);
    if (entry->flags & FLAG_ENCRYPTED)
        return sonde__zip_fail(zip, SONDE_ERROR_UNSUPPORTED, name, at, "it is encrypted");
    if (entry->flags & ~(unsigned)FLAG_KNOWN)
        return sonde__zip_fail(zip, SONDE_ERROR_UNSUPPORTED, name, at,
                               "it has flag bits of an unknown meaning");
    if (method != 0 && method != 8)
        return sonde__zip_fail(zip, SONDE_ERROR_UNSUPPORTED, name, at,
                               "it is packed by another method than deflate");
    if (sonde__zip_u16(head + 34) != 0 && sonde__zip_u16(head + 34) != UINT16_MAX)
        return sonde__zip_fail(zip, SONDE_ERROR_UNSUPPORTED, name, at, "it lies on another disk");
    return SONDE_OK;
}

static sonde_status check_sizes(const sonde__zip *zip, const sonde__zip_entry *entry, uint64_t at,
                                uint64_t directory_at)
{
    /* Deflate cannot do better than 1032 to 1. */
    const sonde__zip_member *member = &entry->member;
    if (!member->deflated && member->packed != member->bytes)
        return sonde__zip_fail(zip, SONDE_ERROR_FORMAT, member->name, at,
                               "it is stored unpacked, yet its two sizes differ");
    if (member->deflated && member->bytes / 1032 > member->packed)
        return sonde__zip_fail(zip, SONDE_ERROR_FORMAT, member->name, at,
                               "it claims to unpack to more than deflate can hold");
    if (entry->header > directory_at || member->packed > directory_at - entry->header)
        return sonde__zip_fail(zip, SONDE_ERROR_FORMAT, member->name, at,
                               "it does not lie between the start of the file and the directory");
    return SONDE_OK;
}

static sonde_status parse_entry(const sonde__zip *zip, directory *d, sonde__zip_entry *entry)
{
    const uint8_t *head = d->bytes + d->at;
    uint64_t at = d->offset + d->at;
    if (d->size - d->at < CENTRAL_BYTES || memcmp(head, "PK\1\2", 4) != 0)
        return fail(zip, at, "an entry of the directory is missing");
    size_t name = sonde__zip_u16(head + 28), extra = sonde__zip_u16(head + 30);
    size_t whole = CENTRAL_BYTES + name + extra + sonde__zip_u16(head + 32);
    if (whole > d->size - d->at)
        return fail(zip, at, "an entry of the directory leaves it");
    const char *text = (const char *)head + CENTRAL_BYTES;
    if (!name_is_plain(text, name))
        return fail(zip, at,
                    "a member has a name that is empty, absolute, or holds NUL, '\\' or '..'");
    memcpy(d->names, text, name);
    d->names[name] = '\0';
    entry->member.name = d->names;
    d->names += name + 1;
    d->at += whole;
    sonde__zip_sizes sizes = {sonde__zip_u32(head + 24), sonde__zip_u32(head + 20),
                              sonde__zip_u32(head + 42)};
    SONDE_TRY(
        sonde__zip_extra(zip, entry->member.name, head + CENTRAL_BYTES + name, extra, at, &sizes));
    entry->flags = sonde__zip_u16(head + 8);
    entry->header = sizes.header;
    entry->member.crc = sonde__zip_u32(head + 16);
    entry->member.bytes = sizes.bytes;
    entry->member.packed = sizes.packed;
    entry->member.deflated = sonde__zip_u16(head + 10) == 8;
    SONDE_TRY(check_kind(zip, entry, head, at));
    return check_sizes(zip, entry, at, d->offset);
}

static sonde_status parse_directory(sonde__zip *zip, directory *d)
{
    for (size_t i = 0; i < zip->count; i++) {
        SONDE_TRY(parse_entry(zip, d, &zip->entries[i]));
        zip->entries[i].member.index = i;
        zip->checksums = zip->checksums || zip->entries[i].member.crc != 0;
    }
    if (d->at != d->size)
        return fail(zip, d->offset + d->at, "the directory holds more than its entries");
    return SONDE_OK;
}

static sonde_status read_directory(sonde__zip *zip, const end_record *end)
{
    size_t size = (size_t)end->directory_bytes;
    zip->count = (size_t)end->entries;
    zip->entries = sonde__alloc_zero(zip->context, zip->count, sizeof *zip->entries);
    zip->by_name = sonde__alloc_zero(zip->context, zip->count, sizeof *zip->by_name);
    zip->names = sonde__alloc(zip->context, size, 1); /* a header is longer than the NUL */
    uint8_t *bytes = sonde__alloc(zip->context, size, 1);
    sonde_status status = SONDE_OK;
    if (!zip->entries || !zip->by_name || !zip->names || !bytes)
        status = sonde_context_error(zip->context)->status;
    if (status == SONDE_OK)
        status = sonde__input_read(zip->input, "zip directory", end->directory, bytes, size);
    if (status == SONDE_OK) {
        directory d = {bytes, size, 0, end->directory, zip->names};
        status = parse_directory(zip, &d);
    }
    sonde__free(zip->context, bytes);
    return status;
}

/* --- names -------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    const sonde__zip_entry *const *x = a, *const *y = b;
    return strcmp((*x)->member.name, (*y)->member.name);
}

static sonde_status index_names(sonde__zip *zip)
{
    for (size_t i = 0; i < zip->count; i++)
        zip->by_name[i] = &zip->entries[i];
    qsort(zip->by_name, zip->count, sizeof *zip->by_name, compare_names);
    for (size_t i = 0; i < zip->count; i++) {
        const sonde__zip_entry *entry = zip->by_name[i];
        if (i > 0 && compare_names(&zip->by_name[i - 1], &zip->by_name[i]) == 0)
            return sonde__zip_fail(zip, SONDE_ERROR_FORMAT, entry->member.name, entry->header,
                                   "two members have this name");
        if (entry->member.name[strlen(entry->member.name) - 1] == '/' && entry->member.bytes > 0)
            return sonde__zip_fail(zip, SONDE_ERROR_FORMAT, entry->member.name, entry->header,
                                   "a folder that has content");
    }
    return SONDE_OK;
}

/* --- the archive -------------------------------------------------------------------------------- */

sonde_status sonde__zip_open(sonde_context *context, const sonde__input *input, sonde__zip **out)
{
    sonde__zip *zip = sonde__alloc_zero(context, 1, sizeof *zip);
    if (!zip)
        return sonde_context_error(context)->status;
    zip->context = context;
    zip->input = input;
    end_record end = {0};
    sonde_status status = read_end(zip, &end);
    if (status == SONDE_OK)
        status = read_directory(zip, &end);
    if (status == SONDE_OK)
        status = index_names(zip);
    if (status == SONDE_OK)
        status = sonde__zip_check_members(zip, end.directory);
    if (status != SONDE_OK) {
        sonde__zip_close(zip);
        return status;
    }
    *out = zip;
    return SONDE_OK;
}

void sonde__zip_close(sonde__zip *zip)
{
    if (!zip)
        return;
    sonde__free(zip->context, zip->entries);
    sonde__free(zip->context, zip->by_name);
    sonde__free(zip->context, zip->names);
    sonde__free(zip->context, zip);
}

bool sonde__zip_has_checksums(const sonde__zip *zip)
{
    return zip->checksums;
}

size_t sonde__zip_count(const sonde__zip *zip)
{
    return zip->count;
}

const sonde__zip_member *sonde__zip_at(const sonde__zip *zip, size_t index)
{
    return index < zip->count ? &zip->entries[index].member : NULL;
}

const sonde__zip_member *sonde__zip_find(const sonde__zip *zip, const char *name)
{
    size_t low = 0, high = zip->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const sonde__zip_member *member = &zip->by_name[middle]->member;
        int order = strcmp(member->name, name);
        if (order == 0)
            return member;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
