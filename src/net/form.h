/*
 * How an activation lies in memory: batch x ceil(channels / block) x height x width x block floats.
 *
 * Block 1 is the plain layout (n, channel, row, column), block = channels is channels-last, 16 and 8
 * are the layouts of vector kernels. Lanes past the last channel are zero, always.
 */
#ifndef SONDE_NET_FORM_H
#define SONDE_NET_FORM_H

#include <stddef.h>

#include "net/graph_internal.h"

typedef struct sonde__form {
    int batch;
    sonde__shape shape;
    int block;
} sonde__form;

static inline int sonde__form_groups(const sonde__form *form)
{
    return (form->shape.channels + form->block - 1) / form->block;
}

static inline size_t sonde__form_pixels(const sonde__form *form)
{
    return (size_t)form->shape.height * (size_t)form->shape.width;
}

/* Floats of one example, lanes of padding included. */
static inline size_t sonde__form_stride(const sonde__form *form)
{
    return (size_t)sonde__form_groups(form) * (size_t)form->block * sonde__form_pixels(form);
}

static inline size_t sonde__form_floats(const sonde__form *form)
{
    return (size_t)form->batch * sonde__form_stride(form);
}

/* True if the memory is that of the plain layout, whatever the block says. */
static inline bool sonde__form_plain(const sonde__form *form)
{
    return form->block == 1 ||
           (sonde__form_pixels(form) == 1 && form->shape.channels % form->block == 0);
}

static inline bool sonde__form_same(const sonde__form *a, const sonde__form *b)
{
    return a->block == b->block || (sonde__form_plain(a) && sonde__form_plain(b));
}

/* Where a value lies within its example. */
static inline size_t sonde__form_index(const sonde__form *form, int channel, size_t pixel)
{
    size_t block = (size_t)form->block, c = (size_t)channel;
    return ((c / block) * sonde__form_pixels(form) + pixel) * block + c % block;
}

#endif
