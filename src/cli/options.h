/*
 * Options of the command: `--name value`, `--name=value`, `--flag`, `--no-flag`, `-o FILE`.
 *
 * A verb lists its own options; verbs that train also take every field of the run's configuration.
 * Whatever is not understood is refused in one line that names the nearest thing that would be.
 */
#ifndef SONDE_CLI_OPTIONS_H
#define SONDE_CLI_OPTIONS_H

#include "run/config.h"

typedef enum sonde__option_type {
    SONDE__OPTION_FLAG,    /* bool */
    SONDE__OPTION_TEXT,    /* const char *: points into the arguments */
    SONDE__OPTION_TEXTS,   /* sonde__texts: may be given again and again */
    SONDE__OPTION_INTEGER, /* int64_t, not negative */
    SONDE__OPTION_SIZE     /* int64_t, bytes: "2G", "512M", "65536" */
} sonde__option_type;

enum { SONDE__TEXTS_MAX = 256 };

typedef struct sonde__texts {
    const char *item[SONDE__TEXTS_MAX]; /* point into the arguments */
    int count;
} sonde__texts;

typedef struct sonde__option {
    sonde__option_type type;
    const char *name;        /* NULL ends a list */
    char letter;             /* 'o' for -o; 0: none */
    const char *placeholder; /* "FILE"; "" for flags */
    const char *help;
    size_t offset; /* in the struct of values */
} sonde__option;

typedef struct sonde__parse {
    const char *verb;
    const sonde__option *options; /* ends with a NULL name */
    void *values;                 /* the struct that the options' offsets point into */
    sonde__config *config;        /* NULL: fields of the configuration are no options here */
    bool subject;                 /* only those of sonde__config_of_subject are */
    const char *const *without;   /* fields that are no options either; ends with NULL; or NULL */
    sonde__config_named *named;   /* which fields were given; NULL: not wanted */
    const char *positional;       /* its name in messages, "RUN"; NULL: none is taken */
    int most;                     /* positionals that are taken; 0 means 1 */
    const char *value;            /* the first positional; NULL when none was given */
    char **values_given;          /* all of them: the front of the arguments, which are reordered */
    int given;                    /* how many */
    bool help;                    /* --help or -h was given */
} sonde__parse;

/* SONDE_ERROR_ARGUMENT with one line that says what would be right. */
sonde_status sonde__parse_arguments(sonde_context *context, sonde__parse *parse, int count,
                                    char **arguments);

/* Bytes as "512M", "2G" or "1.5GiB" (powers of 1024); false for anything else. */
bool sonde__parse_size(const char *text, int64_t *bytes);

/* Whether `name` stands in a list that ends with NULL; the list may be NULL. */
bool sonde__name_in(const char *const *list, const char *name);

/* The candidate nearest to `word`, or NULL when none is near. `next` gives the i-th candidate. */
typedef const char *(*sonde__candidate_fn)(const void *user, int index);
const char *sonde__nearest(const char *word, sonde__candidate_fn next, const void *user);
/* Letters to insert, delete, replace or swap (neighbours) to get from one to the other. */
int sonde__edit_distance(const char *from, const char *to);

#endif
