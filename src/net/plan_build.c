/*
 * Writing the stages of a network out as commands for one mode and batch size.
 *
 * Forward commands come in the order of the stages, backward ones in reverse. A gradient is a list
 * of at most two buffers whose sum it is; a batch norm adds the two up in passing, everything else
 * has them added first. Every gradient buffer has one owner, so that it may be changed in place.
 */
#include <string.h>

#include "net/net_internal.h"

typedef struct gradient {
    int parts[2];
    int count;
} gradient;

typedef struct builder {
    sonde__net *net;
    sonde__plan *plan;
    sonde_status status; /* sticky */
    int *values;         /* buffer of each layer */
    int *sources;        /* what each stage read, in the layout it wanted */
    int *others;         /* its second operand */
    int *saved;          /* what its forward command keeps for the backward one */
    gradient *gradients; /* of each layer */
    bool *needs;         /* a gradient */
} builder;

static bool failed(const builder *b)
{
    return b->status != SONDE_OK;
}

static void note(builder *b, sonde_status status)
{
    if (b->status == SONDE_OK)
        b->status = status;
}

/* --- buffers and commands --------------------------------------------------------------------- */

static int add_buffer(builder *b, size_t floats)
{
    sonde__plan *plan = b->plan;
    if (plan->buffer_count == plan->buffer_capacity) {
        int capacity = plan->buffer_capacity ? 2 * plan->buffer_capacity : 64;
        sonde__buffer *grown =
            sonde__resize(b->net->context, plan->buffers, (size_t)capacity, sizeof *grown);
        if (!grown) {
            note(b, SONDE_ERROR_MEMORY);
            return 0;
        }
        plan->buffers = grown;
        plan->buffer_capacity = capacity;
    }
    plan->buffers[plan->buffer_count] = (sonde__buffer){.floats = floats ? floats : 1, .first = -1};
    return plan->buffer_count++;
}

static int add_form(builder *b, const sonde__form *form)
{
    return add_buffer(b, sonde__form_floats(form));
}

/* An empty command, for `append`. */
static sonde__command command_of(sonde__kind kind,
                                 sonde_status (*run)(sonde__net *, const sonde__command *))
{
    sonde__command command;
    memset(&command, 0, sizeof command);
    command.kind = kind;
    command.run = run;
    for (int k = 0; k < SONDE__BUFFERS; k++)
        command.buffers[k] = -1;
    return command;
}

static void extend_life(sonde__plan *plan, int buffer, int at)
{
    if (buffer < 0)
        return;
    if (plan->buffers[buffer].first < 0)
        plan->buffers[buffer].first = at;
    plan->buffers[buffer].last = at;
}

/* Takes over the command's kernel, also on failure. */
static void append(builder *b, const sonde__command *command)
{
    sonde__plan *plan = b->plan;
    if (!failed(b) && plan->command_count == plan->command_capacity) {
        int capacity = plan->command_capacity ? 2 * plan->command_capacity : 64;
        sonde__command *grown =
            sonde__resize(b->net->context, plan->commands, (size_t)capacity, sizeof *grown);
        if (grown) {
            plan->commands = grown;
            plan->command_capacity = capacity;
        } else {
            note(b, SONDE_ERROR_MEMORY);
        }
    }
    if (failed(b)) {
        sonde__kernel_free(command->kernel);
        return;
    }
    for (int k = 0; k < SONDE__BUFFERS; k++)
        extend_life(plan, command->buffers[k], plan->command_count);
    plan->commands[plan->command_count++] = *command;
}

static sonde__form form_of(const builder *b, int layer)
{
    return (sonde__form){b->plan->batch, b->net->graph->layers[layer].shape,
                         b->net->nodes[layer].block};
}

static int reordered(builder *b, int buffer, const sonde__form *from, const sonde__form *to)
{
    if (sonde__form_same(from, to))
        return buffer;
    sonde__command command = command_of(SONDE__KIND_MOVE, sonde__run_reorder);
    int made = add_form(b, to);
    command.in = *from;
    command.out = *to;
    command.buffers[SONDE__X] = buffer;
    command.buffers[SONDE__Y] = made;
    append(b, &command);
    return made;
}

/* The value of a layer in the layout wanted. */
static int value_as(builder *b, int layer, int block)
{
    sonde__form from = form_of(b, layer), to = from;
    to.block = block;
    return reordered(b, b->values[layer], &from, &to);
}

/* --- gradients -------------------------------------------------------------------------------- */

/* a += b. */
static void add_up(builder *b, const sonde__form *form, int a, int other)
{
    sonde__command command = command_of(SONDE__KIND_ELEMENTWISE, sonde__run_accumulate);
    command.in = *form;
    command.buffers[SONDE__DX] = a;
    command.buffers[SONDE__MORE] = other;
    append(b, &command);
}

/* Hands a buffer over as a part of a layer's gradient; `form` is how it lies. */
static void give(builder *b, int layer, int buffer, sonde__form form)
{
    sonde__form own = form_of(b, layer);
    gradient *g = &b->gradients[layer];
    form.shape = own.shape;
    buffer = reordered(b, buffer, &form, &own);
    if (g->count == 2) {
        add_up(b, &own, g->parts[0], g->parts[1]);
        g->count = 1;
    }
    g->parts[g->count++] = buffer;
}

/* The gradient of a stage's value in one buffer, a fused ReLU not yet undone. */
static int take(builder *b, int layer)
{
    sonde__form form = form_of(b, layer);
    gradient *g = &b->gradients[layer];
    if (g->count == 2)
        add_up(b, &form, g->parts[0], g->parts[1]);
    return g->parts[0];
}

/* The same through the ReLU. */
static int take_masked(builder *b, const sonde__stage *stage)
{
    int dy = take(b, stage->anchor);
    if (stage->relu) {
        sonde__command command = command_of(SONDE__KIND_ELEMENTWISE, sonde__run_mask);
        command.out = form_of(b, stage->anchor);
        command.buffers[SONDE__Y] = b->values[stage->anchor];
        command.buffers[SONDE__DY] = dy;
        append(b, &command);
    }
    return dy;
}

/* --- products (convolution, linear) ----------------------------------------------------------- */

static sonde__kind kind_of(const sonde__product *product, sonde__direction direction)
{
    if (product->linear)
        return SONDE__KIND_LINEAR;
    return direction == SONDE__FORWARD          ? SONDE__KIND_CONV_FORWARD
           : direction == SONDE__BACKWARD_INPUT ? SONDE__KIND_CONV_INPUT
                                                : SONDE__KIND_CONV_WEIGHT;
}

static sonde__product product_of(const builder *b, int core)
{
    sonde__product product = b->net->nodes[core].product;
    bool train = b->plan->mode == SONDE__TRAIN;
    product.input.batch = product.output.batch = b->plan->batch;
    product.train = train;
    product.winograd = train && b->net->options.winograd;
    return product;
}

static float *parameter_at(const builder *b, float *flat, int core, int which)
{
    const sonde__layer *layer = &b->net->graph->layers[core];
    if (which >= layer->parameter_count)
        return NULL;
    return flat + b->net->graph->parameters[layer->first_parameter + which].offset;
}

/* Between the weight as it lies (`fixed`) and a buffer in the layout that a kernel wants. */
static void append_repack(builder *b, const sonde__command *like, sonde__kernel *repack,
                          float *fixed, bool back)
{
    sonde__command command = command_of(like->kind, sonde__run_kernel);
    int mine = back ? SONDE__SLOT_OUTPUT : SONDE__SLOT_INPUT;
    int theirs = back ? SONDE__SLOT_INPUT : SONDE__SLOT_OUTPUT;
    command.layer = like->layer;
    command.kernel = repack;
    command.data[mine] = fixed;
    command.buffers[theirs] = like->buffers[SONDE__SLOT_WEIGHT];
    append(b, &command);
}

static void append_product(builder *b, int core, sonde__direction direction, int input, int output)
{
    sonde__net *net = b->net;
    sonde__product product = product_of(b, core);
    bool back = direction == SONDE__BACKWARD_WEIGHT;
    float *flat = back ? net->gradients : net->weights;
    float *weight = parameter_at(b, flat, core, 0);
    sonde__kernel *repack = NULL;
    size_t repacked = 0;
    sonde__command command = command_of(kind_of(&product, direction), sonde__run_kernel);
    if (failed(b))
        return;
    note(b, sonde__product_kernel(net->kernels, &product, direction, net->nodes[core].packing,
                                  &command.kernel, &repack, &repacked));
    if (failed(b))
        return;
    size_t scratch = sonde__kernel_scratch(command.kernel);
    size_t more = repack ? sonde__kernel_scratch(repack) : 0;
    scratch = more > scratch ? more : scratch;
    b->plan->scratch = scratch > b->plan->scratch ? scratch : b->plan->scratch;
    command.layer = &net->graph->layers[core];
    command.buffers[SONDE__SLOT_INPUT] = input;
    command.buffers[SONDE__SLOT_OUTPUT] = output;
    command.data[SONDE__SLOT_BIAS] = parameter_at(b, flat, core, 1);
    if (repack)
        command.buffers[SONDE__SLOT_WEIGHT] = add_buffer(b, repacked);
    else
        command.data[SONDE__SLOT_WEIGHT] = weight;
    if (repack && !back)
        append_repack(b, &command, repack, weight, false);
    append(b, &command);
    if (repack && back)
        append_repack(b, &command, repack, weight, true);
}

static void forward_product(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__product product = product_of(b, stage->core);
    sonde__form form = form_of(b, stage->anchor);
    b->sources[index] = value_as(b, stage->input, product.input.block);
    b->values[stage->anchor] = add_form(b, &form);
    append_product(b, stage->core, SONDE__FORWARD, b->sources[index], b->values[stage->anchor]);
}

static void backward_product(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__product product = product_of(b, stage->core);
    int dy = take_masked(b, stage);
    append_product(b, stage->core, SONDE__BACKWARD_WEIGHT, b->sources[index], dy);
    if (!b->needs[stage->input])
        return;
    int dx = add_form(b, &product.input);
    append_product(b, stage->core, SONDE__BACKWARD_INPUT, dx, dy);
    give(b, stage->input, dx, product.input);
}

/* --- normalisation ---------------------------------------------------------------------------- */

/* What is normalised: as large as the stage's value, or larger if a pool comes last. */
static sonde__form norm_form(const builder *b, const sonde__stage *stage)
{
    sonde__form form = form_of(b, stage->anchor);
    form.shape = b->net->graph->layers[stage->core].shape;
    return form;
}

static void forward_norm(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__form form = norm_form(b, stage), out = form_of(b, stage->anchor);
    sonde__command command = command_of(SONDE__KIND_NORM, sonde__run_norm);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = form;
    command.out = out;
    command.relu = stage->relu;
    command.pool = stage->pool;
    command.flag = b->plan->mode == SONDE__EVAL;
    b->sources[index] = value_as(b, stage->input, form.block);
    b->others[index] = stage->other >= 0 ? value_as(b, stage->other, form.block) : -1;
    b->values[stage->anchor] = add_form(b, &out);
    b->saved[index] = add_buffer(b, sonde__batch_norm_saved(&form));
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__OTHER] = b->others[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    command.buffers[SONDE__SAVED] = b->saved[index];
    if (!command.flag)
        command.buffers[SONDE__PARTIAL] =
            add_buffer(b, sonde__batch_norm_partial(&form, stage->pool));
    append(b, &command);
}

static void backward_norm(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__form form = norm_form(b, stage);
    gradient *g = &b->gradients[stage->anchor];
    sonde__command command = command_of(SONDE__KIND_NORM, sonde__run_norm_backward);
    bool other = stage->other >= 0 && b->needs[stage->other];
    if (stage->pool) { /* only one part is read */
        g->parts[0] = take(b, stage->anchor);
        g->count = 1;
    }
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
    command.buffers[SONDE__DX] = other || stage->pool ? add_form(b, &form) : g->parts[0];
    command.buffers[SONDE__SAVED] = b->saved[index];
    command.buffers[SONDE__PARTIAL] = add_buffer(b, sonde__batch_norm_partial(&form, stage->pool));
    append(b, &command);
    if (other)
        give(b, stage->other, g->parts[0], form);
    if (b->needs[stage->input])
        give(b, stage->input, command.buffers[SONDE__DX], form);
}

static void forward_layer_norm(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__form form = form_of(b, stage->anchor);
    sonde__command command = command_of(SONDE__KIND_NORM, sonde__run_layer_norm);
    b->sources[index] = value_as(b, stage->input, 1);
    b->values[stage->anchor] = add_form(b, &form);
    b->saved[index] = add_buffer(b, 2 * (size_t)form.batch);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = form;
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    command.buffers[SONDE__SAVED] = b->saved[index];
    append(b, &command);
}

static void backward_layer_norm(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__form form = form_of(b, stage->anchor);
    sonde__command command = command_of(SONDE__KIND_NORM, sonde__run_layer_norm_backward);
    int dy = take(b, stage->anchor);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = form;
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__DY] = dy;
    command.buffers[SONDE__SAVED] = b->saved[index];
    append(b, &command);
    if (b->needs[stage->input])
        give(b, stage->input, dy, form);
}

/* --- one input, one output -------------------------------------------------------------------- */

static void forward_simple(builder *b, int index, sonde__kind kind,
                           sonde_status (*run)(sonde__net *, const sonde__command *))
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__command command = command_of(kind, run);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = form_of(b, stage->input);
    command.out = form_of(b, stage->anchor);
    b->sources[index] = b->values[stage->input];
    b->values[stage->anchor] = add_form(b, &command.out);
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    append(b, &command);
}

/* dy becomes the gradient of the input in place. */
static void backward_in_place(builder *b, int index, bool reads_x, bool reads_y)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__command command = command_of(SONDE__KIND_ELEMENTWISE, sonde__run_unary_backward);
    int dy = take(b, stage->anchor);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = form_of(b, stage->anchor);
    command.buffers[SONDE__DY] = dy;
    if (reads_x)
        command.buffers[SONDE__X] = b->sources[index];
    if (reads_y)
        command.buffers[SONDE__Y] = b->values[stage->anchor];
    append(b, &command);
    give(b, stage->input, dy, command.in);
}

static void backward_new(builder *b, int index, sonde__kind kind,
                         sonde_status (*run)(sonde__net *, const sonde__command *))
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__command command = command_of(kind, run);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = form_of(b, stage->input);
    command.out = form_of(b, stage->anchor);
    command.buffers[SONDE__DY] = take(b, stage->anchor);
    command.buffers[SONDE__DX] = add_form(b, &command.in);
    if (command.layer->op == SONDE__OP_MAX_POOL) {
        command.buffers[SONDE__X] = b->sources[index];
        command.buffers[SONDE__Y] = b->values[stage->anchor];
    }
    append(b, &command);
    give(b, stage->input, command.buffers[SONDE__DX], command.in);
}

static void forward_dropout(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    if (b->plan->mode == SONDE__EVAL) {
        b->values[stage->anchor] = b->values[stage->input];
        return;
    }
    sonde__form form = form_of(b, stage->anchor);
    sonde__command command = command_of(SONDE__KIND_ELEMENTWISE, sonde__run_dropout);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = form;
    b->values[stage->anchor] = add_form(b, &form);
    b->saved[index] = add_buffer(b, (sonde__form_floats(&form) + 3) / 4);
    command.buffers[SONDE__X] = b->values[stage->input];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    command.buffers[SONDE__SAVED] = b->saved[index];
    append(b, &command);
}

static void backward_dropout(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__command command = command_of(SONDE__KIND_ELEMENTWISE, sonde__run_dropout_backward);
    int dy = take(b, stage->anchor);
    command.layer = &b->net->graph->layers[stage->core];
    command.in = command.out = form_of(b, stage->anchor);
    command.buffers[SONDE__DY] = dy;
    command.buffers[SONDE__SAVED] = b->saved[index];
    append(b, &command);
    give(b, stage->input, dy, command.in);
}

/* The same memory under another shape. */
static void forward_reshape(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    b->values[stage->anchor] = value_as(b, stage->input, 1);
}

static void backward_reshape(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    give(b, stage->input, take(b, stage->anchor), form_of(b, stage->anchor));
}

/* --- several inputs --------------------------------------------------------------------------- */

static bool is_gate(const builder *b, const sonde__stage *stage)
{
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    const sonde__shape a = layer->shape, gate = b->net->graph->layers[layer->inputs[1]].shape;
    return layer->op == SONDE__OP_MUL && (a.height != gate.height || a.width != gate.width);
}

static void forward_binary(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    bool mul = layer->op == SONDE__OP_MUL;
    sonde__form form = form_of(b, stage->anchor);
    sonde__command command =
        command_of(SONDE__KIND_ELEMENTWISE, mul ? sonde__run_mul : sonde__run_add);
    command.layer = layer;
    command.in = command.out = form;
    command.relu = stage->relu;
    command.flag = is_gate(b, stage);
    b->sources[index] = value_as(b, layer->inputs[0], form.block);
    b->others[index] = value_as(b, layer->inputs[1], command.flag ? 1 : form.block);
    b->values[stage->anchor] = add_form(b, &form);
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__OTHER] = b->others[index];
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    append(b, &command);
}

static void backward_add(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    sonde__form form = form_of(b, stage->anchor);
    int dy = take_masked(b, stage), left = layer->inputs[0], right = layer->inputs[1];
    if (b->needs[left] && b->needs[right]) {
        sonde__command command = command_of(SONDE__KIND_ELEMENTWISE, sonde__run_copy);
        int copy = add_form(b, &form);
        command.in = command.out = form;
        command.buffers[SONDE__X] = dy;
        command.buffers[SONDE__Y] = copy;
        append(b, &command);
        give(b, right, copy, form);
        give(b, left, dy, form);
    } else {
        give(b, b->needs[left] ? left : right, dy, form);
    }
}

static void backward_mul(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    int left = layer->inputs[0], right = layer->inputs[1];
    sonde__form form = form_of(b, stage->anchor), right_form = form_of(b, right);
    sonde__command command = command_of(SONDE__KIND_ELEMENTWISE, sonde__run_mul_backward);
    int dy = take(b, stage->anchor);
    command.layer = layer;
    command.in = command.out = form;
    command.flag = is_gate(b, stage);
    right_form.block = command.flag ? 1 : form.block;
    command.buffers[SONDE__X] = b->sources[index];
    command.buffers[SONDE__OTHER] = b->others[index];
    command.buffers[SONDE__DY] = dy;
    if (b->needs[left])
        command.buffers[SONDE__DX] = dy;
    if (b->needs[right])
        command.buffers[SONDE__MORE] = add_form(b, &right_form);
    append(b, &command);
    if (b->needs[left])
        give(b, left, dy, form);
    if (b->needs[right])
        give(b, right, command.buffers[SONDE__MORE], right_form);
}

static void forward_concat(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    sonde__command command = command_of(SONDE__KIND_MOVE, sonde__run_clear);
    command.layer = layer;
    command.out = form_of(b, stage->anchor);
    b->values[stage->anchor] = add_form(b, &command.out);
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    if (command.out.shape.channels % command.out.block != 0)
        append(b, &command);
    command.run = sonde__run_concat;
    for (int k = 0; k < layer->input_count; k++) {
        command.in = form_of(b, layer->inputs[k]);
        command.buffers[SONDE__X] = b->values[layer->inputs[k]];
        append(b, &command);
        command.first += command.in.shape.channels;
    }
}

static void backward_concat(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    const sonde__layer *layer = &b->net->graph->layers[stage->core];
    sonde__command command = command_of(SONDE__KIND_MOVE, sonde__run_concat_backward);
    command.layer = layer;
    command.out = form_of(b, stage->anchor);
    command.buffers[SONDE__DY] = take(b, stage->anchor);
    for (int k = 0; k < layer->input_count; k++) {
        int part = layer->inputs[k];
        command.in = form_of(b, part);
        if (b->needs[part]) {
            command.buffers[SONDE__DX] = add_form(b, &command.in);
            append(b, &command);
            give(b, part, command.buffers[SONDE__DX], command.in);
        }
        command.first += command.in.shape.channels;
    }
}

/* --- the whole -------------------------------------------------------------------------------- */

static void forward_input(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__command command = command_of(SONDE__KIND_MOVE, sonde__run_take_input);
    command.out = form_of(b, stage->anchor);
    b->values[stage->anchor] = add_form(b, &command.out);
    command.buffers[SONDE__Y] = b->values[stage->anchor];
    append(b, &command);
}

static void backward_input(builder *b, int index)
{
    const sonde__stage *stage = &b->net->stages[index];
    sonde__command command = command_of(SONDE__KIND_MOVE, sonde__run_give_input);
    command.in = form_of(b, stage->anchor);
    command.buffers[SONDE__DX] = take(b, stage->anchor);
    append(b, &command);
}

static void forward_stage(builder *b, int index)
{
    switch (b->net->graph->layers[b->net->stages[index].core].op) {
    case SONDE__OP_INPUT:
        forward_input(b, index);
        break;
    case SONDE__OP_CONV:
    case SONDE__OP_LINEAR:
        forward_product(b, index);
        break;
    case SONDE__OP_BATCH_NORM:
        forward_norm(b, index);
        break;
    case SONDE__OP_LAYER_NORM:
        forward_layer_norm(b, index);
        break;
    case SONDE__OP_ADD:
    case SONDE__OP_MUL:
        forward_binary(b, index);
        break;
    case SONDE__OP_CONCAT:
        forward_concat(b, index);
        break;
    case SONDE__OP_RESHAPE:
        forward_reshape(b, index);
        break;
    case SONDE__OP_DROPOUT:
        forward_dropout(b, index);
        break;
    case SONDE__OP_SHORTCUT_PAD:
        forward_simple(b, index, SONDE__KIND_MOVE, sonde__run_shortcut);
        break;
    case SONDE__OP_MAX_POOL:
    case SONDE__OP_AVG_POOL:
    case SONDE__OP_GLOBAL_POOL:
        forward_simple(b, index, SONDE__KIND_POOL, sonde__run_pool);
        break;
    default:
        forward_simple(b, index, SONDE__KIND_ELEMENTWISE, sonde__run_unary);
    }
}

static void backward_stage(builder *b, int index)
{
    sonde__op op = b->net->graph->layers[b->net->stages[index].core].op;
    switch (op) {
    case SONDE__OP_INPUT:
        backward_input(b, index);
        break;
    case SONDE__OP_CONV:
    case SONDE__OP_LINEAR:
        backward_product(b, index);
        break;
    case SONDE__OP_BATCH_NORM:
        backward_norm(b, index);
        break;
    case SONDE__OP_LAYER_NORM:
        backward_layer_norm(b, index);
        break;
    case SONDE__OP_ADD:
        backward_add(b, index);
        break;
    case SONDE__OP_MUL:
        backward_mul(b, index);
        break;
    case SONDE__OP_CONCAT:
        backward_concat(b, index);
        break;
    case SONDE__OP_RESHAPE:
        backward_reshape(b, index);
        break;
    case SONDE__OP_DROPOUT:
        backward_dropout(b, index);
        break;
    case SONDE__OP_SHORTCUT_PAD:
        backward_new(b, index, SONDE__KIND_MOVE, sonde__run_shortcut_backward);
        break;
    case SONDE__OP_MAX_POOL:
    case SONDE__OP_AVG_POOL:
    case SONDE__OP_GLOBAL_POOL:
        backward_new(b, index, SONDE__KIND_POOL, sonde__run_pool_backward);
        break;
    default:
        backward_in_place(b, index, !sonde__unary_by_output(op) && op != SONDE__OP_SOFTMAX,
                          sonde__unary_by_output(op) || op == SONDE__OP_SOFTMAX);
    }
}

/* A value needs a gradient if a parameter lies before it, or the input's gradient is wanted. */
static void find_needs(builder *b)
{
    const sonde__graph *graph = b->net->graph;
    b->needs[0] = b->plan->input_gradient;
    for (int i = 1; i < graph->layer_count; i++) {
        const sonde__layer *layer = &graph->layers[i];
        b->needs[i] = layer->parameter_count > 0;
        for (int k = 0; k < layer->input_count; k++)
            b->needs[i] = b->needs[i] || b->needs[layer->inputs[k]];
    }
}

static void write_forward(builder *b)
{
    sonde__net *net = b->net;
    int head = net->graph->head;
    for (int i = 0; i < net->stage_count && !failed(b); i++)
        forward_stage(b, i);
    if (failed(b))
        return;
    b->plan->logits = value_as(b, net->graph->output, 1);
    b->plan->features = -1;
    if (head >= 0) {
        int input = net->graph->layers[head].inputs[0];
        b->plan->features = b->values[input];
        b->plan->features_form = form_of(b, input);
    }
    b->plan->forward_count = b->plan->command_count;
}

static void write_backward(builder *b)
{
    sonde__net *net = b->net;
    int output = net->graph->output;
    if (failed(b) || b->plan->mode == SONDE__EVAL || !b->needs[output])
        return;
    sonde__command command = command_of(SONDE__KIND_MOVE, sonde__run_take_dlogits);
    command.out = form_of(b, output);
    command.out.block = 1;
    command.buffers[SONDE__DX] = add_form(b, &command.out);
    append(b, &command);
    give(b, output, command.buffers[SONDE__DX], command.out);
    for (int i = net->stage_count - 1; i >= 0 && !failed(b); i--) {
        if (b->needs[net->stages[i].anchor])
            backward_stage(b, i);
    }
}

static bool allocate_builder(builder *b)
{
    sonde_context *context = b->net->context;
    size_t layers = (size_t)b->net->graph->layer_count;
    b->values = sonde__alloc_zero(context, layers, sizeof *b->values);
    b->sources = sonde__alloc_zero(context, layers, sizeof *b->sources);
    b->others = sonde__alloc_zero(context, layers, sizeof *b->others);
    b->saved = sonde__alloc_zero(context, layers, sizeof *b->saved);
    b->gradients = sonde__alloc_zero(context, layers, sizeof *b->gradients);
    b->needs = sonde__alloc_zero(context, layers, sizeof *b->needs);
    return b->values && b->sources && b->others && b->saved && b->gradients && b->needs;
}

static void free_builder(builder *b)
{
    sonde_context *context = b->net->context;
    sonde__free(context, b->values);
    sonde__free(context, b->sources);
    sonde__free(context, b->others);
    sonde__free(context, b->saved);
    sonde__free(context, b->gradients);
    sonde__free(context, b->needs);
}

void sonde__plan_free(sonde_context *context, sonde__plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->command_count; i++)
        sonde__kernel_free(plan->commands[i].kernel);
    sonde__free(context, plan->commands);
    sonde__free(context, plan->buffers);
    sonde__free(context, plan);
}

static void write_commands(builder *b)
{
    find_needs(b);
    write_forward(b);
    write_backward(b);
    if (failed(b))
        return;
    /* What the caller may look at lives to the end. */
    extend_life(b->plan, b->plan->logits, b->plan->command_count);
    extend_life(b->plan, b->plan->features, b->plan->command_count);
    note(b, sonde__plan_place(b->net->context, b->plan));
}

sonde_status sonde__plan_create(sonde__net *net, sonde__mode mode, int batch, sonde__plan **plan)
{
    builder b = {.net = net};
    b.plan = sonde__alloc_zero(net->context, 1, sizeof *b.plan);
    if (!b.plan)
        return SONDE_ERROR_MEMORY;
    b.plan->mode = mode;
    b.plan->batch = batch;
    b.plan->input_gradient = mode == SONDE__TRAIN && net->input_gradient;
    if (allocate_builder(&b))
        write_commands(&b);
    else
        b.status = SONDE_ERROR_MEMORY;
    free_builder(&b);
    if (failed(&b)) {
        sonde__plan_free(net->context, b.plan);
        return b.status;
    }
    *plan = b.plan;
    return SONDE_OK;
}
