/*
 * Reads the recorded cases of tests/golden (format: make_golden.py) and makes graphs of them.
 *
 * Files are our own, so a fault in one ends the test at once. Values of inputs and parameters are
 * computed from seeds, by the same integer arithmetic as in make_golden.py.
 */
#ifndef SONDE_TESTS_GOLDEN_H
#define SONDE_TESTS_GOLDEN_H

#include "check.h"

#include "net/arch.h"
#include "net/graph.h"

enum { GOLDEN_LAYERS = 32, GOLDEN_TENSORS = 320, GOLDEN_NAME = 64, GOLDEN_LINE = 160 };

typedef struct golden_setting {
    char tensor[GOLDEN_NAME];
    uint32_t seed;
    double scale, offset;
} golden_setting;

typedef struct golden_expected {
    char tensor[GOLDEN_NAME];
    size_t count, stride, kept; /* values[i] is element i * stride of `count` */
    double largest;             /* magnitude, over all elements */
    double *values;
} golden_expected;

typedef struct golden_case {
    char name[GOLDEN_NAME];
    int batch, classes, layer_count, setting_count, expected_count;
    bool train;
    double tolerance; /* relative to a tensor's largest magnitude */
    sonde__shape input;
    char arch[GOLDEN_NAME];
    char layers[GOLDEN_LAYERS][GOLDEN_LINE];
    golden_setting settings[GOLDEN_TENSORS];
    golden_expected expected[GOLDEN_TENSORS];
    int steps; /* of a trajectory */
    double rate, momentum, decay;
    uint32_t label_seed;
    char loss[GOLDEN_NAME];
    double smoothing;
} golden_case;

/* Integer k in 0..254 of the i-th number of a seed. */
static inline uint32_t golden_draw(uint32_t seed, size_t i)
{
    uint32_t h = (uint32_t)i * 2654435761u + seed * 2246822519u;
    h ^= h >> 15;
    h *= 0x2C1B3C6Du;
    h ^= h >> 12;
    h *= 0x297A2D39u;
    h ^= h >> 15;
    return (h >> 16) % 255;
}

static inline void golden_fill(const golden_setting *setting, size_t count, float *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(((double)golden_draw(setting->seed, i) - 127) / 128 * setting->scale +
                            setting->offset);
}

static inline void golden_fill_labels(uint32_t seed, size_t count, int classes, int32_t *labels)
{
    for (size_t i = 0; i < count; i++)
        labels[i] = (int32_t)(golden_draw(seed, i) % (uint32_t)classes);
}

static inline const golden_setting *golden_find_setting(const golden_case *c, const char *tensor)
{
    for (int i = 0; i < c->setting_count; i++)
        if (strcmp(c->settings[i].tensor, tensor) == 0)
            return &c->settings[i];
    fail_msg("case %s sets no tensor %s", c->name, tensor);
    return NULL;
}

static inline const golden_expected *golden_find(const golden_case *c, const char *tensor)
{
    for (int i = 0; i < c->expected_count; i++)
        if (strcmp(c->expected[i].tensor, tensor) == 0)
            return &c->expected[i];
    fail_msg("case %s expects nothing of %s", c->name, tensor);
    return NULL;
}

/* A value is only compared after make_golden.py and the engine agree on its size. */
static inline void golden_compare(const golden_case *c, const char *tensor, const float *values,
                                  double relative, double absolute)
{
    const golden_expected *e = golden_find(c, tensor);
    for (size_t i = 0; i < e->kept; i++) {
        double const value = (double)values[i * e->stride];
        if (!(fabs(value - e->values[i]) <= relative * e->largest + absolute))
            fail_msg("%s: %s[%zu of %zu] is %.9g, not %.9g (largest %.3g, off by %.1e of it)",
                     c->name, tensor, i * e->stride, e->count, value, e->values[i], e->largest,
                     fabs(value - e->values[i]) / e->largest);
    }
}

static inline void golden_read_expected(FILE *file, golden_case *c, const char *line)
{
    assert_true(c->expected_count < GOLDEN_TENSORS);
    golden_expected *e = &c->expected[c->expected_count++];
    assert_int_equal(sscanf(line, "expect %63s %zu %zu %lf %zu", e->tensor, &e->count, &e->stride,
                            &e->largest, &e->kept),
                     5);
    e->values = malloc((e->kept + 1) * sizeof *e->values);
    assert_non_null(e->values);
    for (size_t i = 0; i < e->kept; i++)
        assert_int_equal(fscanf(file, "%lf", &e->values[i]), 1);
}

static inline void golden_read_line(FILE *file, golden_case *c, const char *line)
{
    char word[GOLDEN_NAME] = "", mode[GOLDEN_NAME] = "";
    sonde__shape *in = &c->input;
    sscanf(line, "%63s", word);
    if (strcmp(word, "case") == 0) {
        assert_int_equal(sscanf(line, "case %63s", c->name), 1);
    } else if (strcmp(word, "batch") == 0) {
        assert_int_equal(sscanf(line, "batch %d", &c->batch), 1);
    } else if (strcmp(word, "mode") == 0) {
        assert_int_equal(sscanf(line, "mode %63s", mode), 1);
        c->train = strcmp(mode, "train") == 0;
    } else if (strcmp(word, "tolerance") == 0) {
        assert_int_equal(sscanf(line, "tolerance %lf", &c->tolerance), 1);
    } else if (strcmp(word, "input") == 0) {
        assert_int_equal(sscanf(line, "input %d %d %d", &in->channels, &in->height, &in->width), 3);
    } else if (strcmp(word, "layer") == 0) {
        assert_true(c->layer_count < GOLDEN_LAYERS && strlen(line) < GOLDEN_LINE);
        strcpy(c->layers[c->layer_count++], line + strlen("layer "));
    } else if (strcmp(word, "arch") == 0) {
        assert_int_equal(sscanf(line, "arch %63s %d", c->arch, &c->classes), 2);
    } else if (strcmp(word, "set") == 0) {
        assert_true(c->setting_count < GOLDEN_TENSORS);
        golden_setting *s = &c->settings[c->setting_count++];
        assert_int_equal(
            sscanf(line, "set %63s %u %lf %lf", s->tensor, &s->seed, &s->scale, &s->offset), 4);
    } else if (strcmp(word, "expect") == 0) {
        golden_read_expected(file, c, line);
    } else if (strcmp(word, "train") == 0) {
        assert_int_equal(sscanf(line, "train %d %lf %lf %lf %u", &c->steps, &c->rate, &c->momentum,
                                &c->decay, &c->label_seed),
                         5);
    } else if (strcmp(word, "loss") == 0) {
        assert_int_equal(
            sscanf(line, "loss %63s %d %d %lf", c->loss, &c->batch, &c->classes, &c->smoothing), 4);
    } else {
        fail_msg("unknown line in a recorded case: %s", line);
    }
}

static inline FILE *golden_open(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/golden/%s.txt", SONDE_TESTS_DIR, name);
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot read %s", path);
    return file;
}

/* The next case of a file, or NULL at its end. */
static inline golden_case *golden_next(FILE *file)
{
    char line[512];
    golden_case *c = NULL;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (strcmp(line, "end") == 0)
            return c;
        if (!c) {
            c = calloc(1, sizeof *c);
            assert_non_null(c);
            c->tolerance = 1e-5;
        }
        golden_read_line(file, c, line);
    }
    assert_null(c);
    return NULL;
}

static inline void golden_free(golden_case *c)
{
    for (int i = 0; i < c->expected_count; i++)
        free(c->expected[i].values);
    free(c);
}

static inline void golden_add_unary(sonde__graph *graph, const char *kind, int x)
{
    static const struct {
        const char *name;
        sonde__op op;
    } kinds[] = {{"relu", SONDE__OP_RELU},
                 {"gelu", SONDE__OP_GELU},
                 {"silu", SONDE__OP_SILU},
                 {"sigmoid", SONDE__OP_SIGMOID},
                 {"tanh", SONDE__OP_TANH},
                 {"softmax", SONDE__OP_SOFTMAX},
                 {"global_pool", SONDE__OP_GLOBAL_POOL}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].name, kind) == 0) {
            sonde__graph_unary(graph, kinds[i].op, x);
            return;
        }
    fail_msg("unknown operator %s", kind);
}

/* "COUNT NODE ..." */
static inline void golden_add_concat(sonde__graph *graph, const char *words)
{
    sonde__node nodes[8];
    int count = 0, read = 0;
    assert_int_equal(sscanf(words, "%d%n", &count, &read), 1);
    assert_true(count <= 8);
    for (int i = 0; i < count; i++) {
        words += read;
        assert_int_equal(sscanf(words, "%d%n", &nodes[i], &read), 1);
    }
    sonde__graph_concat(graph, nodes, count);
}

/* Layers of sequences; false: the line is of another kind. */
static inline bool golden_add_tokens(sonde__graph *graph, const char *line)
{
    char name[GOLDEN_NAME];
    int a[3];
    if (sscanf(line, "token_linear %63s %d %d %d", name, &a[0], &a[1], &a[2]) == 4)
        sonde__graph_token_linear(graph, name, a[0], a[1], a[2] != 0);
    else if (sscanf(line, "token_norm %63s %d", name, &a[0]) == 2)
        sonde__graph_token_norm(graph, name, a[0]);
    else if (sscanf(line, "group_norm %63s %d %d", name, &a[0], &a[1]) == 3)
        sonde__graph_group_norm(graph, name, a[0], a[1]);
    else if (sscanf(line, "embedding %63s %d %d %d", name, &a[0], &a[1], &a[2]) == 4)
        sonde__graph_embedding(graph, name, a[0], a[1], a[2]);
    else if (sscanf(line, "positions %63s %d %d", name, &a[0], &a[1]) == 3)
        sonde__graph_positions(graph, name, a[0], a[1]);
    else if (sscanf(line, "attention %d %d %d", &a[0], &a[1], &a[2]) == 3)
        sonde__graph_attention(graph, a[0], a[1], a[2] != 0);
    else if (sscanf(line, "transpose %d", &a[0]) == 1)
        sonde__graph_transpose(graph, a[0]);
    else if (sscanf(line, "upsample %d %d", &a[0], &a[1]) == 2)
        sonde__graph_upsample(graph, a[0], a[1]);
    else
        return false;
    return true;
}

static inline void golden_add_layer(sonde__graph *graph, const char *line)
{
    char name[GOLDEN_NAME];
    sonde__conv_options o = {0};
    int a[5], bias = 0;
    double rate;
    if (sscanf(line, "conv %63s %d %d %d %d %d %d %d %d %d", name, &a[0], &o.out, &o.kernel_height,
               &o.kernel_width, &o.stride, &o.padding, &o.dilation, &o.groups, &bias) == 10) {
        o.bias = bias != 0;
        sonde__graph_conv(graph, name, a[0], o);
    } else if (sscanf(line, "linear %63s %d %d %d", name, &a[0], &a[1], &bias) == 4) {
        sonde__graph_linear(graph, name, a[0], a[1], bias != 0);
    } else if (sscanf(line, "batch_norm %63s %d", name, &a[0]) == 2) {
        sonde__graph_batch_norm(graph, name, a[0]);
    } else if (sscanf(line, "layer_norm %63s %d", name, &a[0]) == 2) {
        sonde__graph_layer_norm(graph, name, a[0]);
    } else if (sscanf(line, "unary %63s %d", name, &a[0]) == 2) {
        golden_add_unary(graph, name, a[0]);
    } else if (sscanf(line, "max_pool %d %d %d %d", &a[0], &a[1], &a[2], &a[3]) == 4) {
        sonde__graph_pool(graph, SONDE__OP_MAX_POOL, a[0], a[1], a[2], a[3]);
    } else if (sscanf(line, "avg_pool %d %d %d %d", &a[0], &a[1], &a[2], &a[3]) == 4) {
        sonde__graph_pool(graph, SONDE__OP_AVG_POOL, a[0], a[1], a[2], a[3]);
    } else if (sscanf(line, "add %d %d", &a[0], &a[1]) == 2) {
        sonde__graph_binary(graph, SONDE__OP_ADD, a[0], a[1]);
    } else if (sscanf(line, "mul %d %d", &a[0], &a[1]) == 2) {
        sonde__graph_binary(graph, SONDE__OP_MUL, a[0], a[1]);
    } else if (strncmp(line, "concat ", 7) == 0) {
        golden_add_concat(graph, line + 7);
    } else if (sscanf(line, "reshape %d %d %d %d", &a[0], &a[1], &a[2], &a[3]) == 4) {
        sonde__graph_reshape(graph, a[0], (sonde__shape){a[1], a[2], a[3]});
    } else if (sscanf(line, "dropout %d %lf", &a[0], &rate) == 2) {
        sonde__graph_dropout(graph, a[0], rate);
    } else if (sscanf(line, "shortcut_pad %d %d %d", &a[0], &a[1], &a[2]) == 3) {
        sonde__graph_shortcut_pad(graph, a[0], a[1], a[2]);
    } else if (!golden_add_tokens(graph, line)) {
        fail_msg("unknown layer in a recorded case: %s", line);
    }
}

static inline sonde__graph *golden_graph(sonde_context *context, const golden_case *c)
{
    sonde__graph *graph = NULL;
    if (c->arch[0]) {
        check_ok(context, sonde__arch_build(context, c->arch, c->input, c->classes, -1, &graph));
        return graph;
    }
    check_ok(context, sonde__graph_create(context, &graph));
    sonde__graph_input(graph, c->input);
    for (int i = 0; i < c->layer_count; i++)
        golden_add_layer(graph, c->layers[i]);
    check_ok(context, sonde__graph_finish(graph, c->layer_count));
    return graph;
}

#endif
