/*
 * Little-endian bytes for saved states: the same on every machine.
 *
 * The writer is a growing buffer whose errors are sticky, as with sonde__text. The reader never
 * leaves its bytes: a read past the end gives zeros and sets `failed`, which is asked once at the
 * end (and before a count that was read decides about an allocation).
 */
#ifndef SONDE_BASE_BYTES_H
#define SONDE_BASE_BYTES_H

#include "base/context.h"
#include "base/text.h"

typedef struct sonde__byte_writer {
    sonde__text text; /* text.bytes, text.length: what was written */
} sonde__byte_writer;

void sonde__byte_writer_init(sonde__byte_writer *writer, sonde_context *context);
void sonde__byte_writer_free(sonde__byte_writer *writer);
sonde_status sonde__byte_writer_status(const sonde__byte_writer *writer);
void sonde__put_u8(sonde__byte_writer *writer, uint8_t value);
void sonde__put_u32(sonde__byte_writer *writer, uint32_t value);
void sonde__put_u64(sonde__byte_writer *writer, uint64_t value);
void sonde__put_i64(sonde__byte_writer *writer, int64_t value);
/* The bits, so that NaN and -0 come back as they were. */
void sonde__put_f32(sonde__byte_writer *writer, float value);
void sonde__put_f64(sonde__byte_writer *writer, double value);
void sonde__put_bytes(sonde__byte_writer *writer, const void *bytes, size_t size);
/* Length as u32, then the bytes without NUL. */
void sonde__put_string(sonde__byte_writer *writer, const char *string);
/* The CRC-32 of all that was written so far, as u32: the last thing in a saved state. */
void sonde__put_checksum(sonde__byte_writer *writer);

typedef struct sonde__byte_reader {
    const uint8_t *bytes;
    size_t size, offset;
    bool failed;
} sonde__byte_reader;

void sonde__byte_reader_init(sonde__byte_reader *reader, const void *bytes, size_t size);
size_t sonde__bytes_left(const sonde__byte_reader *reader);
uint8_t sonde__take_u8(sonde__byte_reader *reader);
uint32_t sonde__take_u32(sonde__byte_reader *reader);
uint64_t sonde__take_u64(sonde__byte_reader *reader);
int64_t sonde__take_i64(sonde__byte_reader *reader);
float sonde__take_f32(sonde__byte_reader *reader);
double sonde__take_f64(sonde__byte_reader *reader);
/* Copies `size` bytes; zeros on failure. */
void sonde__take_bytes(sonde__byte_reader *reader, void *to, size_t size);
/* Into room for `room` bytes with the NUL; a string that is longer, or holds a NUL, fails. */
void sonde__take_string(sonde__byte_reader *reader, char *to, size_t room);
/*
 * A u32 count of items that take at least `item_bytes` (>= 1) each: fails, and gives 0, where the
 * bytes left cannot hold them. What it returns is safe to allocate for.
 */
size_t sonde__take_count(sonde__byte_reader *reader, size_t item_bytes);
/* Whether the last 4 bytes are the CRC-32 of those before; if so they are cut off the reader. */
bool sonde__checksum_fits(sonde__byte_reader *reader);

/* CRC-32 as in zlib, gzip and PNG; `before` 0, or the value of the bytes in front of these. */
uint32_t sonde__crc32(uint32_t before, const void *bytes, size_t size);

#endif
