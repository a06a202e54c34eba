/* Little-endian bytes for saved states, and CRC-32 (polynomial 0xEDB88320, as in zlib). */
#include "base/bytes.h"

#include <string.h>

void sonde__byte_writer_init(sonde__byte_writer *writer, sonde_context *context)
{
    sonde__text_init(&writer->text, context);
}

void sonde__byte_writer_free(sonde__byte_writer *writer)
{
    sonde__text_free(&writer->text);
}

sonde_status sonde__byte_writer_status(const sonde__byte_writer *writer)
{
    return sonde__text_status(&writer->text);
}

static void put(sonde__byte_writer *writer, uint64_t value, size_t size)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    sonde__text_add_bytes(&writer->text, bytes, size);
}

void sonde__put_u8(sonde__byte_writer *writer, uint8_t value)
{
    put(writer, value, 1);
}

void sonde__put_u32(sonde__byte_writer *writer, uint32_t value)
{
    put(writer, value, 4);
}

void sonde__put_u64(sonde__byte_writer *writer, uint64_t value)
{
    put(writer, value, 8);
}

void sonde__put_i64(sonde__byte_writer *writer, int64_t value)
{
    put(writer, (uint64_t)value, 8);
}

void sonde__put_f32(sonde__byte_writer *writer, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(writer, bits, 4);
}

void sonde__put_f64(sonde__byte_writer *writer, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(writer, bits, 8);
}

void sonde__put_bytes(sonde__byte_writer *writer, const void *bytes, size_t size)
{
    sonde__text_add_bytes(&writer->text, bytes, size);
}

void sonde__put_string(sonde__byte_writer *writer, const char *string)
{
    size_t length = strlen(string);
    if (length > UINT32_MAX) {
        if (writer->text.status == SONDE_OK)
            writer->text.status =
                sonde__fail(writer->text.context, SONDE_ERROR_OVERFLOW, "a string is too long");
        return;
    }
    sonde__put_u32(writer, (uint32_t)length);
    sonde__put_bytes(writer, string, length);
}

void sonde__put_checksum(sonde__byte_writer *writer)
{
    sonde__put_u32(writer, sonde__crc32(0, writer->text.bytes, writer->text.length));
}

void sonde__byte_reader_init(sonde__byte_reader *reader, const void *bytes, size_t size)
{
    *reader = (sonde__byte_reader){.bytes = bytes, .size = size};
}

size_t sonde__bytes_left(const sonde__byte_reader *reader)
{
    return reader->failed ? 0 : reader->size - reader->offset;
}

/* The next `size` bytes, or NULL past the end. */
static const uint8_t *next(sonde__byte_reader *reader, size_t size)
{
    if (reader->failed || size > reader->size - reader->offset) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *at = reader->bytes + reader->offset;
    reader->offset += size;
    return at;
}

static uint64_t take(sonde__byte_reader *reader, size_t size)
{
    const uint8_t *at = next(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; at && i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

uint8_t sonde__take_u8(sonde__byte_reader *reader)
{
    return (uint8_t)take(reader, 1);
}

uint32_t sonde__take_u32(sonde__byte_reader *reader)
{
    return (uint32_t)take(reader, 4);
}

uint64_t sonde__take_u64(sonde__byte_reader *reader)
{
    return take(reader, 8);
}

int64_t sonde__take_i64(sonde__byte_reader *reader)
{
    uint64_t bits = take(reader, 8);
    int64_t value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float sonde__take_f32(sonde__byte_reader *reader)
{
    uint32_t bits = sonde__take_u32(reader);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double sonde__take_f64(sonde__byte_reader *reader)
{
    uint64_t bits = take(reader, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void sonde__take_bytes(sonde__byte_reader *reader, void *to, size_t size)
{
    const uint8_t *at = next(reader, size);
    if (size == 0)
        return;
    if (at)
        memcpy(to, at, size);
    else
        memset(to, 0, size);
}

void sonde__take_string(sonde__byte_reader *reader, char *to, size_t room)
{
    size_t length = sonde__take_u32(reader);
    const uint8_t *at = length < room ? next(reader, length) : NULL;
    if (!at || memchr(at, 0, length)) {
        reader->failed = true;
        if (room > 0)
            to[0] = '\0';
        return;
    }
    memcpy(to, at, length);
    to[length] = '\0';
}

size_t sonde__take_count(sonde__byte_reader *reader, size_t item_bytes)
{
    size_t count = sonde__take_u32(reader);
    if (count > sonde__bytes_left(reader) / item_bytes) {
        reader->failed = true;
        return 0;
    }
    return count;
}

bool sonde__checksum_fits(sonde__byte_reader *reader)
{
    if (reader->size < 4)
        return false;
    sonde__byte_reader last;
    sonde__byte_reader_init(&last, reader->bytes + reader->size - 4, 4);
    if (sonde__take_u32(&last) != sonde__crc32(0, reader->bytes, reader->size - 4))
        return false;
    reader->size -= 4;
    return true;
}

uint32_t sonde__crc32(uint32_t before, const void *bytes, size_t size)
{
    /* The remainders of the sixteen nibbles: half a byte a step, small enough to read. */
    static const uint32_t nibbles[16] = {0x00000000u, 0x1db71064u, 0x3b6e20c8u, 0x26d930acu,
                                         0x76dc4190u, 0x6b6b51f4u, 0x4db26158u, 0x5005713cu,
                                         0xedb88320u, 0xf00f9344u, 0xd6d6a3e8u, 0xcb61b38cu,
                                         0x9b64c2b0u, 0x86d3d2d4u, 0xa00ae278u, 0xbdbdf21cu};
    const uint8_t *at = bytes;
    uint32_t crc = ~before;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return ~crc;
}
