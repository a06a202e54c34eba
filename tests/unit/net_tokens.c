/*
 * Sequence models as wholes: ids and their errors, logits and head by token, the causal mask, gradient
 * norms of examples with repeated tokens; and that every new architecture learns.
 */
#include "check.h"

#include "base/random.h"
#include "failing.h"
#include "net/arch.h"
#include "net/graph.h"
#include "net/loss.h"
#include "net/study.h"

enum { VOCABULARY = 11, CONTEXT = 6, BATCH = 4 };

#define SMALL_GPT "gpt-tiny:depth=2,width=8,heads=2"

static sonde__net *open_net(sonde_context *context, const char *spec, sonde__shape input,
                            int classes, int threads)
{
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    sonde__net_options options = {.threads = threads, .max_batch = 16, .seed = 3, .study = true};
    check_ok(context, sonde__arch_build(context, spec, input, classes, -1, &graph));
    check_ok(context, sonde__net_create(context, graph, &options, &net));
    return net;
}

static sonde__net *open_text(sonde_context *context, int threads)
{
    return open_net(context, SMALL_GPT, (sonde__shape){1, CONTEXT, 1}, VOCABULARY, threads);
}

static void draw_ids(uint64_t number, size_t count, int vocabulary, float *ids)
{
    sonde__stream stream = sonde__stream_open(number, SONDE__RANDOM_TEST, 0);
    for (size_t i = 0; i < count; i++)
        ids[i] = (float)sonde__random_below(&stream, (uint64_t)vocabulary);
}

static void draw_normal(uint64_t number, size_t count, float *values)
{
    sonde__stream stream = sonde__stream_open(number, SONDE__RANDOM_TEST, 1);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)sonde__random_normal(&stream);
}

static void an_id_outside_of_the_table_is_named(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = open_text(context, 1);
    const float wrong[] = {-1, VOCABULARY, 0.5F, NAN, 1e30F, -0.25F};
    float ids[BATCH * CONTEXT];
    const float *logits = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        draw_ids(1, BATCH * CONTEXT, VOCABULARY, ids);
        ids[2 * CONTEXT + 3] = wrong[i];
        check_status(sonde__net_forward(net, SONDE__EVAL, ids, BATCH, 0, &logits),
                     SONDE_ERROR_RANGE);
        const char *message = sonde_context_error(context)->message;
        assert_non_null(strstr(message, "token 3 of example 2"));
        assert_non_null(strstr(message, "from 0 to 10"));
    }
    draw_ids(1, BATCH * CONTEXT, VOCABULARY, ids);
    check_ok(context, sonde__net_forward(net, SONDE__EVAL, ids, BATCH, 0, &logits));
    sonde__net_free(net);
    sonde_context_free(context);
}

static void the_head_gives_the_logits_of_every_token(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = open_text(context, 1);
    float ids[BATCH * CONTEXT];
    const float *logits = NULL;
    sonde__net_head_view head;
    draw_ids(2, BATCH * CONTEXT, VOCABULARY, ids);
    check_ok(context, sonde__net_forward(net, SONDE__EVAL, ids, BATCH, 0, &logits));
    check_ok(context, sonde__net_head(net, &head));
    assert_int_equal(sonde__net_rows(net), CONTEXT);
    assert_int_equal(sonde__net_outputs(net), CONTEXT * VOCABULARY);
    assert_int_equal(head.features_count, 8);
    assert_int_equal(head.outputs, VOCABULARY);
    assert_string_equal(head.name, "lm_head");
    for (int row = 0; row < BATCH * CONTEXT; row++)
        for (int c = 0; c < VOCABULARY; c++) {
            double sum = 0;
            for (int k = 0; k < 8; k++)
                sum += (double)head.features[row * 8 + k] * (double)head.weight[c * 8 + k];
            check_close((double)logits[row * VOCABULARY + c], sum, 1e-6, 1e-5, "logit");
        }
    sonde__net_free(net);
    sonde_context_free(context);
}

static void image_models_have_one_row_an_example(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    const char *const specs[] = {"mlp:widths=8", "vit-tiny:depth=1,width=12", "densenet:depth=7"};
    for (size_t i = 0; i < 3; i++) {
        sonde__net *net = open_net(context, specs[i], (sonde__shape){3, 8, 8}, 5, 1);
        assert_int_equal(sonde__net_rows(net), 1);
        assert_int_equal(sonde__net_outputs(net), 5);
        sonde__net_free(net);
    }
    sonde_context_free(context);
}

static void a_token_sees_itself_and_those_before_it_only(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = open_text(context, 1);
    float ids[CONTEXT], before[CONTEXT * VOCABULARY];
    const float *logits = NULL;
    draw_ids(3, CONTEXT, VOCABULARY, ids);
    check_ok(context, sonde__net_forward(net, SONDE__EVAL, ids, 1, 0, &logits));
    memcpy(before, logits, sizeof before);
    for (int changed = 0; changed < CONTEXT; changed++) {
        float other[CONTEXT];
        memcpy(other, ids, sizeof other);
        other[changed] = (float)(((int)ids[changed] + 1) % VOCABULARY);
        check_ok(context, sonde__net_forward(net, SONDE__EVAL, other, 1, 0, &logits));
        for (int token = 0; token < CONTEXT; token++) {
            bool same = memcmp(before + token * VOCABULARY, logits + token * VOCABULARY,
                               VOCABULARY * sizeof *before) == 0;
            assert_int_equal(same, token < changed);
        }
    }
    sonde__net_free(net);
    sonde_context_free(context);
}

/* Of one example: the sum of squares of every parameter's gradient. */
static void single_norms(sonde_context *context, sonde__net *net, const float *ids,
                         const float *slopes, double *norms)
{
    const float *logits = NULL;
    size_t count;
    check_ok(context, sonde__net_forward(net, SONDE__STUDY_EVAL, ids, 1, 0, &logits));
    check_ok(context, sonde__net_backward(net, slopes));
    const float *gradients = sonde__net_gradients(net, &count);
    for (int p = 0; p < sonde__net_parameter_count(net); p++) {
        const sonde__parameter *parameter = sonde__net_parameter(net, p);
        norms[p] = 0;
        for (size_t i = 0; i < parameter->length; i++)
            norms[p] += pow((double)gradients[parameter->offset + i], 2);
    }
}

/* Three different tokens in a row of six: most appear more than once. */
static void norms_of_sequences_are_those_of_single_passes(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *net = open_text(context, 2);
    int parameters = sonde__net_parameter_count(net);
    float ids[BATCH * CONTEXT], slopes[BATCH * CONTEXT * VOCABULARY];
    double *norms = calloc((size_t)parameters * (BATCH + 1), sizeof *norms);
    const float *logits = NULL;
    assert_non_null(norms);
    draw_ids(4, BATCH * CONTEXT, 3, ids);
    draw_normal(4, BATCH * CONTEXT * VOCABULARY, slopes);
    check_ok(context, sonde__net_forward(net, SONDE__STUDY_EVAL, ids, BATCH, 0, &logits));
    check_ok(context, sonde__net_example_norms(net, slopes, norms));
    double *single = norms + parameters * BATCH;
    for (int n = 0; n < BATCH; n++) {
        single_norms(context, net, ids + n * CONTEXT, slopes + n * CONTEXT * VOCABULARY, single);
        for (int p = 0; p < parameters; p++)
            check_close(norms[p * BATCH + n], single[p], 1e-9, 1e-4,
                        sonde__net_parameter(net, p)->name);
    }
    free(norms);
    sonde__net_free(net);
    sonde_context_free(context);
}

typedef struct task {
    const char *spec;
    sonde__shape input;
    int classes;
    double rate;
} task;

/* The loss after `steps` steps of plain gradient descent on one batch. */
static double loss_after(sonde_context *context, const task *t, int steps)
{
    sonde__net *net = open_net(context, t->spec, t->input, t->classes, 1);
    size_t rows = (size_t)BATCH * (size_t)sonde__net_rows(net), count;
    size_t floats = (size_t)(t->input.channels * t->input.height * t->input.width);
    float *x = calloc(BATCH * floats, sizeof *x);
    float *gradient = calloc(rows * (size_t)t->classes, sizeof *gradient);
    int32_t *labels = calloc(rows, sizeof *labels);
    double loss = 0;
    assert_true(x && gradient && labels);
    if (t->input.channels == 1)
        draw_ids(5, BATCH * floats, t->classes, x);
    else
        draw_normal(5, BATCH * floats, x);
    for (size_t i = 0; i < rows; i++)
        labels[i] = (int32_t)((i * 7 + 3) % (size_t)t->classes);
    for (int step = 0; step <= steps; step++) {
        const float *logits = NULL;
        check_ok(context, sonde__net_forward(net, SONDE__TRAIN, x, BATCH, 0, &logits));
        loss =
            sonde__loss_cross_entropy(logits, labels, rows, (size_t)t->classes, 0, NULL, gradient);
        check_ok(context, sonde__net_backward(net, gradient));
        float *weights = sonde__net_weights(net, &count);
        const float *slopes = sonde__net_gradients(net, &count);
        for (size_t i = 0; i < count; i++)
            weights[i] -= (float)t->rate * slopes[i];
        sonde__net_weights_changed(net);
    }
    free(x);
    free(gradient);
    free(labels);
    sonde__net_free(net);
    return loss;
}

static void every_architecture_learns_a_batch(void **state)
{
    (void)state;
    static const task tasks[] = {
        {"mobilenetv2:width=0.25", {3, 16, 16}, 4, 0.1},
        {"densenet:depth=10,growth=6", {3, 8, 8}, 4, 0.1},
        {"densenet:depth=10,growth=6,form=bc", {3, 8, 8}, 4, 0.1},
        {"vit-tiny:depth=2,width=24", {3, 8, 8}, 4, 0.2},
        {"mlp-mixer:depth=2,width=16", {3, 8, 8}, 4, 0.1},
        {SMALL_GPT, {1, CONTEXT, 1}, VOCABULARY, 0.5},
    };
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++) {
        sonde_context *context = check_context();
        double first = loss_after(context, &tasks[i], 0), last = loss_after(context, &tasks[i], 30);
        if (!(last < 0.8 * first))
            fail_msg("%s: loss %g after 30 steps, %g before", tasks[i].spec, last, first);
        sonde_context_free(context);
    }
}

static void threads_change_no_bit_of_a_sequence_model(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    sonde__net *nets[2] = {open_text(context, 1), open_text(context, 2)};
    float ids[16 * CONTEXT], slopes[16 * CONTEXT * VOCABULARY];
    const float *logits[2], *gradients[2];
    size_t count;
    draw_ids(6, 16 * CONTEXT, VOCABULARY, ids);
    draw_normal(6, 16 * CONTEXT * VOCABULARY, slopes);
    for (int i = 0; i < 2; i++) {
        check_ok(context, sonde__net_forward(nets[i], SONDE__TRAIN, ids, 16, 0, &logits[i]));
        check_ok(context, sonde__net_backward(nets[i], slopes));
        gradients[i] = sonde__net_gradients(nets[i], &count);
    }
    assert_memory_equal(logits[0], logits[1], sizeof slopes);
    for (size_t i = 0; i < count; i++)
        check_close((double)gradients[0][i], (double)gradients[1][i], 1e-5, 1e-4, "gradient");
    sonde__net_free(nets[0]);
    sonde__net_free(nets[1]);
    sonde_context_free(context);
}

static sonde_status step_of_a_small_model(sonde_context *context, sonde__net *net)
{
    float ids[2 * CONTEXT], slopes[2 * CONTEXT * VOCABULARY];
    const float *logits = NULL;
    sonde__net_head_view head;
    draw_ids(7, 2 * CONTEXT, VOCABULARY, ids);
    draw_normal(7, 2 * CONTEXT * VOCABULARY, slopes);
    (void)context;
    SONDE_TRY(sonde__net_forward(net, SONDE__TRAIN, ids, 2, 0, &logits));
    SONDE_TRY(sonde__net_backward(net, slopes));
    return sonde__net_head(net, &head);
}

static sonde_status whole_life(sonde_context *context, void *argument)
{
    (void)argument;
    sonde__graph *graph = NULL;
    sonde__net *net = NULL;
    sonde__net_options options = {.threads = 1, .max_batch = 2, .seed = 3};
    SONDE_TRY(sonde__arch_build(context, "gpt-tiny:depth=1,width=4,heads=2",
                                (sonde__shape){1, CONTEXT, 1}, VOCABULARY, -1, &graph));
    SONDE_TRY(sonde__net_create(context, graph, &options, &net));
    sonde_status status = step_of_a_small_model(context, net);
    sonde__net_free(net);
    return status;
}

static void memory_that_runs_out_anywhere_is_a_status(void **state)
{
    (void)state;
    failing_run(whole_life, NULL);
}

static void calls_that_do_not_fit_are_named(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    for (int i = 0; i < 7; i++) {
        sonde__graph *g = NULL;
        check_ok(context, sonde__graph_create(context, &g));
        sonde__node x = sonde__graph_input(g, (sonde__shape){10, 3, 3});
        switch (i) {
        case 0:
            x = sonde__graph_attention(g, x, 1, false);
            break;
        case 1:
            x = sonde__graph_attention(g, sonde__graph_token_linear(g, NULL, x, 12, true), 3, true);
            break;
        case 2:
            x = sonde__graph_embedding(g, NULL, x, 10, 4);
            break;
        case 3:
            x = sonde__graph_group_norm(g, NULL, x, 4);
            break;
        case 4:
            x = sonde__graph_positions(g, NULL, x, 2);
            break;
        case 5:
            x = sonde__graph_upsample(g, x, 0);
            break;
        default:
            x = sonde__graph_token_linear(g, NULL, x, 0, true);
        }
        assert_true(sonde__graph_finish(g, x) != SONDE_OK);
        sonde__graph_free(g);
    }
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_id_outside_of_the_table_is_named),
        cmocka_unit_test(the_head_gives_the_logits_of_every_token),
        cmocka_unit_test(image_models_have_one_row_an_example),
        cmocka_unit_test(a_token_sees_itself_and_those_before_it_only),
        cmocka_unit_test(norms_of_sequences_are_those_of_single_passes),
        cmocka_unit_test(every_architecture_learns_a_batch),
        cmocka_unit_test(threads_change_no_bit_of_a_sequence_model),
        cmocka_unit_test(memory_that_runs_out_anywhere_is_a_status),
        cmocka_unit_test(calls_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
