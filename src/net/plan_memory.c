/*
 * Memory of a plan: every buffer gets a place in one arena.
 *
 * Largest first, each at the lowest offset where it meets no buffer that lives at the same time
 * (greedy by size; Pisarchyk and Lee 2020 found it within a few per cent of the optimum).
 */
#include <stdlib.h>

#include "base/checked.h"
#include "net/net_internal.h"

enum { ALIGNMENT_FLOATS = 16 };

static bool live_together(const sonde__buffer *a, const sonde__buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static int by_size(const void *left, const void *right)
{
    const sonde__buffer *a = *(sonde__buffer *const *)left, *b = *(sonde__buffer *const *)right;
    if (a->floats != b->floats)
        return a->floats < b->floats ? 1 : -1;
    return a < b ? -1 : a > b;
}

/* Keeps `order[0 .. count)`, the placed ones, sorted by offset. */
static void insert_by_offset(sonde__buffer **order, int count, sonde__buffer *buffer)
{
    int at = count;
    for (; at > 0 && order[at - 1]->offset > buffer->offset; at--)
        order[at] = order[at - 1];
    order[at] = buffer;
}

static size_t lowest_offset(sonde__buffer *const *placed_ones, int count,
                            const sonde__buffer *buffer)
{
    size_t offset = 0;
    for (int i = 0; i < count; i++) {
        const sonde__buffer *other = placed_ones[i];
        if (!live_together(other, buffer))
            continue;
        if (other->offset >= offset + buffer->floats)
            break;
        size_t end = other->offset + other->floats;
        offset = end > offset ? end : offset;
    }
    return offset;
}

sonde_status sonde__plan_place(sonde_context *context, sonde__plan *plan)
{
    size_t count = (size_t)plan->buffer_count, total = 0;
    sonde__buffer **sorted = sonde__alloc(context, 2 * count, sizeof *sorted);
    if (!sorted)
        return SONDE_ERROR_MEMORY;
    sonde__buffer **order = sorted + count;
    for (size_t i = 0; i < count; i++) {
        sonde__buffer *buffer = &plan->buffers[i];
        buffer->floats =
            (buffer->floats + ALIGNMENT_FLOATS - 1) / ALIGNMENT_FLOATS * ALIGNMENT_FLOATS;
        sorted[i] = buffer;
    }
    qsort(sorted, count, sizeof *sorted, by_size);
    for (size_t i = 0; i < count; i++) {
        sorted[i]->offset = lowest_offset(order, (int)i, sorted[i]);
        insert_by_offset(order, (int)i, sorted[i]);
        size_t end = sorted[i]->offset + sorted[i]->floats;
        total = end > total ? end : total;
    }
    plan->floats = total;
    sonde__free(context, sorted);
    return SONDE_OK;
}

static sonde_status bind_kernel(sonde__net *net, const sonde__command *command)
{
    for (int slot = 0; slot < SONDE__SLOT_SCRATCH; slot++) {
        if (command->data[slot])
            SONDE_TRY(sonde__kernel_bind(command->kernel, (sonde__slot)slot, command->data[slot]));
    }
    return sonde__kernel_bind(command->kernel, SONDE__SLOT_SCRATCH, net->scratch);
}

sonde_status sonde__plan_bind(sonde__net *net, sonde__plan *plan)
{
    for (int i = 0; i < plan->command_count; i++) {
        sonde__command *command = &plan->commands[i];
        for (int k = 0; k < SONDE__BUFFERS; k++) {
            if (command->buffers[k] >= 0)
                command->data[k] = net->arena + plan->buffers[command->buffers[k]].offset;
        }
        if (command->kernel)
            SONDE_TRY(bind_kernel(net, command));
    }
    plan->bound = net->generation;
    return SONDE_OK;
}
