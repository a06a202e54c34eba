/*
 * Progress of a survey: which model of how many, layers, share of the work, time left. A live line
 * on a terminal; elsewhere a plain line every ten seconds; nothing when quiet.
 */
#include "cli/live.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "cli/interrupt.h"
#include "cli/paper.h"
#include "report/words.h"

static const double plain_seconds = 10;

void sonde__survey_live_init(sonde__survey_live *live, bool quiet)
{
    *live = (sonde__survey_live){.model = "", .number = 1, .models = 1};
    sonde__live_init(&live->live, quiet);
    live->told = sonde__seconds();
}

void sonde__survey_live_format(const sonde__survey_live *live,
                               const sonde_survey_progress *progress, int width, char *line,
                               size_t size)
{
    char series[96] = "", model[48], left[40] = "", clock[32], layer[96] = "";
    if (live->models > 1) {
        sonde__paper_shorten(live->model, 28, model, sizeof model);
        snprintf(series, sizeof series, "%zu/%zu %s  ", live->number, live->models, model);
    }
    if (isfinite(progress->seconds_left) && progress->seconds_left >= 0) {
        sonde__words_clock(progress->seconds_left, clock, sizeof clock);
        snprintf(left, sizeof left, "  %s left", clock);
    }
    char core[96];
    snprintf(core, sizeof core, "layer %zu/%zu  %.0f%%%s", progress->layers_done, progress->layers,
             100 * fmin(1, fmax(0, progress->work_done)), left);
    const bool whole = sonde__columns(series, strlen(series)) + (int)strlen(core) <= width;
    snprintf(line, size, "%s%.*s", whole ? series : "", width, core);
    const int used = sonde__columns(line, strlen(line));
    if (progress->layer && progress->layer[0] && width - used > 14) {
        sonde__paper_shorten(progress->layer, width - used - 2 < 40 ? width - used - 2 : 40, layer,
                             sizeof layer);
        snprintf(line + strlen(line), size - strlen(line), "  %s", layer);
    }
}

bool sonde__survey_live_progress(void *user, const sonde_survey_progress *progress)
{
    sonde__survey_live *live = user;
    char line[512];
    if (live->live.quiet || sonde__interrupted(NULL))
        return !sonde__interrupted(NULL);
    if (live->live.terminal && sonde__live_due(&live->live)) {
        const int width = sonde__terminal_width(STDERR_FILENO, 80) - 1;
        sonde__survey_live_format(live, progress, width, line, sizeof line);
        sonde__live_show(&live->live, line);
    } else if (!live->live.terminal && sonde__seconds() - live->told >= plain_seconds) {
        sonde__survey_live_format(live, progress, 200, line, sizeof line);
        fprintf(stderr, "%s\n", line);
        live->told = sonde__seconds();
    }
    return true;
}
