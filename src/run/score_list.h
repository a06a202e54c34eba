/*
 * Scores of many architectures: which ones, on which batches, how far it has come.
 *
 * Every network is made from its own seed, scored and freed again, so that memory does not grow with
 * the list; several are worked on at once, each on one thread. What is finished stands in a CSV file
 * at once, a line for a network and a seed, and is not computed again: a list that was killed goes
 * on.
 */
#ifndef SONDE_RUN_SCORE_LIST_H
#define SONDE_RUN_SCORE_LIST_H

#include "measure/distill_net.h"
#include "run/config.h"

/* ---- score_list_names.c: architectures, each once, in the order given ------------------------- */

typedef struct sonde__arch_name {
    char *spec;
    size_t line; /* of the list file; 0: given directly */
} sonde__arch_name;

typedef struct sonde__arch_names {
    sonde_context *context;
    sonde__arch_name *items;
    size_t count, capacity;
    char *path; /* of the list file, or NULL */
} sonde__arch_names;

void sonde__arch_names_init(sonde__arch_names *names, sonde_context *context);
void sonde__arch_names_free(sonde__arch_names *names);
sonde_status sonde__arch_names_add(sonde__arch_names *names, const char *spec);
/* "all-nb201", "all-s1", or a file with one architecture a line; empty lines and what follows a # are
 * skipped. */
sonde_status sonde__arch_names_read(sonde__arch_names *names, const char *list);
/* Keeps `count` of them, drawn from the seed, in their order. */
void sonde__arch_names_sample(sonde__arch_names *names, size_t count, uint64_t seed);
/* That each can be built; the first that cannot is told with its line. */
sonde_status sonde__arch_names_check(const sonde__arch_names *names, sonde__shape input,
                                     int classes);

/* ---- score_list.c: what they are scored on ---------------------------------------------------- */

typedef struct sonde__score_settings {
    sonde__config config; /* data, seed; augment: random crop and flip, as the protocols do */
    sonde__protocol protocol;
    sonde__proxies wanted;
    int64_t batch;       /* examples; 0: the protocol's */
    int64_t repeats;     /* seeds: config.seed, config.seed + 1, ... */
    bool balanced;       /* the same number of examples of each class ("grasp") */
    const char *weights; /* a model file instead of the initialisation, or NULL */
    const char *input;   /* a model file with tensors x and y instead of the data set, or NULL */
    int64_t classes;     /* with `input`; 0: the largest label + 1 */
    const char *teacher; /* an architecture, for DisWOT; or NULL */
    sonde__distill_metric metric;
} sonde__score_settings;

/* One seed: the initialisation of every network, and the batch. */
typedef struct sonde__score_sample {
    uint64_t seed, identity; /* identity: a hash of the batch */
    sonde__score_batch batch;
    sonde__distill_view teacher;
    float *x;
    int32_t *labels; /* n x rows */
} sonde__score_sample;

/* What the settings name, opened. */
typedef struct sonde__score_task {
    sonde_context *context;
    sonde__score_settings settings; /* defaults filled in */
    char data[64];                  /* what the examples are */
    sonde__shape input;
    int classes, rows;            /* rows: labels an example */
    sonde__score_sample *samples; /* settings.repeats */
    size_t sample_count;
} sonde__score_task;

/* The batches; on failure there is nothing to close. */
sonde_status sonde__score_task_open(sonde_context *context, const sonde__score_settings *settings,
                                    sonde__score_task *task);
/* The teacher's side of every sample, where there is one. */
sonde_status sonde__score_task_teach(sonde__score_task *task);
void sonde__score_task_close(sonde__score_task *task);

const char *sonde__protocol_name(sonde__protocol protocol);
const char *sonde__distill_metric_name(sonde__distill_metric metric);

/* A setting that scores depend on, beside architecture and seed. */
typedef struct sonde__score_setting {
    const char *name;
    char value[SONDE__CONFIG_TEXT_MAX];
} sonde__score_setting;
/* The i-th; false past the end. */
bool sonde__score_setting_at(const sonde__score_task *task, int index,
                             sonde__score_setting *setting);

/* One network, one seed. */
typedef struct sonde__network_score {
    bool done;
    double seconds;
    sonde_score scores[SONDE_PROXY_COUNT];
} sonde__network_score;

/* ---- score_list_file.c: results that survive -------------------------------------------------- */

typedef struct sonde__score_file sonde__score_file;

/*
 * Opens or makes the CSV file for these settings, and fills the rows that it holds, which lie as
 * rows[name * sample_count + sample]. A last line that was cut off is dropped. SONDE_ERROR_STATE if it
 * was written with other settings, SONDE_ERROR_LOCKED while another process writes it.
 */
sonde_status sonde__score_file_open(const sonde__score_task *task, const sonde__arch_names *names,
                                    const char *path, sonde__network_score *rows,
                                    sonde__score_file **file);
/* One line, written at once: rows[row]. */
sonde_status sonde__score_file_add(sonde__score_file *file, size_t row);
/* Flushed to the disk; NULL is legal. */
void sonde__score_file_close(sonde__score_file *file);

/* ---- score_list_run.c: the work --------------------------------------------------------------- */

typedef struct sonde__score_progress {
    size_t rows, done; /* of them */
    size_t found;      /* of these, done by an earlier run */
    double seconds;    /* since it began */
    double left;       /* an estimate; NaN: unknown yet */
    const char *spec;  /* done last, or "" */
} sonde__score_progress;

typedef struct sonde__score_hooks {
    void *user;
    /* A few times a second; false ends the work with what is done. May be NULL. */
    bool (*progress)(void *user, const sonde__score_progress *progress);
} sonde__score_hooks;

/* Computes all rows that are not done. `file` and `hooks` may be NULL. Ended by the hook it is
 * SONDE_ERROR_CANCELLED, with the rows that were finished. */
sonde_status sonde__score_all(const sonde__score_task *task, const sonde__arch_names *names,
                              sonde__score_file *file, const sonde__score_hooks *hooks,
                              sonde__network_score *rows);

#endif
