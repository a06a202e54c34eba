/*
 * Number formats: element sizes, exact conversion of rows to double or float, and the checks that
 * make every later index into a matrix safe.
 * Formats: IEEE 754 binary64, binary32, binary16; bfloat16 is the upper half of a binary32.
 */
#include "num/formats.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"

size_t sonde__dtype_size(sonde_dtype dtype)
{
    switch (dtype) {
    case SONDE_F64:
        return 8;
    case SONDE_F32:
        return 4;
    case SONDE_BF16:
    case SONDE_F16:
        return 2;
    }
    return 0;
}

const char *sonde__dtype_name(sonde_dtype dtype)
{
    switch (dtype) {
    case SONDE_F64:
        return "f64";
    case SONDE_F32:
        return "f32";
    case SONDE_BF16:
        return "bf16";
    case SONDE_F16:
        return "f16";
    }
    return "unknown";
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Without branches, so that the loops below become vectors. */
static inline float float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    const uint32_t shifted = magnitude << 13;
    /* Subnormals are units of 2^-24: the fraction of 2^-14 + units, less the 2^-14. */
    const float small = float_of_bits(shifted | 113u << 23) - 0x1p-14f;
    uint32_t bits, small_bits;
    memcpy(&small_bits, &small, sizeof bits);
    /* The bias grows from 15 to 127; exponent 31 becomes 255. */
    bits = shifted + (magnitude >= 0x7c00u ? 224u << 23 : 112u << 23);
    return float_of_bits((magnitude < 0x400u ? small_bits : bits) | sign);
}

/* The caller's arrays need not be aligned: elements are copied out. */
#define DEFINE_CONVERT(name, type, real, expression) \
    SONDE_CLONES static void name(real *out, const unsigned char *bytes, size_t n) \
    { \
        for (size_t i = 0; i < n; i++) { \
            type element; \
            memcpy(&element, bytes + i * sizeof element, sizeof element); \
            out[i] = expression; \
        } \
    }

DEFINE_CONVERT(doubles_of_floats, float, double, (double)element)
DEFINE_CONVERT(doubles_of_bfloats, uint16_t, double, (double)float_of_bits((uint32_t)element << 16))
DEFINE_CONVERT(doubles_of_halves, uint16_t, double, (double)float_of_half(element))
DEFINE_CONVERT(floats_of_doubles, double, float, (float)element)
DEFINE_CONVERT(floats_of_bfloats, uint16_t, float, float_of_bits((uint32_t)element << 16))
DEFINE_CONVERT(floats_of_halves, uint16_t, float, float_of_half(element))

void sonde__to_doubles(double *out, const void *data, sonde_dtype dtype, size_t offset, size_t n)
{
    const unsigned char *const bytes =
        (const unsigned char *)data + offset * sonde__dtype_size(dtype);
    switch (dtype) {
    case SONDE_F64:
        memcpy(out, bytes, n * sizeof *out);
        break;
    case SONDE_F32:
        doubles_of_floats(out, bytes, n);
        break;
    case SONDE_BF16:
        doubles_of_bfloats(out, bytes, n);
        break;
    case SONDE_F16:
        doubles_of_halves(out, bytes, n);
        break;
    }
}

void sonde__to_floats(float *out, const void *data, sonde_dtype dtype, size_t offset, size_t n)
{
    const unsigned char *const bytes =
        (const unsigned char *)data + offset * sonde__dtype_size(dtype);
    switch (dtype) {
    case SONDE_F64:
        floats_of_doubles(out, bytes, n);
        break;
    case SONDE_F32:
        memcpy(out, bytes, n * sizeof *out);
        break;
    case SONDE_BF16:
        floats_of_bfloats(out, bytes, n);
        break;
    case SONDE_F16:
        floats_of_halves(out, bytes, n);
        break;
    }
}

size_t sonde__matrix_stride(const sonde_matrix *matrix)
{
    return matrix->row_stride ? matrix->row_stride : matrix->cols;
}

const char *sonde__matrix_problem(const sonde_matrix *matrix)
{
    size_t elements, bytes;
    if (!matrix || !matrix->data)
        return "the data pointer is NULL";
    if (!sonde__dtype_size(matrix->dtype))
        return "the element format is unknown";
    if (matrix->rows == 0 || matrix->cols == 0)
        return "it has no rows or no columns";
    if (matrix->row_stride != 0 && matrix->row_stride < matrix->cols)
        return "the row stride is smaller than the number of columns";
    if (!sonde__multiply(matrix->rows, sonde__matrix_stride(matrix), &elements) ||
        !sonde__multiply(elements, sonde__dtype_size(matrix->dtype), &bytes) || bytes > PTRDIFF_MAX)
        return "its size does not fit in memory";
    return NULL;
}

sonde_status sonde__matrix_check(sonde_context *context, const sonde_matrix *matrix,
                                 const char *what)
{
    const char *const problem = sonde__matrix_problem(matrix);
    if (!problem)
        return SONDE_OK;
    const bool sizes = matrix && matrix->data && sonde__dtype_size(matrix->dtype);
    return sonde__fail(context, sizes ? SONDE_ERROR_SHAPE : SONDE_ERROR_ARGUMENT,
                       "%s (%zu x %zu): %s", what, matrix ? matrix->rows : 0,
                       matrix ? matrix->cols : 0, problem);
}

void sonde__matrix_row(const sonde_matrix *matrix, size_t row, size_t first, size_t n, double *out)
{
    sonde__to_doubles(out, matrix->data, matrix->dtype, row * sonde__matrix_stride(matrix) + first,
                      n);
}

size_t sonde__count_nonfinite(const double *values, size_t n, double *largest)
{
    size_t count = 0;
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double magnitude = fabs(values[i]);
        if (!(magnitude <= 1.7976931348623157e308))
            count++;
        else if (magnitude > most)
            most = magnitude;
    }
    if (largest)
        *largest = most;
    return count;
}
