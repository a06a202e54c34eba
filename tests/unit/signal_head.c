/*
 * The head gradient against identities of section 1.7 of the methods, finite differences of a loss
 * written out plainly, and brute force in long double.
 */
#include "check.h"

#include "base/random.h"

enum { MOST = 4096 };

typedef struct problem {
    size_t rows, outputs, features;
    float z[MOST], o[MOST], w[MOST], y[MOST];
    int64_t labels[64];
    sonde_head_batch batch;
} problem;

static sonde__stream stream_of(uint64_t seed)
{
    return sonde__stream_open(seed, SONDE__RANDOM_TEST, 1);
}

static void fill(float *values, size_t n, sonde__stream *stream, double scale)
{
    assert_true(n <= MOST);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)(scale * sonde__random_normal(stream));
}

/* Random features and weights; logits are their product, as in a network. */
static void make(problem *p, uint64_t seed, size_t rows, size_t outputs, size_t features)
{
    sonde__stream stream = stream_of(seed);
    *p = (problem){.rows = rows, .outputs = outputs, .features = features};
    fill(p->z, rows * features, &stream, 1);
    fill(p->w, outputs * features, &stream, 0.7);
    for (size_t i = 0; i < rows; i++) {
        p->labels[i] = (int64_t)sonde__random_below(&stream, outputs);
        for (size_t c = 0; c < outputs; c++) {
            double sum = 0;
            for (size_t j = 0; j < features; j++)
                sum += (double)p->w[c * features + j] * (double)p->z[i * features + j];
            p->o[i * outputs + c] = (float)sum;
            p->y[i * outputs + c] = (float)sonde__random_uniform(&stream);
        }
    }
    sonde_head_batch_init(&p->batch);
    p->batch.features = (sonde_matrix){p->z, SONDE_F32, rows, features, 0};
    p->batch.logits = (sonde_matrix){p->o, SONDE_F32, rows, outputs, 0};
    p->batch.weight = (sonde_matrix){p->w, SONDE_F32, outputs, features, 0};
    p->batch.labels = p->labels;
}

/* --- brute force, from the definitions, in long double ----------------------------------------- */

static long double target(const sonde_head_batch *b, size_t i, size_t c)
{
    if (b->targets.data)
        return (long double)((const float *)b->targets.data)[i * b->logits.cols + c];
    long double smooth = b->label_smoothing;
    return smooth / (long double)b->logits.cols + (b->labels[i] == (int64_t)c ? 1 - smooth : 0);
}

typedef struct brute {
    long double raw, bias, loss, weight, feature_rms, confidence, entropy, margin;
} brute;

static long double probability(const sonde_head_batch *b, const long double *o, size_t c)
{
    if (b->kind == SONDE_HEAD_SQUARED)
        return o[c];
    if (b->kind == SONDE_HEAD_SIGMOID)
        return 1 / (1 + expl(-o[c]));
    long double sum = 0;
    for (size_t k = 0; k < b->logits.cols; k++)
        sum += expl(o[k] - o[c]);
    return 1 / sum;
}

static long double element_loss(const sonde_head_batch *b, long double p, long double o,
                                long double y)
{
    if (b->kind == SONDE_HEAD_SQUARED)
        return (o - y) * (o - y);
    if (b->kind == SONDE_HEAD_SIGMOID)
        return -(y * logl(p) + (1 - y) * logl(1 / (1 + expl(o))));
    return -y * logl(p);
}

/* Of features and logits in float; `g` has room for outputs x features. */
static brute brute_force(const sonde_head_batch *b, size_t features, const float *z)
{
    static long double g[MOST], column[MOST];
    brute r = {0};
    size_t rows = b->logits.rows, n = b->logits.cols;
    long double scale = 1.0L / (long double)rows;
    if (b->kind != SONDE_HEAD_SOFTMAX)
        scale /= (long double)n;
    memset(g, 0, sizeof g);
    memset(column, 0, sizeof column);
    for (size_t i = 0; i < rows; i++) {
        long double o[64], y_sum = 0, first = -1, second = -1;
        for (size_t c = 0; c < n; c++) {
            o[c] = (long double)((const float *)b->logits.data)[i * n + c];
            y_sum += target(b, i, c);
        }
        for (size_t c = 0; c < n; c++) {
            long double p = probability(b, o, c), y = target(b, i, c);
            long double residual = b->kind == SONDE_HEAD_SOFTMAX ? p * y_sum - y : p - y;
            if (b->kind == SONDE_HEAD_SQUARED)
                residual *= 2;
            r.loss += element_loss(b, p, o[c], y) * scale;
            column[c] += residual * scale;
            for (size_t j = 0; j < features; j++)
                g[c * features + j] += residual * scale * (long double)z[i * features + j];
            if (p > first) {
                second = first;
                first = p;
            } else if (p > second) {
                second = p;
            }
            r.entropy -= p * logl(p) / (long double)rows;
            if (b->kind == SONDE_HEAD_SIGMOID)
                r.entropy -= (1 - p) * logl(1 - p) / (long double)rows;
        }
        r.confidence += first / (long double)rows;
        r.margin += (first - second) / (long double)rows;
    }
    for (size_t c = 0; c < n * features; c++)
        r.raw += g[c] * g[c];
    for (size_t c = 0; c < n; c++)
        r.bias += column[c] * column[c];
    r.raw = sqrtl(r.raw);
    r.bias = sqrtl(r.bias);
    for (size_t i = 0; i < rows * features; i++)
        r.feature_rms += (long double)z[i] * (long double)z[i] / (long double)rows;
    r.feature_rms = sqrtl(r.feature_rms);
    if (b->weight.data)
        for (size_t i = 0; i < n * features; i++) {
            long double w = (long double)((const float *)b->weight.data)[i];
            r.weight += w * w;
        }
    r.weight = sqrtl(r.weight);
    return r;
}

static void check_score(const sonde_score *score, long double expected, const char *what)
{
    if (score->validity != SONDE_VALID)
        fail_msg("%s: %s", what, sonde_validity_sentence(score->validity));
    check_close(score->value, (double)expected, 1e-13, 1e-11, what);
    if (fabsl((long double)score->value - expected) > (long double)score->error_bound + 1e-15L)
        fail_msg("%s: %.17g is %Lg off, the bound is %g", what, score->value,
                 fabsl((long double)score->value - expected), score->error_bound);
}

static void check_against_brute_force(sonde_context *context, const problem *p)
{
    brute r = brute_force(&p->batch, p->features, p->z);
    sonde_head_form forms[] = {SONDE_FORM_DIRECT, SONDE_FORM_GRAM, SONDE_FORM_AUTO};
    for (int f = 0; f < 3; f++) {
        sonde_head_batch batch = p->batch;
        batch.form = forms[f];
        sonde_head_report report;
        check_ok(context, sonde_head_gradient(context, &batch, &report));
        check_score(&report.raw, r.raw, "raw");
        check_score(&report.bias, r.bias, "bias");
        check_score(&report.loss, r.loss, "loss");
        check_score(&report.feature_scaled, r.raw / (r.feature_rms + 1e-12L), "feature scaled");
        check_score(&report.head_scaled, r.raw / (r.weight + 1e-12L), "head scaled");
        if (batch.kind == SONDE_HEAD_SQUARED) {
            assert_int_equal(report.confidence.validity, SONDE_NOT_MEASURED);
            continue;
        }
        check_score(&report.confidence, r.confidence, "confidence");
        check_score(&report.entropy, r.entropy, "entropy");
        check_score(&report.margin, r.margin, "margin");
    }
}

static const size_t SHAPES[][3] = {{1, 2, 1},  {2, 3, 5},    {5, 7, 9},     {17, 10, 33},
                                   {64, 3, 7}, {33, 63, 65}, {16, 17, 128}, {3, 64, 63}};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof SHAPES[0] };

static void every_kind_and_form_agrees_with_long_double(void **state)
{
    (void)state;
    static problem p;
    sonde_context *context = check_context();
    for (size_t s = 0; s < SHAPE_COUNT; s++)
        for (int kind = 0; kind < 3; kind++)
            for (int variant = 0; variant < 3; variant++) {
                make(&p, 10 * s + (size_t)kind, SHAPES[s][0], SHAPES[s][1], SHAPES[s][2]);
                p.batch.kind = (sonde_head_kind)kind;
                p.batch.label_smoothing = variant == 1 ? 0.1 : 0;
                if (variant == 2)
                    p.batch.targets = (sonde_matrix){p.y, SONDE_F32, p.rows, p.outputs, 0};
                check_against_brute_force(context, &p);
            }
    sonde_context_free(context);
}

/* --- finite differences ------------------------------------------------------------------------ */

/* Loss as a function of the weights, in double throughout, through the library's own loss. */
static double loss_at(sonde_context *context, const problem *p, const double *w, double *o)
{
    for (size_t i = 0; i < p->rows; i++)
        for (size_t c = 0; c < p->outputs; c++) {
            double sum = 0;
            for (size_t j = 0; j < p->features; j++)
                sum += w[c * p->features + j] * (double)p->z[i * p->features + j];
            o[i * p->outputs + c] = sum;
        }
    sonde_head_batch batch = p->batch;
    batch.logits = (sonde_matrix){o, SONDE_F64, p->rows, p->outputs, 0};
    sonde_head_report report;
    check_ok(context, sonde_head_gradient(context, &batch, &report));
    return report.loss.value;
}

static void the_norm_is_that_of_finite_differences_on_the_weights(void **state)
{
    (void)state;
    static problem p;
    static double w[MOST], o[MOST];
    sonde_context *context = check_context();
    for (int kind = 0; kind < 3; kind++) {
        make(&p, 77, 6, 5, 8);
        p.batch.kind = (sonde_head_kind)kind;
        p.batch.label_smoothing = 0.05;
        for (size_t i = 0; i < 40; i++)
            w[i] = (double)p.w[i];
        loss_at(context, &p, w, o);
        sonde_head_batch batch = p.batch;
        batch.logits = (sonde_matrix){o, SONDE_F64, 6, 5, 0};
        sonde_head_report report;
        check_ok(context, sonde_head_gradient(context, &batch, &report));
        double sum = 0, h = 1e-5;
        for (size_t i = 0; i < 40; i++) {
            double keep = w[i];
            w[i] = keep + h;
            double up = loss_at(context, &p, w, o);
            w[i] = keep - h;
            double down = loss_at(context, &p, w, o);
            w[i] = keep;
            double g = (up - down) / (2 * h);
            sum += g * g;
        }
        check_close(report.raw.value, sqrt(sum), 0, 1e-7, "norm");
    }
    sonde_context_free(context);
}

/* --- identities -------------------------------------------------------------------------------- */

static void a_perfect_fit_has_no_gradient(void **state)
{
    (void)state;
    static problem p;
    static double soft[MOST];
    sonde_context *context = check_context();
    make(&p, 3, 8, 6, 12);
    for (size_t i = 0; i < 8; i++) {
        double sum = 0;
        for (size_t c = 0; c < 6; c++)
            sum += exp((double)p.o[i * 6 + c]);
        for (size_t c = 0; c < 6; c++)
            soft[i * 6 + c] = exp((double)p.o[i * 6 + c]) / sum;
    }
    p.batch.targets = (sonde_matrix){soft, SONDE_F64, 8, 6, 0};
    sonde_head_report report;
    check_ok(context, sonde_head_gradient(context, &p.batch, &report));
    assert_int_equal(report.raw.validity, SONDE_VALID);
    assert_true(report.raw.value < 1e-14);
    sonde_context_free(context);
}

static void rescaling_features_against_weights_moves_each_score_as_derived(void **state)
{
    (void)state;
    static problem p;
    sonde_context *context = check_context();
    make(&p, 4, 16, 10, 20);
    sonde_head_report before, after;
    check_ok(context, sonde_head_gradient(context, &p.batch, &before));
    const float a = 4;
    for (size_t i = 0; i < 16 * 20; i++)
        p.z[i] *= a;
    for (size_t i = 0; i < 10 * 20; i++)
        p.w[i] /= a;
    check_ok(context, sonde_head_gradient(context, &p.batch, &after));
    check_close(after.raw.value, 4 * before.raw.value, 0, 1e-12, "raw");
    check_close(after.feature_scaled.value, before.feature_scaled.value, 0, 1e-11, "feature");
    check_close(after.head_scaled.value, 16 * before.head_scaled.value, 0, 1e-11, "head");
    sonde_context_free(context);
}

static void duplicating_the_batch_changes_no_score(void **state)
{
    (void)state;
    static problem p;
    sonde_context *context = check_context();
    make(&p, 5, 12, 10, 20);
    sonde_head_report before, after;
    check_ok(context, sonde_head_gradient(context, &p.batch, &before));
    memcpy(p.z + 12 * 20, p.z, 12 * 20 * sizeof(float));
    memcpy(p.o + 12 * 10, p.o, 12 * 10 * sizeof(float));
    memcpy(p.labels + 12, p.labels, 12 * sizeof(int64_t));
    p.batch.features.rows = p.batch.logits.rows = 24;
    check_ok(context, sonde_head_gradient(context, &p.batch, &after));
    const sonde_score *x = &before.raw, *y = &after.raw;
    for (int i = 0; i < 10; i++)
        check_close(y[i].value, x[i].value, 1e-15, 1e-12, "score");
    sonde_context_free(context);
}

/* Once the residuals of all rows are kept, once they are computed again as they are needed. */
static void a_batch_too_large_to_keep_its_residuals_scores_the_same(void **state)
{
    (void)state;
    enum { ROWS = 33, OUTPUTS = 3001, COLS = 3 };
    sonde_context *context = check_context();
    sonde__stream stream = stream_of(21);
    float *o = malloc(2 * ROWS * OUTPUTS * sizeof *o), z[2 * ROWS * COLS];
    int64_t labels[2 * ROWS];
    assert_non_null(o);
    for (size_t i = 0; i < ROWS * OUTPUTS; i++)
        o[i] = o[ROWS * OUTPUTS + i] = (float)(3 * sonde__random_normal(&stream));
    for (size_t i = 0; i < ROWS * COLS; i++)
        z[i] = z[ROWS * COLS + i] = (float)sonde__random_normal(&stream);
    for (size_t i = 0; i < ROWS; i++)
        labels[i] = labels[ROWS + i] = (int64_t)(i * 89);
    for (int form = SONDE_FORM_DIRECT; form <= SONDE_FORM_GRAM; form++)
        for (int kind = 0; kind < 3; kind++) {
            sonde_head_report reports[2];
            for (size_t twice = 0; twice < 2; twice++) {
                sonde_head_batch batch;
                sonde_head_batch_init(&batch);
                batch.form = (sonde_head_form)form;
                batch.kind = (sonde_head_kind)kind;
                batch.label_smoothing = 0.1;
                batch.features = (sonde_matrix){z, SONDE_F32, (size_t)ROWS << twice, COLS, 0};
                batch.logits = (sonde_matrix){o, SONDE_F32, (size_t)ROWS << twice, OUTPUTS, 0};
                batch.labels = labels;
                check_ok(context, sonde_head_gradient(context, &batch, &reports[twice]));
            }
            const sonde_score *kept = &reports[0].raw, *again = &reports[1].raw;
            for (int i = 0; i < 10; i++)
                check_close(again[i].value, kept[i].value, 1e-15, 1e-12, "score");
        }
    free(o);
    sonde_context_free(context);
}

/* Ten classes, label logit far ahead: the residual is e^-40, which P - 1 in double would lose. */
static void a_nearly_perfect_fit_keeps_its_digits(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    double o[10] = {40, 0, 0, 0, 0, 0, 0, 0, 0, 0}, z[1] = {1};
    int64_t label = 0;
    sonde_head_batch batch;
    sonde_head_batch_init(&batch);
    batch.features = (sonde_matrix){z, SONDE_F64, 1, 1, 0};
    batch.logits = (sonde_matrix){o, SONDE_F64, 1, 10, 0};
    batch.labels = &label;
    sonde_head_report report;
    check_ok(context, sonde_head_gradient(context, &batch, &report));
    double e = exp(-40);
    check_close(report.raw.value, e * sqrt(90), 0, 1e-12, "raw");
    check_close(report.loss.value, 9 * e, 0, 1e-12, "loss");
    sonde_context_free(context);
}

static void patches_equal_an_explicit_unfolding(void **state)
{
    (void)state;
    enum { B = 2, CH = 3, H = 7, W = 6, K = 5 };
    static float input[B * CH * H * W], unfolded[MOST], logits[MOST], weight[MOST];
    static int64_t labels[256];
    sonde_context *context = check_context();
    sonde__stream stream = stream_of(9);
    fill(input, B * CH * H * W, &stream, 1);
    const size_t cases[][5] = {{3, 3, 1, 1, 1}, {3, 2, 2, 0, 1}, {2, 3, 1, 2, 2}, {1, 1, 1, 0, 1}};
    for (size_t t = 0; t < 4; t++) {
        sonde_head_patches patches;
        sonde_head_patches_init(&patches);
        patches.input = input;
        patches.batch = B, patches.channels = CH, patches.height = H, patches.width = W;
        patches.kernel_height = cases[t][0], patches.kernel_width = cases[t][1];
        patches.stride = cases[t][2], patches.padding = cases[t][3];
        patches.dilation = cases[t][4];
        size_t kh = cases[t][0], kw = cases[t][1], stride = cases[t][2], pad = cases[t][3];
        size_t dilation = cases[t][4], d = CH * kh * kw, rows = 0;
        for (int b = 0; b < B; b++)
            for (size_t y = 0; y + dilation * (kh - 1) < H + 2 * pad; y += stride)
                for (size_t x = 0; x + dilation * (kw - 1) < W + 2 * pad; x += stride, rows++)
                    for (size_t j = 0; j < d; j++) {
                        int c = (int)(j / (kh * kw));
                        int iy = (int)(y + j / kw % kh * dilation) - (int)pad;
                        int ix = (int)(x + j % kw * dilation) - (int)pad;
                        bool in = iy >= 0 && iy < H && ix >= 0 && ix < W;
                        unfolded[rows * d + j] = in ? input[((b * CH + c) * H + iy) * W + ix] : 0;
                    }
        assert_true(rows * d <= MOST && rows <= 256);
        fill(logits, rows * K, &stream, 1);
        fill(weight, K * d, &stream, 1);
        for (size_t i = 0; i < rows; i++)
            labels[i] = (int64_t)(i % K);
        sonde_head_batch batch;
        sonde_head_batch_init(&batch);
        batch.logits = (sonde_matrix){logits, SONDE_F32, rows, K, 0};
        batch.weight = (sonde_matrix){weight, SONDE_F32, K, d, 0};
        batch.labels = labels;
        sonde_head_report report, plain;
        check_ok(context, sonde_head_gradient_patches(context, &patches, &batch, &report));
        batch.features = (sonde_matrix){unfolded, SONDE_F32, rows, d, 0};
        check_ok(context, sonde_head_gradient(context, &batch, &plain));
        assert_memory_equal(&report, &plain, sizeof report);
    }
    sonde_context_free(context);
}

static uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* Small integers over a power of two are exact in every format, so the scores must be the same. */
static void all_number_formats_and_strides_give_the_same(void **state)
{
    (void)state;
    enum { B = 6, D = 5, C = 4, PITCH = 9 };
    float z32[B * PITCH] = {0};
    double z64[B * D], o[B * C];
    uint16_t bf16[B * D], f16[B * D];
    int64_t labels[B] = {0, 1, 2, 3, 0, 1};
    for (int i = 0; i < B * D; i++) {
        int v = i % 7 + 1; /* 1 .. 7 */
        z64[i] = v;
        z32[i / D * PITCH + i % D] = (float)v;
        bf16[i] = to_bf16((float)v);
        int e = v >= 4 ? 2 : v >= 2 ? 1 : 0;
        f16[i] = (uint16_t)((15 + e) << 10 | ((v << (10 - e)) & 1023));
    }
    for (int i = 0; i < B * C; i++)
        o[i] = i % 5 * 0.25;
    const sonde_matrix features[] = {{z64, SONDE_F64, B, D, 0},
                                     {z32, SONDE_F32, B, D, PITCH},
                                     {bf16, SONDE_BF16, B, D, 0},
                                     {f16, SONDE_F16, B, D, 0}};
    sonde_context *context = check_context();
    sonde_head_report reports[4];
    for (int i = 0; i < 4; i++) {
        sonde_head_batch batch;
        sonde_head_batch_init(&batch);
        batch.features = features[i];
        batch.logits = (sonde_matrix){o, SONDE_F64, B, C, 0};
        batch.labels = labels;
        check_ok(context, sonde_head_gradient(context, &batch, &reports[i]));
        assert_true(reports[i].raw.value > 0);
        assert_memory_equal(&reports[i], &reports[0], sizeof reports[0]);
    }
    sonde_context_free(context);
}

/* --- degenerate and wrong input ---------------------------------------------------------------- */

static void input_that_is_not_finite_spoils_only_what_depends_on_it(void **state)
{
    (void)state;
    static problem p;
    sonde_context *context = check_context();
    const float broken[] = {NAN, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++)
        for (int form = 1; form <= 2; form++) {
            sonde_head_report report;
            make(&p, 6, 8, 5, 9);
            p.batch.form = (sonde_head_form)form;
            p.z[13] = broken[b];
            check_ok(context, sonde_head_gradient(context, &p.batch, &report));
            assert_int_equal(report.raw.validity, SONDE_NOT_FINITE);
            assert_int_equal(report.head_scaled.validity, SONDE_NOT_FINITE);
            assert_int_equal(report.feature_scaled.validity, SONDE_NOT_FINITE);
            assert_int_equal(report.loss.validity, SONDE_VALID);
            assert_int_equal(report.bias.validity, SONDE_VALID);
            assert_true(report.raw.value == 0);

            make(&p, 6, 8, 5, 9);
            p.w[3] = broken[b];
            check_ok(context, sonde_head_gradient(context, &p.batch, &report));
            assert_int_equal(report.head_scaled.validity, SONDE_NOT_FINITE);
            assert_int_equal(report.raw.validity, SONDE_VALID);

            make(&p, 6, 8, 5, 9);
            p.o[7] = broken[b];
            check_ok(context, sonde_head_gradient(context, &p.batch, &report));
            const sonde_score *scores = &report.raw;
            for (int i = 0; i < 10; i++)
                assert_int_equal(scores[i].validity, SONDE_NOT_FINITE);
        }
    sonde_context_free(context);
}

static void degenerate_input_has_a_named_validity(void **state)
{
    (void)state;
    static problem p;
    sonde_context *context = check_context();
    sonde_head_report report;
    make(&p, 7, 8, 5, 9);
    memset(p.w, 0, sizeof p.w);
    check_ok(context, sonde_head_gradient(context, &p.batch, &report));
    assert_int_equal(report.head_scaled.validity, SONDE_DEGENERATE);
    assert_int_equal(report.raw.validity, SONDE_VALID);

    make(&p, 7, 8, 5, 9);
    memset(p.z, 0, sizeof p.z);
    check_ok(context, sonde_head_gradient(context, &p.batch, &report));
    assert_int_equal(report.raw.validity, SONDE_DEGENERATE);
    assert_int_equal(report.loss.validity, SONDE_VALID);

    make(&p, 7, 8, 1, 9);
    check_ok(context, sonde_head_gradient(context, &p.batch, &report));
    assert_int_equal(report.raw.validity, SONDE_DEGENERATE);
    assert_int_equal(report.margin.validity, SONDE_TOO_FEW);

    make(&p, 7, 8, 5, 9);
    p.batch.weight.data = NULL;
    check_ok(context, sonde_head_gradient(context, &p.batch, &report));
    assert_int_equal(report.head_scaled.validity, SONDE_NOT_MEASURED);

    make(&p, 7, 8, 5, 9);
    p.batch.features.rows = p.batch.logits.rows = 0;
    check_ok(context, sonde_head_gradient(context, &p.batch, &report));
    assert_int_equal(report.raw.validity, SONDE_TOO_FEW);

    double huge[2] = {1e200, -1e200}, o[2] = {0, 1};
    int64_t label = 0;
    sonde_head_batch batch;
    sonde_head_batch_init(&batch);
    batch.features = (sonde_matrix){huge, SONDE_F64, 1, 2, 0};
    batch.logits = (sonde_matrix){o, SONDE_F64, 1, 2, 0};
    batch.labels = &label;
    check_ok(context, sonde_head_gradient(context, &batch, &report));
    assert_int_equal(report.raw.validity, SONDE_OUT_OF_RANGE);
    sonde_context_free(context);
}

/* Masked classes and extreme logits: nothing overflows, probabilities stay probabilities. */
static void extreme_logits_do_not_overflow(void **state)
{
    (void)state;
    sonde_context *context = check_context();
    double o[4] = {1e300, -1e300, 1e300, 0}, z[2] = {1, 1};
    int64_t labels[2] = {0, 1};
    sonde_head_batch batch;
    sonde_head_batch_init(&batch);
    batch.features = (sonde_matrix){z, SONDE_F64, 2, 1, 0};
    batch.logits = (sonde_matrix){o, SONDE_F64, 2, 2, 0};
    batch.labels = labels;
    sonde_head_report report;
    check_ok(context, sonde_head_gradient(context, &batch, &report));
    check_close(report.raw.value, sqrt(0.5), 0, 1e-14, "raw"); /* residuals (0 0), (1 -1) over 2 */
    check_close(report.confidence.value, 1, 0, 1e-15, "confidence");
    check_close(report.accuracy.value, 0.5, 0, 0, "accuracy");
    sonde_context_free(context);
}

static void wrong_batches_are_refused_and_the_report_stays(void **state)
{
    (void)state;
    static problem p;
    sonde_context *context = check_context();
    sonde_head_report report, untouched;
    memset(&report, 0x5a, sizeof report);
    untouched = report;
    make(&p, 8, 8, 5, 9);
    const sonde_head_batch good = p.batch;
    sonde_head_batch b;
    b = good, b.size = 3;
    check_status(sonde_head_gradient(context, &b, &report), SONDE_ERROR_ARGUMENT);
    sonde_head_patches patches;
    sonde_head_patches_init(&patches);
    patches.size = 3;
    check_status(sonde_head_gradient_patches(context, &patches, &good, &report),
                 SONDE_ERROR_ARGUMENT);
    assert_non_null(strstr(sonde_context_error(context)->message, "sonde_head_patches_init"));
    b = good, b.labels = NULL;
    check_status(sonde_head_gradient(context, &b, &report), SONDE_ERROR_ARGUMENT);
    b = good, b.features.rows = 7;
    check_status(sonde_head_gradient(context, &b, &report), SONDE_ERROR_SHAPE);
    b = good, b.weight.cols = 8;
    check_status(sonde_head_gradient(context, &b, &report), SONDE_ERROR_SHAPE);
    b = good, b.targets = (sonde_matrix){p.y, SONDE_F32, 8, 4, 0};
    check_status(sonde_head_gradient(context, &b, &report), SONDE_ERROR_SHAPE);
    b = good, b.kind = (sonde_head_kind)9;
    check_status(sonde_head_gradient(context, &b, &report), SONDE_ERROR_RANGE);
    b = good, b.label_smoothing = 1;
    check_status(sonde_head_gradient(context, &b, &report), SONDE_ERROR_RANGE);
    b = good, b.features.data = NULL;
    assert_int_not_equal(sonde_head_gradient(context, &b, &report), SONDE_OK);
    b = good, b.features.cols = SIZE_MAX / 2;
    assert_int_not_equal(sonde_head_gradient(context, &b, &report), SONDE_OK);
    p.labels[2] = 5;
    check_status(sonde_head_gradient(context, &good, &report), SONDE_ERROR_RANGE);
    p.labels[2] = -1;
    check_status(sonde_head_gradient(context, &good, &report), SONDE_ERROR_RANGE);
    check_status(sonde_head_gradient(NULL, &good, &report), SONDE_ERROR_ARGUMENT);
    check_status(sonde_head_gradient(context, NULL, &report), SONDE_ERROR_ARGUMENT);
    check_status(sonde_head_gradient(context, &good, NULL), SONDE_ERROR_ARGUMENT);
    assert_memory_equal(&report, &untouched, sizeof report);
    sonde_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_and_form_agrees_with_long_double),
        cmocka_unit_test(the_norm_is_that_of_finite_differences_on_the_weights),
        cmocka_unit_test(a_perfect_fit_has_no_gradient),
        cmocka_unit_test(rescaling_features_against_weights_moves_each_score_as_derived),
        cmocka_unit_test(duplicating_the_batch_changes_no_score),
        cmocka_unit_test(a_batch_too_large_to_keep_its_residuals_scores_the_same),
        cmocka_unit_test(a_nearly_perfect_fit_keeps_its_digits),
        cmocka_unit_test(patches_equal_an_explicit_unfolding),
        cmocka_unit_test(all_number_formats_and_strides_give_the_same),
        cmocka_unit_test(input_that_is_not_finite_spoils_only_what_depends_on_it),
        cmocka_unit_test(degenerate_input_has_a_named_validity),
        cmocka_unit_test(extreme_logits_do_not_overflow),
        cmocka_unit_test(wrong_batches_are_refused_and_the_report_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
