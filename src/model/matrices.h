/*
 * Which tensors of a model are which matrices: what a survey measures, in order of the file, and why
 * it leaves out the rest. Needs the listing alone (and the scalar `alpha` of adapters).
 */
#ifndef SONDE_MODEL_MATRICES_H
#define SONDE_MODEL_MATRICES_H

#include "base/context.h"

/* The two factors of an adapter: scale * up (rows x rank) * down (rank x cols). */
typedef struct sonde__lora {
    size_t down, up; /* indexes of the tensors */
    size_t rank;     /* 0: not an adapter */
    double scale;
    bool transposed; /* of an embedding: (up * down)^T, so that it has the shape of its base */
    bool has_base;
    size_t base; /* index in the base model */
} sonde__lora;

/* One matrix, or `slices` matrices of one shape whose eigenvalues are pooled. */
typedef struct sonde__matrix {
    char *name;
    char *skipped; /* why there is none, or NULL: then the rest holds */
    char *note;    /* or NULL */
    sonde_layer_kind kind;
    sonde_number number;
    int dims;
    int64_t dim[SONDE_TENSOR_DIMS_MAX];
    size_t tensor;
    size_t rows, cols, slices;
    /* Entry (r, c) of slice p is element first + r * row_step + c * col_step + p of the tensor. */
    uint64_t first, row_step, col_step;
    sonde__lora lora;
} sonde__matrix;

typedef struct sonde__matrices {
    sonde_context *context;
    sonde_model *model;
    const sonde_survey_options *options;
    sonde__matrix *items;
    size_t count, capacity;
} sonde__matrices;

/* `options` must outlive the list. */
sonde_status sonde__matrices_find(sonde_context *context, sonde_model *model,
                                  const sonde_survey_options *options, sonde__matrices *matrices);
void sonde__matrices_free(sonde__matrices *matrices);

/* For lora.c: adds an item of the tensor's name (followed by `suffix`), number and shape. */
sonde_status sonde__matrices_add(sonde__matrices *matrices, const sonde_tensor *tensor,
                                 size_t index, const char *suffix, sonde__matrix **added);
/* Says why the item has no spectrum. */
sonde_status sonde__matrices_skip(sonde__matrices *matrices, sonde__matrix *item,
                                  const char *format, ...) SONDE_PRINTF(3, 4);
/* A formatted string, freed with sonde__free; NULL on failure, with the error set. */
char *sonde__format_string(sonde_context *context, const char *format, ...) SONDE_PRINTF(2, 3);

#endif
