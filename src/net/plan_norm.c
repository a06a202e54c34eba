/* Plans of normalisations: batch norm with what is fused into it, layer norm. */
#include "net/plan_builder.h"

/* What is normalised: as large as the stage's value, or larger if a pool comes last. */
static sonde__form norm_form(const sonde__builder *b, const sonde__stage *stage)
{
    sonde__form form = sonde__form_of(b, stage->anchor);
    form.shape = b->net->graph->layers[stage->core].shape;
    return form;
}

/* Sums of a pooled norm, and those that norms of examples are made of, are kept by example. */
static bool sums_by_example(const sonde__builder *b, const sonde__stage *stage)
{
    return stage->pool || b->plan->mode == SONDE__STUDY_EVAL;
}

void sonde__write_norm(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__form form = norm_form(b, stage), out = sonde__form_of(b, stage->anchor);
    sonde__command command = sonde__command_of(SONDE__KIND_NORM, sonde__run_norm);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = form;
    command.out = out;
    command.relu = stage->relu;
    command.pool = stage->pool;
    command.flag = sonde__mode_by_running(b->plan->mode);
    b->sources[index] = sonde__value_as(b, stage->input, form.block);
    b->others[index] = stage->other >= 0 ? sonde__value_as(b, stage->other, form.block) : -1;
    b->values[stage->anchor] = sonde__add_form(b, &out);
    b->saved[index] = sonde__add_buffer(b, sonde__batch_norm_saved(&form));
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__OTHER] = b->others[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    command.buffers[SONDE__SAVED] = b->saved[index];
    if (!command.flag)
        command.buffers[SONDE__PARTIAL] =
            sonde__add_buffer(b, sonde__batch_norm_partial(&form, sums_by_example(b, stage)));
    sonde__append(b, &command);
}

void sonde__write_norm_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__form form = norm_form(b, stage);
    sonde__gradient *g = &b->gradients[stage->anchor];
    sonde__command command = sonde__command_of(SONDE__KIND_NORM, sonde__run_norm_backward);
    bool other = stage->other >= 0 && b->needs[stage->other];
    if (stage->pool || b->plan->tangent) { /* only one part is read */
        g->parts[0] = sonde__take(b, stage->anchor);
        g->count = 1;
    }
    sonde__keep_dy(b, index, g->parts[0], &form);
    if (stage->relu && b->plan->tangent)
        sonde__append_mask(b, stage->anchor, b->dys[index]);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = form;
    command.relu = stage->relu;
    command.pool = stage->pool;
    command.flag = stage->other >= 0;
    command.buffers[SONDE__X] = b->sources[index];
    if (stage->other >= 0 && stage->relu)
        command.buffers[SONDE__Y] = b->values[stage->anchor];
    command.buffers[SONDE__DY] = g->parts[0];
    command.buffers[SONDE__MORE] = g->count == 2 ? g->parts[1] : -1;
    command.buffers[SONDE__DX] = other || stage->pool ? sonde__add_form(b, &form) : g->parts[0];
    command.buffers[SONDE__SAVED] = b->saved[index];
    command.buffers[SONDE__PARTIAL] =
        sonde__add_buffer(b, sonde__batch_norm_partial(&form, sums_by_example(b, stage)));
    sonde__append(b, &command);
    if (other)
        sonde__give(b, stage->other, g->parts[0], form);
    if (b->needs[stage->input])
        sonde__give(b, stage->input, command.buffers[SONDE__DX], form);
}

void sonde__write_layer_norm(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__form form = sonde__form_of(b, stage->anchor);
    sonde__command command = sonde__command_of(SONDE__KIND_NORM, sonde__run_layer_norm);
    b->sources[index] = sonde__value_as(b, stage->input, 1);
    b->values[stage->anchor] = sonde__add_form(b, &form);
    b->saved[index] = sonde__add_buffer(b, 2 * (size_t)form.batch);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = form;
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    command.buffers[SONDE__SAVED] = b->saved[index];
    sonde__append(b, &command);
}

void sonde__write_layer_norm_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__form form = sonde__form_of(b, stage->anchor);
    sonde__command command = sonde__command_of(SONDE__KIND_NORM, sonde__run_layer_norm_backward);
    int dy = sonde__take(b, stage->anchor);
    sonde__keep_dy(b, index, dy, &form);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = form;
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__DY] = dy;
    command.buffers[SONDE__SAVED] = b->saved[index];
    sonde__append(b, &command);
    if (b->needs[stage->input])
        sonde__give(b, stage->input, dy, form);
}
