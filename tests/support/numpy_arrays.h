/*
 * What tests/golden/numpy/make_numpy.py recorded: arrays whose names say type, order and shape
 * ("f4_big_columns_2x3"), and whose element k, row-major, follows from k.
 */
#ifndef SONDE_TESTS_NUMPY_ARRAYS_H
#define SONDE_TESTS_NUMPY_ARRAYS_H

#include "check.h"

enum { NUMPY_ELEMENTS = 64 };

static inline double numpy_value(char kind, size_t k)
{
    switch (kind) {
    case 'f':
        return ((double)k - 2) / 2;
    case 'i':
        return (double)k - 2;
    case 'b':
        return k % 3 == 0;
    default:
        return (double)k;
    }
}

static inline void numpy_check_shape(const sonde_tensor *tensor)
{
    const char *shape = strrchr(tensor->name, '_') + 1;
    int dims = 0;
    if (strcmp(shape, "scalar") != 0)
        for (char *end = NULL; *shape; shape = *end ? end + 1 : end, dims++)
            if (dims >= tensor->dims || strtol(shape, &end, 10) != tensor->shape[dims])
                fail_msg("%s: dimension %d is wrong", tensor->name, dims);
    assert_int_equal(tensor->dims, dims);
}

static inline void numpy_check_number(const sonde_tensor *tensor)
{
    static const struct {
        char type[4];
        sonde_number number;
    } numbers[] = {
        {"f2_", SONDE_NUMBER_F16}, {"f4_", SONDE_NUMBER_F32},  {"f8_", SONDE_NUMBER_F64},
        {"i1_", SONDE_NUMBER_I8},  {"i2_", SONDE_NUMBER_I16},  {"i4_", SONDE_NUMBER_I32},
        {"i8_", SONDE_NUMBER_I64}, {"u1_", SONDE_NUMBER_U8},   {"u2_", SONDE_NUMBER_U16},
        {"u4_", SONDE_NUMBER_U32}, {"u8_", SONDE_NUMBER_U64},  {"b1_", SONDE_NUMBER_BOOL},
        {"c8_", SONDE_NUMBER_C64}, {"c16", SONDE_NUMBER_C128},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (strncmp(tensor->name, numbers[i].type, 3) == 0) {
            assert_int_equal(tensor->number, numbers[i].number);
            return;
        }
    fail_msg("%s: no type is known for the name", tensor->name);
}

/* Shape, number format and every element as the name says; complex ones are listed, not read. */
static inline void numpy_check(sonde_context *context, sonde_model *model, size_t index)
{
    double values[NUMPY_ELEMENTS], one = 0;
    sonde_tensor tensor;
    check_ok(context, sonde_model_tensor(model, index, &tensor));
    numpy_check_shape(&tensor);
    numpy_check_number(&tensor);
    assert_int_equal(tensor.readable, tensor.name[0] != 'c');
    if (!tensor.readable) {
        check_status(sonde_model_read(model, index, 0, 1, SONDE_F64, values),
                     SONDE_ERROR_UNSUPPORTED);
        return;
    }
    assert_true(tensor.elements <= NUMPY_ELEMENTS);
    check_ok(context, sonde_model_read(model, index, 0, tensor.elements, SONDE_F64, values));
    for (size_t k = 0; k < tensor.elements; k++)
        if (values[k] != numpy_value(tensor.name[0], k))
            fail_msg("%s: element %zu is %g, not %g", tensor.name, k, values[k],
                     numpy_value(tensor.name[0], k));
    if (tensor.elements == 0)
        return;
    check_ok(context, sonde_model_read(model, index, tensor.elements - 1, 1, SONDE_F64, &one));
    assert_true(one == values[tensor.elements - 1]);
}

#endif
