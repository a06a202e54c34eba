/*
 * GGUF's quantised blocks as floats: q4_0 to q8_1 (32 elements a block), q2_K to q8_K (256).
 *
 * Layouts: ggml's block_* structures (ggml-common.h), little-endian. `d` is a block's scale, `m` or
 * `dmin` its offset, both binary16 except in q8_K; a k-block has a small integer scale for each 16
 * or 32 elements besides. Scales times integers fit the 24 bits of a binary32, so that every product
 * here is exact but that of q8_K, and each result is the exact value rounded once: the same bits on
 * every machine and as in ggml.
 */
#include <string.h>

#include "file/model_internal.h"
#include "num/formats.h"

static float half_at(const uint8_t *from)
{
    const uint16_t half = (uint16_t)(from[0] | from[1] << 8);
    float value;
    sonde__to_floats(&value, &half, SONDE_F16, 0, 1);
    return value;
}

static float float_at(const uint8_t *from)
{
    const uint32_t bits = (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
                          (uint32_t)from[3] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* --- blocks of 32: byte i holds element i in its low half and element i + 16 in its high one ------- */

/* d, 16 bytes: d (q - 8) */
SONDE_CLONES static void q4_0(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 18, out += 32) {
        const float d = half_at(from);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((from[2 + i] & 15) - 8);
            out[i + 16] = d * (float)((from[2 + i] >> 4) - 8);
        }
    }
}

/* d, m, 16 bytes: d q + m */
SONDE_CLONES static void q4_1(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 20, out += 32) {
        const float d = half_at(from), m = half_at(from + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(from[4 + i] & 15) + m;
            out[i + 16] = d * (float)(from[4 + i] >> 4) + m;
        }
    }
}

/* The fifth bits of 32 elements, in one little-endian number, to where they belong: 0 or 16. */
SONDE_INLINE void fifth_bits(const uint8_t *from, uint8_t high[32])
{
    for (int byte = 0; byte < 4; byte++)
        for (int bit = 0; bit < 8; bit++)
            high[8 * byte + bit] = (uint8_t)((from[byte] >> bit & 1) << 4);
}

/* d, 4 bytes of fifth bits, 16 bytes: d (q - 16) */
SONDE_CLONES static void q5_0(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 22, out += 32) {
        const float d = half_at(from);
        uint8_t high[32];
        fifth_bits(from + 2, high);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(((from[6 + i] & 15) | high[i]) - 16);
            out[i + 16] = d * (float)(((from[6 + i] >> 4) | high[i + 16]) - 16);
        }
    }
}

/* d, m, 4 bytes of fifth bits, 16 bytes: d q + m */
SONDE_CLONES static void q5_1(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 24, out += 32) {
        const float d = half_at(from), m = half_at(from + 2);
        uint8_t high[32];
        fifth_bits(from + 4, high);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((from[8 + i] & 15) | high[i]) + m;
            out[i + 16] = d * (float)((from[8 + i] >> 4) | high[i + 16]) + m;
        }
    }
}

/* d, 32 signed bytes: d q */
SONDE_CLONES static void q8_0(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 34, out += 32) {
        const float d = half_at(from);
        for (int i = 0; i < 32; i++)
            out[i] = d * (float)(int8_t)from[2 + i];
    }
}

/* d, the sum of the block (not needed here), 32 signed bytes: d q */
SONDE_CLONES static void q8_1(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 36, out += 32) {
        const float d = half_at(from);
        for (int i = 0; i < 32; i++)
            out[i] = d * (float)(int8_t)from[4 + i];
    }
}

/* --- k-blocks: 256 elements -------------------------------------------------------------------------- */

/*
 * 16 bytes of 4-bit scales (low) and offsets (high) for 16 elements each, 64 bytes, d, dmin:
 * d scale q - dmin offset. Each 32 of the 64 bytes hold four runs of 32 elements, in bits 0-1 to 6-7.
 */
SONDE_CLONES static void q2_k(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 84, out += 256) {
        const float d = half_at(from + 80), dmin = half_at(from + 82);
        for (int sub = 0; sub < 16; sub++) {
            const uint8_t *q = from + 16 + sub / 8 * 32 + sub % 2 * 16;
            const int shift = sub / 2 % 4 * 2;
            const float scale = d * (float)(from[sub] & 15);
            const float offset = dmin * (float)(from[sub] >> 4);
            for (int i = 0; i < 16; i++)
                out[16 * sub + i] = scale * (float)(q[i] >> shift & 3) - offset;
        }
    }
}

/* The 6-bit scale number `sub` of 16 in q3_K's 12 bytes: low halves in the first eight, the upper two
 * bits in the last four. */
SONDE_INLINE int q3_k_scale(const uint8_t *scales, int sub)
{
    const int low = sub < 8 ? scales[sub] & 15 : scales[sub - 8] >> 4;
    return (low | (scales[8 + sub % 4] >> (sub / 4 * 2) & 3) << 4) - 32;
}

/* 32 bytes of third bits (run r of 32 elements in bit r; set: nothing is taken off), 64 bytes as in
 * q2_K, 12 bytes of scales, d: d scale (q - 4 (1 - bit)) */
SONDE_CLONES static void q3_k(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 110, out += 256) {
        const float d = half_at(from + 108);
        for (int sub = 0; sub < 16; sub++) {
            const uint8_t *third = from + sub % 2 * 16;
            const uint8_t *q = from + 32 + sub / 8 * 32 + sub % 2 * 16;
            const int shift = sub / 2 % 4 * 2, run = sub / 2;
            const float scale = d * (float)q3_k_scale(from + 96, sub);
            for (int i = 0; i < 16; i++)
                out[16 * sub + i] =
                    scale * (float)((q[i] >> shift & 3) + (third[i] >> run & 1) * 4 - 4);
        }
    }
}

/* The 6-bit scale and offset number `sub` of 8 in the 12 bytes of q4_K and q5_K: whole in bytes 0-3
 * and 4-7 for the first four, whose upper two bits are those of the last four. */
SONDE_INLINE void k_scale(const uint8_t *packed, int sub, int *scale, int *offset)
{
    if (sub < 4) {
        *scale = packed[sub] & 63;
        *offset = packed[sub + 4] & 63;
    } else {
        *scale = (packed[sub + 4] & 15) | (packed[sub - 4] >> 6) << 4;
        *offset = packed[sub + 4] >> 4 | (packed[sub] >> 6) << 4;
    }
}

/* d, dmin, 12 bytes of scales, 128 bytes: each 32 of them hold two runs of 32 elements, low halves
 * first: d scale q - dmin offset */
SONDE_CLONES static void q4_k(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 144, out += 256) {
        const float d = half_at(from), dmin = half_at(from + 2);
        for (int sub = 0; sub < 8; sub++) {
            const uint8_t *q = from + 16 + sub / 2 * 32;
            const int shift = sub % 2 * 4;
            int scale, offset;
            k_scale(from + 4, sub, &scale, &offset);
            const float by = d * (float)scale, less = dmin * (float)offset;
            for (int i = 0; i < 32; i++)
                out[32 * sub + i] = by * (float)(q[i] >> shift & 15) - less;
        }
    }
}

/* As q4_K, with 32 bytes of fifth bits before the 128: run r in bit r. */
SONDE_CLONES static void q5_k(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 176, out += 256) {
        const float d = half_at(from), dmin = half_at(from + 2);
        for (int sub = 0; sub < 8; sub++) {
            const uint8_t *fifth = from + 16, *q = from + 48 + sub / 2 * 32;
            const int shift = sub % 2 * 4;
            int scale, offset;
            k_scale(from + 4, sub, &scale, &offset);
            const float by = d * (float)scale, less = dmin * (float)offset;
            for (int i = 0; i < 32; i++)
                out[32 * sub + i] =
                    by * (float)((q[i] >> shift & 15) | (fifth[i] >> sub & 1) << 4) - less;
        }
    }
}

/*
 * 128 bytes of low halves, 64 bytes of upper two bits, 16 signed scales for 16 elements each, d:
 * d scale (q - 32). Of each 128 elements, runs 0 and 1 of 32 are the low halves of 64 bytes, runs 2
 * and 3 their high ones; the upper bits of run r are bits 2r and 2r + 1 of 32 bytes.
 */
SONDE_CLONES static void q6_k(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 210, out += 256) {
        const float d = half_at(from + 208);
        for (int sub = 0; sub < 16; sub++) {
            const int half = sub / 8, run = sub / 2 % 4;
            const uint8_t *low = from + half * 64 + run % 2 * 32 + sub % 2 * 16;
            const uint8_t *high = from + 128 + half * 32 + sub % 2 * 16;
            const float scale = d * (float)(int8_t)from[192 + sub];
            for (int i = 0; i < 16; i++)
                out[16 * sub + i] = scale * (float)(((low[i] >> (run / 2 * 4) & 15) |
                                                     (high[i] >> (run * 2) & 3) << 4) -
                                                    32);
        }
    }
}

/* d as binary32, 256 signed bytes, 16 sums (not needed here): d q */
SONDE_CLONES static void q8_k(const uint8_t *restrict from, size_t blocks, float *restrict out)
{
    for (size_t b = 0; b < blocks; b++, from += 292, out += 256) {
        const float d = float_at(from);
        for (int i = 0; i < 256; i++)
            out[i] = d * (float)(int8_t)from[4 + i];
    }
}

void sonde__dequantize(sonde_number number, const uint8_t *from, size_t blocks, float *out)
{
    typedef void (*block_loop)(const uint8_t *restrict, size_t, float *restrict);
    static const struct {
        sonde_number number;
        block_loop loop;
    } loops[] = {
        {SONDE_NUMBER_Q4_0, q4_0}, {SONDE_NUMBER_Q4_1, q4_1}, {SONDE_NUMBER_Q5_0, q5_0},
        {SONDE_NUMBER_Q5_1, q5_1}, {SONDE_NUMBER_Q8_0, q8_0}, {SONDE_NUMBER_Q8_1, q8_1},
        {SONDE_NUMBER_Q2_K, q2_k}, {SONDE_NUMBER_Q3_K, q3_k}, {SONDE_NUMBER_Q4_K, q4_k},
        {SONDE_NUMBER_Q5_K, q5_k}, {SONDE_NUMBER_Q6_K, q6_k}, {SONDE_NUMBER_Q8_K, q8_k},
    };
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (loops[i].number == number)
            loops[i].loop(from, blocks, out);
}
