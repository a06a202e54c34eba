/*
 * Shared by the two halves of the run store: the handle, statements, error mapping, and the column
 * tables that drive both writing and reading of rows.
 */
#ifndef SONDE_RUN_STORE_INTERNAL_H
#define SONDE_RUN_STORE_INTERNAL_H

#include "run/store.h"

#include <sqlite3.h>

struct sonde__store {
    sonde_context *context;
    char *folder, *path; /* path of run.sqlite */
    sqlite3 *database;
    int lock; /* descriptor of the lock file, -1 when reading */
};

typedef enum sonde__column_type {
    SONDE__COLUMN_INTEGER, /* int64_t */
    SONDE__COLUMN_INT,     /* int, or an enumeration */
    SONDE__COLUMN_SIZE,    /* size_t */
    SONDE__COLUMN_FLAG,    /* bool */
    SONDE__COLUMN_REAL,    /* double; NaN is NULL */
    SONDE__COLUMN_TEXT     /* char[] of `room` bytes */
} sonde__column_type;

typedef struct sonde__column {
    const char *name;
    sonde__column_type type;
    size_t offset, room;
    bool later; /* old runs lack it: read as NULL there, added when they are written again */
} sonde__column;

/* Columns of a table, the key first. */
typedef struct sonde__table {
    const char *name, *key; /* key: column list of the primary key */
    const sonde__column *columns;
    int count;
} sonde__table;

extern const sonde__table sonde__epochs_table, sonde__scores_table, sonde__layers_table;

/* Turns SQLite's last result into a status and records it. */
sonde_status sonde__store_fail(sonde__store *store, int result, const char *what);
sonde_status sonde__store_prepare(sonde__store *store, const char *sql, sqlite3_stmt **statement);
/* Whether the run's file has the column. */
sonde_status sonde__store_has_column(sonde__store *store, const sonde__table *table,
                                     const sonde__column *column, bool *has);
sonde_status sonde__store_run(sonde__store *store, const char *sql);
/* The decision as a JSON object and back. */
sonde_status sonde__decision_to_json(sonde_context *context, const sonde_decision *decision,
                                     char **json);
sonde_status sonde__decision_from_json(sonde_context *context, const char *json,
                                       sonde_decision *decision);

#endif
