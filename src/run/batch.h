/*
 * Batches: examples of a data set as normalised floats, augmented where asked.
 *
 * Augmentation is the usual one for small images: a crop of the image padded by four pixels of zero
 * bytes, and a mirror image where the data set's classes allow it. What an example gets is drawn
 * from (seed, epoch, example), so that it does not depend on its place in the epoch or on threads.
 */
#ifndef SONDE_RUN_BATCH_H
#define SONDE_RUN_BATCH_H

#include "file/dataset.h"

enum { SONDE__CROP_PADDING = 4 };

typedef struct sonde__batcher {
    const sonde__dataset *dataset; /* borrowed */
    size_t features;               /* floats an example */
    uint64_t seed;
    float table[SONDE__CHANNELS_MAX][256]; /* normalised value of a byte, by channel */
} sonde__batcher;

void sonde__batcher_init(sonde__batcher *batcher, const sonde__dataset *dataset, uint64_t seed);
/*
 * Writes examples indexes[0..n) as n x channels x height x width floats and their labels, n x rows
 * (NULL: not wanted). `epoch` 0 or more: augmented as in that epoch; -1: as they are.
 */
void sonde__batcher_fill(const sonde__batcher *batcher, const uint32_t *indexes, size_t n,
                         int64_t epoch, float *x, int32_t *labels);

/* How an epoch is cut into batches of `size`. With `no_single` (batch normalisation cannot train on
 * one example) a last batch of one joins the batch before it, which then has size + 1; an epoch of
 * one example has no batch at all. */
size_t sonde__batch_count(size_t examples, size_t size, bool no_single);
void sonde__batch_span(size_t examples, size_t size, bool no_single, size_t index, size_t *begin,
                       size_t *end);

#endif
