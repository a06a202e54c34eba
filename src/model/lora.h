/*
 * Low-rank adapters (LoRA): pairs of tensors A (rank x in) and B (out x rank) whose product is added
 * to a layer of another model.
 *
 * Names: peft (X.lora_A.weight, X.lora_A.ADAPTER.weight, X.lora_embedding_A), kohya
 * (X.lora_down.weight, X.lora_up.weight, X.alpha), diffusers (X.lora.down.weight).
 * Source: Hu et al. 2021 (arXiv 2106.09685).
 */
#ifndef SONDE_MODEL_LORA_H
#define SONDE_MODEL_LORA_H

#include "model/matrices.h"

/*
 * Whether the tensor belongs to an adapter, and then adds what there is to say: one layer a pair,
 * at the place of the pair's first tensor. `*taken` false: an ordinary tensor.
 */
sonde_status sonde__lora_add(sonde__matrices *matrices, const sonde_tensor *tensor, size_t index,
                             bool *taken);

/* left (rows x rank) * right (rank x cols), both row-major, the scale in `left`. */
typedef struct sonde__product {
    double *left, *right;
    size_t rows, rank, cols;
} sonde__product;

/* The min(rows, rank, cols) largest singular values of the product, ascending, which is never formed:
 * those of R_left R_right^T of the QR factors of left and right^T. Silent; overwrites the factors.
 * `*nonfinite` counts NaNs and infinities in them; the values are then all 0. */
sonde_status sonde__product_values(sonde_context *context, sonde__product *product, double *values,
                                   size_t *nonfinite);
/* How many values that are, and the bytes it allocates at most beside the factors. */
size_t sonde__product_count(const sonde__product *product);
size_t sonde__product_memory(const sonde__product *product);
/* Adds rows [row, row + rows) of columns [col, col + cols) of the product to `out` (dense). */
void sonde__product_add(const sonde__product *product, size_t row, size_t rows, size_t col,
                        size_t cols, double *out);

#endif
