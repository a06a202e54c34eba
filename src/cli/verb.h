/*
 * A verb of the command: its words, its options, and what it does.
 *
 * cli.c parses and calls; a verb sees its values filled in and returns the exit status.
 */
#ifndef SONDE_CLI_VERB_H
#define SONDE_CLI_VERB_H

#include <stdio.h>

#include "base/text.h"
#include "cli/options.h"
#include "report/record.h"

enum { SONDE__EXIT_DONE = 0, SONDE__EXIT_FAILED = 1, SONDE__EXIT_USAGE = 2 };

typedef struct sonde__score_values {
    sonde__texts archs;
    const char *list, *proxy, *protocol, *load, *weights, *input, *teacher, *metric, *by, *out;
    int64_t batch, repeat, classes, sample, top;
} sonde__score_values;

/* What names a subject beside the run's configuration (cli/subject.h). */
typedef struct sonde__subject_words {
    int64_t epoch; /* -1: not given */
    const char *weights, *mean, *std;
} sonde__subject_words;

typedef struct sonde__tpv_values {
    sonde__subject_words subject;
    const char *noise, *convention;
    int64_t train_inputs, test_inputs, draws;
    bool exact, empirical;
} sonde__tpv_values;

typedef struct sonde__prune_values {
    sonde__subject_words subject;
    const char *out, *plan, *by, *ratio, *confidence, *lr;
    int64_t iterations, least, multiple, batches, batch, re_estimate, fine_tune;
    bool per_layer, normalise, speed, curve;
} sonde__prune_values;

/* Values of all verbs' own options; each verb lists those it takes. */
typedef struct sonde__values {
    const char *run, *output, *folder;
    const char *layers, *conv, *base, *csv, *html, *false_alarm, *keep_by, *window, *adapter_scale;
    int64_t epochs, threads, memory;
    bool json, quiet, all, fast, spectra, held, force;
    sonde__score_values score; /* of `sonde score` */
    sonde__tpv_values tpv;     /* of `sonde tpv` and `sonde probe` */
    sonde__prune_values prune; /* of `sonde prune` */
} sonde__values;

typedef struct sonde__call {
    sonde_context *context;
    sonde__values values;
    sonde__config config;      /* for verbs that train or measure */
    sonde__config_named named; /* which of its fields were given */
    const char *positional;    /* the first one; NULL: not given */
    char **positionals;        /* all of them, `positional_count` */
    int positional_count;
} sonde__call;

typedef struct sonde__verb {
    const char *name, *summary;
    const char *usage;    /* behind "sonde " */
    const char *examples; /* lines, indented */
    const char *about;    /* a paragraph or two, wrapped by hand */
    const sonde__option *options;
    bool trains;                        /* takes the run's configuration as options */
    bool measures;                      /* takes of it what names a subject (run/subject.h) */
    const char *const *without;         /* fields that it does not take; ends with NULL; or NULL */
    const char *positional;             /* "RUN", or NULL */
    bool optional;                      /* the positional may be missing */
    int least, most;                    /* positionals wanted; 0 means 1 */
    void (*prepare)(sonde__call *call); /* own defaults before parsing; may be NULL */
    int (*run)(sonde__call *call);
} sonde__verb;

extern const sonde__verb sonde__verb_train, sonde__verb_resume, sonde__verb_show,
    sonde__verb_report, sonde__verb_demo, sonde__verb_data, sonde__verb_models,
    sonde__verb_spectrum, sonde__verb_keep, sonde__verb_tpv, sonde__verb_probe, sonde__verb_diff,
    sonde__verb_convert, sonde__verb_score, sonde__verb_prune;

/* The i-th verb, or NULL past the end. */
const sonde__verb *sonde__verb_at(int index);
void sonde__help_general(FILE *to);
void sonde__help_verb(FILE *to, const sonde__verb *verb);

/* One line on stderr from the context's error; the exit status that fits. */
int sonde__cli_fail(const sonde_context *context);
/* One line on stderr for wrong use; SONDE__EXIT_USAGE. */
int sonde__cli_usage(const char *format, ...) SONDE_PRINTF(1, 2);

/* Names from files may hold anything: control characters, which could steer a terminal, what turns a
 * text's direction, and bytes that are no UTF-8 become question marks. In place. */
void sonde__cli_plain(char *text);

/* print.c: the decisions for people, wrapped to the terminal. */
void sonde__print_decisions(FILE *to, const sonde__record *record);
void sonde__print_epochs(FILE *to, const sonde__record *record);
void sonde__print_layers(FILE *to, const sonde__record *record);

/* json.c: the object that --json prints. */
sonde_status sonde__json_run(sonde_context *context, FILE *to, const sonde__record *record);

/* cli_train.c: where a run goes that nobody gave a folder. */
void sonde__cli_default_folder(const sonde__config *config, char *folder, size_t size);
/* cli_train.c: trains or resumes and tells the result; `resume`: the run in `folder` goes on. */
int sonde__cli_train_into(sonde__call *call, const char *folder, bool resume);
/* Data set and model are known names, and the configuration is sound. */
int sonde__cli_check_config(sonde__call *call);
/* cli_show_model.c: a model file's tensors. */
int sonde__cli_show_model(sonde__call *call);
/* True for a folder that holds a run. */
bool sonde__cli_is_run(sonde_context *context, const char *path);
/* cli_show.c: opens a run to read, and reads all of it. */
sonde_status sonde__cli_read_run(sonde_context *context, const char *folder, sonde__store **store,
                                 sonde__record *record);

#endif
