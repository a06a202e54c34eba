/*
 * Plans of the operators of sequences (norm by token, embedding, positions, attention, transpose), of
 * group norm and of upsampling, and how their commands run.
 *
 * Sequences lie channels last, so that a token is a row and a linear layer over tokens is one product
 * for all rows of a batch. A transpose then moves nothing: rows of the one are channels of the other.
 */
#include "net/plan_builder.h"

static size_t rows_of(const sonde__form *form)
{
    return (size_t)form->batch * sonde__form_pixels(form);
}

/* A command from the input, in layout `in`, to a new value. */
static sonde__command open_forward(sonde__builder *b, int index, sonde__kind kind, sonde__run run,
                                   int in_block)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(kind, run);
    command.layer = sonde__core_of(b, index);
    command.in = sonde__form_of(b, stage->input);
    command.in.block = in_block;
    command.out = sonde__form_of(b, stage->anchor);
    b->sources[index] = sonde__value_as(b, stage->input, in_block);
    b->values[stage->anchor] = sonde__add_form(b, &command.out);
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    return command;
}

/* A command that reads dy, the input and what was saved. */
static sonde__command open_backward(sonde__builder *b, int index, sonde__kind kind, sonde__run run,
                                    int in_block)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(kind, run);
    command.layer = sonde__core_of(b, index);
    command.in = sonde__form_of(b, stage->input);
    command.in.block = in_block;
    command.out = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__DY] = sonde__take(b, stage->anchor);
    command.buffers[SONDE__X] = b->real.sources[index];
    b->dys[index] = command.buffers[SONDE__DY];
    if (kind == SONDE__KIND_NORM) /* it is changed in place */
        sonde__keep_dy(b, index, command.buffers[SONDE__DY], &command.out);
    return command;
}

/* A command that turns dy into dx in place, if anybody wants it. */
static void close_in_place(sonde__builder *b, int index, const sonde__command *command)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__append(b, command);
    if (b->needs[stage->input])
        sonde__give(b, stage->input, command->buffers[SONDE__DY], command->in);
}

/* --- norm by token ---------------------------------------------------------------------------- */

static sonde__layer_norm token_norm_of(const sonde__net *net, const sonde__command *command)
{
    return (sonde__layer_norm){.rows = rows_of(&command->in),
                               .tokens = sonde__form_pixels(&command->in),
                               .features = (size_t)command->in.shape.channels,
                               .scale = sonde__layer_weights(net, command->layer, 0),
                               .shift = sonde__layer_weights(net, command->layer, 1),
                               .saved = command->data[SONDE__SAVED],
                               .scale_gradient = sonde__layer_gradients(net, command->layer, 0),
                               .shift_gradient = sonde__layer_gradients(net, command->layer, 1),
                               .scale_norms = sonde__layer_norms(net, command->layer, 0),
                               .shift_norms = sonde__layer_norms(net, command->layer, 1)};
}

static sonde_status run_token_norm(sonde__net *net, const sonde__command *command)
{
    sonde__layer_norm norm = token_norm_of(net, command);
    sonde__layer_norm_forward(&norm, command->data[SONDE__X], command->data[SONDE__Y]);
    return SONDE_OK;
}

static sonde_status run_token_norm_backward(sonde__net *net, const sonde__command *command)
{
    sonde__layer_norm norm = token_norm_of(net, command);
    float *dy = command->data[SONDE__DY];
    sonde__layer_norm_backward(&norm, command->data[SONDE__X], dy, dy);
    return SONDE_OK;
}

void sonde__write_token_norm(sonde__builder *b, int index)
{
    int channels = sonde__core_of(b, index)->shape.channels;
    sonde__command command = open_forward(b, index, SONDE__KIND_NORM, run_token_norm, channels);
    b->saved[index] = sonde__add_buffer(b, 2 * rows_of(&command.in));
    command.buffers[SONDE__SAVED] = b->saved[index];
    sonde__append(b, &command);
}

void sonde__write_token_norm_backward(sonde__builder *b, int index)
{
    int channels = sonde__core_of(b, index)->shape.channels;
    sonde__command command =
        open_backward(b, index, SONDE__KIND_NORM, run_token_norm_backward, channels);
    command.buffers[SONDE__SAVED] = b->saved[index];
    close_in_place(b, index, &command);
}

/* --- group norm ------------------------------------------------------------------------------- */

static sonde__group_norm group_norm_of(const sonde__net *net, const sonde__command *command)
{
    const sonde__layer *layer = command->layer;
    return (sonde__group_norm){.batch = (size_t)command->in.batch,
                               .channels = (size_t)command->in.shape.channels,
                               .pixels = sonde__form_pixels(&command->in),
                               .groups = (size_t)layer->parts,
                               .scale = sonde__layer_weights(net, layer, 0),
                               .shift = sonde__layer_weights(net, layer, 1),
                               .scale_gradient = sonde__layer_gradients(net, layer, 0),
                               .shift_gradient = sonde__layer_gradients(net, layer, 1),
                               .scale_norms = sonde__layer_norms(net, layer, 0),
                               .shift_norms = sonde__layer_norms(net, layer, 1),
                               .saved = command->data[SONDE__SAVED]};
}

static sonde_status run_group_norm(sonde__net *net, const sonde__command *command)
{
    sonde__group_norm norm = group_norm_of(net, command);
    sonde__group_norm_forward(&norm, command->data[SONDE__X], command->data[SONDE__Y]);
    return SONDE_OK;
}

static sonde_status run_group_norm_backward(sonde__net *net, const sonde__command *command)
{
    sonde__group_norm norm = group_norm_of(net, command);
    float *dy = command->data[SONDE__DY];
    sonde__group_norm_backward(&norm, command->data[SONDE__X], dy, dy);
    return SONDE_OK;
}

void sonde__write_group_norm(sonde__builder *b, int index)
{
    sonde__command command = open_forward(b, index, SONDE__KIND_NORM, run_group_norm, 1);
    size_t groups = (size_t)command.in.batch * (size_t)command.layer->parts;
    b->saved[index] = sonde__add_buffer(b, 2 * groups);
    command.buffers[SONDE__SAVED] = b->saved[index];
    sonde__append(b, &command);
}

void sonde__write_group_norm_backward(sonde__builder *b, int index)
{
    sonde__command command = open_backward(b, index, SONDE__KIND_NORM, run_group_norm_backward, 1);
    command.buffers[SONDE__SAVED] = b->saved[index];
    close_in_place(b, index, &command);
}

/* --- tables ----------------------------------------------------------------------------------- */

static sonde__embedding embedding_of(const sonde__net *net, const sonde__command *command)
{
    const sonde__parameter *table = &net->graph->parameters[command->layer->first_parameter];
    return (sonde__embedding){.rows = rows_of(&command->out),
                              .width = (size_t)command->out.shape.channels,
                              .count = (size_t)table->shape[0],
                              .table = sonde__layer_weights(net, command->layer, 0)};
}

static sonde_status run_embedding(sonde__net *net, const sonde__command *command)
{
    sonde__embedding embedding = embedding_of(net, command);
    const float *ids = command->data[SONDE__X];
    const ptrdiff_t wrong = sonde__embedding_forward(&embedding, ids, command->data[SONDE__Y]);
    if (wrong < 0)
        return SONDE_OK;
    const size_t tokens = sonde__form_pixels(&command->in);
    return sonde__fail_at(
        net->context, SONDE_ERROR_RANGE, NULL, command->layer->name, -1,
        "%s: token %zu of example %zu of the batch is %g, not a whole number from "
        "0 to %zu",
        command->layer->name, (size_t)wrong % tokens, (size_t)wrong / tokens, (double)ids[wrong],
        embedding.count - 1);
}

static sonde_status run_embedding_backward(sonde__net *net, const sonde__command *command)
{
    sonde__embedding embedding = embedding_of(net, command);
    float *gradients = sonde__layer_gradients(net, command->layer, 0);
    double *norms = sonde__layer_norms(net, command->layer, 0);
    const float *ids = command->data[SONDE__X], *dy = command->data[SONDE__DY];
    if (gradients)
        sonde__embedding_backward(&embedding, ids, dy, gradients);
    if (norms)
        sonde__embedding_norms(&embedding, (size_t)command->in.batch, ids, dy, norms);
    return SONDE_OK;
}

void sonde__write_embedding(sonde__builder *b, int index)
{
    sonde__command command = open_forward(b, index, SONDE__KIND_MOVE, run_embedding, 1);
    sonde__append(b, &command);
}

/* The ids get a gradient of zero, if one is wanted. */
void sonde__write_embedding_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = open_backward(b, index, SONDE__KIND_MOVE, run_embedding_backward, 1);
    sonde__append(b, &command);
    if (!b->needs[stage->input])
        return;
    sonde__command clear = sonde__command_of(SONDE__KIND_MOVE, sonde__run_clear);
    clear.layer = command.layer;
    clear.out = command.in;
    clear.buffers[SONDE__Y] = sonde__add_form(b, &command.in);
    sonde__append(b, &clear);
    sonde__give(b, stage->input, clear.buffers[SONDE__Y], command.in);
}

static sonde_status run_positions(sonde__net *net, const sonde__command *command)
{
    sonde__positions_forward((size_t)command->in.batch, sonde__features(command->in.shape),
                             sonde__layer_weights(net, command->layer, 0), command->data[SONDE__X],
                             command->data[SONDE__Y]);
    return SONDE_OK;
}

static sonde_status run_positions_backward(sonde__net *net, const sonde__command *command)
{
    const size_t batch = (size_t)command->in.batch, values = sonde__features(command->in.shape);
    float *gradients = sonde__layer_gradients(net, command->layer, 0);
    double *norms = sonde__layer_norms(net, command->layer, 0);
    if (gradients)
        sonde__positions_backward(batch, values, command->data[SONDE__DY], gradients);
    if (norms)
        sonde__positions_norms(batch, values, command->data[SONDE__DY], norms);
    return SONDE_OK;
}

void sonde__write_positions(sonde__builder *b, int index)
{
    int channels = sonde__core_of(b, index)->shape.channels;
    sonde__command command =
        open_forward(b, index, SONDE__KIND_ELEMENTWISE, run_positions, channels);
    sonde__append(b, &command);
}

void sonde__write_positions_backward(sonde__builder *b, int index)
{
    int channels = sonde__core_of(b, index)->shape.channels;
    sonde__command command =
        open_backward(b, index, SONDE__KIND_ELEMENTWISE, run_positions_backward, channels);
    close_in_place(b, index, &command);
}

/* --- attention -------------------------------------------------------------------------------- */

/* `flag`: the weights are kept for the backward pass. */
static sonde__attention attention_of(const sonde__command *command)
{
    return (sonde__attention){.batch = (size_t)command->in.batch,
                              .tokens = sonde__form_pixels(&command->in),
                              .width = (size_t)command->out.shape.channels,
                              .heads = (size_t)command->layer->parts,
                              .causal = command->layer->causal,
                              .keep = command->flag,
                              .weights = command->data[SONDE__SAVED],
                              .scratch = command->data[SONDE__PARTIAL]};
}

static sonde_status run_attention(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__attention attention = attention_of(command);
    sonde__attention_forward(&attention, command->data[SONDE__X], command->data[SONDE__Y]);
    return SONDE_OK;
}

static sonde_status run_attention_backward(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__attention attention = attention_of(command);
    sonde__attention_backward(&attention, command->data[SONDE__X], command->data[SONDE__DY],
                              command->data[SONDE__DX]);
    return SONDE_OK;
}

/* Room for tokens x tokens, for each thread. */
static size_t pairs_by_thread(const sonde__builder *b, const sonde__form *form)
{
    return (size_t)b->net->threads * sonde__form_pixels(form) * sonde__form_pixels(form);
}

void sonde__write_attention(sonde__builder *b, int index)
{
    int channels = 3 * sonde__core_of(b, index)->shape.channels;
    sonde__command command = open_forward(b, index, SONDE__KIND_ATTENTION, run_attention, channels);
    size_t heads = (size_t)command.in.batch * (size_t)command.layer->parts;
    size_t pairs = sonde__form_pixels(&command.in) * sonde__form_pixels(&command.in);
    command.flag = b->plan->mode != SONDE__EVAL;
    b->saved[index] =
        sonde__add_buffer(b, command.flag ? heads * pairs : pairs_by_thread(b, &command.in));
    command.buffers[SONDE__SAVED] = b->saved[index];
    sonde__append(b, &command);
}

void sonde__write_attention_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    int channels = 3 * sonde__core_of(b, index)->shape.channels;
    sonde__command command =
        open_backward(b, index, SONDE__KIND_ATTENTION, run_attention_backward, channels);
    if (!b->needs[stage->input])
        return;
    command.flag = true;
    command.buffers[SONDE__SAVED] = b->saved[index];
    command.buffers[SONDE__DX] = sonde__add_form(b, &command.in);
    command.buffers[SONDE__PARTIAL] = sonde__add_buffer(b, pairs_by_thread(b, &command.in));
    sonde__append(b, &command);
    sonde__give(b, stage->input, command.buffers[SONDE__DX], command.in);
}

/* --- derivatives when parameters are scaled ---------------------------------------------------- */

/* Rows of the table grow by its share. */
void sonde__write_embedding_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, sonde__run_add_scaled);
    sonde__write_no_tangent(b, index);
    command.layer = sonde__core_of(b, index);
    command.in = sonde__form_of(b, stage->anchor);
    command.buffers[SONDE__DX] = b->values[stage->anchor];
    command.buffers[SONDE__MORE] = b->real.values[stage->anchor];
    sonde__append(b, &command);
}

static sonde_status run_positions_tangent(sonde__net *net, const sonde__command *command)
{
    const float *table = sonde__layer_weights(net, command->layer, 0);
    const size_t values = sonde__features(command->in.shape);
    for (size_t n = 0; n < (size_t)command->in.batch; n++)
        sonde__accumulate_share(values, command->data[SONDE__Y] + n * values,
                                sonde__layer_scale(net, command->layer, 0), table);
    return SONDE_OK;
}

void sonde__write_positions_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(SONDE__KIND_ELEMENTWISE, run_positions_tangent);
    command.layer = sonde__core_of(b, index);
    command.in = sonde__token_form(b, stage->input);
    int rx = sonde__value_as(b, stage->input, command.in.block);
    b->values[stage->anchor] = sonde__copied(b, rx, &command.in);
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    sonde__append(b, &command);
}

static sonde_status run_attention_tangent(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__attention attention = attention_of(command);
    sonde__attention_tangent(&attention, command->data[SONDE__X], command->data[SONDE__OTHER],
                             command->data[SONDE__Y]);
    return SONDE_OK;
}

static sonde_status run_attention_tangent_backward(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__attention attention = attention_of(command);
    const sonde__attention_slopes slopes = {
        .qkv = command->data[SONDE__X],
        .rqkv = command->data[SONDE__OTHER],
        .dy = command->data[SONDE__DY],
        .rdy = command->data[SONDE__MORE],
    };
    sonde__attention_tangent_backward(&attention, &slopes, command->data[SONDE__DX]);
    return SONDE_OK;
}

/* What both parts read: Q, K and V, their derivatives and P. */
static sonde__command attention_command(sonde__builder *b, int index, sonde__run run)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__command command = sonde__command_of(SONDE__KIND_ATTENTION, run);
    command.layer = sonde__core_of(b, index);
    command.in = sonde__token_form(b, stage->input);
    command.out = sonde__form_of(b, stage->anchor);
    command.flag = true;
    command.buffers[SONDE__X] = b->real.sources[index];
    command.buffers[SONDE__OTHER] = b->sources[index];
    command.buffers[SONDE__SAVED] = b->real.saved[index];
    return command;
}

void sonde__write_attention_tangent(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    b->sources[index] = sonde__value_as(b, stage->input, sonde__token_form(b, stage->input).block);
    sonde__command command = attention_command(b, index, run_attention_tangent);
    b->values[stage->anchor] = sonde__add_form(b, &command.out);
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    command.buffers[SONDE__PARTIAL] = sonde__add_buffer(b, pairs_by_thread(b, &command.in));
    sonde__append(b, &command);
}

void sonde__write_attention_tangent_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    int rdy = sonde__take(b, stage->anchor);
    if (!b->needs[stage->input])
        return;
    sonde__command command = attention_command(b, index, run_attention_tangent_backward);
    command.buffers[SONDE__DY] = b->real.dys[index];
    command.buffers[SONDE__MORE] = rdy;
    command.buffers[SONDE__DX] = sonde__add_form(b, &command.in);
    command.buffers[SONDE__PARTIAL] = sonde__add_buffer(b, 3 * pairs_by_thread(b, &command.in));
    sonde__append(b, &command);
    sonde__give(b, stage->input, command.buffers[SONDE__DX], command.in);
}

/* --- moves ------------------------------------------------------------------------------------ */

/* The same memory: channels last of the one is plain of the other. */
void sonde__write_transpose(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    b->values[stage->anchor] =
        sonde__value_as(b, stage->input, sonde__token_form(b, stage->input).block);
}

void sonde__write_transpose_backward(sonde__builder *b, int index)
{
    const sonde__stage *stage = sonde__stage_at(b, index);
    sonde__give(b, stage->input, sonde__take(b, stage->anchor), sonde__token_form(b, stage->input));
}

static sonde_status run_upsample(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__upsample_forward(&command->in, &command->out, command->data[SONDE__X],
                            command->data[SONDE__Y]);
    return SONDE_OK;
}

static sonde_status run_upsample_backward(sonde__net *net, const sonde__command *command)
{
    (void)net;
    sonde__upsample_backward(&command->in, &command->out, command->data[SONDE__DY],
                             command->data[SONDE__DX]);
    return SONDE_OK;
}

void sonde__write_upsample(sonde__builder *b, int index)
{
    sonde__write_simple(b, index, SONDE__KIND_MOVE, run_upsample);
}

void sonde__write_upsample_backward(sonde__builder *b, int index)
{
    sonde__write_simple_backward(b, index, SONDE__KIND_MOVE, run_upsample_backward, false);
}
