/*
 * The spectra of one model as the page and the command see them: the layers of a survey with what
 * is remarkable about each, and the totals.
 *
 * Nothing here decides anything. Whether a layer is over its calibrated threshold is judged in
 * model/judge.h; its exponent is judged only where the power law fits (see sonde__tail_fits).
 */
#ifndef SONDE_REPORT_SURVEY_H
#define SONDE_REPORT_SURVEY_H

#include "base/context.h"

typedef struct sonde__survey_row {
    sonde_layer_spectrum layer; /* borrowed from the survey */
    double ratio;               /* statistic over threshold; NaN where that says nothing */
    double alpha;               /* NaN where there is no power law */
    bool over;                  /* ratio above 1, and not by the error of an estimate alone */
    bool lawful;                /* spikes and edge say something */
    bool shaped;                /* ranks and norms say something: finite, and not all zero */
    bool fits;                  /* the power law describes the tail */
    bool odd_tail;              /* fits, and alpha is outside 2 to 6 */
    bool collapsed;             /* over a tenth of the spectrum is near zero */
} sonde__survey_row;

typedef struct sonde__survey_table {
    sonde_context *context;
    const char *path; /* as the user named the model */
    const char *base; /* of an adapter: the model it is added to, or NULL */
    int64_t epoch;    /* -1: not one of a series */
    bool complete;    /* false: interrupted */
    bool fast;
    double false_alarm, seconds;
    sonde_model_info info;
    sonde__survey_row *rows; /* in the order of the file */
    size_t count;
    size_t spectra, judged, over, fits, odd_tails, collapsed;
    double mean_alpha;  /* over layers whose tail fits; NaN: none */
    size_t worst;       /* row of the largest ratio; only where judged > 0 */
    double error_bound; /* fast: of the distribution functions, the largest of all layers */
} sonde__survey_table;

/* Exponents that well-trained networks show (Martin, Mahoney 2021). */
static const double sonde__alpha_low = 2, sonde__alpha_high = 6;

/*
 * Whether alpha is worth reading: at least 20 eigenvalues in the tail, a Kolmogorov-Smirnov distance D
 * of at most 0.1 (true power laws of 64 eigenvalues stay below that in 95 % of draws, random matrices
 * have a median of 0.13 to 0.16), and a spectrum that is not random: one that follows the law and has
 * no spikes has no tail, whatever alpha says (docs/reading-spectra.md).
 */
bool sonde__tail_fits(const sonde_spectrum_report *report,
                      const sonde_spectrum_shape_report *shape);

/* Reads the layers of `survey`, which must outlive the table. */
sonde_status sonde__survey_table_make(sonde_context *context, const sonde_survey *survey,
                                      sonde__survey_table *table);
void sonde__survey_table_free(sonde__survey_table *table);

/* Row numbers of layers that have a spectrum, the most remarkable first; freed with sonde__free. */
sonde_status sonde__survey_ranked(const sonde__survey_table *table, size_t **order, size_t *count);

/* Why layers have no spectrum: each reason once, the most frequent first. */
typedef struct sonde__skip_reason {
    const char *reason;
    size_t count;
} sonde__skip_reason;
sonde_status sonde__survey_reasons(const sonde__survey_table *table, sonde__skip_reason **reasons,
                                   size_t *count);

/* One checkpoint of a series. */
typedef struct sonde__trend_row {
    const char *path; /* borrowed */
    int64_t epoch;
    bool complete;
    size_t spectra, judged, over, fits;
    double false_alarm;
    double mean_alpha, worst_ratio; /* NaN: none */
    char worst_layer[SONDE_LAYER_NAME_MAX];
} sonde__trend_row;
void sonde__trend_row_fill(const sonde__survey_table *table, sonde__trend_row *row);

/* "64 x 3 x 3 x 3" with the separator given. */
void sonde__shape_text(int dims, const int64_t *shape, const char *separator, char *text,
                       size_t size);

#endif
