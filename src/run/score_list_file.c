/*
 * Scores in a CSV file: a line for a network and a seed, whole or not there.
 *
 * Columns: arch, seed, the settings, a hash of the batch, a proxy each (empty where it has no number),
 * seconds, and why proxies have none ("jacob_cov: input is constant..."). Every line names its
 * settings, so that the table can be read alone, and a file of other settings is refused.
 *
 * Invariant: a line is one write at the end of the file; what stands behind the last line end is from
 * a write that a crash cut off, and is dropped when the file is opened again.
 */
#include "run/score_list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/path.h"
#include "base/text.h"

enum { FILE_BYTES_MAX = 1 << 30, CELLS_MAX = 48 };

struct sonde__score_file {
    sonde_context *context;
    const sonde__score_task *task;
    const sonde__arch_names *names;
    sonde__network_score *rows;
    const sonde__arch_name **sorted; /* by name, to find them */
    char *path;
    int descriptor;
};

/* ---- writing --------------------------------------------------------------------------------- */

static bool is_column(const sonde__score_task *task, int kind)
{
    return (task->settings.wanted & SONDE__PROXY_BIT(kind)) != 0;
}

static void add_head(const sonde__score_task *task, sonde__text *text)
{
    sonde__score_setting setting;
    sonde__text_add(text, "arch,seed");
    for (int i = 0; sonde__score_setting_at(task, i, &setting); i++)
        sonde__text_format(text, ",%s", setting.name);
    sonde__text_add(text, ",batch_hash");
    for (int i = 0; i < SONDE_PROXY_COUNT; i++)
        if (is_column(task, i))
            sonde__text_format(text, ",%s", sonde_proxy_name((sonde_proxy_kind)i));
    sonde__text_add(text, ",seconds,invalid\n");
}

/* "name: reason; name: reason", quoted. */
static void add_reasons(const sonde__score_task *task, const sonde__network_score *row,
                        sonde__text *text)
{
    bool any = false;
    sonde__text_add(text, "\"");
    for (int i = 0; i < SONDE_PROXY_COUNT; i++) {
        const sonde_validity validity = row->scores[i].validity;
        if (!is_column(task, i) || validity == SONDE_VALID)
            continue;
        sonde__text_format(text, "%s%s: %s", any ? "; " : "", sonde_proxy_name((sonde_proxy_kind)i),
                           sonde_validity_sentence(validity));
        any = true;
    }
    sonde__text_add(text, "\"\n");
}

static void add_line(const sonde__score_file *file, size_t row, sonde__text *text)
{
    const sonde__score_task *task = file->task;
    const sonde__score_sample *sample = &task->samples[row % task->sample_count];
    const sonde__network_score *one = &file->rows[row];
    sonde__score_setting setting;
    sonde__text_csv(text, file->names->items[row / task->sample_count].spec);
    sonde__text_format(text, ",%" PRIu64, sample->seed);
    for (int i = 0; sonde__score_setting_at(task, i, &setting); i++) {
        sonde__text_add(text, ",");
        sonde__text_csv(text, setting.value);
    }
    sonde__text_format(text, ",%016" PRIx64, sample->identity);
    for (int i = 0; i < SONDE_PROXY_COUNT; i++) {
        if (!is_column(task, i))
            continue;
        sonde__text_add(text, ",");
        if (one->scores[i].validity == SONDE_VALID)
            sonde__text_number(text, one->scores[i].value);
    }
    sonde__text_format(text, ",%.3f,", one->seconds);
    add_reasons(task, one, text);
}

static sonde_status append(sonde__score_file *file, sonde__text *text)
{
    size_t written = 0;
    sonde_status status = sonde__text_status(text);
    while (status == SONDE_OK && written < text->length) {
        const ssize_t count =
            write(file->descriptor, text->bytes + written, text->length - written);
        if (count > 0)
            written += (size_t)count;
        else if (count < 0 && errno != EINTR)
            status = sonde__fail_errno(file->context, file->path, "be written");
    }
    sonde__text_free(text);
    return status;
}

sonde_status sonde__score_file_add(sonde__score_file *file, size_t row)
{
    sonde__text text;
    sonde__text_init(&text, file->context);
    add_line(file, row, &text);
    return append(file, &text);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* Cuts a line into cells, in place, and takes quotes off (RFC 4180); returns how many, or -1. */
static int split(char *line, char *cells[CELLS_MAX])
{
    int count = 0;
    for (char *at = line;;) {
        if (count == CELLS_MAX)
            return -1;
        char *to = at;
        cells[count++] = at;
        if (*at == '"') {
            for (at++; *at && (*at != '"' || at[1] == '"'); at++) {
                at += *at == '"' ? 1 : 0;
                *to++ = *at;
            }
            if (*at++ != '"')
                return -1;
        } else {
            while (*at && *at != ',')
                at++;
            to = at;
        }
        const char end = *at;
        *to = 0;
        if (end == 0)
            return count;
        if (end != ',')
            return -1;
        at++;
    }
}

static sonde_status refuse(const sonde__score_file *file, size_t line, const char *what,
                           const char *there, const char *here)
{
    return sonde__fail_at(file->context, SONDE_ERROR_STATE, file->path, NULL, -1,
                          "%s, line %zu: was scored with %s %s, now it is %s; name another file or "
                          "give the same options",
                          file->path, line, what, there, here);
}

static sonde_status damaged(const sonde__score_file *file, size_t line)
{
    return sonde__fail_at(file->context, SONDE_ERROR_FORMAT, file->path, NULL, -1,
                          "%s, line %zu is no line of scores; name another file", file->path, line);
}

static int by_spec(const void *a, const void *b)
{
    return strcmp((*(const sonde__arch_name *const *)a)->spec,
                  (*(const sonde__arch_name *const *)b)->spec);
}

/* The row of a network and a seed, or NULL where neither is asked for now. */
static sonde__network_score *find_row(const sonde__score_file *file, char *spec, const char *seed,
                                      const sonde__score_sample **sample)
{
    const sonde__arch_name wanted = {.spec = spec}, *key = &wanted;
    const sonde__score_task *task = file->task;
    const sonde__arch_name **found =
        bsearch(&key, file->sorted, file->names->count, sizeof *file->sorted, by_spec);
    char text[24];
    for (size_t i = 0; found && i < task->sample_count; i++) {
        snprintf(text, sizeof text, "%" PRIu64, task->samples[i].seed);
        if (strcmp(text, seed) != 0)
            continue;
        *sample = &task->samples[i];
        return &file->rows[(size_t)(*found - file->names->items) * task->sample_count + i];
    }
    return NULL;
}

/* The reason of one proxy in "name: reason; name: reason". */
static sonde_validity read_reason(const char *reasons, const char *name)
{
    const size_t length = strlen(name);
    for (const char *at = reasons; at && *at;) {
        if (strncmp(at, name, length) == 0 && strncmp(at + length, ": ", 2) == 0) {
            const char *sentence = at + length + 2;
            const size_t bytes = strcspn(sentence, ";");
#define MATCH(code, number, text) \
    if (strlen(text) == bytes && strncmp(sentence, text, bytes) == 0) \
        return code;
            SONDE_VALIDITY_LIST(MATCH)
#undef MATCH
            return SONDE_NOT_MEASURED;
        }
        at = strstr(at, "; ");
        at = at ? at + 2 : NULL;
    }
    return SONDE_NOT_MEASURED;
}

/* `cells` begin behind the hash of the batch. */
static bool read_scores(const sonde__score_task *task, char **cells, sonde__network_score *row)
{
    int columns = 0;
    for (int i = 0; i < SONDE_PROXY_COUNT; i++)
        columns += is_column(task, i);
    const char *reasons = cells[columns + 1];
    for (int i = 0; i < SONDE_PROXY_COUNT; i++) {
        sonde_score *score = &row->scores[i];
        *score = (sonde_score){.direction = sonde_proxy_direction((sonde_proxy_kind)i),
                               .validity = SONDE_NOT_MEASURED};
        if (!is_column(task, i))
            continue;
        const char *cell = *cells++;
        if (!*cell)
            score->validity = read_reason(reasons, sonde_proxy_name((sonde_proxy_kind)i));
        else if (sonde__parse_double(cell, &score->value))
            score->validity = SONDE_VALID;
        else
            return false;
    }
    row->done = sonde__parse_double(*cells, &row->seconds);
    return row->done;
}

static sonde_status read_line(sonde__score_file *file, char *line, size_t number, int columns)
{
    char *cells[CELLS_MAX], hash[24];
    sonde__score_setting setting;
    const sonde__score_sample *sample = NULL;
    if (split(line, cells) != columns)
        return damaged(file, number);
    int at = 2;
    for (int i = 0; sonde__score_setting_at(file->task, i, &setting); i++, at++)
        if (strcmp(cells[at], setting.value) != 0)
            return refuse(file, number, setting.name, cells[at], setting.value);
    sonde__network_score *row = find_row(file, cells[0], cells[1], &sample);
    if (!row)
        return SONDE_OK;
    snprintf(hash, sizeof hash, "%016" PRIx64, sample->identity);
    if (strcmp(cells[at], hash) != 0)
        return refuse(file, number, "a batch of hash", cells[at], hash);
    return read_scores(file->task, cells + at + 1, row) ? SONDE_OK : damaged(file, number);
}

/* The lines behind the first; `text` ends with a line end. */
static sonde_status read_lines(sonde__score_file *file, char *text, int columns)
{
    size_t number = 2;
    for (char *at = text; *at; number++) {
        char *const end = strchr(at, '\n');
        *end = 0;
        SONDE_TRY(read_line(file, at, number, columns));
        at = end + 1;
    }
    return SONDE_OK;
}

static sonde_status other_head(const sonde__score_file *file, const char *text)
{
    if (strncmp(text, "arch,seed,", 10) == 0)
        return sonde__fail_at(file->context, SONDE_ERROR_STATE, file->path, NULL, -1,
                              "%s holds other proxies than those asked for now; name another file "
                              "or the same proxies",
                              file->path);
    return sonde__fail_at(file->context, SONDE_ERROR_STATE, file->path, NULL, -1,
                          "%s is no file of scores; name another one", file->path);
}

/* Reads what is there, cuts off a broken end, and begins the file where it is empty. */
static sonde_status take_up(sonde__score_file *file, char *text, size_t size, sonde__text *head)
{
    SONDE_TRY(sonde__text_status(head));
    char *const last = size ? strrchr(text, '\n') : NULL;
    const size_t whole = last ? (size_t)(last - text) + 1 : 0;
    int columns = 1;
    for (const char *at = head->bytes; *at; at++)
        columns += *at == ',';
    /* Of a file that was never more than a part of its first line, that part is ours. */
    if (strlen(text) != size || (whole == 0 && strncmp(text, head->bytes, size) != 0) ||
        (whole && strncmp(text, head->bytes, head->length) != 0))
        return other_head(file, text);
    text[whole] = 0;
    if (whole)
        SONDE_TRY(read_lines(file, text + head->length, columns));
    if (whole < size && ftruncate(file->descriptor, (off_t)whole) != 0)
        return sonde__fail_errno(file->context, file->path, "be cut to its last whole line");
    return whole ? SONDE_OK : append(file, head);
}

/* ---- the file -------------------------------------------------------------------------------- */

static sonde_status lock(sonde__score_file *file)
{
    file->descriptor = open(file->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file->descriptor < 0)
        return sonde__fail_errno(file->context, file->path, "be opened");
    if (flock(file->descriptor, LOCK_EX | LOCK_NB) == 0)
        return SONDE_OK;
    return sonde__fail_at(file->context, SONDE_ERROR_LOCKED, file->path, NULL, -1,
                          "%s is being written by another process", file->path);
}

static sonde_status open_file(sonde__score_file *file)
{
    void *text = NULL;
    size_t size = 0;
    sonde__text head;
    SONDE_TRY(lock(file));
    SONDE_TRY(sonde__read_file(file->context, file->path, FILE_BYTES_MAX, &text, &size));
    sonde__text_init(&head, file->context);
    add_head(file->task, &head);
    const sonde_status status = take_up(file, text, size, &head);
    sonde__text_free(&head);
    sonde__free(file->context, text);
    return status;
}

sonde_status sonde__score_file_open(const sonde__score_task *task, const sonde__arch_names *names,
                                    const char *path, sonde__network_score *rows,
                                    sonde__score_file **file)
{
    sonde_context *context = task->context;
    sonde__score_file *made = sonde__alloc_zero(context, 1, sizeof *made);
    if (!made)
        return SONDE_ERROR_MEMORY;
    *made = (sonde__score_file){
        .context = context, .task = task, .names = names, .rows = rows, .descriptor = -1};
    made->path = sonde__copy_string(context, path);
    made->sorted = sonde__alloc(context, names->count, sizeof *made->sorted);
    sonde_status status = made->path && made->sorted ? SONDE_OK : SONDE_ERROR_MEMORY;
    for (size_t i = 0; i < names->count && status == SONDE_OK; i++)
        made->sorted[i] = &names->items[i];
    if (status == SONDE_OK) {
        qsort(made->sorted, names->count, sizeof *made->sorted, by_spec);
        status = open_file(made);
    }
    if (status != SONDE_OK) {
        sonde__score_file_close(made);
        return status;
    }
    *file = made;
    return SONDE_OK;
}

void sonde__score_file_close(sonde__score_file *file)
{
    if (!file)
        return;
    if (file->descriptor >= 0) {
        fsync(file->descriptor);
        close(file->descriptor);
    }
    sonde__free(file->context, file->sorted);
    sonde__free(file->context, file->path);
    sonde__free(file->context, file);
}
