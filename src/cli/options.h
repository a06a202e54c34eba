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
    SONDE__OPTION_FLAG,   /* bool */
    SONDE__OPTION_TEXT,   /* const char *: points into the arguments */
    SONDE__OPTION_INTEGER /* int64_t, not negative */
} sonde__option_type;

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
    const char *positional;       /* its name in messages, "RUN"; NULL: none is taken */
    const char *value;            /* of the positional; NULL when it was not given */
    bool help;                    /* --help or -h was given */
} sonde__parse;

/* SONDE_ERROR_ARGUMENT with one line that says what would be right. */
sonde_status sonde__parse_arguments(sonde_context *context, sonde__parse *parse, int count,
                                    char **arguments);

/* The candidate nearest to `word`, or NULL when none is near. `next` gives the i-th candidate. */
typedef const char *(*sonde__candidate_fn)(const void *user, int index);
const char *sonde__nearest(const char *word, sonde__candidate_fn next, const void *user);
/* Letters to insert, delete, replace or swap (neighbours) to get from one to the other. */
int sonde__edit_distance(const char *from, const char *to);

#endif
