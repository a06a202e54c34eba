/*
 * The header of a NumPy array (.npy versions 1.0 to 3.0), for data sets, models and the members of
 * an .npz: magic, version, length, a Python dictionary literal.
 *
 * The literal is matched against the one form that NumPy writes; nothing is evaluated. Arrays of
 * Python objects (pickled code) and of records are refused, and header and values must be exactly
 * the bytes that are there.
 */
#ifndef SONDE_FILE_NPY_H
#define SONDE_FILE_NPY_H

#include "base/context.h"

enum {
    SONDE__NPY_PREFIX = 12,          /* bytes that tell the length of the header */
    SONDE__NPY_HEADER_MAX = 1 << 16, /* longer ones are refused; NumPy writes 128 */
    SONDE__NPY_TYPE_MAX = 16
};

/* Where the bytes come from, for messages. */
typedef struct sonde__npy_place {
    sonde_context *context;
    const char *path;
    const char *item; /* the member of an archive, or NULL */
    int64_t base;     /* offset in the file of the first byte */
    bool packed;      /* deflated there: no other byte has an offset of its own */
} sonde__npy_place;

typedef struct sonde__npy {
    char type[SONDE__NPY_TYPE_MAX]; /* as written: "<f4" */
    char kind;   /* f, i, u, b, c; or U, S, M, m: text and dates, for which only the type is told */
    size_t item; /* bytes of a value; 0: text or dates */
    bool big_endian, fortran;
    int dims;
    size_t shape[SONDE_TENSOR_DIMS_MAX];
    size_t count;        /* of values */
    size_t header_bytes; /* bytes before the values */
} sonde__npy;

/* Bytes of the header, from the first `got` bytes (SONDE__NPY_PREFIX of them, or all there are) of
 * an array of `total`. At most SONDE__NPY_HEADER_MAX. */
sonde_status sonde__npy_header_size(const sonde__npy_place *place, const uint8_t *head, size_t got,
                                    uint64_t total, size_t *size);
/* `header_size` bytes from the start of an array of `total`. */
sonde_status sonde__npy_parse_header(const sonde__npy_place *place, const uint8_t *head,
                                     size_t header_size, uint64_t total, sonde__npy *array);
/* The number format of real and complex values; 0 where there is none (text, dates). */
sonde_number sonde__npy_number(const sonde__npy *array);
/* Elements between neighbours along each dimension, as stored. */
void sonde__npy_strides(const sonde__npy *array, int64_t *strides);

#endif
