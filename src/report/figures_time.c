/* Where the time of the run went: one stacked bar with its parts in words. */
#include "report/figures.h"
#include "report/words.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { PARTS = 7 };

typedef struct part {
    const char *name, *class;
    size_t offset; /* in sonde__epoch_row; of the last part, the whole epoch: what is left */
    double seconds;
} part;

static double total_of(const sonde__record *record, size_t offset)
{
    double total = 0;
    for (size_t i = 0; i < record->epoch_count; i++) {
        double value;
        memcpy(&value, (const char *)&record->epochs[i] + offset, sizeof value);
        if (isfinite(value))
            total += value;
    }
    return total;
}

static double fill_parts(const sonde__record *record, part parts[PARTS])
{
    double known = 0;
    for (int i = 0; i < PARTS - 1; i++)
        known += parts[i].seconds = total_of(record, parts[i].offset);
    const double all = fmax(known, total_of(record, parts[PARTS - 1].offset));
    parts[PARTS - 1].seconds = all - known;
    return all;
}

static void draw_parts(sonde__text *text, const part parts[PARTS], double all,
                       const char *description)
{
    double x = 0;
    sonde__text_add(text,
                    "<svg class=\"bar\" viewBox=\"0 0 960 44\" preserveAspectRatio=\"none\" "
                    "role=\"img\" aria-labelledby=\"time-t time-d\"><title id=\"time-t\">Time "
                    "by part</title><desc id=\"time-d\">");
    sonde__text_html(text, description);
    sonde__text_add(text, "</desc>\n");
    for (int i = 0; i < PARTS; i++) {
        const double width = 960 * parts[i].seconds / all;
        if (width > 0.05)
            sonde__text_format(text,
                               "<rect class=\"%s\" x=\"%.2f\" y=\"0\" width=\"%.2f\" "
                               "height=\"44\"><title>%s: %.1f %%</title></rect>\n",
                               parts[i].class, x, fmax(0.5, width - (width > 4 ? 1.5 : 0)),
                               parts[i].name, 100 * parts[i].seconds / all);
        x += width;
    }
    sonde__text_add(text, "</svg>\n");
}

void sonde__figure_time(sonde__text *text, const sonde__record *record)
{
    part parts[PARTS] = {
        {"training steps", "fill1", offsetof(sonde__epoch_row, seconds_train), 0},
        {"losses of skipped examples", "fill2", offsetof(sonde__epoch_row, seconds_check), 0},
        {"probe", "fill3", offsetof(sonde__epoch_row, seconds_probe), 0},
        {"waiting for spectra", "fill4", offsetof(sonde__epoch_row, seconds_spectrum_wait), 0},
        {"test accuracy (reporting)", "fill5", offsetof(sonde__epoch_row, seconds_test), 0},
        {"checkpoints and store", "fill6", offsetof(sonde__epoch_row, seconds_store), 0},
        {"other", "fill7", offsetof(sonde__epoch_row, seconds), 0},
    };
    const double all = fill_parts(record, parts);
    char duration[64], subtitle[160], label[128], description[512] = "";
    if (!(all > 0))
        return;
    sonde__words_duration(all, duration, sizeof duration);
    snprintf(subtitle, sizeof subtitle, "%s in %zu epoch%s.", duration, record->epoch_count,
             record->epoch_count == 1 ? "" : "s");
    sonde__text_add(text, "<section class=\"wide\">\n");
    sonde__figure_open(text, "Time by part", subtitle);
    for (int i = 0; i < PARTS; i++) {
        const size_t used = strlen(description);
        snprintf(description + used, sizeof description - used, "%s%s %.1f %%", i ? ", " : "",
                 parts[i].name, 100 * parts[i].seconds / all);
    }
    draw_parts(text, parts, all, description);
    sonde__key_open(text);
    for (int i = 0; i < PARTS; i++) {
        sonde__words_duration(parts[i].seconds, duration, sizeof duration);
        snprintf(label, sizeof label, "%s %.1f %% (%s)", parts[i].name,
                 100 * parts[i].seconds / all, duration);
        sonde__key_entry(text, parts[i].class, "bar", label);
    }
    sonde__key_close(text);
    sonde__figure_close(text);
    sonde__text_add(text, "</section>\n");
}
