/*
 * Zip archives, read strictly: the central directory and every local header must agree, members may
 * not overlap, nothing may be encrypted, nothing but stored and deflated, no name twice. What two
 * programs could read differently is refused.
 */
#ifndef SONDE_FILE_ZIP_H
#define SONDE_FILE_ZIP_H

#include "file/input.h"

typedef struct sonde__zip sonde__zip;

typedef struct sonde__zip_member {
    const char *name; /* without NUL, '..', '\\' or a leading '/'; of a folder: 'name/' */
    uint64_t offset;  /* of its data in the file */
    uint64_t packed, bytes;
    bool deflated;
    uint32_t crc;
    size_t index; /* sonde__zip_at(zip, index) is this member */
} sonde__zip_member;

bool sonde__is_zip(const void *head, size_t size);
/* The input must outlive the zip. */
sonde_status sonde__zip_open(sonde_context *context, const sonde__input *input, sonde__zip **zip);
void sonde__zip_close(sonde__zip *zip);
size_t sonde__zip_count(const sonde__zip *zip);
const sonde__zip_member *sonde__zip_at(const sonde__zip *zip, size_t index);
/* NULL when there is none of that name. */
const sonde__zip_member *sonde__zip_find(const sonde__zip *zip, const char *name);
/* False where every checksum is 0: PyTorch can be told to write none (set_crc32_options). */
bool sonde__zip_has_checksums(const sonde__zip *zip);
/* A whole small member of at most `limit` bytes, its CRC checked (if there are any); freed with sonde__free. */
sonde_status sonde__zip_read(const sonde__zip *zip, const sonde__zip_member *member, size_t limit,
                             uint8_t **bytes, size_t *size);

#endif
