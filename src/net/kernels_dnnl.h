/*
 * Convolutions and linear layers by oneDNN: three kernels each (forward, gradient of the input,
 * gradient of the parameters), and the layouts of their weights.
 *
 * A kernel is created once for a case, bound to memory, and run many times. No oneDNN type appears
 * here, so that another version of it (or another library) can stand behind the same header.
 */
#ifndef SONDE_NET_KERNELS_DNNL_H
#define SONDE_NET_KERNELS_DNNL_H

#include "net/form.h"

typedef struct sonde__kernels sonde__kernels; /* the library's handle */
typedef struct sonde__kernel sonde__kernel;
typedef struct sonde__packing sonde__packing; /* the layout of a weight */

/* What a kernel is bound to. Of REPACK: INPUT is the source, OUTPUT the result. */
typedef enum sonde__slot {
    SONDE__SLOT_INPUT, /* or the gradient of the input */
    SONDE__SLOT_WEIGHT,
    SONDE__SLOT_BIAS,
    SONDE__SLOT_OUTPUT, /* or the gradient of the output */
    SONDE__SLOT_SCRATCH,
    SONDE__SLOT_COUNT
} sonde__slot;

typedef enum sonde__direction {
    SONDE__FORWARD,
    SONDE__BACKWARD_INPUT,
    SONDE__BACKWARD_WEIGHT
} sonde__direction;

/* One convolution or linear layer for a batch. */
typedef struct sonde__product {
    const char *name; /* for messages */
    bool linear;
    sonde__conv_options options; /* of a linear layer: `out` and `bias` */
    sonde__form input, output;
    bool relu;     /* the forward kernel ends with max(0, .) */
    bool train;    /* the forward kernel keeps what the backward ones expect */
    bool winograd; /* may be used where it is faster */
} sonde__product;

sonde_status sonde__kernels_create(sonde_context *context, sonde__kernels **kernels);
void sonde__kernels_free(sonde__kernels *kernels);
/* The channel block that this machine's convolutions like: 16, 8 or 1. */
int sonde__kernels_block(sonde__kernels *kernels);

/* Sets the blocks of `product->input` and `output` to the layouts that suit a convolution best. */
sonde_status sonde__product_choose_blocks(sonde__kernels *kernels, sonde__product *product);
/* The layout of the weight that the forward kernel likes best. */
sonde_status sonde__product_packing(sonde__kernels *kernels, const sonde__product *product,
                                    sonde__packing **packing);
/*
 * The kernel for weights that lie as `packing` says. If another layout is needed or much faster,
 * `*repack` is a kernel that makes it (or, for BACKWARD_WEIGHT, makes `packing` from it) and
 * `*repacked` its size in floats; else `*repack` is NULL.
 */
sonde_status sonde__product_kernel(sonde__kernels *kernels, const sonde__product *product,
                                   sonde__direction direction, const sonde__packing *packing,
                                   sonde__kernel **kernel, sonde__kernel **repack,
                                   size_t *repacked);

void sonde__kernel_free(sonde__kernel *kernel);
size_t sonde__kernel_scratch(const sonde__kernel *kernel); /* bytes */
/* Slots that the kernel lacks are ignored. */
sonde_status sonde__kernel_bind(sonde__kernel *kernel, sonde__slot slot, void *memory);
sonde_status sonde__kernel_run(const sonde__kernel *kernel);

/* c = scale a b, plus c if `more`: row-major, rows x inner times inner x columns, each perhaps read
 * turned; `step` floats from row to row of what lies in memory. Inside a parallel region it runs on
 * the calling thread. */
typedef struct sonde__small_product {
    size_t rows, columns, inner;
    size_t a_step, b_step, c_step;
    bool turn_a, turn_b, more;
    float scale;
} sonde__small_product;
void sonde__product_small(const sonde__small_product *product, const float *a, const float *b,
                          float *c);

void sonde__packing_free(sonde__packing *packing);
size_t sonde__packing_floats(const sonde__packing *packing);
/* Between the plain layout (out, in, row, column) and the packed one; padding becomes zero. */
void sonde__packing_pack(const sonde__packing *packing, const float *plain, float *packed);
void sonde__packing_unpack(const sonde__packing *packing, const float *packed, float *plain);

#endif
