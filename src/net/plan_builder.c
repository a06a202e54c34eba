/*
 * What every operator's part of a plan is written with: buffers, commands, layouts, gradients.
 *
 * A gradient is a list of at most two buffers whose sum it is; a batch norm adds the two up in
 * passing, everything else has them added first. Every gradient buffer has one owner, so that it may
 * be changed in place.
 */
#include <string.h>

#include "net/plan_builder.h"

bool sonde__build_failed(const sonde__builder *b)
{
    return b->status != SONDE_OK;
}

void sonde__build_note(sonde__builder *b, sonde_status status)
{
    if (b->status == SONDE_OK)
        b->status = status;
}

int sonde__add_buffer(sonde__builder *b, size_t floats)
{
    sonde__plan *plan = b->plan;
    if (plan->buffer_count == plan->buffer_capacity) {
        int capacity = plan->buffer_capacity ? 2 * plan->buffer_capacity : 64;
        sonde__buffer *grown =
            sonde__resize(b->net->context, plan->buffers, (size_t)capacity, sizeof *grown);
        if (!grown) {
            sonde__build_note(b, SONDE_ERROR_MEMORY);
            return 0;
        }
        plan->buffers = grown;
        plan->buffer_capacity = capacity;
    }
    plan->buffers[plan->buffer_count] = (sonde__buffer){.floats = floats ? floats : 1, .first = -1};
    return plan->buffer_count++;
}

int sonde__add_form(sonde__builder *b, const sonde__form *form)
{
    return sonde__add_buffer(b, sonde__form_floats(form));
}

sonde__command sonde__command_of(sonde__kind kind, sonde__run run)
{
    sonde__command command;
    memset(&command, 0, sizeof command);
    command.kind = kind;
    command.run = run;
    for (int k = 0; k < SONDE__BUFFERS; k++)
        command.buffers[k] = -1;
    return command;
}

void sonde__extend_life(sonde__plan *plan, int buffer, int at)
{
    if (buffer < 0)
        return;
    if (plan->buffers[buffer].first < 0)
        plan->buffers[buffer].first = at;
    plan->buffers[buffer].last = at;
}

void sonde__append(sonde__builder *b, const sonde__command *command)
{
    sonde__plan *plan = b->plan;
    if (!sonde__build_failed(b) && plan->command_count == plan->command_capacity) {
        int capacity = plan->command_capacity ? 2 * plan->command_capacity : 64;
        sonde__command *grown =
            sonde__resize(b->net->context, plan->commands, (size_t)capacity, sizeof *grown);
        if (grown) {
            plan->commands = grown;
            plan->command_capacity = capacity;
        } else {
            sonde__build_note(b, SONDE_ERROR_MEMORY);
        }
    }
    if (sonde__build_failed(b)) {
        sonde__kernel_free(command->kernel);
        return;
    }
    for (int k = 0; k < SONDE__BUFFERS; k++)
        sonde__extend_life(plan, command->buffers[k], plan->command_count);
    plan->commands[plan->command_count] = *command;
    plan->commands[plan->command_count++].serves = b->serves;
}

sonde__form sonde__form_of(const sonde__builder *b, int layer)
{
    return (sonde__form){b->plan->batch, b->net->graph->layers[layer].shape,
                         b->net->nodes[layer].block};
}

int sonde__reordered(sonde__builder *b, int buffer, const sonde__form *from, const sonde__form *to)
{
    if (sonde__form_same(from, to))
        return buffer;
    sonde__command command = sonde__command_of(SONDE__KIND_MOVE, sonde__run_reorder);
    int made = sonde__add_form(b, to);
    command.in = *from;
    command.out = *to;
    command.buffers[SONDE__X] = buffer;
    command.buffers[SONDE__Y] = made;
    sonde__append(b, &command);
    return made;
}

int sonde__value_as(sonde__builder *b, int layer, int block)
{
    sonde__form from = sonde__form_of(b, layer), to = from;
    to.block = block;
    return sonde__reordered(b, b->values[layer], &from, &to);
}

/* a += b. */
static void add_up(sonde__builder *b, const sonde__form *form, int a, int other)
{
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_accumulate);
    command.in = *form;
    command.buffers[SONDE__DX] = a;
    command.buffers[SONDE__MORE] = other;
    sonde__append(b, &command);
}

void sonde__give(sonde__builder *b, int layer, int buffer, sonde__form form)
{
    sonde__form own = sonde__form_of(b, layer);
    sonde__gradient *g = &b->gradients[layer];
    form.shape = own.shape;
    buffer = sonde__reordered(b, buffer, &form, &own);
    if (g->count == 2) {
        add_up(b, &own, g->parts[0], g->parts[1]);
        g->count = 1;
    }
    g->parts[g->count++] = buffer;
}

int sonde__take(sonde__builder *b, int layer)
{
    sonde__form form = sonde__form_of(b, layer);
    sonde__gradient *g = &b->gradients[layer];
    if (g->count == 2)
        add_up(b, &form, g->parts[0], g->parts[1]);
    return g->parts[0];
}

int sonde__take_masked(sonde__builder *b, const sonde__stage *stage)
{
    int dy = sonde__take(b, stage->anchor);
    if (stage->relu)
        sonde__append_mask(b, stage->anchor, dy);
    return dy;
}

void sonde__append_mask(sonde__builder *b, int layer, int buffer)
{
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_mask);
    command.out = sonde__form_of(b, layer);
    command.buffers[SONDE__Y] = b->real.values[layer];
    command.buffers[SONDE__DY] = buffer;
    sonde__append(b, &command);
}

int sonde__copied(sonde__builder *b, int buffer, const sonde__form *form)
{
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_copy);
    int copy = sonde__add_form(b, form);
    command.in = command.out = *form;
    command.buffers[SONDE__X] = buffer;
    command.buffers[SONDE__Y] = copy;
    sonde__append(b, &command);
    return copy;
}

void sonde__keep_dy(sonde__builder *b, int index, int dy, const sonde__form *form)
{
    if (b->plan->tangent)
        b->dys[index] = sonde__copied(b, dy, form);
}
