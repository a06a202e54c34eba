/* The plots over epochs: loss, accuracy, head gradient, active share, learning rate. */
#include "report/figures.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- frames and keys ------------------------------------------------------------------------- */

void sonde__figure_open(sonde__text *text, const char *title, const char *subtitle)
{
    sonde__text_add(text, "<figure>\n<figcaption><h3>");
    sonde__text_html(text, title);
    sonde__text_add(text, "</h3><p>");
    sonde__text_html(text, subtitle);
    sonde__text_add(text, "</p></figcaption>\n");
}

void sonde__figure_close(sonde__text *text)
{
    sonde__text_add(text, "</figure>\n");
}

void sonde__key_open(sonde__text *text)
{
    sonde__text_add(text, "<ul class=\"key\">");
}

void sonde__key_entry(sonde__text *text, const char *class, const char *shape, const char *label)
{
    sonde__text_add(text, "<li><svg viewBox=\"0 0 24 12\" aria-hidden=\"true\">");
    if (strcmp(shape, "line") == 0)
        sonde__text_format(text, "<path class=\"line %s\" d=\"M1 6H23\"/>", class);
    else if (strcmp(shape, "dot") == 0)
        sonde__text_format(text, "<circle class=\"%s\" cx=\"12\" cy=\"6\" r=\"3\"/>", class);
    else if (strcmp(shape, "mark") == 0)
        sonde__text_format(text, "<line class=\"%s\" x1=\"12\" x2=\"12\" y1=\"0\" y2=\"12\"/>",
                           class);
    else if (strcmp(shape, "diamond") == 0)
        sonde__text_format(text, "<path class=\"%s\" d=\"M12 0l6 6l-6 6l-6 -6Z\"/>", class);
    else
        sonde__text_format(text, "<rect class=\"%s\" x=\"2\" y=\"1\" width=\"20\" height=\"10\"/>",
                           class);
    sonde__text_add(text, "</svg>");
    sonde__text_html(text, label);
    sonde__text_add(text, "</li>");
}

void sonde__key_close(sonde__text *text)
{
    sonde__text_add(text, "</ul>\n");
}

/* ---- columns of the record ------------------------------------------------------------------- */

/* A column of sonde__epoch_row, scaled; NULL after a failed allocation (the text knows). */
static double *column(sonde__text *text, const sonde__record *record, size_t offset, double scale)
{
    double *values = sonde__alloc(text->context, record->epoch_count, sizeof *values);
    if (!values) {
        text->status = SONDE_ERROR_MEMORY;
        return NULL;
    }
    for (size_t i = 0; i < record->epoch_count; i++) {
        double value;
        memcpy(&value, (const char *)&record->epochs[i] + offset, sizeof value);
        values[i] = value * scale;
    }
    return values;
}

static double *epoch_numbers(sonde__text *text, const sonde__record *record)
{
    double *values = sonde__alloc(text->context, record->epoch_count, sizeof *values);
    if (!values)
        text->status = SONDE_ERROR_MEMORY;
    for (size_t i = 0; values && i < record->epoch_count; i++)
        values[i] = (double)record->epochs[i].epoch;
    return values;
}

/* One score by epoch row; NaN where it is not valid. Both are in order of epoch. */
static double *score_column(sonde__text *text, const sonde__record *record, const char *signal)
{
    double *values = sonde__alloc(text->context, record->epoch_count, sizeof *values);
    if (!values) {
        text->status = SONDE_ERROR_MEMORY;
        return NULL;
    }
    for (size_t i = 0; i < record->epoch_count; i++)
        values[i] = (double)NAN;
    size_t at = 0;
    for (size_t i = 0; i < record->score_count; i++) {
        const sonde__score_row *row = &record->scores[i];
        if (strcmp(row->signal, signal) != 0)
            continue;
        while (at < record->epoch_count && record->epochs[at].epoch < row->epoch)
            at++;
        if (at < record->epoch_count && record->epochs[at].epoch == row->epoch &&
            row->score.validity == SONDE_VALID)
            values[at] = row->score.value;
    }
    return values;
}

static sonde__range range_of(const double *values, size_t count)
{
    sonde__range range = sonde__range_empty();
    for (size_t i = 0; i < count; i++)
        sonde__range_add(&range, values[i]);
    return range;
}

static sonde__axis epoch_axis(const sonde__record *record)
{
    sonde__axis axis = {.whole = true, .label = "epoch", .suffix = ""};
    axis.low = (double)record->epochs[0].epoch;
    axis.high = (double)record->epochs[record->epoch_count - 1].epoch;
    if (!(axis.high > axis.low)) {
        axis.low -= 0.5;
        axis.high += 0.5;
    }
    return axis;
}

static void mark_kept(sonde__plot *plot, const sonde__record *record)
{
    const int64_t epoch = record->summary.decision.keep.epoch;
    char label[48];
    if (epoch < 0)
        return;
    snprintf(label, sizeof label, "keep %" PRId64, epoch);
    sonde__plot_upright(plot, (double)epoch, label, "kept");
}

static double at_epoch(const sonde__record *record, const double *values, int64_t epoch)
{
    for (size_t i = 0; i < record->epoch_count; i++)
        if (record->epochs[i].epoch == epoch)
            return values[i];
    return (double)NAN;
}

/* "From 2.3 at epoch 1 to 0.21 at epoch 12; lowest 0.2, highest 2.3." for those who cannot see. */
static void describe(const sonde__record *record, const double *values, const char *unit,
                     char *text, size_t size)
{
    const sonde__range range = range_of(values, record->epoch_count);
    const size_t last = record->epoch_count - 1;
    if (sonde__range_is_empty(&range))
        snprintf(text, size, "No values.");
    else
        snprintf(text, size,
                 "From %.4g%s at epoch %" PRId64 " to %.4g%s at epoch %" PRId64
                 "; lowest %.4g%s, highest %.4g%s.",
                 values[0], unit, record->epochs[0].epoch, values[last], unit,
                 record->epochs[last].epoch, range.low, unit, range.high, unit);
}

static void nothing(sonde__text *text, const char *why)
{
    sonde__text_add(text, "<p class=\"none\">");
    sonde__text_html(text, why);
    sonde__text_add(text, "</p>\n");
}

/* ---- loss ------------------------------------------------------------------------------------ */

static void draw_loss(sonde__text *text, const sonde__record *record, const double *x,
                      const double *loss)
{
    char description[256];
    sonde__plot plot;
    const size_t n = record->epoch_count;
    const sonde__range range = range_of(loss, n);
    if (sonde__range_is_empty(&range)) {
        nothing(text, "No epoch has a finite training loss.");
        return;
    }
    describe(record, loss, "", description, sizeof description);
    sonde__plot_open(&plot, text, "loss", "Training loss over epochs", description);
    plot.x = epoch_axis(record);
    plot.y.label = strcmp(record->summary.config.loss, "squared") == 0 ? "squared error" : "nats";
    sonde__axis_fit_log(&plot.y, &range);
    sonde__plot_axes(&plot);
    mark_kept(&plot, record);
    sonde__plot_line(&plot, x, loss, n, "s1");
    sonde__plot_dots(&plot, x, loss, n, "s1", "loss");
    sonde__plot_close(&plot);
}

static void figure_loss(sonde__text *text, const sonde__record *record, const double *x)
{
    double *loss = column(text, record, offsetof(sonde__epoch_row, train_loss), 1);
    sonde__figure_open(text, "Training loss",
                       "Mean over the examples that were trained on in the epoch.");
    if (loss)
        draw_loss(text, record, x, loss);
    sonde__figure_close(text);
    sonde__free(text->context, loss);
}

/* ---- accuracy -------------------------------------------------------------------------------- */

static void draw_accuracy(sonde__text *text, const sonde__record *record, const double *x,
                          const double *train, const double *test)
{
    char description[256];
    sonde__plot plot;
    const size_t n = record->epoch_count;
    sonde__range range = range_of(train, n);
    const sonde__range test_range = range_of(test, n);
    const bool has_test = !sonde__range_is_empty(&test_range);
    sonde__range_add(&range, test_range.low);
    sonde__range_add(&range, test_range.high);
    if (sonde__range_is_empty(&range)) {
        nothing(text, "No accuracy was measured.");
        return;
    }
    sonde__key_open(text);
    sonde__key_entry(text, "s1", "line", "training (active examples)");
    if (has_test)
        sonde__key_entry(text, "s2", "line", "test, for reporting only");
    sonde__key_close(text);
    describe(record, has_test ? test : train, " %", description, sizeof description);
    sonde__plot_open(&plot, text, "accuracy", "Accuracy over epochs", description);
    plot.x = epoch_axis(record);
    plot.y = (sonde__axis){.label = "accuracy", .suffix = " %"};
    sonde__axis_fit(&plot.y, &range, false);
    plot.y.high = fmin(plot.y.high, 100.5);
    plot.y.low = fmax(plot.y.low, -0.5);
    if (!(plot.y.high > plot.y.low))
        plot.y.low = plot.y.high - 1;
    sonde__plot_axes(&plot);
    mark_kept(&plot, record);
    sonde__plot_line(&plot, x, train, n, "s1");
    sonde__plot_dots(&plot, x, train, n, "s1", "training accuracy");
    sonde__plot_line(&plot, x, test, n, "s2");
    sonde__plot_dots(&plot, x, test, n, "s2", "test accuracy");
    sonde__plot_diamond(&plot, (double)record->summary.decision.keep.epoch,
                        at_epoch(record, test, record->summary.decision.keep.epoch), "choice",
                        "kept epoch");
    sonde__plot_close(&plot);
}

static void figure_accuracy(sonde__text *text, const sonde__record *record, const double *x)
{
    double *train = column(text, record, offsetof(sonde__epoch_row, train_accuracy), 100);
    double *test = column(text, record, offsetof(sonde__epoch_row, test_accuracy), 100);
    sonde__figure_open(text, "Accuracy",
                       record->summary.test_examples > 0
                           ? "The test part is measured for this report; no decision reads it."
                           : "There is no test part.");
    if (train && test)
        draw_accuracy(text, record, x, train, test);
    sonde__figure_close(text);
    sonde__free(text->context, train);
    sonde__free(text->context, test);
}

/* ---- test prediction variance ---------------------------------------------------------------- */

static const char tpv_title[] = "Test prediction variance";
static const char tpv_words[] =
    "trace of the squared Jacobian on fixed training inputs: how far the outputs move when the "
    "weights do. Lower is more stable, not more accurate.";

/* The other signal beside the one that keeps: TPV, or the head gradient of a run that is kept by
 * TPV. */
static void figure_beside(sonde__text *text, const sonde__record *record, const double *x)
{
    const bool by_tpv = strcmp(record->summary.config.keep_by, "tpv") == 0;
    const char *const title = by_tpv ? "Head gradient" : tpv_title;
    char description[256];
    sonde__plot plot;
    if (!sonde__record_has_tpv(record))
        return;
    double *values = score_column(text, record, by_tpv ? "head.head_scaled" : SONDE__TPV_SIGNAL);
    if (!values)
        return;
    const sonde__range range = range_of(values, record->epoch_count);
    sonde__figure_open(text, title,
                       by_tpv ? "norm of the last layer's gradient, head-scaled; not what keeps."
                              : tpv_words);
    if (sonde__range_is_empty(&range)) {
        nothing(text, "No epoch has a valid value.");
    } else {
        describe(record, values, "", description, sizeof description);
        sonde__plot_open(&plot, text, "tpv", title, description);
        plot.x = epoch_axis(record);
        plot.y.label = by_tpv ? "head-gradient norm" : "trace";
        if (range.low > 0 && range.high / range.low < 100)
            sonde__axis_fit(&plot.y, &range, false);
        else
            sonde__axis_fit_log(&plot.y, &range);
        sonde__plot_axes(&plot);
        mark_kept(&plot, record);
        sonde__plot_line(&plot, x, values, record->epoch_count, "s5");
        sonde__plot_dots(&plot, x, values, record->epoch_count, "s5", "score");
        sonde__plot_close(&plot);
    }
    sonde__figure_close(text);
    sonde__free(text->context, values);
}

/* ---- head gradient --------------------------------------------------------------------------- */

/* Whether the run is kept by a norm of the gradient, not by the probe's loss or accuracy. */
static bool is_gradient(const char *keep_by)
{
    return strcmp(keep_by, "loss") != 0 && strcmp(keep_by, "accuracy") != 0 &&
           strcmp(keep_by, "tpv") != 0;
}

static void head_key(sonde__text *text, const sonde__record *record, bool has_second)
{
    const sonde_keep_choice *keep = &record->summary.decision.keep;
    char label[96];
    sonde__key_open(text);
    const bool tpv = strcmp(record->summary.config.keep_by, "tpv") == 0;
    sonde__key_entry(text, "s1", "line", tpv ? "fixed inputs" : "probe batch");
    if (has_second)
        sonde__key_entry(text, "s3", "line", "second probe batch");
    if (keep->epoch >= 0) {
        snprintf(label, sizeof label, "window, epochs %" PRId64 " to %" PRId64, keep->window_first,
                 keep->window_last);
        sonde__key_entry(text, "window", "bar", label);
        sonde__key_entry(text, "choice", "diamond", "choice");
    }
    sonde__key_close(text);
}

static void draw_head(sonde__text *text, const sonde__record *record, const double *x,
                      const double *first, const double *second)
{
    const sonde_keep_choice *keep = &record->summary.decision.keep;
    char description[256];
    sonde__plot plot;
    const size_t n = record->epoch_count;
    sonde__range range = range_of(first, n);
    const sonde__range other = range_of(second, n);
    sonde__range_add(&range, other.low);
    sonde__range_add(&range, other.high);
    if (sonde__range_is_empty(&range)) {
        nothing(text, "No epoch has a valid probe score.");
        return;
    }
    head_key(text, record, !sonde__range_is_empty(&other));
    describe(record, first, "", description, sizeof description);
    sonde__plot_open(&plot, text, "head", "Probe score over epochs", description);
    plot.x = epoch_axis(record);
    const char *const by = record->summary.config.keep_by;
    plot.y.label = is_gradient(by) ? "head-gradient norm" : strcmp(by, "tpv") == 0 ? "trace" : by;
    if (range.low > 0 && range.high / range.low < 100)
        sonde__axis_fit(&plot.y, &range, false); /* differences near the choice are what counts */
    else
        sonde__axis_fit_log(&plot.y, &range);
    if (keep->epoch >= 0)
        sonde__plot_band(&plot, (double)keep->window_first, (double)keep->window_last, "window");
    sonde__plot_axes(&plot);
    mark_kept(&plot, record);
    sonde__plot_line(&plot, x, second, n, "s3");
    sonde__plot_line(&plot, x, first, n, "s1");
    sonde__plot_dots(&plot, x, first, n, "s1", "score");
    sonde__plot_diamond(&plot, (double)keep->second_epoch,
                        at_epoch(record, second, keep->second_epoch), "choice second",
                        "choice of the second probe batch");
    sonde__plot_diamond(&plot, (double)keep->epoch, at_epoch(record, first, keep->epoch), "choice",
                        "choice");
    sonde__plot_close(&plot);
}

static void figure_head(sonde__text *text, const sonde__record *record, const double *x)
{
    char signal[64], subtitle[256];
    sonde__record_keep_signal(record, false, signal, sizeof signal);
    double *first = score_column(text, record, signal);
    sonde__record_keep_signal(record, true, signal, sizeof signal);
    double *second = score_column(text, record, signal);
    const char *const by = record->summary.config.keep_by;
    const bool gradient = is_gradient(by), tpv = strcmp(by, "tpv") == 0;
    if (tpv)
        snprintf(subtitle, sizeof subtitle, "Keep: %s", tpv_words);
    else
        snprintf(
            subtitle, sizeof subtitle, "Keep: %s%.32s%s the probe batch (%.32s). %s is better.",
            gradient ? "norm of the last layer's gradient, " : "", by, gradient ? ", on" : " of",
            record->summary.config.probe, strcmp(by, "accuracy") == 0 ? "Higher" : "Lower");
    sonde__figure_open(text, gradient ? "Head gradient" : tpv ? tpv_title : "Probe", subtitle);
    if (first && second)
        draw_head(text, record, x, first, second);
    sonde__figure_close(text);
    sonde__free(text->context, first);
    sonde__free(text->context, second);
}

/* ---- active share and rate ------------------------------------------------------------------- */

static void figure_active(sonde__text *text, const sonde__record *record, const double *x)
{
    const size_t n = record->epoch_count;
    char description[256];
    sonde__plot plot;
    double *share = sonde__alloc(text->context, n, sizeof *share);
    if (!share) {
        text->status = SONDE_ERROR_MEMORY;
        return;
    }
    for (size_t i = 0; i < n; i++)
        share[i] = record->epochs[i].examples > 0
                       ? 100 * (double)record->epochs[i].active / (double)record->epochs[i].examples
                       : (double)NAN;
    describe(record, share, " %", description, sizeof description);
    sonde__figure_open(text, "Active examples",
                       "Skip: share of the training examples that had a backward pass in the "
                       "epoch; the rest were mastered.");
    sonde__plot_open(&plot, text, "active", "Active share over epochs", description);
    plot.x = epoch_axis(record);
    plot.y = (sonde__axis){.low = 0, .high = 104, .label = "active", .suffix = " %"};
    sonde__plot_axes(&plot);
    sonde__plot_area(&plot, x, share, n, "s4");
    sonde__plot_line(&plot, x, share, n, "s4");
    sonde__plot_dots(&plot, x, share, n, "s4", "active");
    sonde__plot_close(&plot);
    sonde__figure_close(text);
    sonde__free(text->context, share);
}

static void figure_rate(sonde__text *text, const sonde__record *record, const double *x)
{
    const size_t n = record->epoch_count;
    char description[256];
    sonde__plot plot;
    double *rate = column(text, record, offsetof(sonde__epoch_row, learning_rate), 1);
    if (!rate)
        return;
    const sonde__range range = range_of(rate, n);
    describe(record, rate, "", description, sizeof description);
    sonde__figure_open(text, "Learning rate", "At the end of each epoch, as scheduled.");
    if (sonde__range_is_empty(&range)) {
        nothing(text, "The learning rate is not known.");
    } else {
        sonde__plot_open(&plot, text, "rate", "Learning rate over epochs", description);
        plot.x = epoch_axis(record);
        plot.y.label = "learning rate";
        sonde__axis_fit(&plot.y, &range, true);
        sonde__plot_axes(&plot);
        sonde__plot_line(&plot, x, rate, n, "s6");
        sonde__plot_dots(&plot, x, rate, n, "s6", "rate");
        sonde__plot_close(&plot);
    }
    sonde__figure_close(text);
    sonde__free(text->context, rate);
}

void sonde__figures_epochs(sonde__text *text, const sonde__record *record)
{
    if (record->epoch_count == 0)
        return;
    double *x = epoch_numbers(text, record);
    if (!x)
        return;
    figure_head(text, record, x);
    figure_beside(text, record, x);
    sonde__figure_distance(text, record);
    figure_loss(text, record, x);
    figure_accuracy(text, record, x);
    figure_active(text, record, x);
    figure_rate(text, record, x);
    sonde__free(text->context, x);
}
