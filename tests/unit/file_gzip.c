/* gzip: members, limits, damage at every byte. */
#include <zlib.h>

#include "check.h"
#include "failing.h"
#include "file/data_internal.h"

/* One member that zlib's own deflate made. */
static size_t pack(const void *bytes, size_t size, uint8_t *out, size_t room)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    stream.next_in = (z_const Bytef *)bytes;
    stream.avail_in = (uInt)size;
    stream.next_out = out;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return room - stream.avail_out;
}

static uint8_t plain[200000], packed[200000];

static size_t pack_sample(void)
{
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * i >> 7 ^ i);
    return pack(plain, sizeof plain, packed, sizeof packed);
}

static void content_comes_back(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    size_t size = pack_sample(), out_size = 0;
    uint8_t *out = NULL;
    assert_true(sonde__is_gzip(packed, size));
    check_ok(context, sonde__gunzip(context, "f", packed, size, sizeof plain, &out, &out_size));
    assert_int_equal(out_size, sizeof plain);
    assert_memory_equal(out, plain, sizeof plain);
    sonde__free(context, out);
    uint8_t head[16];
    size_t got = 0;
    sonde__source source = {"f", packed, size};
    check_ok(context, sonde__gunzip_head(context, &source, head, 16, &got));
    assert_int_equal(got, 16);
    assert_memory_equal(head, plain, 16);
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void members_behind_one_another_are_joined(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    size_t first = pack("one ", 4, packed, sizeof packed), out_size = 0;
    size_t size = first + pack("two", 3, packed + first, sizeof packed - first);
    uint8_t *out = NULL;
    check_ok(context, sonde__gunzip(context, "f", packed, size, 100, &out, &out_size));
    assert_int_equal(out_size, 7);
    assert_memory_equal(out, "one two", 7);
    sonde__free(context, out);
    memcpy(packed + size, "junk", 4);
    out = NULL;
    check_status(sonde__gunzip(context, "f", packed, size + 4, 100, &out, &out_size),
                 SONDE_ERROR_FORMAT);
    assert_null(out);
    assert_int_equal(sonde_context_error(context)->offset, size);
    sonde_context_free(context);
}

/* 50 MB of zeros in 50 KB must not be unpacked for a limit of 1,000 bytes. */
static void a_bomb_stops_at_the_limit(void **state)
{
    (void)state;
    enum { BOMB = 50 << 20 };
    sonde_context *context = check_context();
    void *zeros = calloc(1, BOMB);
    size_t size = pack(zeros, BOMB, packed, sizeof packed), out_size = 0;
    free(zeros);
    uint8_t *out = NULL;
    check_status(sonde__gunzip(context, "f", packed, size, 1000, &out, &out_size),
                 SONDE_ERROR_FORMAT);
    assert_null(out);
    assert_true(sonde_context_memory_peak(context) < 200000);
    /* Nor is a trailer believed that claims 4 GB. */
    size = pack("x", 1, packed, sizeof packed);
    memset(packed + size - 4, 0xff, 4);
    check_status(sonde__gunzip(context, "f", packed, size, (size_t)8 << 30, &out, &out_size),
                 SONDE_ERROR_CORRUPT);
    assert_true(sonde_context_memory_peak(context) < 200000);
    sonde_context_free(context);
}

static void every_cut_is_a_missing_end(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    size_t size = pack("some words, some more words", 27, packed, sizeof packed), out_size = 0;
    uint8_t *out = NULL;
    for (size_t cut = 2; cut < size; cut++) {
        check_status(sonde__gunzip(context, "f", packed, cut, 100, &out, &out_size),
                     SONDE_ERROR_TRUNCATED);
        assert_null(out);
    }
    assert_int_equal(sonde_context_memory_used(context), 0);
    sonde_context_free(context);
}

static void a_wrong_checksum_is_damage(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    size_t size = pack_sample(), out_size = 0;
    uint8_t *out = NULL;
    packed[size - 6] ^= 1;
    check_status(sonde__gunzip(context, "f", packed, size, sizeof plain, &out, &out_size),
                 SONDE_ERROR_CORRUPT);
    assert_null(out);
    sonde_context_free(context);
}

static sonde_status unpack_sample(sonde_context *context, void *argument)
{
    uint8_t *out = NULL;
    size_t out_size = 0;
    sonde_status status =
        sonde__gunzip(context, "f", packed, *(size_t *)argument, SIZE_MAX / 2, &out, &out_size);
    sonde__free(context, out);
    return status;
}

static void refused_allocations_are_reported(void **state)
{
    (void)state;
    size_t size = pack_sample();
    assert_true(failing_run(unpack_sample, &size) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_comes_back),
        cmocka_unit_test(members_behind_one_another_are_joined),
        cmocka_unit_test(a_bomb_stops_at_the_limit),
        cmocka_unit_test(every_cut_is_a_missing_end),
        cmocka_unit_test(a_wrong_checksum_is_damage),
        cmocka_unit_test(refused_allocations_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
