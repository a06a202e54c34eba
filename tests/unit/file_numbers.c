/*
 * Number formats of model files. Every 8-bit pattern is checked against values that were derived
 * from the bit fields as the specifications give them, spelled out in the tests; named values (1, the
 * largest, the smallest, NaN) against the tables of the specifications.
 */
#include "check.h"

#include "file/model_internal.h"

static double one(sonde_number number, const void *bytes, bool big_endian)
{
    double value = 42;
    float narrow = 42;
    sonde__numbers_to_doubles(number, big_endian, bytes, 1, &value);
    sonde__numbers_to_floats(number, big_endian, bytes, 1, &narrow);
    if ((float)value != narrow && !(isnan(value) && isnan(narrow)))
        fail_msg("%s: %.17g as a double, %.9g as a float", sonde_number_name(number), value,
                 (double)narrow);
    return value;
}

static double f8(sonde_number number, int bits)
{
    const uint8_t byte = (uint8_t)bits;
    return one(number, &byte, false);
}

static void the_table_is_the_one_of_the_header(void **state)
{
    (void)state;
    size_t count = 0;
#define CHECK_INFO(id, value, text, block, size, is_read) \
    { \
        const sonde__number_info *info = sonde__number_find(id); \
        assert_non_null(info); \
        assert_int_equal(id, value); \
        assert_string_equal(info->name, text); \
        assert_int_equal(info->number, value); \
        assert_int_equal(info->elements, block); \
        assert_int_equal(info->bytes, size); \
        assert_int_equal(info->reads, is_read); \
        assert_ptr_equal(sonde__number_named(text), info); \
        assert_string_equal(sonde_number_name(id), text); \
        count++; \
    }
    SONDE_NUMBER_LIST(CHECK_INFO)
    assert_true(count > 40);
    static const int unknown[] = {0, 19, 25, 59, 255, 1000, -1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_null(sonde__number_find((sonde_number)unknown[i]));
        assert_string_equal(sonde_number_name((sonde_number)unknown[i]), "?");
    }
    assert_null(sonde__number_named("f32"));
    assert_null(sonde__number_named(""));
    assert_int_equal(SONDE_NUMBER_F64, SONDE_F64);
    assert_int_equal(SONDE_NUMBER_F16, SONDE_F16);
}

/* OCP 8-bit floating point specification, revision 1.0, tables 1 and 2. */
static void f8_formats_have_the_values_of_their_specifications(void **state)
{
    (void)state;
    const sonde_number e4m3 = SONDE_NUMBER_F8_E4M3, e5m2 = SONDE_NUMBER_F8_E5M2;
    assert_true(f8(e4m3, 0x7e) == 448 && f8(e4m3, 0xfe) == -448);
    assert_true(f8(e4m3, 0x38) == 1 && f8(e4m3, 0x08) == 0x1p-6);
    assert_true(f8(e4m3, 0x07) == 0.875 * 0x1p-6 && f8(e4m3, 0x01) == 0x1p-9);
    assert_true(isnan(f8(e4m3, 0x7f)) && isnan(f8(e4m3, 0xff)));
    assert_true(f8(e4m3, 0x78) == 256); /* no infinities */
    assert_true(f8(e4m3, 0x80) == 0 && signbit(f8(e4m3, 0x80)));
    assert_true(f8(e5m2, 0x7b) == 57344 && f8(e5m2, 0x3c) == 1 && f8(e5m2, 0x04) == 0x1p-14);
    assert_true(f8(e5m2, 0x03) == 0.75 * 0x1p-14 && f8(e5m2, 0x01) == 0x1p-16);
    assert_true(isinf(f8(e5m2, 0x7c)) && f8(e5m2, 0xfc) < 0 && isinf(f8(e5m2, 0xfc)));
    for (int bits = 0x7d; bits <= 0x7f; bits++)
        assert_true(isnan(f8(e5m2, bits)) && isnan(f8(e5m2, bits | 0x80)));
    /* Noune et al. 2022: one bias more, all patterns but 0x80 are numbers */
    const sonde_number e4m3z = SONDE_NUMBER_F8_E4M3FNUZ, e5m2z = SONDE_NUMBER_F8_E5M2FNUZ;
    assert_true(f8(e4m3z, 0x7f) == 240 && f8(e4m3z, 0x40) == 1 && f8(e4m3z, 0x01) == 0x1p-10);
    assert_true(f8(e5m2z, 0x7f) == 57344 && f8(e5m2z, 0x40) == 1 && f8(e5m2z, 0x01) == 0x1p-17);
    assert_true(isnan(f8(e4m3z, 0x80)) && isnan(f8(e5m2z, 0x80)));
    assert_true(f8(e4m3z, 0x00) == 0 && !signbit(f8(e4m3z, 0x00)));
    /* OCP microscaling formats, revision 1.0, section 5.4.1 */
    const sonde_number e8m0 = SONDE_NUMBER_F8_E8M0;
    assert_true(f8(e8m0, 0) == 0x1p-127 && f8(e8m0, 127) == 1 && f8(e8m0, 254) == 0x1p127);
    assert_true(isnan(f8(e8m0, 255)));
}

/* All patterns as (-1)^s 2^(e - bias) (1 + m / 2^k), and e = 0 without the 1 and one step up. */
static void every_f8_pattern_follows_its_bit_fields(void **state)
{
    (void)state;
    static const struct {
        sonde_number number;
        int fraction_bits, bias;
    } formats[] = {{SONDE_NUMBER_F8_E4M3, 3, 7},
                   {SONDE_NUMBER_F8_E5M2, 2, 15},
                   {SONDE_NUMBER_F8_E4M3FNUZ, 3, 8},
                   {SONDE_NUMBER_F8_E5M2FNUZ, 2, 16}};
    uint8_t all[512];
    double doubles[512];
    float floats[512];
    for (int i = 0; i < 512; i++)
        all[i] = (uint8_t)i;
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        sonde__numbers_to_doubles(formats[f].number, false, all, 512, doubles);
        sonde__numbers_to_floats(formats[f].number, false, all, 512, floats);
        for (int i = 0; i < 512; i++) {
            const int k = formats[f].fraction_bits, magnitude = i & 0x7f;
            const int e = magnitude >> k, m = magnitude - (e << k);
            double expected = e ? ldexp(1 + ldexp(m, -k), e - formats[f].bias)
                                : ldexp(ldexp(m, -k), 1 - formats[f].bias);
            expected = i & 0x80 ? -expected : expected;
            if (isnan(doubles[i]) || isinf(doubles[i]))
                continue; /* which they are is checked above */
            if (doubles[i] != expected || (double)floats[i] != expected ||
                doubles[i] != f8(formats[f].number, i & 0xff))
                fail_msg("%s %02x: %g, not %g", sonde_number_name(formats[f].number), i & 0xff,
                         doubles[i], expected);
        }
    }
}

static void integers_become_the_nearest_numbers(void **state)
{
    (void)state;
    const int64_t i64[] = {INT64_MIN, -1, 0, 9007199254740993, INT64_MAX};
    const double d64[] = {-0x1p63, -1, 0, 9007199254740992.0, 0x1p63};
    for (size_t i = 0; i < 5; i++)
        assert_true(one(SONDE_NUMBER_I64, &i64[i], false) == d64[i]);
    const uint64_t u64[] = {0, 9007199254740993u, UINT64_MAX};
    assert_true(one(SONDE_NUMBER_U64, &u64[1], false) == 9007199254740992.0);
    assert_true(one(SONDE_NUMBER_U64, &u64[2], false) == 0x1p64);
    /* Rounded once: 2^24 + 1 and a bit is over the middle, though not as a double of it would be. */
    const uint64_t once = ((uint64_t)1 << 60) + ((uint64_t)1 << 36) + 1;
    float narrow = 0;
    sonde__numbers_to_floats(SONDE_NUMBER_U64, false, (const uint8_t *)&once, 1, &narrow);
    assert_true(narrow == 0x1.000002p60f);
    const int32_t i32 = INT32_MIN;
    const uint32_t u32 = UINT32_MAX;
    const int16_t i16 = -32768;
    const uint16_t u16 = 65535;
    assert_true(one(SONDE_NUMBER_I32, &i32, false) == -2147483648.0);
    assert_true(one(SONDE_NUMBER_U32, &u32, false) == 4294967295.0);
    assert_true(one(SONDE_NUMBER_I16, &i16, false) == -32768);
    assert_true(one(SONDE_NUMBER_U16, &u16, false) == 65535);
    assert_true(one(SONDE_NUMBER_I8, "\x80", false) == -128);
    assert_true(one(SONDE_NUMBER_U8, "\xff", false) == 255);
    assert_true(one(SONDE_NUMBER_BOOL, "\x00", false) == 0);
    assert_true(one(SONDE_NUMBER_BOOL, "\x01", false) == 1);
    assert_true(one(SONDE_NUMBER_BOOL, "\x02", false) == 1);
}

static void ieee_formats_keep_every_value(void **state)
{
    (void)state;
    const double d = -0x1.fffffffffffffp1023;
    float narrow = 0;
    double wide = 0;
    sonde__numbers_to_doubles(SONDE_NUMBER_F64, false, (const uint8_t *)&d, 1, &wide);
    assert_true(wide == d);
    sonde__numbers_to_floats(SONDE_NUMBER_F64, false, (const uint8_t *)&d, 1, &narrow);
    assert_true(isinf(narrow) && narrow < 0);
    assert_true(one(SONDE_NUMBER_F16, "\xff\x7b", false) == 65504);
    assert_true(one(SONDE_NUMBER_F16, "\x01\x00", false) == 0x1p-24);
    assert_true(isinf(one(SONDE_NUMBER_F16, "\x00\x7c", false)));
    assert_true(isnan(one(SONDE_NUMBER_F16, "\x01\x7c", false)));
    assert_true(one(SONDE_NUMBER_BF16, "\x80\x3f", false) == 1);
    assert_true(one(SONDE_NUMBER_BF16, "\x01\x00", false) == 0x1p-133);
    assert_true(isnan(one(SONDE_NUMBER_BF16, "\xc0\x7f", false)));
}

/* Each pattern of 16 bits, many at once (the fast loops) and one by one. */
static void every_half_and_bfloat_is_the_same_in_bulk_and_alone(void **state)
{
    (void)state;
    enum { N = 65536 };
    static uint16_t bits[N];
    static double wide[N];
    static float narrow[N];
    for (unsigned i = 0; i < N; i++)
        bits[i] = (uint16_t)i;
    for (int k = 0; k < 2; k++) {
        sonde__numbers_to_doubles(k ? SONDE_NUMBER_F16 : SONDE_NUMBER_BF16, false,
                                  (const uint8_t *)bits, N, wide);
        sonde__numbers_to_floats(k ? SONDE_NUMBER_F16 : SONDE_NUMBER_BF16, false,
                                 (const uint8_t *)bits, N, narrow);
        const int m = k ? 10 : 7, bias = k ? 15 : 127, top = k ? 31 : 255;
        for (int i = 0; i < N; i++) {
            const int e = (i & 0x7fff) >> m, f = i & ((1 << m) - 1);
            double expected = e ? ldexp((1 << m) + f, e - bias - m) : ldexp(f, 1 - bias - m);
            if (e == top)
                expected = f ? (double)NAN : (double)INFINITY;
            expected = i & 0x8000 ? -expected : expected;
            const bool same = isnan(expected)
                                  ? isnan(wide[i]) && isnan(narrow[i])
                                  : wide[i] == expected && (double)narrow[i] == expected;
            if (!same || (!isnan(expected) && signbit(wide[i]) != signbit(expected)))
                fail_msg("%s %04x: %g, not %g", k ? "f16" : "bf16", (unsigned)i, wide[i], expected);
        }
    }
}

static void big_endian_and_unaligned_elements_are_read(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {9, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xff, 0xfe};
    assert_true(one(SONDE_NUMBER_F64, bytes + 1, true) == 1.5);
    assert_true(one(SONDE_NUMBER_I16, bytes + 9, true) == -2);
    assert_true(one(SONDE_NUMBER_U16, bytes + 9, false) == 0xfeff);
    assert_true(one(SONDE_NUMBER_I8, bytes + 9, true) == -1);
    enum { N = 1500 }; /* more than is turned round at once */
    static uint8_t many[4 * N + 1], little[4 * N];
    static double values[N];
    for (int i = 0; i < N; i++)
        many[1 + 4 * i + 2] = (uint8_t)(i >> 8), many[1 + 4 * i + 3] = (uint8_t)i;
    sonde__numbers_to_doubles(SONDE_NUMBER_I32, true, many + 1, N, values);
    for (int i = 0; i < N; i++)
        assert_true(values[i] == i);
    sonde__numbers_to_little(SONDE_NUMBER_I32, true, many + 1, N, little);
    sonde__numbers_to_doubles(SONDE_NUMBER_I32, false, little, N, values);
    assert_true(values[N - 1] == N - 1);
    /* A complex number is turned round by its parts. */
    sonde__numbers_to_little(SONDE_NUMBER_C64, true, (const uint8_t *)"\1\2\3\4\5\6\7\x8", 1,
                             little);
    assert_memory_equal(little, "\4\3\2\1\x8\7\6\5", 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_the_one_of_the_header),
        cmocka_unit_test(f8_formats_have_the_values_of_their_specifications),
        cmocka_unit_test(every_f8_pattern_follows_its_bit_fields),
        cmocka_unit_test(integers_become_the_nearest_numbers),
        cmocka_unit_test(ieee_formats_keep_every_value),
        cmocka_unit_test(every_half_and_bfloat_is_the_same_in_bulk_and_alone),
        cmocka_unit_test(big_endian_and_unaligned_elements_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
