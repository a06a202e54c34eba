/*
 * Evidence on the stability of TPV, as Markdown: TPV on training inputs against TPV on test inputs over
 * a seeded sample of the published settings (arXiv 2512.11089, figures 1 and 2): three teachers, input
 * dimensions 10, 20 and 50, widths 1 and 256, depths 2 to 4, label and SGD noise, with 1000 training
 * inputs and with 10. Shorter than the published runs, so that all takes some three minutes.
 *
 * With many training inputs points lie near the diagonal, also at width 1; with 10 they need not.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "measure/tpv.h"
#include "net/arch.h"
#include "net/loss.h"

enum { REFERENCE = 1000, TESTS = 1000, SETTINGS = 12, EPOCHS = 250, NOISES = 2, HIDDEN = 10 };

typedef struct setting {
    int teacher, dimension, width, depth, n;
} setting;

typedef struct point {
    setting at;
    bool sgd;
    double train, test, first_order; /* NaN where it is not valid */
} point;

static sonde_context *context;

static void must(sonde_status status)
{
    if (status == SONDE_OK)
        return;
    fprintf(stderr, "evidence_tpv: %s\n", sonde_context_error(context)->message);
    exit(1);
}

static float *room_for(size_t count)
{
    float *const room = malloc(count * sizeof *room);
    if (!room)
        exit(1);
    return room;
}

/* --- teachers ------------------------------------------------------------------------------------ */

static void draw_normal(sonde__stream *stream, float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)sonde__random_normal(stream);
}

/* A sum of ReLUs with biases, a linear map, or one ReLU: as the published script names them. */
static void teach(int teacher, const float *w, int dimension, const float *x, size_t n, float *y)
{
    const int units = teacher == 0 ? HIDDEN : 1;
    const float *bias = w + HIDDEN * dimension;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < units; k++) {
            double value = teacher == 0 ? 0.5 * (double)bias[k] : 0;
            for (int j = 0; j < dimension; j++)
                value +=
                    (double)w[k * dimension + j] * (double)x[i * (size_t)dimension + (size_t)j];
            sum += teacher == 1 || value > 0 ? value : 0;
        }
        y[i] = (float)sum;
    }
}

/* --- the reference network ----------------------------------------------------------------------- */

static sonde__net *make_net(const setting *at, uint64_t seed)
{
    char spec[64] = "mlp:widths=";
    sonde__graph *graph;
    sonde__net *net;
    const sonde__net_options options = {.max_batch = REFERENCE, .seed = seed, .study = true};
    for (int i = 0; i < at->depth - 1; i++)
        snprintf(spec + strlen(spec), sizeof spec - strlen(spec), "%s%d", i ? "x" : "", at->width);
    must(sonde__arch_build(context, spec, (sonde__shape){at->dimension, 1, 1}, 1, 0, &graph));
    must(sonde__net_create(context, graph, &options, &net));
    return net;
}

/* Full-batch SGD, momentum 0.9, gradient clipped at 10, cosine from 2e-3 to 0, as published. */
static void train_reference(sonde__net *net, const float *x, const float *y)
{
    static const double pi = 3.14159265358979323846;
    size_t count;
    float *w = sonde__net_weights(net, &count), *velocity = calloc(count, sizeof *velocity);
    float *gradient = room_for(REFERENCE);
    for (int epoch = 0; velocity && epoch < EPOCHS; epoch++) {
        const float *logits, *g = sonde__net_gradients(net, &count);
        double norm = 0;
        must(sonde__net_forward(net, SONDE__STUDY_EVAL, x, REFERENCE, 0, &logits));
        sonde__loss_squared(logits, y, REFERENCE, 1, NULL, gradient);
        must(sonde__net_backward(net, gradient));
        for (size_t i = 0; i < count; i++)
            norm += (double)g[i] * (double)g[i];
        const float scale = norm > 100 ? (float)(10 / sqrt(norm)) : 1;
        const float rate = (float)(1e-3 * (1 + cos(pi * epoch / EPOCHS)));
        for (size_t i = 0; i < count; i++) {
            velocity[i] = 0.9F * velocity[i] + scale * g[i];
            w[i] -= rate * velocity[i];
        }
        sonde__net_weights_changed(net);
    }
    free(velocity);
    free(gradient);
}

/* --- one setting --------------------------------------------------------------------------------- */

static void measure(sonde__net *net, const setting *at, const float *x, const float *y,
                    const float *x_test, uint64_t seed, point *points)
{
    sonde__tpv_plan plans[SONDE__TPV_PLANS_MAX];
    sonde__tpv_report report;
    sonde__tpv_options options;
    int plan_count;
    const sonde__tpv_inputs train = {.x = x, .targets = y, .n = (size_t)at->n};
    const sonde__tpv_inputs test = {.x = x_test, .n = TESTS};
    must(sonde__tpv_plans_read(context,
                               "label:0.01:runs=5:epochs=100:rate=0.002:batch=1000:proximity=0.001,"
                               "sgd:0.001:batch=32:steps=400:burn-in=100:every=20",
                               plans, &plan_count));
    plans[0].absolute = true;
    sonde__tpv_options_init(&options);
    options.plans = plans;
    options.plan_count = plan_count;
    options.empirical = true;
    options.loss = SONDE_HEAD_SQUARED;
    options.batch = REFERENCE;
    options.seed = seed;
    must(sonde__measure_tpv(context, net, &train, &test, &options, &report));
    int filled = 0;
    for (int i = 0; i < report.row_count; i++) {
        const sonde__tpv_row *row = &report.rows[i];
        if (row->form != SONDE__TPV_EMPIRICAL)
            continue;
        const bool valid = row->train.validity == SONDE_VALID && row->test.validity == SONDE_VALID;
        points[filled++] = (point){*at, row->plan == 1, valid ? row->train.value : (double)NAN,
                                   row->test.value, row->first_order.value};
    }
    sonde__tpv_report_free(&report);
}

static void run_setting(const setting *at, uint64_t seed, point *points)
{
    const size_t d = (size_t)at->dimension;
    float *x = room_for(REFERENCE * d), *x_test = room_for(TESTS * d), *y = room_for(REFERENCE);
    float *teacher = room_for(HIDDEN * d + HIDDEN);
    sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_TEST, 1);
    draw_normal(&stream, teacher, HIDDEN * d + HIDDEN);
    draw_normal(&stream, x, REFERENCE * d);
    draw_normal(&stream, x_test, TESTS * d);
    teach(at->teacher, teacher, at->dimension, x, REFERENCE, y);
    sonde__net *net = make_net(at, seed);
    train_reference(net, x, y);
    measure(net, at, x, y, x_test, seed, points);
    sonde__net_free(net);
    free(x);
    free(x_test);
    free(y);
    free(teacher);
}

/* --- the table ----------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Published: points of a first-order error above 0.2, or of TPV at most 1e-5, are dropped. */
static bool is_kept(const point *p)
{
    return isfinite(p->train) && p->first_order <= 0.2 && p->train > 1e-5 && p->test > 1e-5;
}

static void table_row(const char *label, const point *points, int count, int n, int width)
{
    double ratios[2 * SETTINGS * NOISES];
    int kept = 0, all = 0, near = 0;
    for (int i = 0; i < count; i++) {
        if (points[i].at.n != n || (width && points[i].at.width != width))
            continue;
        all++;
        if (!is_kept(&points[i]))
            continue;
        const double ratio = points[i].train / points[i].test;
        near += ratio > 0.8 && ratio < 1.25;
        ratios[kept++] = ratio;
    }
    if (kept == 0) {
        printf("| %s | %d | 0 | - | - | - | - |\n", label, all);
        return;
    }
    qsort(ratios, (size_t)kept, sizeof ratios[0], compare);
    printf("| %s | %d | %d | %.2f | %.2f | %.2f | %d %% |\n", label, all, kept, ratios[0],
           ratios[kept / 2], ratios[kept - 1], (100 * near + kept / 2) / kept);
}

static void print_table(const point *points, int count)
{
    printf(
        "| training inputs | points | kept | least ratio | median | largest | within 0.8 to 1.25 "
        "|\n|---|---|---|---|---|---|---|\n");
    table_row("1000", points, count, 1000, 0);
    table_row("1000, width 1", points, count, 1000, 1);
    table_row("1000, width 256", points, count, 1000, 256);
    table_row("10", points, count, 10, 0);
    table_row("10, width 1", points, count, 10, 1);
    table_row("10, width 256", points, count, 10, 256);
    double least = HUGE_VAL, largest = 0;
    for (int i = 0; i < count; i++)
        if (is_kept(&points[i])) {
            least = fmin(least, points[i].test);
            largest = fmax(largest, points[i].test);
        }
    printf("\nTPV of the kept points runs from %.1e to %.1e on test inputs.\n", least, largest);
}

int main(void)
{
    static const int dimensions[] = {10, 20, 50}, sizes[] = {1000, 10};
    static point points[2 * SETTINGS * NOISES];
    int count = 0;
    if (sonde_context_create(NULL, &context) != SONDE_OK)
        return 1;
    for (uint64_t i = 0; i < SETTINGS; i++) {
        sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 100 + i);
        setting at = {.width = i % 2 ? 256 : 1}; /* both widths alike */
        at.teacher = (int)sonde__random_below(&stream, 3);
        at.dimension = dimensions[sonde__random_below(&stream, 3)];
        at.depth = 2 + (int)sonde__random_below(&stream, 3);
        for (int size = 0; size < 2; size++) {
            at.n = sizes[size];
            run_setting(&at, 1000 + i, points + count);
            count += NOISES;
        }
        fprintf(stderr, "setting %d of %d\n", (int)i + 1, SETTINGS);
    }
    print_table(points, count);
    sonde_context_free(context);
    return 0;
}
