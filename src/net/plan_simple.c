/* Plans of operators with at most one input: the input itself, activations, pools, dropout, reshape. */
#include "net/plan_builder.h"

void sonde__write_input(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__command command = sonde__command_of(SONDE__KIND_MOVE, sonde__run_take_input);
    command.out = sonde__form_of(b, stage->anchor);
    b->values[stage->anchor] = sonde__add_form(b, &command.out);
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    sonde__append(b, &command);
}

void sonde__write_input_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__command command = sonde__command_of(SONDE__KIND_MOVE, sonde__run_give_input);
    command.in = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__DX] = sonde__take(b, stage->anchor);
    sonde__append(b, &command);
}

void sonde__write_simple(sonde__builder *b, int index, sonde__kind kind, sonde__run run)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(kind, run);
    command.layer = sonde__core_of(b, index);
    command.in = sonde__form_of(b, stage->input);
    command.out = sonde__form_of(b, stage->anchor);
    b->sources[index] = b->values[stage->input];
    b->values[stage->anchor] = sonde__add_form(b, &command.out);
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    sonde__append(b, &command);
}

void sonde__write_simple_backward(sonde__builder *b, int index, sonde__kind kind, sonde__run run,
                                  bool reads)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(kind, run);
    command.layer = sonde__core_of(b, index);
    command.in = sonde__form_of(b, stage->input);
    command.out = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__DY] = sonde__take(b, stage->anchor);
    command.buffers[SONDE__DX] = sonde__add_form(b, &command.in);
    if (reads) {
        command.buffers[SONDE__X] = b->real.sources[index];
        command.buffers[SONDE__Y] = b->real.values[stage->anchor];
    }
    sonde__append(b, &command);
    sonde__give(b, stage->input, command.buffers[SONDE__DX], command.in);
}

void sonde__write_pool(sonde__builder *b, int index)
{
    sonde__write_simple(b, index, SONDE__KIND_POOL, sonde__run_pool);
}

void sonde__write_pool_backward(sonde__builder *b, int index)
{
    bool reads = sonde__core_of(b, index)->op == SONDE__OP_MAX_POOL;
    sonde__write_simple_backward(b, index, SONDE__KIND_POOL, sonde__run_pool_backward, reads);
}

void sonde__write_shortcut(sonde__builder *b, int index)
{
    sonde__write_simple(b, index, SONDE__KIND_MOVE, sonde__run_shortcut);
}

void sonde__write_shortcut_backward(sonde__builder *b, int index)
{
    sonde__write_simple_backward(b, index, SONDE__KIND_MOVE, sonde__run_shortcut_backward, false);
}

void sonde__write_unary(sonde__builder *b, int index)
{
    sonde__write_simple(b, index, SONDE__KIND_ELEMENTWISE, sonde__run_unary);
}

/* dy becomes the gradient of the input in place. */
void sonde__write_unary_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_unary_backward);
    int dy = sonde__take(b, stage->anchor);
    command.layer = sonde__core_of(b, index);
    command.in = command.out = sonde__form_of(b, stage->anchor);
    sonde__keep_dy(b, index, dy, &command.in);
    command.buffers[SONDE__DY] = dy;
    if (sonde__unary_by_output(command.layer->op) || command.layer->op == SONDE__OP_SOFTMAX)
        command.buffers[SONDE__Y] = b->values[stage->anchor];
    else
        command.buffers[SONDE__X] = b->sources[index];
    sonde__append(b, &command);
    sonde__give(b, stage->input, dy, command.in);
}

void sonde__write_dropout(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    if (b->plan->mode != SONDE__TRAIN) {
        b->values[stage->anchor] = b->values[stage->input];
        return;
    }
    sonde__form form = sonde__form_of(b, stage->anchor);
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_dropout);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = form;
    b->values[stage->anchor] = sonde__add_form(b, &form);
    b->saved[index] = sonde__add_buffer(b, (sonde__form_floats(&form) + 3) / 4);
    command.buffers[SONDE__X] = b->values[stage->input];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    command.buffers[SONDE__SAVED] = b->saved[index];
    sonde__append(b, &command);
}

void sonde__write_dropout_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__command command =
        sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_dropout_backward);
    int dy = sonde__take(b, stage->anchor);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = sonde__form_of(b, stage->anchor);
    if (b->plan->mode != SONDE__TRAIN) {
        sonde__give(b, stage->input, dy, command.in);
        return;
    }
    command.buffers[SONDE__DY] = dy;
    command.buffers[SONDE__SAVED] = b->saved[index];
    sonde__append(b, &command);
    sonde__give(b, stage->input, dy, command.in);
}

/* The same memory under another shape. */
void sonde__write_reshape(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    b->values[stage->anchor] = sonde__value_as(b, stage->input, 1);
}

void sonde__write_reshape_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__give(b, stage->input, sonde__take(b, stage->anchor), sonde__form_of(b, stage->anchor));
}
