/* State bytes: little-endian on every machine, never read past the end, damage is noticed. */
#include "base/bytes.h"
#include "check.h"
#include "failing.h"

static sonde_status write_sample(sonde_context *context, void *argument)
{
    sonde__byte_writer *out = argument;
    sonde__byte_writer writer;
    sonde__byte_writer_init(&writer, context);
    sonde__put_u8(&writer, 0xab);
    sonde__put_u32(&writer, 0x01020304);
    sonde__put_u64(&writer, 0x1122334455667788u);
    sonde__put_i64(&writer, -2);
    sonde__put_f32(&writer, 1.5f);
    sonde__put_f64(&writer, -0.0);
    sonde__put_string(&writer, "name");
    sonde__put_bytes(&writer, "xyz", 3);
    for (uint32_t i = 0; i < 100; i++)
        sonde__put_u32(&writer, i);
    sonde__put_checksum(&writer);
    sonde_status status = sonde__byte_writer_status(&writer);
    if (out && status == SONDE_OK)
        *out = writer;
    else
        sonde__byte_writer_free(&writer);
    return status;
}

static void what_is_written_is_little_endian_and_reads_back(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__byte_writer writer;
    check_ok(context, write_sample(context, &writer));
    const uint8_t first[] = {0xab, 4, 3, 2, 1, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    assert_memory_equal(writer.text.bytes, first, sizeof first);
    sonde__byte_reader reader;
    sonde__byte_reader_init(&reader, writer.text.bytes, writer.text.length);
    assert_true(sonde__checksum_fits(&reader));
    char name[8], raw[3];
    assert_int_equal(sonde__take_u8(&reader), 0xab);
    assert_int_equal(sonde__take_u32(&reader), 0x01020304);
    assert_true(sonde__take_u64(&reader) == 0x1122334455667788u);
    assert_true(sonde__take_i64(&reader) == -2);
    assert_true(sonde__take_f32(&reader) == 1.5f);
    assert_true(signbit(sonde__take_f64(&reader)));
    sonde__take_string(&reader, name, sizeof name);
    assert_string_equal(name, "name");
    sonde__take_bytes(&reader, raw, 3);
    assert_memory_equal(raw, "xyz", 3);
    assert_int_equal(sonde__bytes_left(&reader), 400);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(sonde__take_u32(&reader), i);
    assert_false(reader.failed);
    assert_int_equal(sonde__bytes_left(&reader), 0);
    sonde__byte_writer_free(&writer);
    sonde_context_free(context);
}

static void reading_past_the_end_gives_zeros_and_sticks(void **state)
{
    (void)state;
    sonde__byte_reader reader;
    char name[4] = "abc";
    uint64_t wide = 1;
    sonde__byte_reader_init(&reader, "\x01\x02\x03", 3);
    assert_int_equal(sonde__take_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(sonde__take_u8(&reader), 0);
    sonde__take_bytes(&reader, &wide, sizeof wide);
    assert_true(wide == 0);
    sonde__take_string(&reader, name, sizeof name);
    assert_string_equal(name, "");
    assert_int_equal(sonde__bytes_left(&reader), 0);
}

static void counts_that_cannot_be_true_are_refused(void **state)
{
    (void)state;
    sonde__byte_reader reader;
    sonde__byte_reader_init(&reader, "\x02\0\0\0abcdefgh", 12);
    assert_int_equal(sonde__take_count(&reader, 4), 2);
    sonde__byte_reader_init(&reader, "\x03\0\0\0abcdefgh", 12);
    assert_int_equal(sonde__take_count(&reader, 4), 0);
    assert_true(reader.failed);
    sonde__byte_reader_init(&reader, "\xff\xff\xff\xff", 4);
    assert_int_equal(sonde__take_count(&reader, SIZE_MAX), 0);
    assert_true(reader.failed);
}

static void strings_that_do_not_fit_or_hold_nul_are_refused(void **state)
{
    (void)state;
    sonde__byte_reader reader;
    char room[4];
    sonde__byte_reader_init(&reader, "\x04\0\0\0abcd", 8);
    sonde__take_string(&reader, room, sizeof room);
    assert_true(reader.failed);
    sonde__byte_reader_init(&reader, "\x03\0\0\0a\0c", 7);
    sonde__take_string(&reader, room, sizeof room);
    assert_true(reader.failed);
    sonde__byte_reader_init(&reader, "\x03\0\0\0abc", 7);
    sonde__take_string(&reader, room, sizeof room);
    assert_false(reader.failed);
    assert_string_equal(room, "abc");
}

/* The check value of CRC-32/ISO-HDLC, and a flip of every bit and a cut at every byte. */
static void every_flipped_bit_and_every_cut_is_noticed(void **state)
{
    (void)state;
    assert_int_equal(sonde__crc32(0, "123456789", 9), 0xcbf43926u);
    assert_int_equal(sonde__crc32(sonde__crc32(0, "1234", 4), "56789", 5), 0xcbf43926u);
    sonde_context *context = check_context();
    sonde__byte_writer writer;
    check_ok(context, write_sample(context, &writer));
    sonde__byte_reader reader;
    size_t size = writer.text.length;
    for (size_t bit = 0; bit < 8 * size; bit++) {
        writer.text.bytes[bit / 8] = (char)(writer.text.bytes[bit / 8] ^ 1 << bit % 8);
        sonde__byte_reader_init(&reader, writer.text.bytes, size);
        assert_false(sonde__checksum_fits(&reader));
        writer.text.bytes[bit / 8] = (char)(writer.text.bytes[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t cut = 0; cut < size; cut++) {
        sonde__byte_reader_init(&reader, writer.text.bytes, cut);
        assert_false(sonde__checksum_fits(&reader));
    }
    sonde__byte_writer_free(&writer);
    sonde_context_free(context);
}

static void refused_allocations_are_reported_at_the_end(void **state)
{
    (void)state;
    assert_true(failing_run(write_sample, NULL) >= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_little_endian_and_reads_back),
        cmocka_unit_test(reading_past_the_end_gives_zeros_and_sticks),
        cmocka_unit_test(counts_that_cannot_be_true_are_refused),
        cmocka_unit_test(strings_that_do_not_fit_or_hold_nul_are_refused),
        cmocka_unit_test(every_flipped_bit_and_every_cut_is_noticed),
        cmocka_unit_test(refused_allocations_are_reported_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
