/*
 * The tangent parts of a plan: the derivatives of its forward and of its backward part when
 * parameters are scaled, stage by stage (see study.h; op_tangent.c and op_norm_tangent.c have the
 * formulas, and each command here the call of one).
 *
 * While these are written the builder's values and gradients are the derivatives; those of the pass
 * itself are in `real`. An operator that is linear in all it reads, and has no parameters, is its own
 * derivative: its row names the functions of the pass itself.
 */
#include "net/plan_builder.h"

#include <string.h>

/* --- how commands run ------------------------------------------------------------------------- */

static sonde_status run_unary_second(sonde__net *net, const sonde__command *command)
{
    (void)net;
    float *const *data = command->data;
    const sonde__second second = {.x = data[SONDE__X],
                                  .y = data[SONDE__Y],
                                  .rx = data[SONDE__OTHER],
                                  .dy = data[SONDE__DY],
                                  .rdx = data[SONDE__DX]};
    sonde__unary_second(command->layer->op, sonde__form_floats(&command->in), &second);
    return SONDE_OK;
}

static sonde_status run_softmax_second(sonde__net *net, const sonde__command *command)
{
    (void)net;
    float *const *data = command->data;
    sonde__softmax_second(&command->in, data[SONDE__Y], data[SONDE__OTHER], data[SONDE__DY],
                          data[SONDE__DX]);
    return SONDE_OK;
}

static sonde_status run_max_pool(sonde__net *net, const sonde__command *command)
{
    (void)net;
    float *const *data = command->data;
    const sonde__pool_window window = {.in = command->in,
                                       .out = command->out,
                                       .kernel = command->layer->kernel,
                                       .stride = command->layer->stride,
                                       .padding = command->layer->padding};
    sonde__max_pool_tangent(&window, data[SONDE__X], data[SONDE__Y], data[SONDE__OTHER],
                            data[SONDE__DX]);
    return SONDE_OK;
}

static sonde__norm_tangent norm_of(const sonde__net *net, const sonde__command *command)
{
    const sonde__layer *layer = command->layer;
    bool affine = layer->affine;
    return (sonde__norm_tangent){.form = command->in,
                                 .saved = command->data[SONDE__SAVED],
                                 .scale = affine ? sonde__layer_weights(net, layer, 0) : NULL,
                                 .shift = affine ? sonde__layer_weights(net, layer, 1) : NULL,
                                 .scale_share = affine ? sonde__layer_scale(net, layer, 0) : 0,
                                 .shift_share = affine ? sonde__layer_scale(net, layer, 1) : 0,
                                 .running = sonde__mode_by_running(net->current->mode),
                                 .partial = command->data[SONDE__PARTIAL]};
}

static sonde_status run_norm(sonde__net *net, const sonde__command *command)
{
    const sonde__norm_tangent norm = norm_of(net, command);
    float *const *data = command->data;
    sonde__batch_norm_tangent(&norm, data[SONDE__X], data[SONDE__OTHER], data[SONDE__Y]);
    return SONDE_OK;
}

static sonde__norm_tangent_gradients norm_gradients_of(const sonde__net *net,
                                                       const sonde__command *command, bool affine)
{
    float *const *data = command->data;
    return (sonde__norm_tangent_gradients){
        .x = data[SONDE__X],
        .rx = data[SONDE__OTHER],
        .dy = data[SONDE__DY],
        .rdy = data[SONDE__DX],
        .scale = affine ? sonde__layer_gradients(net, command->layer, 0) : NULL,
        .shift = affine ? sonde__layer_gradients(net, command->layer, 1) : NULL};
}

static sonde_status run_norm_backward(sonde__net *net, const sonde__command *command)
{
    const sonde__norm_tangent norm = norm_of(net, command);
    const sonde__norm_tangent_gradients gradients =
        norm_gradients_of(net, command, command->layer->affine);
    sonde__batch_norm_tangent_backward(&norm, &gradients);
    return SONDE_OK;
}

/* Rows of layer norm are examples, of token norm pixels, of group norm groups of channels. */
static sonde__row_norm row_norm_of(const sonde__net *net, const sonde__command *command)
{
    const sonde__layer *layer = command->layer;
    size_t batch = (size_t)command->in.batch, pixels = sonde__form_pixels(&command->in);
    size_t features = sonde__features(command->in.shape);
    sonde__row_norm norm = {.rows = batch,
                            .count = features,
                            .each = 1,
                            .period = 1,
                            .saved = command->data[SONDE__SAVED],
                            .scale = sonde__layer_weights(net, layer, 0),
                            .shift = sonde__layer_weights(net, layer, 1),
                            .scale_share = sonde__layer_scale(net, layer, 0),
                            .shift_share = sonde__layer_scale(net, layer, 1)};
    if (layer->op == SONDE__OP_TOKEN_NORM) {
        norm.rows = batch * pixels;
        norm.count = features / pixels;
    } else if (layer->op == SONDE__OP_GROUP_NORM) {
        norm.period = (size_t)layer->parts;
        norm.rows = batch * norm.period;
        norm.count = features / norm.period;
        norm.each = pixels;
    }
    return norm;
}

static sonde_status run_row_norm(sonde__net *net, const sonde__command *command)
{
    const sonde__row_norm norm = row_norm_of(net, command);
    float *const *data = command->data;
    sonde__row_norm_tangent(&norm, data[SONDE__X], data[SONDE__OTHER], data[SONDE__Y]);
    return SONDE_OK;
}

static sonde_status run_row_norm_backward(sonde__net *net, const sonde__command *command)
{
    const sonde__row_norm norm = row_norm_of(net, command);
    const sonde__norm_tangent_gradients gradients = norm_gradients_of(net, command, true);
    sonde__row_norm_tangent_backward(&norm, &gradients);
    return SONDE_OK;
}

/* --- input and single values ------------------------------------------------------------------ */

void sonde__write_no_tangent(sonde__builder *b, int index)
{
    int anchor = sonde__stage_at(b, index)->anchor;
    sonde__command command = sonde__command_of(SONDE__KIND_MOVE, sonde__run_clear);
    command.layer = sonde__core_of(b, index);
    command.out = sonde__form_of(b, anchor);
    b->values[anchor] = sonde__add_form(b, &command.out);
    command.buffers[SONDE__Y] = b->values[anchor];
    sonde__append(b, &command);
}

/* d, in place, becomes f'(x) d. */
static void append_slope(sonde__builder *b, int index, int d)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_unary_backward);
    command.layer = sonde__core_of(b, index);
    command.in = command.out = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__X] = b->real.sources[index];
    command.buffers[SONDE__Y] = b->real.values[stage->anchor];
    command.buffers[SONDE__DY] = d;
    sonde__append(b, &command);
}

void sonde__write_unary_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__form form = sonde__form_of(b, stage->anchor);
    b->sources[index] = b->values[stage->input];
    b->values[stage->anchor] = sonde__copied(b, b->sources[index], &form);
    append_slope(b, index, b->values[stage->anchor]);
}

void sonde__write_unary_tangent_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__op op = sonde__core_of(b, index)->op;
    bool softmax = op == SONDE__OP_SOFTMAX;
    int rdy = sonde__take(b, stage->anchor);
    sonde__command command =
        sonde__command_of(SONDE__KIND_ELEMENTWISE, softmax ? run_softmax_second : run_unary_second);
    command.layer = sonde__core_of(b, index);
    command.in = command.out = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__X] = b->real.sources[index];
    command.buffers[SONDE__Y] = b->real.values[stage->anchor];
    command.buffers[SONDE__OTHER] = softmax ? b->values[stage->anchor] : b->sources[index];
    command.buffers[SONDE__DY] = b->real.dys[index];
    command.buffers[SONDE__DX] = rdy;
    if (!softmax)
        append_slope(b, index, rdy);
    if (op != SONDE__OP_RELU && op != SONDE__OP_ZERO)
        sonde__append(b, &command);
    sonde__give(b, stage->input, rdy, command.in);
}

void sonde__write_pool_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(SONDE__KIND_POOL, run_max_pool);
    if (sonde__core_of(b, index)->op != SONDE__OP_MAX_POOL) {
        sonde__write_pool(b, index);
        return;
    }
    command.layer = sonde__core_of(b, index);
    command.in = sonde__form_of(b, stage->input);
    command.out = sonde__form_of(b, stage->anchor);
    b->values[stage->anchor] = sonde__add_form(b, &command.out);
    command.buffers[SONDE__X] = b->real.sources[index];
    command.buffers[SONDE__Y] = b->real.values[stage->anchor];
    command.buffers[SONDE__OTHER] = b->values[stage->input];
    command.buffers[SONDE__DX] = b->values[stage->anchor];
    sonde__append(b, &command);
}

/* --- normalisations --------------------------------------------------------------------------- */

/* What is read, of forward and backward parts alike. */
static sonde__command norm_command(const sonde__builder *b, int index, sonde__run run)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(SONDE__KIND_NORM, run);
    command.layer = sonde__core_of(b, index);
    command.in = command.out = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__X] = b->real.sources[index];
    command.buffers[SONDE__OTHER] = b->sources[index];
    command.buffers[SONDE__SAVED] = b->real.saved[index];
    return command;
}

/* A sum, and zero where the stage's ReLU is. */
static void finish_value(sonde__builder *b, int index, int other)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_accumulate);
    command.in = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__DX] = b->values[stage->anchor];
    command.buffers[SONDE__MORE] = other;
    if (other >= 0)
        sonde__append(b, &command);
    if (stage->relu)
        sonde__append_mask(b, stage->anchor, b->values[stage->anchor]);
}

void sonde__write_norm_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__form form = sonde__form_of(b, stage->anchor);
    b->sources[index] = sonde__value_as(b, stage->input, form.block);
    sonde__command command = norm_command(b, index, run_norm);
    b->values[stage->anchor] = sonde__add_form(b, &form);
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    command.buffers[SONDE__PARTIAL] =
        sonde__add_buffer(b, sonde__batch_norm_tangent_partial(&form));
    sonde__append(b, &command);
    finish_value(b, index, stage->other >= 0 ? sonde__value_as(b, stage->other, form.block) : -1);
}

void sonde__write_norm_tangent_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__form form = sonde__form_of(b, stage->anchor);
    int rdy = sonde__take_masked(b, stage);
    if (stage->other >= 0 && b->needs[stage->other])
        sonde__give(b, stage->other, sonde__copied(b, rdy, &form), form);
    sonde__command command = norm_command(b, index, run_norm_backward);
    command.buffers[SONDE__DY] = b->real.dys[index];
    command.buffers[SONDE__DX] = rdy;
    command.buffers[SONDE__PARTIAL] =
        sonde__add_buffer(b, sonde__batch_norm_tangent_partial(&form));
    sonde__append(b, &command);
    if (b->needs[stage->input])
        sonde__give(b, stage->input, rdy, form);
}

void sonde__write_row_norm_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__form form = sonde__form_of(b, stage->anchor);
    b->sources[index] = sonde__value_as(b, stage->input, form.block);
    sonde__command command = norm_command(b, index, run_row_norm);
    b->values[stage->anchor] = sonde__add_form(b, &form);
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    sonde__append(b, &command);
}

void sonde__write_row_norm_tangent_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    int rdy = sonde__take(b, stage->anchor);
    sonde__command command = norm_command(b, index, run_row_norm_backward);
    command.buffers[SONDE__DY] = b->real.dys[index];
    command.buffers[SONDE__DX] = rdy;
    sonde__append(b, &command);
    if (b->needs[stage->input])
        sonde__give(b, stage->input, rdy, command.in);
}

/* --- add and mul ------------------------------------------------------------------------------ */

void sonde__write_add_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    const sonde__layer *layer = sonde__core_of(b, index);
    sonde__form form = sonde__form_of(b, stage->anchor);
    int left = sonde__value_as(b, layer->inputs[0], form.block);
    int right = sonde__value_as(b, layer->inputs[1], form.block);
    b->values[stage->anchor] = sonde__copied(b, left, &form);
    finish_value(b, index, right);
}

static sonde__command mul_command(const sonde__builder *b, int index, sonde__run run)
{
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, run);
    command.layer = sonde__core_of(b, index);
    command.in = command.out = sonde__form_of(b, sonde__stage_at(b, index)->anchor);
    command.flag = sonde__is_gate(b, index);
    return command;
}

/* ry = ra b + a rb */
void sonde__write_mul_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    const sonde__layer *layer = sonde__core_of(b, index);
    sonde__command command = mul_command(b, index, sonde__run_mul);
    int block = command.flag ? 1 : command.in.block;
    int other = sonde__add_form(b, &command.in);
    b->sources[index] = sonde__value_as(b, layer->inputs[0], command.in.block);
    b->others[index] = sonde__value_as(b, layer->inputs[1], block);
    b->values[stage->anchor] = sonde__add_form(b, &command.in);
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__OTHER] = b->real.others[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    sonde__append(b, &command);
    command.buffers[SONDE__X] = b->real.sources[index];
    command.buffers[SONDE__OTHER] = b->others[index];
    command.buffers[SONDE__Y] = other;
    sonde__append(b, &command);
    finish_value(b, index, other);
}

/* From slope d and operands a and b: d b to the left and d a to the right input. */
static void append_mul_slopes(sonde__builder *b, int index, int d, int left, int right)
{
    const sonde__layer *layer = sonde__core_of(b, index);
    sonde__command command = mul_command(b, index, sonde__run_mul_backward);
    sonde__form right_form = sonde__form_of(b, layer->inputs[1]);
    right_form.block = command.flag ? 1 : command.in.block;
    command.buffers[SONDE__X] = left;
    command.buffers[SONDE__OTHER] = right;
    command.buffers[SONDE__DY] = d;
    if (b->needs[layer->inputs[0]])
        command.buffers[SONDE__DX] = sonde__add_form(b, &command.in);
    if (b->needs[layer->inputs[1]])
        command.buffers[SONDE__MORE] = sonde__add_form(b, &right_form);
    sonde__append(b, &command);
    if (b->needs[layer->inputs[0]])
        sonde__give(b, layer->inputs[0], command.buffers[SONDE__DX], command.in);
    if (b->needs[layer->inputs[1]])
        sonde__give(b, layer->inputs[1], command.buffers[SONDE__MORE], right_form);
}

/* rda = rdy b + dy rb,  rdb = rdy a + dy ra */
void sonde__write_mul_tangent_backward(sonde__builder *b, int index)
{
    int rdy = sonde__take(b, sonde__stage_at(b, index)->anchor);
    append_mul_slopes(b, index, rdy, b->real.sources[index], b->real.others[index]);
    append_mul_slopes(b, index, b->real.dys[index], b->sources[index], b->others[index]);
}

/* --- the whole -------------------------------------------------------------------------------- */

static bool known(sonde__builder *b, int index)
{
    const sonde__layer *layer = sonde__core_of(b, index);
    const sonde__op_row *row = sonde__op_row_of(layer->op);
    if (row->tangent_forward && row->tangent_backward)
        return true;
    sonde__build_note(b, sonde__fail(b->net->context, SONDE_ERROR_UNSUPPORTED,
                                     "%s: derivatives along scaled parameters are not known for "
                                     "this operator",
                                     layer->name));
    return false;
}

void sonde__write_tangents(sonde__builder *b)
{
    const sonde__net *net = b->net;
    const sonde__stage *stages = net->stages;
    memcpy(b->needs, b->trained, (size_t)net->graph->layer_count * sizeof *b->needs);
    b->serves = SONDE__SERVES_ALL;
    for (int i = 0; i < net->stage_count && !sonde__build_failed(b); i++) {
        if (known(b, i))
            sonde__op_row_of(sonde__core_of(b, i)->op)->tangent_forward(b, i);
    }
    if (sonde__build_failed(b))
        return;
    b->plan->tangent_logits = sonde__value_as(b, net->graph->output, 1);
    b->plan->tangent_count = b->plan->command_count;
    if (!b->needs[net->graph->output])
        return;
    sonde__open_backward(b);
    for (int i = net->stage_count - 1; i >= 0 && !sonde__build_failed(b); i--) {
        if (b->needs[stages[i].anchor])
            sonde__op_row_of(sonde__core_of(b, i)->op)->tangent_backward(b, i);
    }
}
