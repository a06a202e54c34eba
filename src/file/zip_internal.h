/* What zip.c (directory) and zip_member.c (local headers, content) share. */
#ifndef SONDE_FILE_ZIP_INTERNAL_H
#define SONDE_FILE_ZIP_INTERNAL_H

#include "file/zip.h"

enum { SONDE__ZIP_FLAG_DESCRIPTOR = 1 << 3 };

typedef struct sonde__zip_entry {
    sonde__zip_member member;
    uint64_t header; /* of its local header in the file */
    unsigned flags;
} sonde__zip_entry;

struct sonde__zip {
    sonde_context *context;
    const sonde__input *input;
    sonde__zip_entry *entries;        /* in order of the directory */
    const sonde__zip_entry **by_name; /* sorted */
    char *names;
    size_t count;
    bool checksums;
};

/* Fields that a zip64 extra field widens. */
typedef struct sonde__zip_sizes {
    uint64_t bytes, packed, header;
} sonde__zip_sizes;

static inline unsigned sonde__zip_u16(const uint8_t *bytes)
{
    return (unsigned)bytes[0] | (unsigned)bytes[1] << 8;
}

static inline uint32_t sonde__zip_u32(const uint8_t *bytes)
{
    return (uint32_t)sonde__zip_u16(bytes) | (uint32_t)sonde__zip_u16(bytes + 2) << 16;
}

static inline uint64_t sonde__zip_u64(const uint8_t *bytes)
{
    return (uint64_t)sonde__zip_u32(bytes) | (uint64_t)sonde__zip_u32(bytes + 4) << 32;
}

/* `member` NULL: of the archive as a whole. */
sonde_status sonde__zip_fail(const sonde__zip *zip, sonde_status status, const char *member,
                             uint64_t offset, const char *what);
/* Replaces those of `sizes` that are all ones in 32 bits by the zip64 field among the extra fields
 * at file offset `at`; refuses fields that are malformed, double, or give the member another name. */
sonde_status sonde__zip_extra(const sonde__zip *zip, const char *member, const uint8_t *extra,
                              size_t size, uint64_t at, sonde__zip_sizes *sizes);
/* Local headers against the directory at file offset `directory`, and the tiling. Sets the offsets of
 * the members' data. */
sonde_status sonde__zip_check_members(sonde__zip *zip, uint64_t directory);

#endif
