/*
 * .npz and .npy as models, from memory. By the first byte: 0, the rest is the file as it is (an
 * archive, or one array); 1, the content of a stored member; 2, four bytes of claimed size and the
 * packed bytes of a deflated member. The archive around a member is made here, so that the fuzzer
 * need not guess one.
 */
#include "fuzz_model.h"

#include "base/bytes.h"

typedef struct member {
    const uint8_t *data;
    size_t size, claimed;
    uint32_t crc;
    bool packed;
} member;

static void put_u16(sonde__byte_writer *zip, unsigned value)
{
    sonde__put_u8(zip, (uint8_t)value);
    sonde__put_u8(zip, (uint8_t)(value >> 8));
}

/* What both headers have in common, and the name. */
static void put_common(sonde__byte_writer *zip, const member *m)
{
    put_u16(zip, 20);
    put_u16(zip, 0);
    put_u16(zip, m->packed ? 8 : 0);
    sonde__put_u32(zip, 0);
    sonde__put_u32(zip, m->crc);
    sonde__put_u32(zip, (uint32_t)m->size);
    sonde__put_u32(zip, (uint32_t)m->claimed);
    put_u16(zip, 5);
    put_u16(zip, 0);
}

static void put_archive(sonde__byte_writer *zip, const member *m)
{
    static const uint8_t zeros[14] = {0};
    sonde__put_bytes(zip, "PK\3\4", 4);
    put_common(zip, m);
    sonde__put_bytes(zip, "w.npy", 5);
    sonde__put_bytes(zip, m->data, m->size);
    const size_t directory = zip->text.length;
    sonde__put_bytes(zip, "PK\1\2", 4);
    put_u16(zip, 20);
    put_common(zip, m);
    sonde__put_bytes(zip, zeros, 14);
    sonde__put_bytes(zip, "w.npy", 5);
    const size_t end = zip->text.length;
    sonde__put_bytes(zip, "PK\5\6", 4);
    sonde__put_u32(zip, 0);
    put_u16(zip, 1);
    put_u16(zip, 1);
    sonde__put_u32(zip, (uint32_t)(end - directory));
    sonde__put_u32(zip, (uint32_t)directory);
    put_u16(zip, 0);
}

static void open_member(const member *m)
{
    sonde_context *context = fuzz_context();
    sonde__byte_writer zip;
    sonde__byte_writer_init(&zip, context);
    put_archive(&zip, m);
    fuzz_require(sonde__byte_writer_status(&zip) == SONDE_OK);
    fuzz_model("fuzz.npz", (const uint8_t *)zip.text.bytes, zip.text.length);
    sonde__byte_writer_free(&zip);
    fuzz_finish(context);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const uint8_t way = data[0] % 3;
    data++, size--;
    if (way == 0) {
        if (size >= 2 && (memcmp(data, "PK", 2) == 0 || memcmp(data, "\x93N", 2) == 0))
            fuzz_model("fuzz.npz", data, size);
    } else if (way == 1) {
        const member stored = {data, size, size, sonde__crc32(0, data, size), false};
        open_member(&stored);
    } else if (size >= 4) {
        const size_t claimed =
            (size_t)data[0] | (size_t)data[1] << 8 | (size_t)data[2] << 16 | (size_t)data[3] << 24;
        const member packed = {data + 4, size - 4, claimed, 0, true};
        open_member(&packed);
    }
    return 0;
}
