/*
 * A small plot writer: inline SVG with axes, lines, bands, bars and marks.
 *
 * Coordinates are data units; values that are not finite leave a gap. Colours are CSS classes
 * ("s1" .. "s6" and a few roles), so that light, dark and print follow the page's style. Whatever a
 * colour says, a dash pattern, a shape or a label says too.
 */
#ifndef SONDE_REPORT_SVG_H
#define SONDE_REPORT_SVG_H

#include "base/text.h"

enum { SONDE__TICKS_MAX = 16 };

typedef struct sonde__axis {
    double low, high; /* low < high; both > 0 when logarithmic */
    bool logarithmic;
    bool whole;         /* ticks at whole numbers only: epochs */
    const char *label;  /* with its unit */
    const char *suffix; /* behind every tick label, as "%"; or "" */
} sonde__axis;

typedef struct sonde__plot {
    sonde__text *text;
    double left, top, width, height; /* the inner box, in user units */
    sonde__axis x, y;
} sonde__plot;

/* The smallest range that holds all finite values seen; `low` > `high` before the first. */
typedef struct sonde__range {
    double low, high;
    double low_positive; /* smallest value over 0, for logarithmic axes */
} sonde__range;

sonde__range sonde__range_empty(void);
void sonde__range_add(sonde__range *range, double value);
bool sonde__range_is_empty(const sonde__range *range);
/* Limits with room around them. A range of one value gets room too. `from_zero` keeps 0 in. */
void sonde__axis_fit(sonde__axis *axis, const sonde__range *range, bool from_zero);
/* Logarithmic when all values are positive and span a factor of 100 or more. */
void sonde__axis_fit_log(sonde__axis *axis, const sonde__range *range);

/* Round numbers inside the axis, about `target` of them; returns how many. */
int sonde__axis_ticks(const sonde__axis *axis, int target, double ticks[SONDE__TICKS_MAX]);
/* "0.05", "1,200", "1e-7": no more digits than the step between ticks needs. */
void sonde__tick_label(double value, double step, char *label, size_t size);

/* `id` is unique in the page; title and description are for those who cannot see the plot. */
void sonde__plot_open(sonde__plot *plot, sonde__text *text, const char *id, const char *title,
                      const char *description);
/* Grid, tick labels and axis labels. Call after x and y are set. */
void sonde__plot_axes(sonde__plot *plot);
void sonde__plot_close(sonde__plot *plot);

void sonde__plot_band(sonde__plot *plot, double from, double to, const char *class);
void sonde__plot_line(sonde__plot *plot, const double *x, const double *y, size_t count,
                      const char *class);
/* The area between the line and the bottom of the box. */
void sonde__plot_area(sonde__plot *plot, const double *x, const double *y, size_t count,
                      const char *class);
/* One dot each, with "name: y at x" as tooltip; none for more than 60 points. */
void sonde__plot_dots(sonde__plot *plot, const double *x, const double *y, size_t count,
                      const char *class, const char *name);
/* A rectangle from the bottom of the box up to y. */
void sonde__plot_bar(sonde__plot *plot, double from, double to, double y, const char *class,
                     const char *tooltip);
/* A labelled vertical line, a labelled horizontal one, and a diamond. */
void sonde__plot_upright(sonde__plot *plot, double x, const char *label, const char *class);
void sonde__plot_level(sonde__plot *plot, double y, const char *label, const char *class);
void sonde__plot_diamond(sonde__plot *plot, double x, double y, const char *class,
                         const char *tooltip);
/* One dot with its own tooltip. */
void sonde__plot_dot(sonde__plot *plot, double x, double y, const char *class, const char *tooltip);
/* Text inside the box at the upper right. */
void sonde__plot_note(sonde__plot *plot, const char *text);

#endif
