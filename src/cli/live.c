/* The live line; see live.h. */
#include "cli/live.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/thread.h"
#include "report/words.h"

static const double redraw_seconds = 0.1;

/* ---- terminal -------------------------------------------------------------------------------- */

int sonde__terminal_width(int descriptor, int otherwise)
{
    struct winsize size;
    if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return otherwise;
}

static bool smart_terminal(int descriptor)
{
    const char *kind = getenv("TERM");
    return isatty(descriptor) && kind && kind[0] && strcmp(kind, "dumb") != 0;
}

bool sonde__terminal_colour(int descriptor)
{
    const char *refused = getenv("NO_COLOR");
    return smart_terminal(descriptor) && !(refused && refused[0]);
}

/* ---- the line -------------------------------------------------------------------------------- */

enum { PIECES = 8, PIECE = 96 };

typedef struct piece {
    int rank; /* 0 is left out last */
    char label[PIECE], value[PIECE];
} piece;

static int piece_width(const piece *one)
{
    const size_t label = strlen(one->label), value = strlen(one->value);
    return value ? (int)(label + value + (label ? 1 : 0)) : 0;
}

static void fill_pieces(const sonde__train_progress *p, piece pieces[PIECES])
{
    static const int ranks[PIECES] = {0, 3, 1, 4, 5, 6, 7, 2};
    static const char *const labels[PIECES] = {"epoch",  "",     "loss",     "",
                                               "active", "head", "spectrum", "left"};
    char clock[32];
    for (int i = 0; i < PIECES; i++) {
        pieces[i] = (piece){.rank = ranks[i]};
        snprintf(pieces[i].label, PIECE, "%s", labels[i]);
    }
    snprintf(pieces[0].value, PIECE, "%" PRId64 "/%" PRId64, p->epoch, p->epochs);
    if (p->activity && p->activity[0] && strcmp(p->activity, "training") != 0)
        snprintf(pieces[1].value, PIECE, "%s", p->activity);
    else
        snprintf(pieces[1].value, PIECE, "%3.0f%%", 100 * fmin(1, fmax(0, p->epoch_share)));
    if (isfinite(p->train_loss))
        snprintf(pieces[2].value, PIECE, "%.4f", p->train_loss);
    else if (!(p->active_share <= 0)) /* with no active example there is no loss */
        snprintf(pieces[2].value, PIECE, "not finite");
    if (isfinite(p->images_per_second) && p->images_per_second > 0)
        snprintf(pieces[3].value, PIECE, "%.0f images/s", p->images_per_second);
    if (isfinite(p->active_share))
        snprintf(pieces[4].value, PIECE, "%.0f%%", 100 * p->active_share);
    if (isfinite(p->head_score))
        snprintf(pieces[5].value, PIECE, "%.4g", p->head_score);
    if (p->worst_ratio > 0)
        snprintf(pieces[6].value, PIECE, "%.2f %.40s", p->worst_ratio,
                 p->worst_layer ? p->worst_layer : "");
    if (isfinite(p->seconds_left) && p->seconds_left >= 0) {
        sonde__words_clock(p->seconds_left, clock, sizeof clock);
        snprintf(pieces[7].value, PIECE, "%s", clock);
    }
}

/* Leaves pieces out, the least important first, until the rest fits. */
static void fit_pieces(piece pieces[PIECES], int width)
{
    for (int rank = PIECES - 1; rank > 0; rank--) {
        int total = 0;
        for (int i = 0; i < PIECES; i++)
            total += piece_width(&pieces[i]) ? piece_width(&pieces[i]) + 2 : 0;
        if (total - 2 <= width)
            return;
        for (int i = 0; i < PIECES; i++)
            if (pieces[i].rank == rank)
                pieces[i].value[0] = 0;
    }
}

static void append(char *line, size_t size, const char *text)
{
    const size_t used = strlen(line);
    snprintf(line + used, size - used, "%s", text);
}

void sonde__live_format(const sonde__train_progress *progress, int width, bool colour, char *line,
                        size_t size)
{
    piece pieces[PIECES];
    fill_pieces(progress, pieces);
    fit_pieces(pieces, width);
    line[0] = 0;
    for (int i = 0; i < PIECES; i++) {
        if (!pieces[i].value[0])
            continue;
        if (line[0])
            append(line, size, "  ");
        if (pieces[i].label[0] && i != PIECES - 1) {
            append(line, size, colour ? "\033[2m" : "");
            append(line, size, pieces[i].label);
            append(line, size, colour ? "\033[0m " : " ");
        }
        const bool alarm = i == 6 && progress->worst_ratio > 1;
        append(line, size, colour && alarm ? "\033[33m" : "");
        append(line, size, pieces[i].value);
        append(line, size, colour && alarm ? "\033[0m" : "");
        if (i == PIECES - 1)
            append(line, size, " left");
    }
}

/* ---- hooks ----------------------------------------------------------------------------------- */

void sonde__live_init(sonde__live *live, bool quiet)
{
    *live = (sonde__live){.quiet = quiet, .printed_epoch = -1};
    live->terminal = !quiet && smart_terminal(STDERR_FILENO);
    live->colour = !quiet && sonde__terminal_colour(STDERR_FILENO);
}

bool sonde__live_due(const sonde__live *live)
{
    return !live->drawn || sonde__seconds() - live->last_draw >= redraw_seconds;
}

void sonde__live_show(sonde__live *live, const char *line)
{
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    live->drawn = true;
    live->last_draw = sonde__seconds();
}

static void draw(sonde__live *live, const sonde__train_progress *progress)
{
    char line[1024];
    if (!sonde__live_due(live))
        return;
    /* One column is left free: a full last column makes some terminals wrap. */
    const int width = sonde__terminal_width(STDERR_FILENO, 80) - 1;
    sonde__live_format(progress, width, live->colour, line, sizeof line);
    sonde__live_show(live, line);
}

static void plain(sonde__live *live, const sonde__train_progress *progress)
{
    char line[1024], accuracy[64] = "";
    if (progress->epoch_share < 1 || progress->epoch == live->printed_epoch)
        return;
    sonde__train_progress ended = *progress;
    ended.activity = "";
    sonde__live_format(&ended, 1000, false, line, sizeof line);
    if (isfinite(progress->test_accuracy))
        snprintf(accuracy, sizeof accuracy, "  test %.2f%% (reporting only)",
                 100 * progress->test_accuracy);
    fprintf(stderr, "%s%s\n", line, accuracy);
    live->printed_epoch = progress->epoch;
}

static void greet(sonde__live *live)
{
    if (live->greeting[0])
        fprintf(stderr, "%s\n", live->greeting);
    live->greeting[0] = 0;
}

void sonde__live_progress(void *user, const sonde__train_progress *progress)
{
    sonde__live *live = user;
    if (live->quiet)
        return;
    greet(live);
    if (live->terminal)
        draw(live, progress);
    else
        plain(live, progress);
}

void sonde__live_event(void *user, const char *text)
{
    sonde__live *live = user;
    if (live->quiet)
        return;
    sonde__live_end(live);
    greet(live);
    fprintf(stderr, "%s%s%s\n", live->colour ? "\033[33m" : "", text,
            live->colour ? "\033[0m" : "");
}

void sonde__live_end(sonde__live *live)
{
    if (!live->drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    live->drawn = false;
}
