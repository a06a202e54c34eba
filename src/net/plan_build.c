/*
 * Writing the stages of a network out as commands for one mode and batch size.
 *
 * Forward commands come in the order of the stages, backward ones in reverse; each operator writes
 * its own (plan_table.c says which functions).
 */
#include "net/plan_builder.h"

/* A value needs a gradient if a parameter lies before it, or the input's gradient is wanted. */
static void find_needs(sonde__builder *b)
{
    const sonde__graph *graph = b->net->graph;
    b->needs[0] = b->plan->input_gradient;
    for (int i = 1; i < graph->layer_count; i++) {
        const sonde__layer *layer = &graph->layers[i];
        b->trained[i] = layer->parameter_count > 0;
        for (int k = 0; k < layer->input_count; k++) {
            b->trained[i] = b->trained[i] || b->trained[layer->inputs[k]];
            b->needs[i] = b->needs[i] || b->needs[layer->inputs[k]];
        }
        b->needs[i] = b->needs[i] || b->trained[i];
    }
}

/* Lets a watcher see the value that the stage has made. */
static void show_value(sonde__builder *b, int index)
{
    int anchor = sonde__stage_at(b, index)->anchor;
    sonde__command command = sonde__command_of(SONDE__KIND_MOVE, sonde__run_show_value);
    if (!sonde__mode_studies(b->plan->mode))
        return;
    command.layer = &b->net->graph->layers[anchor];
    command.out = sonde__form_of(b, anchor);
    command.buffers[SONDE__Y] = b->values[anchor];
    sonde__append(b, &command);
}

static void write_forward(sonde__builder *b)
{
    sonde__net *net = b->net;
    int head = net->graph->head;
    for (int i = 0; i < net->stage_count && !sonde__build_failed(b); i++) {
        sonde__op_row_of(sonde__core_of(b, i)->op)->forward(b, i);
        show_value(b, i);
    }
    if (sonde__build_failed(b))
        return;
    b->plan->logits = sonde__value_as(b, net->graph->output, 1);
    b->plan->features = -1;
    if (head >= 0) {
        int input = net->graph->layers[head].inputs[0];
        b->plan->features = b->values[input];
        b->plan->features_form = sonde__form_of(b, input);
    }
    b->plan->forward_count = b->plan->command_count;
}

void sonde__open_backward(sonde__builder *b)
{
    int output = b->net->graph->output;
    sonde__command command = sonde__command_of(SONDE__KIND_MOVE, sonde__run_take_dlogits);
    command.out = sonde__form_of(b, output);
    command.out.block = 1;
    command.buffers[SONDE__DX] = sonde__add_form(b, &command.out);
    sonde__append(b, &command);
    sonde__give(b, output, command.buffers[SONDE__DX], command.out);
}

static void write_backward(sonde__builder *b)
{
    sonde__net *net = b->net;
    if (sonde__build_failed(b) || b->plan->mode == SONDE__EVAL || !b->needs[net->graph->output])
        return;
    sonde__open_backward(b);
    for (int i = net->stage_count - 1; i >= 0 && !sonde__build_failed(b); i--) {
        int anchor = net->stages[i].anchor;
        b->serves = sonde__serves_layer(b, anchor);
        if (b->needs[anchor])
            sonde__op_row_of(sonde__core_of(b, i)->op)->backward(b, i);
    }
    b->serves = SONDE__SERVES_ALL;
}

static bool allocate_track(sonde_context *context, sonde__track *track, size_t layers)
{
    track->values = sonde__alloc_zero(context, layers, sizeof *track->values);
    track->sources = sonde__alloc_zero(context, layers, sizeof *track->sources);
    track->others = sonde__alloc_zero(context, layers, sizeof *track->others);
    track->saved = sonde__alloc_zero(context, layers, sizeof *track->saved);
    track->dys = sonde__alloc_zero(context, layers, sizeof *track->dys);
    track->gradients = sonde__alloc_zero(context, layers, sizeof *track->gradients);
    return track->values && track->sources && track->others && track->saved && track->dys &&
           track->gradients;
}

static void free_track(sonde_context *context, sonde__track *track)
{
    sonde__free(context, track->values);
    sonde__free(context, track->sources);
    sonde__free(context, track->others);
    sonde__free(context, track->saved);
    sonde__free(context, track->dys);
    sonde__free(context, track->gradients);
}

/* What is written from here on is about this track. */
static void follow(sonde__builder *b, const sonde__track *track)
{
    b->values = track->values;
    b->sources = track->sources;
    b->others = track->others;
    b->saved = track->saved;
    b->dys = track->dys;
    b->gradients = track->gradients;
}

static bool allocate_builder(sonde__builder *b)
{
    sonde_context *context = b->net->context;
    size_t layers = (size_t)b->net->graph->layer_count;
    bool tracks = allocate_track(context, &b->real, layers);
    if (b->plan->tangent)
        tracks = allocate_track(context, &b->tangent, layers) && tracks;
    follow(b, &b->real);
    b->needs = sonde__alloc_zero(context, layers, sizeof *b->needs);
    b->trained = sonde__alloc_zero(context, layers, sizeof *b->trained);
    return tracks && b->needs && b->trained;
}

static void free_builder(sonde__builder *b)
{
    sonde_context *context = b->net->context;
    free_track(context, &b->real);
    free_track(context, &b->tangent);
    sonde__free(context, b->needs);
    sonde__free(context, b->trained);
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

/* What the caller may look at lives to the end; under study all of the forward pass does, so that
 * any number of backward passes find it, and what tangent passes read of a backward one. */
static void keep_values(sonde__plan *plan)
{
    int end = plan->command_count;
    sonde__extend_life(plan, plan->logits, end);
    sonde__extend_life(plan, plan->features, end);
    for (int i = 0; sonde__mode_studies(plan->mode) && i < plan->buffer_count; i++) {
        const sonde__buffer *buffer = &plan->buffers[i];
        bool later = buffer->first < plan->backward_count && buffer->last >= plan->backward_count;
        if (buffer->first < plan->forward_count || later)
            sonde__extend_life(plan, i, end);
    }
    if (plan->tangent)
        sonde__extend_life(plan, plan->tangent_logits, end);
}

static void write_commands(sonde__builder *b)
{
    find_needs(b);
    write_forward(b);
    write_backward(b);
    b->plan->backward_count = b->plan->command_count;
    if (b->plan->tangent && !sonde__build_failed(b)) {
        follow(b, &b->tangent);
        sonde__write_tangents(b);
    }
    if (sonde__build_failed(b))
        return;
    keep_values(b->plan);
    sonde__build_note(b, sonde__plan_place(b->net->context, b->plan));
}

sonde_status sonde__plan_create(sonde__net *net, sonde__mode mode, int batch, sonde__plan **plan)
{
    sonde__builder b = {.net = net, .serves = SONDE__SERVES_ALL};
    b.plan = sonde__alloc_zero(net->context, 1, sizeof *b.plan);
    if (!b.plan)
        return SONDE_ERROR_MEMORY;
    b.plan->mode = mode;
    b.plan->batch = batch;
    b.plan->tangent = net->options.tangent && sonde__mode_studies(mode);
    b.plan->input_gradient = sonde__wants_input_gradient(net, mode);
    if (allocate_builder(&b))
        write_commands(&b);
    else
        b.status = SONDE_ERROR_MEMORY;
    free_builder(&b);
    if (sonde__build_failed(&b)) {
        sonde__plan_free(net->context, b.plan);
        return b.status;
    }
    *plan = b.plan;
    return SONDE_OK;
}
