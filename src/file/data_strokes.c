/*
 * strokes: 28x28 grey digits drawn by rule, the data set that needs no file.
 *
 * Each class has one to three skeletons of strokes in the unit square. An example jitters the
 * control points, bends the strokes (a smooth wobble), shears, turns, scales and shifts them, draws
 * them with a pen of random width and strength, and adds what makes the task hard: stray strokes
 * over the digit, erased bands, an uneven background and noise. `difficulty` scales all of these.
 *
 * Example i draws from its own stream (seed, DATA, i) and has class i mod K: the same picture in a
 * set of any size, drawn by any number of threads.
 */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "base/thread.h"
#include "file/data_internal.h"

enum {
    SIDE = 28,
    CLASSES = 10,
    TRAIN_SIZE = 12000,
    TEST_SIZE = 2000,
    STROKE_POINTS = 12,
    GLYPH_STROKES = 3,
    VARIANTS = 3,
    SPAN_STEPS = 5, /* straight pieces between two control points of a curve */
    PATH_POINTS = STROKE_POINTS * SPAN_STEPS + 1
};

typedef struct point {
    double x, y;
} point;

typedef enum stroke_kind { NOTHING = 0, LINES, CURVE, LOOP } stroke_kind;

typedef struct stroke {
    stroke_kind kind;
    int count;
    point points[STROKE_POINTS];
} stroke;

/* x to the right, y down, in the unit square. */
static const stroke GLYPHS[CLASSES][VARIANTS][GLYPH_STROKES] = {
    {{{LOOP,
       8,
       {{.5, .04}, {.82, .2}, {.9, .5}, {.82, .8}, {.5, .96}, {.18, .8}, {.1, .5}, {.18, .2}}}},
     {{LOOP, 6, {{.55, .04}, {.84, .3}, {.76, .76}, {.42, .96}, {.14, .68}, {.25, .24}}}}},
    {{{LINES, 2, {{.5, .04}, {.5, .96}}}},
     {{LINES, 3, {{.28, .26}, {.54, .04}, {.54, .96}}}},
     {{LINES, 3, {{.28, .24}, {.52, .04}, {.52, .95}}}, {LINES, 2, {{.26, .95}, {.78, .95}}}}},
    {{{CURVE, 7, {{.15, .28}, {.3, .07}, {.62, .05}, {.82, .26}, {.7, .5}, {.4, .74}, {.12, .94}}},
      {LINES, 2, {{.12, .94}, {.88, .92}}}},
     {{CURVE,
       9,
       {{.18, .2},
        {.48, .04},
        {.78, .2},
        {.68, .52},
        {.36, .84},
        {.16, .9},
        {.2, .74},
        {.5, .86},
        {.88, .94}}}}},
    {{{CURVE, 5, {{.18, .15}, {.5, .04}, {.8, .2}, {.7, .42}, {.42, .48}}},
      {CURVE, 5, {{.42, .48}, {.76, .55}, {.84, .76}, {.54, .96}, {.15, .85}}}},
     {{LINES, 3, {{.2, .06}, {.8, .06}, {.45, .42}}},
      {CURVE, 5, {{.45, .42}, {.8, .54}, {.8, .82}, {.5, .96}, {.15, .85}}}}},
    {{{LINES, 3, {{.3, .05}, {.12, .6}, {.88, .6}}}, {LINES, 2, {{.68, .3}, {.66, .95}}}},
     {{LINES, 4, {{.66, .95}, {.66, .05}, {.1, .66}, {.9, .66}}}},
     {{CURVE, 5, {{.2, .06}, {.16, .38}, {.3, .54}, {.6, .52}, {.78, .4}}},
      {LINES, 2, {{.8, .06}, {.76, .95}}}}},
    {{{LINES, 3, {{.8, .06}, {.28, .06}, {.22, .45}}},
      {CURVE, 6, {{.22, .45}, {.55, .38}, {.84, .6}, {.72, .88}, {.42, .96}, {.14, .85}}}},
     {{CURVE, 7, {{.3, .1}, {.24, .42}, {.5, .42}, {.82, .58}, {.74, .86}, {.44, .96}, {.16, .88}}},
      {LINES, 2, {{.28, .08}, {.84, .05}}}}},
    {{{CURVE,
       9,
       {{.74, .06},
        {.4, .24},
        {.18, .55},
        {.2, .82},
        {.5, .96},
        {.8, .8},
        {.74, .58},
        {.48, .5},
        {.21, .68}}}},
     {{CURVE,
       8,
       {{.4, .04}, {.24, .4}, {.2, .8}, {.5, .96}, {.78, .84}, {.74, .64}, {.48, .6}, {.22, .8}}}}},
    {{{LINES, 3, {{.12, .08}, {.86, .08}, {.4, .95}}}},
     {{LINES, 3, {{.14, .08}, {.86, .08}, {.42, .95}}}, {LINES, 2, {{.32, .5}, {.78, .5}}}},
     {{LINES, 2, {{.14, .2}, {.16, .06}}},
      {CURVE, 5, {{.16, .06}, {.5, .1}, {.84, .07}, {.6, .45}, {.46, .95}}}}},
    {{{LOOP,
       10,
       {{.5, .48},
        {.24, .34},
        {.28, .1},
        {.52, .04},
        {.76, .14},
        {.72, .36},
        {.26, .66},
        {.24, .88},
        {.54, .96},
        {.78, .76}}}},
     {{LOOP, 6, {{.5, .04}, {.74, .14}, {.72, .36}, {.5, .46}, {.28, .36}, {.26, .14}}},
      {LOOP, 6, {{.5, .46}, {.78, .6}, {.76, .86}, {.5, .96}, {.24, .86}, {.22, .6}}}}},
    {{{LOOP, 6, {{.76, .28}, {.55, .05}, {.26, .14}, {.2, .36}, {.42, .52}, {.68, .44}}},
      {CURVE, 4, {{.78, .1}, {.77, .34}, {.72, .66}, {.56, .95}}}},
     {{CURVE,
       9,
       {{.74, .24},
        {.5, .05},
        {.24, .2},
        {.28, .46},
        {.56, .48},
        {.75, .22},
        {.76, .5},
        {.72, .8},
        {.5, .96}}}}},
};

/* --- pen ---------------------------------------------------------------------------------------- */

typedef struct canvas {
    float ink[SIDE * SIDE]; /* 0: none, 1: full */
    sonde__stream *stream;
    double difficulty;
} canvas;

static double uniform(canvas *c, double low, double high)
{
    return low + (high - low) * sonde__random_uniform(c->stream);
}

static double normal(canvas *c, double deviation)
{
    return deviation * sonde__random_normal(c->stream);
}

typedef struct pen {
    double radius, strength; /* strength below 0 erases */
} pen;

static int clamp_pixel(double v)
{
    return v < 0 ? 0 : v > SIDE - 1 ? SIDE - 1 : (int)v;
}

/* A piece of a stroke: ink falls off over one pixel around `radius` from the segment a b. */
static void draw_segment(canvas *c, point a, point b, pen p)
{
    double reach = p.radius + 1, dx = b.x - a.x, dy = b.y - a.y;
    double inverse = 1 / (dx * dx + dy * dy + 1e-9);
    int left = clamp_pixel(fmin(a.x, b.x) - reach), right = clamp_pixel(fmax(a.x, b.x) + reach);
    int top = clamp_pixel(fmin(a.y, b.y) - reach), bottom = clamp_pixel(fmax(a.y, b.y) + reach);
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++) {
            double px = x + .5 - a.x, py = y + .5 - a.y;
            double along = (px * dx + py * dy) * inverse;
            along = along < 0 ? 0 : along > 1 ? 1 : along;
            double ex = px - along * dx, ey = py - along * dy;
            double square = ex * ex + ey * ey;
            if (square >= reach * reach)
                continue;
            double cover = p.radius + .5 - sqrt(square);
            cover = cover > 1 ? 1 : cover < 0 ? 0 : cover;
            float *ink = &c->ink[y * SIDE + x];
            if (p.strength < 0)
                *ink *= (float)(1 + p.strength * cover);
            else if (*ink < (float)(p.strength * cover))
                *ink = (float)(p.strength * cover);
        }
}

static void draw_path(canvas *c, const point *points, int count, pen p)
{
    for (int i = 0; i + 1 < count; i++)
        draw_segment(c, points[i], points[i + 1], p);
}

/* Catmull-Rom: through its control points, with the tangents of their neighbours. */
static point spline(point a, point b, point c, point d, double t)
{
    double wa = ((-t + 2) * t - 1) * t / 2, wb = ((3 * t - 5) * t * t + 2) / 2;
    double wc = ((-3 * t + 4) * t + 1) * t / 2, wd = (t - 1) * t * t / 2;
    return (point){wa * a.x + wb * b.x + wc * c.x + wd * d.x,
                   wa * a.y + wb * b.y + wc * c.y + wd * d.y};
}

static int control_index(const stroke *s, int i)
{
    if (s->kind == LOOP)
        return (i + s->count) % s->count;
    return i < 0 ? 0 : i >= s->count ? s->count - 1 : i;
}

/* The stroke as a path of short straight pieces; returns how many points. */
static int trace(const stroke *s, point *path)
{
    int spans = s->kind == LOOP ? s->count : s->count - 1, count = 0;
    for (int i = 0; i < spans; i++)
        for (int k = 0; k < SPAN_STEPS; k++) {
            const point *p = s->points;
            point a = p[control_index(s, i)], b = p[control_index(s, i + 1)];
            double t = (double)k / SPAN_STEPS;
            path[count++] = s->kind == LINES ? (point){a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)}
                                             : spline(p[control_index(s, i - 1)], a, b,
                                                      p[control_index(s, i + 2)], t);
        }
    path[count++] = s->points[control_index(s, spans)];
    return count;
}

/* --- distortion ----------------------------------------------------------------------------------- */

typedef struct warp {
    double xx, xy, yx, yy, x, y; /* affine, from the centred unit square to pixels */
    double amplitude[2], fx[2], fy[2], phase[2]; /* wobble of x and of y, in pixels */
} warp;

static warp random_warp(canvas *c)
{
    double d = c->difficulty;
    double turn = normal(c, .17 * d), shear = normal(c, .18 * d);
    double width = 15 * exp(normal(c, .14 * d)), height = 20 * exp(normal(c, .10 * d));
    warp w = {.xx = width * cos(turn), .yx = width * sin(turn)};
    w.xy = height * (shear * cos(turn) - sin(turn));
    w.yy = height * (shear * sin(turn) + cos(turn));
    w.x = SIDE / 2.0 + normal(c, 1.3 * d);
    w.y = SIDE / 2.0 + normal(c, 1.3 * d);
    for (int i = 0; i < 2; i++) {
        w.amplitude[i] = normal(c, .8 * d);
        w.fx[i] = uniform(c, -4, 4);
        w.fy[i] = uniform(c, -4, 4);
        w.phase[i] = uniform(c, 0, 6.283185307179586);
    }
    return w;
}

static point apply(const warp *w, point p)
{
    double x = p.x - .5, y = p.y - .5;
    point out = {w->x + w->xx * x + w->xy * y, w->y + w->yx * x + w->yy * y};
    out.x += w->amplitude[0] * sin(w->fx[0] * x + w->fy[0] * y + w->phase[0]);
    out.y += w->amplitude[1] * sin(w->fx[1] * x + w->fy[1] * y + w->phase[1]);
    return out;
}

static void draw_digit(canvas *c, const stroke *glyph)
{
    warp w = random_warp(c);
    pen p = {uniform(c, .7, 1.7), uniform(c, .6, 1)};
    for (int s = 0; s < GLYPH_STROKES && glyph[s].kind != NOTHING; s++) {
        stroke jittered = glyph[s];
        point path[PATH_POINTS];
        for (int i = 0; i < jittered.count; i++) {
            jittered.points[i].x += normal(c, .035 * c->difficulty);
            jittered.points[i].y += normal(c, .035 * c->difficulty);
        }
        int count = trace(&jittered, path);
        for (int i = 0; i < count; i++)
            path[i] = apply(&w, path[i]);
        draw_path(c, path, count, p);
    }
}

/* A bent line of random place and length. */
static void draw_stray(canvas *c, double length, pen p)
{
    stroke s = {.kind = CURVE, .count = 3};
    double x = uniform(c, 2, SIDE - 2), y = uniform(c, 2, SIDE - 2);
    double turn = uniform(c, 0, 6.283185307179586), bend = normal(c, .5);
    point path[PATH_POINTS];
    for (int i = 0; i < 3; i++) {
        s.points[i] = (point){x, y};
        x += length / 2 * cos(turn);
        y += length / 2 * sin(turn);
        turn += bend;
    }
    int count = trace(&s, path);
    draw_path(c, path, count, p);
}

static void disturb(canvas *c)
{
    double d = c->difficulty;
    int strays = (int)uniform(c, 0, 1 + 2.2 * d), erasers = (int)uniform(c, 0, 1 + 1.2 * d);
    for (int i = 0; i < strays; i++)
        draw_stray(c, uniform(c, 4, 13), (pen){uniform(c, .5, 1.2), uniform(c, .35, .95)});
    for (int i = 0; i < erasers; i++)
        draw_stray(c, uniform(c, 8, 24), (pen){uniform(c, .5, 1.4), -uniform(c, .6, 1)});
}

/* Ink over an uneven background, with noise: the sum of four random bytes is nearly normal. */
static void finish(canvas *c, uint8_t *out)
{
    double d = c->difficulty;
    double level = uniform(c, 0, .16) * d, slope_x = normal(c, .06 * d),
           slope_y = normal(c, .06 * d);
    double grain = uniform(c, .03, .12) * d / 147.8;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            uint32_t r = sonde__random_u32(c->stream);
            int sum = (int)((r & 255) + (r >> 8 & 255) + (r >> 16 & 255) + (r >> 24)) - 510;
            double ground =
                level + slope_x * (x - SIDE / 2.0) / SIDE + slope_y * (y - SIDE / 2.0) / SIDE;
            double ink = (double)c->ink[y * SIDE + x];
            double value = ground + (1 - ground) * ink + grain * sum;
            value = value < 0 ? 0 : value > 1 ? 1 : value;
            out[y * SIDE + x] = (uint8_t)(255 * value + .5);
        }
}

/* --- sets ----------------------------------------------------------------------------------------- */

static void draw_example(uint64_t seed, uint64_t index, int digit, double difficulty, uint8_t *out)
{
    sonde__stream stream = sonde__stream_open(seed, SONDE__RANDOM_DATA, index);
    canvas c = {.stream = &stream, .difficulty = difficulty};
    uint64_t variants = 0;
    while (variants < VARIANTS && GLYPHS[digit][variants][0].kind != NOTHING)
        variants++;
    draw_digit(&c, GLYPHS[digit][sonde__random_below(&stream, variants)]);
    disturb(&c);
    finish(&c, out);
}

typedef struct drawing {
    sonde__dataset *dataset;
    uint64_t seed, first_index;
    double difficulty;
} drawing;

static void draw_range(void *argument, size_t begin, size_t end)
{
    const drawing *d = argument;
    for (size_t i = begin; i < end; i++) {
        int digit = (int)(i % (size_t)d->dataset->classes);
        d->dataset->labels[i] = digit;
        draw_example(d->seed, d->first_index + i, digit, d->difficulty,
                     d->dataset->bytes + i * SIDE * SIDE);
    }
}

static sonde_status draw_part(sonde_context *context, sonde__pool *pool, drawing *d, size_t count,
                              int classes, sonde__dataset **out)
{
    SONDE_TRY(sonde__dataset_new(context, "strokes", classes, out));
    sonde__dataset *dataset = *out;
    dataset->count = count;
    dataset->channels = 1;
    dataset->height = dataset->width = SIDE;
    dataset->image = true;
    dataset->bytes = sonde__alloc(context, count, SIDE * SIDE);
    if (!dataset->bytes)
        return sonde_context_error(context)->status;
    dataset->labels = sonde__alloc(context, count, sizeof *dataset->labels);
    if (!dataset->labels)
        return sonde_context_error(context)->status;
    d->dataset = dataset;
    sonde__parallel_for(pool, count, 64, draw_range, d);
    return SONDE_OK;
}

sonde_status sonde__load_strokes(sonde_context *context, const sonde__data_request *request,
                                 sonde__dataset **train, sonde__dataset **test)
{
    int classes = request->classes ? request->classes : CLASSES;
    double difficulty = request->difficulty > 0 ? request->difficulty : 1;
    if (classes > CLASSES || difficulty > 10)
        return sonde__fail_at(
            context, SONDE_ERROR_RANGE, NULL, "strokes", -1,
            "strokes: %d classes at difficulty %g; at most %d and 10 are possible", classes,
            difficulty, CLASSES);
    drawing d = {.seed = request->seed, .difficulty = difficulty};
    sonde__pool *pool = NULL;
    sonde_status status;
    if (sonde__threads(context) > 1)
        SONDE_TRY(sonde__pool_create(context, sonde__threads(context) - 1, false, &pool));
    SONDE_TRY_CLEAN(draw_part(
        context, pool, &d, request->train_size ? request->train_size : TRAIN_SIZE, classes, train));
    d.first_index = SONDE__TEST_INDEX;
    SONDE_TRY_CLEAN(draw_part(context, pool, &d,
                              request->test_size ? request->test_size : TEST_SIZE, classes, test));
cleanup:
    sonde__pool_free(pool);
    return status;
}
