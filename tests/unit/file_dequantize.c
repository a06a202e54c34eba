/* Quantised blocks: the same bits as the reference dequantisation of the gguf package (recorded by
 * tests/golden/gguf/make_gguf.py), from any alignment, and nothing written behind the last block. */
#include "check.h"
#include "file/model_internal.h"

enum { ROOM = 16384, GUARD = 4 };

static const sonde_number FORMATS[] = {
    SONDE_NUMBER_Q4_0, SONDE_NUMBER_Q4_1, SONDE_NUMBER_Q5_0, SONDE_NUMBER_Q5_1,
    SONDE_NUMBER_Q8_0, SONDE_NUMBER_Q8_1, SONDE_NUMBER_Q2_K, SONDE_NUMBER_Q3_K,
    SONDE_NUMBER_Q4_K, SONDE_NUMBER_Q5_K, SONDE_NUMBER_Q6_K, SONDE_NUMBER_Q8_K,
};
enum { FORMAT_COUNT = sizeof FORMATS / sizeof *FORMATS };

/* FORMAT.bin: the blocks, then their elements. Returns how many blocks. */
static size_t load(const sonde__number_info *info, uint8_t *bytes, size_t *value_offset)
{
    char path[256], name[16];
    for (size_t i = 0; i <= strlen(info->name); i++)
        name[i] = (char)(info->name[i] >= 'A' && info->name[i] <= 'Z' ? info->name[i] + 32
                                                                      : info->name[i]);
    snprintf(path, sizeof path, SONDE_TESTS_DIR "/golden/gguf/%s.bin", name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s cannot be opened", path);
    const size_t size = fread(bytes, 1, ROOM, file);
    assert_int_equal(fclose(file), 0);
    const size_t each = info->bytes + sizeof(float) * info->elements;
    assert_true(size > 0 && size < ROOM && size % each == 0);
    *value_offset = size / each * info->bytes;
    return size / each;
}

static void expect_bits(const sonde__number_info *info, const float *values,
                        const uint8_t *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float wanted;
        memcpy(&wanted, expected + sizeof wanted * i, sizeof wanted);
        if (memcmp(&wanted, &values[i], sizeof wanted) != 0)
            fail_msg("%s: element %zu is %.9g, not %.9g", info->name, i, (double)values[i],
                     (double)wanted);
    }
}

static void every_format_has_the_bits_of_the_reference(void **state)
{
    (void)state;
    static uint8_t bytes[ROOM], shifted[ROOM + 1];
    static float values[ROOM / 4];
    for (int f = 0; f < FORMAT_COUNT; f++) {
        const sonde__number_info *info = sonde__number_find(FORMATS[f]);
        size_t value_offset = 0;
        const size_t blocks = load(info, bytes, &value_offset);
        const size_t count = blocks * info->elements;
        assert_int_equal(blocks, 8);
        memcpy(shifted + 1, bytes, value_offset);
        for (int shift = 0; shift < 2; shift++) {
            memset(values, 0x55, sizeof values);
            sonde__dequantize(FORMATS[f], shift ? shifted + 1 : bytes, blocks, values);
            expect_bits(info, values, bytes + value_offset, count);
            for (size_t i = count; i < count + GUARD; i++)
                assert_memory_equal(&values[i], "UUUU", 4);
        }
    }
}

/* By hand, so that a wrong recording would be seen too: d = 0.5 (0x3800). */
static void simple_blocks_hold_what_their_definition_says(void **state)
{
    (void)state;
    uint8_t block[36] = {0x00, 0x38};
    float values[32];
    block[2] = 0xf0; /* element 0 is 0, element 16 is 15 */
    sonde__dequantize(SONDE_NUMBER_Q4_0, block, 1, values);
    assert_true(values[0] == 0.5f * (0 - 8) && values[16] == 0.5f * (15 - 8));
    block[2] = 0x80;
    block[33] = 0x7f;
    sonde__dequantize(SONDE_NUMBER_Q8_0, block, 1, values);
    assert_true(values[0] == -64.0f && values[31] == 63.5f && values[1] == 0.0f);
    memset(block + 2, 0, sizeof block - 2);
    block[3] = 0x3c; /* m = 1 */
    block[4] = 0x21;
    sonde__dequantize(SONDE_NUMBER_Q4_1, block, 1, values);
    assert_true(values[0] == 1.5f && values[16] == 2.0f && values[31] == 1.0f);
}

static void no_blocks_write_nothing(void **state)
{
    (void)state;
    float value = 7;
    for (int f = 0; f < FORMAT_COUNT; f++)
        sonde__dequantize(FORMATS[f], NULL, 0, &value);
    assert_true(value == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_has_the_bits_of_the_reference),
        cmocka_unit_test(simple_blocks_hold_what_their_definition_says),
        cmocka_unit_test(no_blocks_write_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
