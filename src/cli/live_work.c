/* A live line on a terminal, elsewhere a plain line every ten seconds, nothing when quiet. */
#include "cli/live_work.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "base/thread.h"
#include "cli/interrupt.h"
#include "report/words.h"

static const double plain_seconds = 10;

void sonde__work_live_init(sonde__work_live *live, bool quiet)
{
    *live = (sonde__work_live){.part = 1, .parts = 1};
    sonde__live_init(&live->live, quiet);
    live->began = live->told = sonde__seconds();
}

static void write_line(const sonde__work_live *live, const char *what, double share, char *line,
                       size_t size)
{
    char series[128] = "", left[48] = "", clock[32];
    const double whole = ((double)live->part - 1 + share) / (double)live->parts;
    const double spent = sonde__seconds() - live->began;
    if (live->parts > 1)
        snprintf(series, sizeof series, "%zu/%zu %s  ", live->part, live->parts, live->title);
    if (whole > 0.02) {
        sonde__words_clock(spent * (1 - whole) / whole, clock, sizeof clock);
        snprintf(left, sizeof left, "  %s left", clock);
    }
    snprintf(line, size, "%s%s  %.0f%%%s", series, what, 100 * fmin(1, fmax(0, whole)), left);
}

bool sonde__work_live_progress(void *user, const char *what, double share)
{
    sonde__work_live *live = user;
    char line[320], cut[320];
    if (live->live.quiet || sonde__interrupted(NULL))
        return !sonde__interrupted(NULL);
    if (live->live.terminal && sonde__live_due(&live->live)) {
        write_line(live, what, share, line, sizeof line);
        snprintf(cut, sizeof cut, "%.*s", sonde__terminal_width(STDERR_FILENO, 80) - 1, line);
        sonde__live_show(&live->live, cut);
    } else if (!live->live.terminal && sonde__seconds() - live->told >= plain_seconds) {
        write_line(live, what, share, line, sizeof line);
        fprintf(stderr, "%s\n", line);
        live->told = sonde__seconds();
    }
    return true;
}

void sonde__work_live_end(sonde__work_live *live)
{
    sonde__live_end(&live->live);
}
