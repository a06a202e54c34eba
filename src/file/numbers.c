/*
 * Number formats of model files and how plain elements become doubles or floats.
 *
 * IEEE 754 formats through num/formats; 8-bit floats after the OCP 8-bit floating point
 * specification (E4M3: no infinities, S.1111.111 is NaN; E5M2: as IEEE) and Noune et al. 2022 (FNUZ:
 * bias one larger, 0x80 is the only NaN, no -0); E8M0 after the OCP microscaling specification
 * (2^(e - 127), 255 is NaN). Every result is the exact value, rounded once where `out` is narrower.
 */
#include <math.h>
#include <string.h>

#include "file/model_internal.h"
#include "num/formats.h"

static const sonde__number_info NUMBERS[] = {
#define NUMBER_INFO(name, number, text, elements, bytes, reads) \
    [number] = {name, text, elements, bytes, reads},
    SONDE_NUMBER_LIST(NUMBER_INFO)
#undef NUMBER_INFO
};

enum { NUMBER_ROOM = sizeof NUMBERS / sizeof *NUMBERS };
_Static_assert(NUMBER_ROOM <= 256, "a number format fits in the byte that a record has for it");

const sonde__number_info *sonde__number_find(sonde_number number)
{
    if ((unsigned)number >= NUMBER_ROOM || !NUMBERS[number].name)
        return NULL;
    return &NUMBERS[number];
}

const sonde__number_info *sonde__number_named(const char *name)
{
    for (size_t i = 0; i < NUMBER_ROOM; i++)
        if (NUMBERS[i].name && strcmp(NUMBERS[i].name, name) == 0)
            return &NUMBERS[i];
    return NULL;
}

const char *sonde_number_name(sonde_number number)
{
    const sonde__number_info *info = sonde__number_find(number);
    return info ? info->name : "?";
}

/* Sign, exponent and fraction without infinities; subnormals have exponent field 0. */
static float small_float(uint8_t bits, int fraction_bits, int bias)
{
    const int magnitude = bits & 0x7f, exponent = magnitude >> fraction_bits;
    const int fraction = magnitude & ((1 << fraction_bits) - 1);
    const int units = exponent ? fraction + (1 << fraction_bits) : fraction;
    const float value = ldexpf((float)units, (exponent ? exponent : 1) - bias - fraction_bits);
    return bits & 0x80 ? -value : value;
}

static float f8_value(sonde_number number, uint8_t bits)
{
    switch (number) {
    case SONDE_NUMBER_F8_E4M3:
        return (bits & 0x7f) == 0x7f ? NAN : small_float(bits, 3, 7);
    case SONDE_NUMBER_F8_E5M2:
        if ((bits & 0x7c) == 0x7c)
            return bits & 3 ? NAN : bits & 0x80 ? -INFINITY : INFINITY;
        return small_float(bits, 2, 15);
    case SONDE_NUMBER_F8_E4M3FNUZ:
        return bits == 0x80 ? NAN : small_float(bits, 3, 8);
    case SONDE_NUMBER_F8_E5M2FNUZ:
        return bits == 0x80 ? NAN : small_float(bits, 2, 16);
    default: /* E8M0 */
        return bits == 0xff ? NAN : ldexpf(1, (int)bits - 127);
    }
}

/* Copies elements of 2, 4 or 8 bytes with their bytes in reverse order. */
static void reverse(const uint8_t *from, size_t n, size_t size, uint8_t *to)
{
    for (size_t i = 0; i < n; i++)
        for (size_t b = 0; b < size; b++)
            to[i * size + b] = from[i * size + size - 1 - b];
}

/* Elements may lie unaligned: they are copied out. */
#define EACH(type, expression) \
    for (size_t i = 0; i < n; i++) { \
        type element; \
        memcpy(&element, from + i * sizeof element, sizeof element); \
        out[i] = expression; \
    } \
    break

/* `convert` is the function of num/formats for IEEE formats and bfloat16. */
#define DEFINE_DECODE(name, real, convert) \
    static void name##_f8(sonde_number number, const uint8_t *from, size_t n, real *out) \
    { \
        float values[256]; \
        if (n < 256) { \
            for (size_t i = 0; i < n; i++) \
                out[i] = (real)f8_value(number, from[i]); \
            return; \
        } \
        for (int i = 0; i < 256; i++) \
            values[i] = f8_value(number, (uint8_t)i); \
        for (size_t i = 0; i < n; i++) \
            out[i] = (real)values[from[i]]; \
    } \
\
    static void name(sonde_number number, const uint8_t *from, size_t n, real *out) \
    { \
        switch (number) { \
        case SONDE_NUMBER_F64: \
        case SONDE_NUMBER_F32: \
        case SONDE_NUMBER_BF16: \
        case SONDE_NUMBER_F16: \
            convert(out, from, (sonde_dtype)number, 0, n); \
            break; \
        case SONDE_NUMBER_I64: \
            EACH(int64_t, (real)element); \
        case SONDE_NUMBER_I32: \
            EACH(int32_t, (real)element); \
        case SONDE_NUMBER_I16: \
            EACH(int16_t, (real)element); \
        case SONDE_NUMBER_I8: \
            EACH(int8_t, (real)element); \
        case SONDE_NUMBER_U64: \
            EACH(uint64_t, (real)element); \
        case SONDE_NUMBER_U32: \
            EACH(uint32_t, (real)element); \
        case SONDE_NUMBER_U16: \
            EACH(uint16_t, (real)element); \
        case SONDE_NUMBER_U8: \
            EACH(uint8_t, (real)element); \
        case SONDE_NUMBER_BOOL: \
            EACH(uint8_t, (real)(element != 0)); \
        default: \
            name##_f8(number, from, n, out); \
        } \
    } \
\
    void sonde__numbers_to_##name(sonde_number number, bool big_endian, const uint8_t *from, \
                                  size_t n, real *out) \
    { \
        enum { PIECE = 512 }; \
        uint8_t swapped[PIECE * 8]; \
        const size_t size = NUMBERS[number].bytes; \
        if (!big_endian || size == 1) { \
            name(number, from, n, out); \
            return; \
        } \
        for (size_t done = 0; done < n; done += PIECE) { \
            const size_t count = n - done < PIECE ? n - done : PIECE; \
            reverse(from + done * size, count, size, swapped); \
            name(number, swapped, count, out + done); \
        } \
    }

DEFINE_DECODE(doubles, double, sonde__to_doubles)
DEFINE_DECODE(floats, float, sonde__to_floats)

void sonde__numbers_to_little(sonde_number number, bool big_endian, const uint8_t *from, size_t n,
                              uint8_t *out)
{
    const size_t size = NUMBERS[number].bytes;
    /* Complex numbers are two reals one behind the other. */
    const size_t parts = number == SONDE_NUMBER_C64 || number == SONDE_NUMBER_C128 ? 2 : 1;
    if (big_endian && size / parts > 1)
        reverse(from, n * parts, size / parts, out);
    else
        memcpy(out, from, n * size);
}
