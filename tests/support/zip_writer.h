/* Writes small zip archives in memory, right ones; tests then break them. */
#ifndef SONDE_TESTS_ZIP_WRITER_H
#define SONDE_TESTS_ZIP_WRITER_H

#include <zlib.h>

#include "check.h"

enum { ZIP_WRITER_ROOM = 1 << 16, ZIP_WRITER_MEMBERS = 16 };

typedef struct zip_written {
    const char *name;
    size_t header, data, packed, size;
    size_t central; /* offset of its entry in the directory */
    unsigned method, flags;
    uint32_t crc;
} zip_written;

typedef struct zip_writer {
    uint8_t bytes[ZIP_WRITER_ROOM];
    size_t size, count;
    size_t directory, end; /* offsets of the directory and of the end record */
    zip_written members[ZIP_WRITER_MEMBERS];
} zip_writer;

static inline void zip_number(uint8_t *to, size_t bytes, uint64_t value)
{
    for (size_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static inline void zip_add(zip_writer *w, size_t bytes, uint64_t value)
{
    assert_true(w->size + bytes <= ZIP_WRITER_ROOM);
    zip_number(w->bytes + w->size, bytes, value);
    w->size += bytes;
}

static inline void zip_add_bytes(zip_writer *w, const void *bytes, size_t size)
{
    assert_true(w->size + size <= ZIP_WRITER_ROOM);
    if (size)
        memcpy(w->bytes + w->size, bytes, size);
    w->size += size;
}

static inline size_t zip_pack(const void *bytes, size_t size, uint8_t *to, size_t room)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (z_const Bytef *)bytes;
    stream.avail_in = (uInt)size;
    stream.next_out = to;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return room - stream.avail_out;
}

/* The fields that local header and directory share, from the flags to the unpacked size. */
static inline void zip_add_about(zip_writer *w, const zip_written *member, bool later)
{
    zip_add(w, 2, member->flags);
    zip_add(w, 2, member->method);
    zip_add(w, 4, 0);
    zip_add(w, 4, later ? 0 : member->crc);
    zip_add(w, 4, later ? 0 : member->packed);
    zip_add(w, 4, later ? 0 : member->size);
}

/* Method 0 or 8. Flag bit 3 puts a descriptor behind the data. */
static inline zip_written *zip_put_as(zip_writer *w, const char *name, const void *bytes,
                                      size_t size, unsigned method, unsigned flags)
{
    uint8_t packed[ZIP_WRITER_ROOM];
    zip_written *member = &w->members[w->count++];
    *member = (zip_written){.name = name,
                            .header = w->size,
                            .size = size,
                            .method = method,
                            .flags = flags,
                            .packed = size};
    member->crc = (uint32_t)crc32(crc32(0, NULL, 0), bytes, (uInt)size);
    if (method == 8) {
        member->packed = zip_pack(bytes, size, packed, sizeof packed);
        bytes = packed;
    }
    zip_add_bytes(w, "PK\3\4", 4);
    zip_add(w, 2, 20);
    zip_add_about(w, member, flags & 8);
    zip_add(w, 2, strlen(name));
    zip_add(w, 2, 0);
    zip_add_bytes(w, name, strlen(name));
    member->data = w->size;
    zip_add_bytes(w, bytes, member->packed);
    if (flags & 8) {
        zip_add_bytes(w, "PK\7\10", 4);
        zip_add(w, 4, member->crc);
        zip_add(w, 4, member->packed);
        zip_add(w, 4, member->size);
    }
    return member;
}

static inline zip_written *zip_put(zip_writer *w, const char *name, const void *bytes, size_t size)
{
    return zip_put_as(w, name, bytes, size, 0, 0);
}

static inline void zip_add_entry(zip_writer *w, zip_written *member)
{
    member->central = w->size;
    zip_add_bytes(w, "PK\1\2", 4);
    zip_add(w, 4, 20 | 20 << 16);
    zip_add_about(w, member, false);
    zip_add(w, 2, strlen(member->name));
    zip_add(w, 2, 0); /* extra */
    zip_add(w, 2, 0); /* comment */
    zip_add(w, 8, 0); /* disk and attributes */
    zip_add(w, 4, member->header);
    zip_add_bytes(w, member->name, strlen(member->name));
}

static inline void zip_add_end64(zip_writer *w, size_t directory_bytes)
{
    size_t at = w->size;
    zip_add_bytes(w, "PK\6\6", 4);
    zip_add(w, 8, 44);
    zip_add(w, 4, 45 | 45 << 16);
    zip_add(w, 8, 0);
    zip_add(w, 8, w->count);
    zip_add(w, 8, w->count);
    zip_add(w, 8, directory_bytes);
    zip_add(w, 8, w->directory);
    zip_add_bytes(w, "PK\6\7", 4);
    zip_add(w, 4, 0);
    zip_add(w, 8, at);
    zip_add(w, 4, 1);
}

static inline void zip_finish_as(zip_writer *w, bool wide, const void *comment, size_t comment_size)
{
    w->directory = w->size;
    for (size_t i = 0; i < w->count; i++)
        zip_add_entry(w, &w->members[i]);
    size_t directory_bytes = w->size - w->directory;
    if (wide)
        zip_add_end64(w, directory_bytes);
    w->end = w->size;
    zip_add_bytes(w, "PK\5\6", 4);
    zip_add(w, 4, 0);
    zip_add(w, 2, w->count);
    zip_add(w, 2, w->count);
    zip_add(w, 4, directory_bytes);
    zip_add(w, 4, w->directory);
    zip_add(w, 2, comment_size);
    zip_add_bytes(w, comment, comment_size);
}

static inline void zip_finish(zip_writer *w)
{
    zip_finish_as(w, false, "", 0);
}

#endif
