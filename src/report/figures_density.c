/*
 * One spectrum: its histogram against the Marchenko-Pastur law, and its tail against a power law.
 *
 * The histogram and the law are both of the bulk, so that both integrate to one; spikes are marks.
 * On a logarithmic axis the density is that of log10 x: x ln(10) times the density of x.
 */
#include "report/figures.h"

#include <math.h>
#include <stdio.h>

enum { BINS_MAX = 48, CURVE = 160, SPIKES_DRAWN = 64, TAIL_POINTS = 400 };

static const double ln10 = 2.302585092994046;

typedef struct histogram {
    size_t bulk, first, count; /* bulk eigenvalues, the first one inside the plot, all */
    size_t beyond;             /* spikes right of the plot */
    double low, high, width, tallest;
    int bins;
    bool logarithmic;
    double density[BINS_MAX];
} histogram;

/* ---- the histogram --------------------------------------------------------------------------- */

static double from_place(const histogram *h, double place)
{
    return h->logarithmic ? pow(10, place) : place;
}

static double to_place(const histogram *h, double x)
{
    return h->logarithmic ? log10(x) : x;
}

/* Half of the bulk in the first part of a linear axis, or spikes far outside it. */
static bool asks_for_log(const sonde__density *density, size_t bulk, double high)
{
    const double median = density->eigenvalues[bulk / 2];
    return density->detailed && median > 0 &&
           (median < 0.06 * high || density->eigenvalues[density->count - 1] > 5 * high);
}

static void linear_limits(const sonde__density *density, histogram *h, double high)
{
    h->low = fmin(density->eigenvalues[0], density->report->mp_low);
    h->high = high + 0.12 * (high - fmin(h->low, 0));
    if (h->low < 0.3 * h->high)
        h->low = fmin(0, h->low);
}

/* All spikes fit; what is below a millionth of the median is left out, and counted. */
static void log_limits(const sonde__density *density, histogram *h, double high)
{
    const double least = 1e-6 * density->eigenvalues[h->bulk / 2];
    while (h->first + 1 < h->bulk && density->eigenvalues[h->first] < least)
        h->first++;
    h->logarithmic = true;
    h->low = log10(density->eigenvalues[h->first]) - 0.05;
    h->high = log10(fmax(high, density->eigenvalues[h->count - 1])) + 0.1;
}

static void fill_bins(const sonde__density *density, histogram *h)
{
    h->bins = (int)fmin(BINS_MAX, fmax(10, 1.8 * sqrt((double)h->bulk)));
    h->width = (h->high - h->low) / h->bins;
    if (!(h->width > 0) || !isfinite(h->width)) {
        h->bins = 0;
        return;
    }
    for (size_t i = h->first; i < h->bulk; i++) {
        const double place = to_place(h, density->eigenvalues[i]);
        const int bin = (int)fmin(h->bins - 1, fmax(0, (place - h->low) / h->width));
        h->density[bin] += 1 / ((double)h->bulk * h->width);
    }
    for (int i = 0; i < h->bins; i++)
        h->tallest = fmax(h->tallest, h->density[i]);
}

static histogram bulk_histogram(const sonde__density *density)
{
    histogram h = {.count = density->count};
    const sonde_spectrum_report *r = density->report;
    const size_t spikes = r->spikes > 0 ? (size_t)r->spikes : 0;
    h.bulk = spikes < h.count ? h.count - spikes : h.count;
    const double high = fmax(density->eigenvalues[h.bulk - 1], fmax(r->mp_high, r->edge));
    if (asks_for_log(density, h.bulk, high))
        log_limits(density, &h, high);
    else
        linear_limits(density, &h, high);
    fill_bins(density, &h);
    for (size_t i = h.bulk; i < h.count; i++)
        h.beyond += to_place(&h, density->eigenvalues[i]) > h.high ? 1u : 0u;
    return h;
}

/* ---- drawing --------------------------------------------------------------------------------- */

static double law_at(const histogram *h, const sonde_spectrum_report *report, double x)
{
    const double y = sonde_marchenko_pastur_density(x, report->mp_low, report->mp_high);
    return h->logarithmic ? y * x * ln10 : y;
}

/* Points of the law inside the plot, evenly spaced on its axis. */
static void law_points(const histogram *h, const sonde_spectrum_report *report, double *x,
                       double *y)
{
    const double low =
        h->logarithmic ? fmax(h->low, log10(fmax(report->mp_low, 1e-300))) : report->mp_low;
    const double high = to_place(h, report->mp_high);
    for (int i = 0; i < CURVE; i++) {
        x[i] = from_place(h, low + (high - low) * i / (CURVE - 1.0));
        y[i] = law_at(h, report, x[i]);
    }
}

static void draw_law(sonde__plot *plot, double *x, double *y)
{
    for (int i = 0; i < CURVE; i++)
        if (y[i] > plot->y.high)
            y[i] = (double)NAN;
    sonde__plot_line(plot, x, y, CURVE, "s2");
}

static void draw_bars(sonde__plot *plot, const histogram *h)
{
    for (int i = 0; i < h->bins; i++) {
        char tooltip[96];
        const double from = from_place(h, h->low + i * h->width);
        const double to = from_place(h, h->low + (i + 1) * h->width);
        snprintf(tooltip, sizeof tooltip, "%.4g to %.4g: %.0f eigenvalues", from, to,
                 h->density[i] * (double)h->bulk * h->width);
        if (h->density[i] > 0)
            sonde__plot_bar(plot, from, to, h->density[i], "bulk", tooltip);
    }
}

/* The largest ones, where there are many. */
static void draw_spikes(sonde__plot *plot, const histogram *h, const sonde__density *density)
{
    const double half = 0.004 * (h->high - h->low);
    const size_t begin = h->count - h->bulk > SPIKES_DRAWN ? h->count - SPIKES_DRAWN : h->bulk;
    for (size_t i = begin; i < h->count; i++) {
        const double place = to_place(h, density->eigenvalues[i]);
        if (place <= h->high)
            sonde__plot_bar(plot, from_place(h, place - half), from_place(h, place + half),
                            h->tallest / 3, "spike", "spike");
    }
}

static void notes(sonde__plot *plot, const histogram *h, const sonde__density *density)
{
    char note[96];
    if (h->beyond) {
        snprintf(note, sizeof note, "%zu spike%s further right, up to %.3g \xE2\x86\x92", h->beyond,
                 h->beyond == 1 ? "" : "s", density->eigenvalues[h->count - 1]);
        sonde__plot_note(plot, note);
    } else if (h->first) {
        snprintf(note, sizeof note, "\xE2\x86\x90 %zu smaller, down to %.1e", h->first,
                 density->eigenvalues[0]);
        sonde__plot_note(plot, note);
    }
}

static void density_key(sonde__text *text, const sonde_spectrum_report *report, bool log, bool edge)
{
    sonde__key_open(text);
    sonde__key_entry(text, "bulk", "bar", log ? "eigenvalues (logarithmic axis)" : "eigenvalues");
    sonde__key_entry(text, "s2", "line", "Marchenko-Pastur law");
    if (report->spikes > 0)
        sonde__key_entry(text, "spike", "bar", "spikes");
    if (edge)
        sonde__key_entry(text, "limit", "mark", "edge of random matrices");
    sonde__key_close(text);
}

static void density_axes(sonde__plot *plot, const histogram *h, double peak)
{
    plot->x = (sonde__axis){.low = from_place(h, h->low),
                            .high = from_place(h, h->high),
                            .logarithmic = h->logarithmic,
                            .label = "eigenvalue of W W\xE1\xB5\x80 / N",
                            .suffix = ""};
    plot->y = (sonde__axis){.low = 0,
                            .high = 1.12 * fmax(h->tallest, fmin(peak, 1.6 * h->tallest)),
                            .label = h->logarithmic ? "density per decade" : "density",
                            .suffix = ""};
    sonde__plot_axes(plot);
}

void sonde__figure_density(sonde__text *text, const char *id, const char *title,
                           const char *description, const sonde__density *density)
{
    double x[CURVE], y[CURVE], peak = 0;
    sonde__plot plot;
    const sonde_spectrum_report *report = density->report;
    const histogram h = bulk_histogram(density);
    const bool law = report->mp_high > report->mp_low && report->mp_high > 0;
    if (h.bins == 0) {
        sonde__text_add(text, "<p class=\"none\">All eigenvalues are equal.</p>\n");
        return;
    }
    if (law)
        law_points(&h, report, x, y);
    for (int i = 0; law && i < CURVE; i++)
        peak = isfinite(y[i]) ? fmax(peak, y[i]) : peak;
    const bool edge = report->edge > 0 && density->detailed && to_place(&h, report->edge) < h.high;
    density_key(text, report, h.logarithmic, edge);
    sonde__plot_open(&plot, text, id, title, description);
    density_axes(&plot, &h, peak);
    draw_bars(&plot, &h);
    draw_spikes(&plot, &h, density);
    if (law)
        draw_law(&plot, x, y);
    if (edge)
        sonde__plot_upright(&plot, report->edge, "", "limit");
    notes(&plot, &h, density);
    sonde__plot_close(&plot);
}

/* ---- the tail -------------------------------------------------------------------------------- */

/* Share of all eigenvalues that are at least x, from the smallest shown one to the largest; squared
 * singular values s^2 = N X. At most TAIL_POINTS, the largest all. */
static size_t tail_points(const sonde__density *density, double least, double *x, double *y)
{
    const double scale = (double)density->report->cols;
    const size_t n = density->count;
    size_t filled = 0, step = 1;
    for (size_t above = 0; above < n && filled < TAIL_POINTS; above += step) {
        const double value = density->eigenvalues[n - 1 - above] * scale;
        if (!(value >= least) || !(value > 0))
            break;
        x[filled] = value;
        y[filled++] = (double)(above + 1) / (double)n;
        step = above / 100 + 1; /* a hundred points for every factor of e */
    }
    return filled;
}

static void draw_power_law(sonde__plot *plot, const sonde__density *density,
                           const sonde_spectrum_shape_report *shape)
{
    double x[2] = {shape->xmin, shape->xmax}, y[2];
    const double share = (double)shape->tail / (double)density->count;
    y[0] = share;
    y[1] = share * pow(shape->xmax / shape->xmin, 1 - shape->alpha);
    if (y[1] < plot->y.low) { /* where the line leaves the plot */
        x[1] = shape->xmin * pow(plot->y.low / share, 1 / (1 - shape->alpha));
        y[1] = plot->y.low;
    }
    sonde__plot_line(plot, x, y, 2, "s2");
    sonde__plot_upright(plot, shape->xmin, "xmin", "kept");
}

void sonde__figure_tail(sonde__text *text, const char *id, const char *title,
                        const char *description, const sonde__density *density,
                        const sonde_spectrum_shape_report *shape)
{
    double x[TAIL_POINTS], y[TAIL_POINTS];
    char label[64];
    sonde__plot plot;
    const double median = density->eigenvalues[density->count / 2] * (double)density->report->cols;
    const bool fitted = shape->power_law == SONDE_VALID && shape->xmin > 0 && shape->alpha > 1;
    const double least = fitted ? fmin(0.3 * shape->xmin, median) : median;
    const size_t count = tail_points(density, least, x, y);
    if (count < 2 || !(x[0] > x[count - 1])) {
        sonde__text_add(text, "<p class=\"none\">There is no tail to show.</p>\n");
        return;
    }
    sonde__key_open(text);
    sonde__key_entry(text, "s1", "line", "share of eigenvalues above");
    snprintf(label, sizeof label, "power law, alpha %.2f \xC2\xB1 %.2f", shape->alpha,
             shape->alpha_error);
    if (fitted)
        sonde__key_entry(text, "s2", "line", label);
    sonde__key_close(text);
    sonde__plot_open(&plot, text, id, title, description);
    plot.x = (sonde__axis){.low = x[count - 1] / 1.05,
                           .high = x[0] * 1.15,
                           .logarithmic = true,
                           .label = "squared singular value",
                           .suffix = ""};
    plot.y = (sonde__axis){.low = y[0] / 1.6,
                           .high = fmin(1.2, y[count - 1] * 1.5),
                           .logarithmic = true,
                           .label = "share above",
                           .suffix = ""};
    sonde__plot_axes(&plot);
    sonde__plot_line(&plot, x, y, count, "s1");
    if (fitted)
        draw_power_law(&plot, density, shape);
    sonde__plot_close(&plot);
}
