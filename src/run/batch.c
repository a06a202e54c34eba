/*
 * Filling batches: a table look-up a pixel for byte images, a copy for floats.
 *
 * Source of the augmentation: He et al. 2016 (arXiv 1512.03385), section 4.2. Invariant: every float
 * of the batch is written, whatever the shift.
 */
#include "run/batch.h"

#include <string.h>

#include "base/random.h"

/* The shift of the window over the padded image, and whether it is mirrored. */
typedef struct view {
    int down, right;
    bool mirrored;
} view;

void sonde__batcher_init(sonde__batcher *batcher, const sonde__dataset *dataset, uint64_t seed)
{
    memset(batcher, 0, sizeof(*batcher));
    batcher->dataset = dataset;
    batcher->seed = seed;
    batcher->features =
        (size_t)dataset->channels * (size_t)dataset->height * (size_t)dataset->width;
    if (!dataset->bytes)
        return;
    for (int c = 0; c < dataset->channels && c < SONDE__CHANNELS_MAX; c++)
        for (int byte = 0; byte < 256; byte++)
            batcher->table[c][byte] =
                dataset->text ? (float)byte
                              : ((float)byte / 255.0f - dataset->mean[c]) / dataset->deviation[c];
}

static view draw_view(const sonde__batcher *batcher, uint32_t index, int64_t epoch)
{
    uint64_t key = (uint64_t)epoch * (uint64_t)batcher->dataset->count + index;
    sonde__stream stream = sonde__stream_open(batcher->seed, SONDE__RANDOM_AUGMENT, key);
    const uint64_t shifts = 2 * SONDE__CROP_PADDING + 1;
    view drawn;
    drawn.down = (int)sonde__random_below(&stream, shifts) - SONDE__CROP_PADDING;
    drawn.right = (int)sonde__random_below(&stream, shifts) - SONDE__CROP_PADDING;
    drawn.mirrored = batcher->dataset->flip && sonde__random_below(&stream, 2) == 1;
    return drawn;
}

/* Columns [from, to) of a row come from the source; the rest is padding. */
static void row_range(int width, int right, int *from, int *to)
{
    *from = right < 0 ? -right : 0;
    *to = right > 0 ? width - right : width;
    if (*from > width)
        *from = width;
    if (*to < *from)
        *to = *from;
}

static void mirror_row(float *row, int width)
{
    for (int x = 0; x < width / 2; x++) {
        float swapped = row[x];
        row[x] = row[width - 1 - x];
        row[width - 1 - x] = swapped;
    }
}

/* One channel of one example through a view; a source row is bytes (with the table) or floats. */
static void fill_plane(const sonde__batcher *batcher, size_t plane, const float *table,
                       const view *drawn, float *out)
{
    const sonde__dataset *dataset = batcher->dataset;
    int height = dataset->height, width = dataset->width, from, to;
    float padding = table ? table[0] : 0;
    row_range(width, drawn->right, &from, &to);
    for (int y = 0; y < height; y++, out += width) {
        int source = y + drawn->down;
        bool inside = source >= 0 && source < height;
        size_t at = (plane * (size_t)height + (size_t)(inside ? source : 0)) * (size_t)width;
        for (int x = 0; x < width; x++)
            out[x] = padding;
        for (int x = from; inside && x < to; x++) {
            size_t pixel = at + (size_t)(x + drawn->right);
            out[x] = table ? table[dataset->bytes[pixel]] : dataset->floats[pixel];
        }
        if (drawn->mirrored)
            mirror_row(out, width);
    }
}

static void fill_augmented(const sonde__batcher *batcher, uint32_t index, int64_t epoch, float *out)
{
    const sonde__dataset *dataset = batcher->dataset;
    size_t area = (size_t)dataset->height * (size_t)dataset->width;
    view drawn = draw_view(batcher, index, epoch);
    for (int c = 0; c < dataset->channels; c++) {
        size_t plane = (size_t)index * (size_t)dataset->channels + (size_t)c;
        const float *table = dataset->bytes ? batcher->table[c] : NULL;
        fill_plane(batcher, plane, table, &drawn, out + (size_t)c * area);
    }
}

static void fill_plain(const sonde__batcher *batcher, uint32_t index, float *out)
{
    const sonde__dataset *dataset = batcher->dataset;
    size_t at = (size_t)index * batcher->features;
    if (dataset->floats) {
        memcpy(out, dataset->floats + at, batcher->features * sizeof(float));
        return;
    }
    size_t area = (size_t)dataset->height * (size_t)dataset->width;
    for (int c = 0; c < dataset->channels; c++) {
        const uint8_t *bytes = dataset->bytes + at + (size_t)c * area;
        const float *table = batcher->table[c];
        float *plane = out + (size_t)c * area;
        for (size_t i = 0; i < area; i++)
            plane[i] = table[bytes[i]];
    }
}

void sonde__batcher_fill(const sonde__batcher *batcher, const uint32_t *indexes, size_t n,
                         int64_t epoch, float *x, int32_t *labels)
{
    bool augment = epoch >= 0 && batcher->dataset->image;
    const size_t rows = (size_t)batcher->dataset->rows;
    for (size_t i = 0; i < n; i++) {
        float *out = x + i * batcher->features;
        if (augment)
            fill_augmented(batcher, indexes[i], epoch, out);
        else
            fill_plain(batcher, indexes[i], out);
        if (labels)
            memcpy(labels + i * rows, batcher->dataset->labels + indexes[i] * rows,
                   rows * sizeof *labels);
    }
}

size_t sonde__batch_count(size_t examples, size_t size, bool no_single)
{
    size_t whole = examples / size, rest = examples % size;
    if (no_single && rest == 1)
        return whole;
    return whole + (rest != 0);
}

void sonde__batch_span(size_t examples, size_t size, bool no_single, size_t index, size_t *begin,
                       size_t *end)
{
    bool last = index + 1 == sonde__batch_count(examples, size, no_single);
    *begin = index * size;
    *end = last ? examples : (index + 1) * size;
}
