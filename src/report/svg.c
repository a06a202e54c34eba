/* The plot writer; see svg.h. Boxes are 460 x 280 user units, which suits phone and desk. */
#include "report/svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { POINTS_MAX = 600, DOTS_MAX = 60 };

static const double view_width = 460, view_height = 280;

/* ---- ranges and ticks ------------------------------------------------------------------------ */

sonde__range sonde__range_empty(void)
{
    return (sonde__range){HUGE_VAL, -HUGE_VAL, HUGE_VAL};
}

void sonde__range_add(sonde__range *range, double value)
{
    if (!isfinite(value))
        return;
    range->low = fmin(range->low, value);
    range->high = fmax(range->high, value);
    if (value > 0)
        range->low_positive = fmin(range->low_positive, value);
}

bool sonde__range_is_empty(const sonde__range *range)
{
    return range->low > range->high;
}

void sonde__axis_fit(sonde__axis *axis, const sonde__range *range, bool from_zero)
{
    double low = range->low, high = range->high;
    axis->logarithmic = false;
    if (sonde__range_is_empty(range)) {
        axis->low = 0;
        axis->high = 1;
        return;
    }
    if (from_zero) {
        low = fmin(low, 0);
        high = fmax(high, 0);
    }
    double room = 0.06 * (high / 2 - low / 2) * 2;
    if (!(room > 1e-9 * fmax(fabs(low), fabs(high))))
        room = fmax(low, high) != 0 ? 0.1 * fabs(high) : 1;
    axis->low = from_zero && low >= 0 ? 0 : low - room;
    axis->high = from_zero && high <= 0 ? 0 : high + room;
}

void sonde__axis_fit_log(sonde__axis *axis, const sonde__range *range)
{
    if (sonde__range_is_empty(range) || range->low <= 0 || range->high / range->low < 100) {
        sonde__axis_fit(axis, range, !sonde__range_is_empty(range) && range->low >= 0);
        return;
    }
    axis->logarithmic = true;
    axis->low = range->low / 1.3;
    axis->high = range->high * 1.3;
}

/* The smallest of 1, 2, 5 times a power of ten that is not below `least`. */
static double round_step(double least)
{
    const double power = pow(10, floor(log10(least)));
    const double share = least / power;
    return power * (share <= 1.0000001 ? 1 : share <= 2.0000001 ? 2 : share <= 5.0000001 ? 5 : 10);
}

static int ticks_linear(const sonde__axis *axis, int target, double *ticks)
{
    double step = round_step((axis->high - axis->low) / target);
    if (axis->whole)
        step = fmax(1, step);
    if (!isfinite(step) || !(step > 0))
        return 0;
    int count = 0;
    const double first = ceil(axis->low / step - 1e-9);
    for (; count < SONDE__TICKS_MAX; count++) {
        const double value = (first + count) * step;
        if (value > axis->high + 1e-9 * step)
            break;
        ticks[count] = value == 0 ? 0 : value;
    }
    return count;
}

/* Powers of ten, thinned when there are many; with 2 and 5 between them when there are few. */
static int ticks_logarithmic(const sonde__axis *axis, int target, double *ticks)
{
    static const double between[] = {1, 2, 5};
    const int first = (int)floor(log10(axis->low)), last = (int)ceil(log10(axis->high));
    const int decades = last - first;
    const int every = decades > target ? (decades + target - 1) / target : 1;
    const int steps = decades <= 2 ? 3 : 1;
    int count = 0;
    for (int decade = first; decade <= last; decade += every)
        for (int i = 0; i < steps; i++) {
            const double value = between[i] * pow(10, decade);
            if (value >= axis->low && value <= axis->high && count < SONDE__TICKS_MAX)
                ticks[count++] = value;
        }
    return count;
}

int sonde__axis_ticks(const sonde__axis *axis, int target, double ticks[SONDE__TICKS_MAX])
{
    if (!(axis->high > axis->low) || !isfinite(axis->low) || !isfinite(axis->high))
        return 0;
    return axis->logarithmic ? ticks_logarithmic(axis, target, ticks)
                             : ticks_linear(axis, target, ticks);
}

/* "1e-07" as printf writes it, without the exponent's needless sign and zeros. */
static void scientific(double value, int digits, char *label, size_t size)
{
    char raw[40];
    snprintf(raw, sizeof raw, "%.*e", digits, value);
    char *mark = strchr(raw, 'e');
    int exponent = 0;
    sscanf(mark + 1, "%d", &exponent);
    *mark = 0;
    snprintf(label, size, "%se%d", raw, exponent);
}

void sonde__tick_label(double value, double step, char *label, size_t size)
{
    const double magnitude = fmax(fabs(value), step);
    if (value == 0) {
        snprintf(label, size, "0");
    } else if (magnitude >= 1e6 || step < 0.99e-4) {
        const double digits_left = floor(log10(fabs(value)) + 1e-9) - floor(log10(step) + 1e-9);
        const int digits = (int)fmax(0, digits_left);
        scientific(value, digits > 3 ? 3 : digits, label, size);
    } else {
        const int digits = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
        snprintf(label, size, "%.*f", digits, value);
    }
}

/* ---- places ---------------------------------------------------------------------------------- */

static double share_of(const sonde__axis *axis, double value)
{
    double share;
    if (axis->logarithmic)
        share = value > 0 ? log(value / axis->low) / log(axis->high / axis->low) : 0;
    else
        share = (value - axis->low) / (axis->high - axis->low);
    return fmin(1.02, fmax(-0.02, share));
}

static double place_x(const sonde__plot *plot, double value)
{
    return plot->left + plot->width * share_of(&plot->x, value);
}

static double place_y(const sonde__plot *plot, double value)
{
    return plot->top + plot->height * (1 - share_of(&plot->y, value));
}

static double bottom(const sonde__plot *plot)
{
    return plot->top + plot->height;
}

static double right(const sonde__plot *plot)
{
    return plot->left + plot->width;
}

/* ---- frame ----------------------------------------------------------------------------------- */

void sonde__plot_open(sonde__plot *plot, sonde__text *text, const char *id, const char *title,
                      const char *description)
{
    *plot = (sonde__plot){.text = text, .left = 50, .top = 26, .width = 398, .height = 212};
    sonde__text_format(text,
                       "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-labelledby=\"%s-t %s-d\">\n"
                       "<title id=\"%s-t\">",
                       view_width, view_height, id, id, id);
    sonde__text_html(text, title);
    sonde__text_format(text, "</title>\n<desc id=\"%s-d\">", id);
    sonde__text_html(text, description);
    sonde__text_add(text, "</desc>\n");
}

void sonde__plot_close(sonde__plot *plot)
{
    sonde__text_add(plot->text, "</svg>\n");
}

static void tick_text(sonde__plot *plot, double x, double y, const char *anchor, double value,
                      double step, const char *suffix)
{
    char label[48];
    sonde__tick_label(value, step, label, sizeof label);
    /* About 7 units a letter: a label may not leave the picture on the right. */
    if (anchor[0] == 'm' && x + 3.5 * (double)strlen(label) > view_width - 2) {
        anchor = "end";
        x = view_width - 2;
    }
    sonde__text_format(plot->text, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    sonde__text_html(plot->text, label);
    sonde__text_html(plot->text, suffix ? suffix : "");
    sonde__text_add(plot->text, "</text>\n");
}

/* The step that decides how many digits the labels need. */
static double label_step(const sonde__axis *axis, const double *ticks, int count, int index)
{
    if (axis->logarithmic)
        return pow(10, floor(log10(ticks[index]) + 1e-9));
    if (axis->whole && count == 1)
        return 1;
    return count > 1 ? ticks[1] - ticks[0] : round_step((axis->high - axis->low) / 2);
}

static void axis_x(sonde__plot *plot)
{
    double ticks[SONDE__TICKS_MAX];
    const int count = sonde__axis_ticks(&plot->x, 7, ticks);
    for (int i = 0; i < count; i++) {
        const double x = place_x(plot, ticks[i]);
        sonde__text_format(plot->text,
                           "<line class=\"tick\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" "
                           "y2=\"%.1f\"/>\n",
                           x, x, bottom(plot), bottom(plot) + 4);
        tick_text(plot, x, bottom(plot) + 17, "middle", ticks[i],
                  label_step(&plot->x, ticks, count, i), plot->x.suffix);
    }
    sonde__text_format(plot->text,
                       "<line class=\"axis\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                       plot->left, right(plot), bottom(plot), bottom(plot));
}

static void axis_y(sonde__plot *plot)
{
    double ticks[SONDE__TICKS_MAX];
    const int count = sonde__axis_ticks(&plot->y, 5, ticks);
    for (int i = 0; i < count; i++) {
        const double y = place_y(plot, ticks[i]);
        sonde__text_format(plot->text,
                           "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" "
                           "y2=\"%.1f\"/>\n",
                           plot->left, right(plot), y, y);
        tick_text(plot, plot->left - 7, y + 4, "end", ticks[i],
                  label_step(&plot->y, ticks, count, i), plot->y.suffix);
    }
}

void sonde__plot_axes(sonde__plot *plot)
{
    sonde__text_add(plot->text, "<g class=\"frame\">\n");
    axis_y(plot);
    axis_x(plot);
    sonde__text_format(plot->text, "<text class=\"label\" x=\"2\" y=\"12\">");
    sonde__text_html(plot->text, plot->y.label ? plot->y.label : "");
    sonde__text_format(plot->text,
                       "</text>\n<text class=\"label\" x=\"%.1f\" y=\"%.1f\" "
                       "text-anchor=\"end\">",
                       right(plot), view_height - 6);
    sonde__text_html(plot->text, plot->x.label ? plot->x.label : "");
    sonde__text_add(plot->text, "</text>\n</g>\n");
}

/* ---- marks ----------------------------------------------------------------------------------- */

void sonde__plot_band(sonde__plot *plot, double from, double to, const char *class)
{
    const double x1 = place_x(plot, from), x2 = place_x(plot, to);
    sonde__text_format(plot->text,
                       "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                       "height=\"%.1f\"/>\n",
                       class, x1, plot->top, fmax(1, x2 - x1), plot->height);
}

/* Writes points of a path one by one; a gap makes the next one a move. */
typedef struct pen {
    sonde__plot *plot;
    bool down;
} pen;

static void pen_point(pen *at, double x, double y)
{
    if (!isfinite(x) || !isfinite(y)) {
        at->down = false;
        return;
    }
    sonde__text_format(at->plot->text, "%s%.1f %.1f", at->down ? "L" : "M", place_x(at->plot, x),
                       place_y(at->plot, y));
    at->down = true;
}

/* Of points [begin, end) the lowest and the highest, in their order: keeps spikes visible. */
static void pen_extremes(pen *at, const double *x, const double *y, size_t begin, size_t end)
{
    size_t low = end, high = end;
    for (size_t i = begin; i < end; i++) {
        if (!isfinite(y[i]))
            continue;
        if (low == end || y[i] < y[low])
            low = i;
        if (high == end || y[i] > y[high])
            high = i;
    }
    if (low == end) {
        pen_point(at, x[begin], (double)NAN);
        return;
    }
    const size_t first = low < high ? low : high, second = low < high ? high : low;
    pen_point(at, x[first], y[first]);
    if (second != first)
        pen_point(at, x[second], y[second]);
}

static void pen_all(pen *at, const double *x, const double *y, size_t count)
{
    if (count <= POINTS_MAX) {
        for (size_t i = 0; i < count; i++)
            pen_point(at, x[i], y[i]);
        return;
    }
    const size_t buckets = POINTS_MAX / 2;
    for (size_t i = 0; i < buckets; i++)
        pen_extremes(at, x, y, i * count / buckets, (i + 1) * count / buckets);
}

void sonde__plot_line(sonde__plot *plot, const double *x, const double *y, size_t count,
                      const char *class)
{
    pen at = {plot, false};
    sonde__text_format(plot->text, "<path class=\"line %s\" d=\"", class);
    pen_all(&at, x, y, count);
    sonde__text_add(plot->text, "\"/>\n");
}

void sonde__plot_area(sonde__plot *plot, const double *x, const double *y, size_t count,
                      const char *class)
{
    sonde__text_format(plot->text, "<path class=\"area %s\" d=\"", class);
    for (size_t begin = 0; begin < count; begin++) {
        if (!isfinite(y[begin]))
            continue;
        size_t end = begin;
        pen at = {plot, false};
        while (end < count && isfinite(y[end]))
            end++;
        pen_all(&at, x + begin, y + begin, end - begin);
        sonde__text_format(plot->text, "L%.1f %.1fL%.1f %.1fZ", place_x(plot, x[end - 1]),
                           bottom(plot), place_x(plot, x[begin]), bottom(plot));
        begin = end;
    }
    sonde__text_add(plot->text, "\"/>\n");
}

static void tooltip_of(sonde__text *text, const char *tooltip)
{
    if (!tooltip || !tooltip[0])
        return;
    sonde__text_add(text, "<title>");
    sonde__text_html(text, tooltip);
    sonde__text_add(text, "</title>");
}

void sonde__plot_dots(sonde__plot *plot, const double *x, const double *y, size_t count,
                      const char *class, const char *name)
{
    if (count > DOTS_MAX)
        return;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i]))
            continue;
        char tooltip[256];
        snprintf(tooltip, sizeof tooltip, "%s: %.4g%s at %g", name, y[i],
                 plot->y.suffix ? plot->y.suffix : "", x[i]);
        sonde__text_format(plot->text, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%s\">",
                           class, place_x(plot, x[i]), place_y(plot, y[i]),
                           count > 30 ? "1.8" : "2.4");
        tooltip_of(plot->text, tooltip);
        sonde__text_add(plot->text, "</circle>\n");
    }
}

void sonde__plot_bar(sonde__plot *plot, double from, double to, double y, const char *class,
                     const char *tooltip)
{
    const double x1 = place_x(plot, from), x2 = place_x(plot, to), top = place_y(plot, y);
    sonde__text_format(plot->text,
                       "<rect class=\"%s\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\">",
                       class, x1, top, fmax(0.6, x2 - x1 - 0.4), fmax(0, bottom(plot) - top));
    tooltip_of(plot->text, tooltip);
    sonde__text_add(plot->text, "</rect>\n");
}

void sonde__plot_upright(sonde__plot *plot, double x, const char *label, const char *class)
{
    const double at = place_x(plot, x);
    const bool left_side = at > plot->left + 0.7 * plot->width;
    sonde__text_format(plot->text,
                       "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n"
                       "<text class=\"note %s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                       class, at, at, plot->top - 4, bottom(plot), class, at + (left_side ? -5 : 5),
                       plot->top + 6, left_side ? "end" : "start");
    sonde__text_html(plot->text, label);
    sonde__text_add(plot->text, "</text>\n");
}

void sonde__plot_level(sonde__plot *plot, double y, const char *label, const char *class)
{
    const double at = place_y(plot, y);
    sonde__text_format(plot->text,
                       "<line class=\"%s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n"
                       "<text class=\"note %s\" x=\"%.1f\" y=\"%.1f\">",
                       class, plot->left, right(plot), at, at, class, plot->left + 6, at - 5);
    sonde__text_html(plot->text, label);
    sonde__text_add(plot->text, "</text>\n");
}

void sonde__plot_diamond(sonde__plot *plot, double x, double y, const char *class,
                         const char *tooltip)
{
    if (!isfinite(x) || !isfinite(y))
        return;
    sonde__text_format(plot->text, "<path class=\"%s\" d=\"M%.1f %.1fl6 6l-6 6l-6 -6Z\">", class,
                       place_x(plot, x), place_y(plot, y) - 6);
    tooltip_of(plot->text, tooltip);
    sonde__text_add(plot->text, "</path>\n");
}

void sonde__plot_dot(sonde__plot *plot, double x, double y, const char *class, const char *tooltip)
{
    if (!isfinite(x) || !isfinite(y))
        return;
    sonde__text_format(plot->text, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\">", class,
                       place_x(plot, x), place_y(plot, y));
    tooltip_of(plot->text, tooltip);
    sonde__text_add(plot->text, "</circle>\n");
}

void sonde__plot_note(sonde__plot *plot, const char *text)
{
    sonde__text_format(plot->text,
                       "<text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">",
                       right(plot), plot->top + 6);
    sonde__text_html(plot->text, text);
    sonde__text_add(plot->text, "</text>\n");
}
