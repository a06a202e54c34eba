/* The plots of the report, each a <figure> with title, key and SVG. */
#ifndef SONDE_REPORT_FIGURES_H
#define SONDE_REPORT_FIGURES_H

#include "report/record.h"
#include "report/svg.h"

/* Opens and closes one figure; the subtitle is one sentence on how to read it. */
void sonde__figure_open(sonde__text *text, const char *title, const char *subtitle);
void sonde__figure_close(sonde__text *text);
/* A key is opened by its first entry; `shape` is "line", "area", "dot", "diamond", "mark" or "bar". */
void sonde__key_open(sonde__text *text);
void sonde__key_entry(sonde__text *text, const char *class, const char *shape, const char *label);
void sonde__key_close(sonde__text *text);

/* figures.c: loss, accuracy, head gradient, active share, learning rate. */
void sonde__figures_epochs(sonde__text *text, const sonde__record *record);
/* figures_spectrum.c: distance over threshold per layer, and eigenvalues against the law. */
void sonde__figure_distance(sonde__text *text, const sonde__record *record);
void sonde__figures_eigenvalues(sonde__text *text, const sonde__record *record);
/* figures_density.c: one spectrum. Ascending eigenvalues X = s^2 / N and what was judged of them. */
typedef struct sonde__density {
    const sonde_spectrum_report *report;
    const double *eigenvalues;
    size_t count;
    bool
        detailed; /* with the edge, and a logarithmic axis where a linear one would crush the bulk */
} sonde__density;

/* Key and plot inside an open figure: the histogram of the bulk against the law, edge and spikes. */
void sonde__figure_density(sonde__text *text, const char *id, const char *title,
                           const char *description, const sonde__density *density);
/* The same for the tail: the share of eigenvalues above x, and the fitted power law from xmin on. */
void sonde__figure_tail(sonde__text *text, const char *id, const char *title,
                        const char *description, const sonde__density *density,
                        const sonde_spectrum_shape_report *shape);

/* figures_time.c: where the time went. */
void sonde__figure_time(sonde__text *text, const sonde__record *record);

#endif
