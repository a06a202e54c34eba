/* Plans of operators with several inputs: add, mul, concat. */
#include "net/plan_builder.h"

bool sonde__is_gate(const sonde__builder *b, int index)
{
    const sonde__layer *layer = sonde__core_of(b, index);
    const sonde__shape a = layer->shape, gate = b->net->graph->layers[layer->inputs[1]].shape;
    return layer->op == SONDE__OP_MUL && (a.height != gate.height || a.width != gate.width);
}

void sonde__write_binary(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    bool mul = layer->op == SONDE__OP_MUL;
    sonde__form form = sonde__form_of(b, stage->anchor);
    sonde__command command =
        sonde__command_of(SONDE__KIND_ELEMENTWISE, mul ? sonde__run_mul : sonde__run_add);
    command.layer = layer;
    command.in = command.out = form;
    command.relu = stage->relu;
    command.flag = sonde__is_gate(b, index);
    b->sources[index] = sonde__value_as(b, layer->inputs[0], form.block);
    b->others[index] = sonde__value_as(b, layer->inputs[1], command.flag ? 1 : form.block);
    b->values[stage->anchor] = sonde__add_form(b, &form);
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__OTHER] = b->others[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    sonde__append(b, &command);
}

void sonde__write_add_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    sonde__form form = sonde__form_of(b, stage->anchor);
    int dy = sonde__take_masked(b, stage), left = layer->inputs[0], right = layer->inputs[1];
    if (b->needs[left] && b->needs[right]) {
        sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_copy);
        int copy = sonde__add_form(b, &form);
        command.in = command.out = form;
        command.buffers[SONDE__X] = dy;
        command.buffers[SONDE__Y] = copy;
        sonde__append(b, &command);
        sonde__give(b, right, copy, form);
        sonde__give(b, left, dy, form);
    } else {
        sonde__give(b, b->needs[left] ? left : right, dy, form);
    }
}

void sonde__write_mul_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    int left = layer->inputs[0], right = layer->inputs[1];
    sonde__form form = sonde__form_of(b, stage->anchor), right_form = sonde__form_of(b, right);
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_mul_backward);
    int dy = sonde__take(b, stage->anchor);
    sonde__keep_dy(b, index, dy, &form);
    command.layer = layer;
    command.in = command.out = form;
    command.flag = sonde__is_gate(b, index);
    right_form.block = command.flag ? 1 : form.block;
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__OTHER] = b->others[index];
    command.buffers[SONDE__DY] = dy;
    if (b->needs[left])
        command.buffers[SONDE__DX] = dy;
    if (b->needs[right])
        command.buffers[SONDE__MORE] = sonde__add_form(b, &right_form);
    sonde__append(b, &command);
    if (b->needs[left])
        sonde__give(b, left, dy, form);
    if (b->needs[right])
        sonde__give(b, right, command.buffers[SONDE__MORE], right_form);
}

void sonde__write_concat(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    sonde__command command = sonde__command_of(SONDE__KIND_MOVE, sonde__run_clear);
    command.layer = layer;
    command.out = sonde__form_of(b, stage->anchor);
    b->values[stage->anchor] = sonde__add_form(b, &command.out);
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    if (command.out.shape.channels % command.out.block != 0)
        sonde__append(b, &command);
    command.run = sonde__run_concat;
    for (int k = 0; k < layer->input_count; k++) {
        command.in = sonde__form_of(b, layer->inputs[k]);
        command.buffers[SONDE__X] = b->values[layer->inputs[k]];
        sonde__append(b, &command);
        command.first += command.in.shape.channels;
    }
}

void sonde__write_concat_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    sonde__command command = sonde__command_of(SONDE__KIND_MOVE, sonde__run_concat_backward);
    command.layer = layer;
    command.out = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__DY] = sonde__take(b, stage->anchor);
    for (int k = 0; k < layer->input_count; k++) {
        int part = layer->inputs[k];
        command.in = sonde__form_of(b, part);
        if (b->needs[part]) {
            command.buffers[SONDE__DX] = sonde__add_form(b, &command.in);
            sonde__append(b, &command);
            sonde__give(b, part, command.buffers[SONDE__DX], command.in);
        }
        command.first += command.in.shape.channels;
    }
}
