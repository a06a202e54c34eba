/*
 * The run store, reading: facts and rows as arrays, in order of epoch.
 *
 * Rows are grown as they come, so that no count stored in the file is trusted for an allocation. A
 * NULL number is NaN.
 */
#include "run/store_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

sonde_status sonde__store_get(sonde__store *store, const char *key, char **value)
{
    sqlite3_stmt *statement;
    SONDE_TRY(sonde__store_prepare(store, "SELECT value FROM facts WHERE key = ?", &statement));
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    int result = sqlite3_step(statement);
    sonde_status status = SONDE_OK;
    char *copy = NULL;
    if (result == SQLITE_ROW && sqlite3_column_text(statement, 0)) {
        copy = sonde__copy_string(store->context, (const char *)sqlite3_column_text(statement, 0));
        status = copy ? SONDE_OK : SONDE_ERROR_MEMORY;
    } else if (result != SQLITE_ROW && result != SQLITE_DONE) {
        status = sonde__store_fail(store, result, "read the run");
    }
    sqlite3_finalize(statement);
    if (status == SONDE_OK)
        *value = copy;
    return status;
}

static double column_real(sqlite3_stmt *statement, int index)
{
    if (sqlite3_column_type(statement, index) == SQLITE_NULL)
        return (double)NAN;
    return sqlite3_column_double(statement, index);
}

static void read_text(sqlite3_stmt *statement, int index, char *to, size_t room)
{
    const unsigned char *text = sqlite3_column_text(statement, index);
    snprintf(to, room, "%s", text ? (const char *)text : "");
}

static void read_column(sqlite3_stmt *statement, int index, const sonde__column *column, void *row)
{
    char *at = (char *)row + column->offset;
    switch (column->type) {
    case SONDE__COLUMN_INTEGER:
        *(int64_t *)at = sqlite3_column_int64(statement, index);
        break;
    case SONDE__COLUMN_INT:
        *(int *)at = sqlite3_column_int(statement, index);
        break;
    case SONDE__COLUMN_SIZE:
        *(size_t *)at = (size_t)sqlite3_column_int64(statement, index);
        break;
    case SONDE__COLUMN_FLAG:
        *(bool *)at = sqlite3_column_int(statement, index) != 0;
        break;
    case SONDE__COLUMN_REAL:
        *(double *)at = column_real(statement, index);
        break;
    case SONDE__COLUMN_TEXT:
    default:
        read_text(statement, index, at, column->room);
        break;
    }
}

/* SELECT of all columns of a table, then `rest`. */
static sonde_status prepare_select(sonde__store *store, const sonde__table *table,
                                   const char *extra, const char *rest, sqlite3_stmt **statement)
{
    sonde__text sql;
    sonde__text_init(&sql, store->context);
    sonde__text_add(&sql, "SELECT ");
    sonde_status status = SONDE_OK;
    for (int i = 0; i < table->count && status == SONDE_OK; i++) {
        const sonde__column *column = &table->columns[i];
        bool has = true;
        if (column->later)
            status = sonde__store_has_column(store, table, column, &has);
        sonde__text_format(&sql, "%s%s", i ? ", " : "", has ? column->name : "NULL");
    }
    sonde__text_format(&sql, "%s FROM %s %s ORDER BY %s", extra, table->name, rest, table->key);
    if (status == SONDE_OK)
        status = sonde__text_status(&sql);
    if (status == SONDE_OK)
        status = sonde__store_prepare(store, sql.bytes, statement);
    sonde__text_free(&sql);
    return status;
}

/* What is done with each row beyond its columns; may be NULL. */
typedef sonde_status (*row_fn)(sonde__store *store, sqlite3_stmt *statement, void *row);

typedef struct reader {
    sonde__store *store;
    sqlite3_stmt *statement;
    const sonde__table *table; /* NULL: `each` reads everything */
    size_t row_size;
    row_fn each;
    char *rows;
    size_t count, capacity;
} reader;

static sonde_status make_room(reader *r)
{
    if (r->count < r->capacity)
        return SONDE_OK;
    size_t capacity = r->capacity ? 2 * r->capacity : 32;
    char *rows = sonde__resize(r->store->context, r->rows, capacity, r->row_size);
    if (!rows)
        return SONDE_ERROR_MEMORY;
    r->rows = rows;
    r->capacity = capacity;
    return SONDE_OK;
}

static sonde_status read_row(reader *r)
{
    SONDE_TRY(make_room(r));
    char *row = r->rows + r->count * r->row_size;
    memset(row, 0, r->row_size);
    for (int i = 0; r->table && i < r->table->count; i++)
        read_column(r->statement, i, &r->table->columns[i], row);
    if (r->each)
        SONDE_TRY(r->each(r->store, r->statement, row));
    r->count++;
    return SONDE_OK;
}

/* Reads every row and finalizes the statement; on failure the rows read stay in the reader. */
static sonde_status read_all(reader *r)
{
    sonde_status status = make_room(r);
    while (status == SONDE_OK) {
        int result = sqlite3_step(r->statement);
        if (result == SQLITE_DONE)
            break;
        status = result == SQLITE_ROW ? read_row(r)
                                      : sonde__store_fail(r->store, result, "read the run");
    }
    sqlite3_finalize(r->statement);
    return status;
}

/* For rows that own nothing. */
static sonde_status read_plain(reader *r, void **rows, size_t *count)
{
    sonde_status status = read_all(r);
    if (status != SONDE_OK) {
        sonde__free(r->store->context, r->rows);
        return status;
    }
    *rows = r->rows;
    *count = r->count;
    return SONDE_OK;
}

sonde_status sonde__store_epochs(sonde__store *store, sonde__epoch_row **rows, size_t *count)
{
    reader r = {
        .store = store, .table = &sonde__epochs_table, .row_size = sizeof(sonde__epoch_row)};
    void *read;
    SONDE_TRY(prepare_select(store, r.table, "", "", &r.statement));
    SONDE_TRY(read_plain(&r, &read, count));
    *rows = read;
    return SONDE_OK;
}

sonde_status sonde__store_scores(sonde__store *store, const char *signal_or_null,
                                 sonde__score_row **rows, size_t *count)
{
    reader r = {
        .store = store, .table = &sonde__scores_table, .row_size = sizeof(sonde__score_row)};
    void *read;
    SONDE_TRY(prepare_select(store, r.table, "", signal_or_null ? "WHERE signal = ?1" : "",
                             &r.statement));
    if (signal_or_null)
        sqlite3_bind_text(r.statement, 1, signal_or_null, -1, SQLITE_STATIC);
    SONDE_TRY(read_plain(&r, &read, count));
    *rows = read;
    return SONDE_OK;
}

static sonde_status read_event(sonde__store *store, sqlite3_stmt *statement, void *row)
{
    (void)store;
    sonde__event_row *event = row;
    event->epoch = sqlite3_column_int64(statement, 0);
    read_text(statement, 1, event->text, sizeof(event->text));
    return SONDE_OK;
}

sonde_status sonde__store_events(sonde__store *store, sonde__event_row **rows, size_t *count)
{
    reader r = {.store = store, .each = read_event, .row_size = sizeof(sonde__event_row)};
    void *read;
    SONDE_TRY(sonde__store_prepare(store, "SELECT epoch, text FROM events ORDER BY epoch, rowid",
                                   &r.statement));
    SONDE_TRY(read_plain(&r, &read, count));
    *rows = read;
    return SONDE_OK;
}

static sonde_status read_eigenvalues(sonde__store *store, sqlite3_stmt *statement, void *row)
{
    sonde__layer_row *layer = row;
    int index = sonde__layers_table.count;
    const void *blob = sqlite3_column_blob(statement, index);
    size_t bytes = (size_t)sqlite3_column_bytes(statement, index);
    if (!blob)
        return SONDE_OK;
    if (bytes % sizeof(double) != 0)
        return sonde__fail_at(store->context, SONDE_ERROR_CORRUPT, store->path, layer->layer, -1,
                              "%s: the eigenvalues of layer %s are damaged", store->path,
                              layer->layer);
    layer->eigenvalues = sonde__alloc(store->context, bytes, 1);
    if (!layer->eigenvalues)
        return SONDE_ERROR_MEMORY;
    memcpy(layer->eigenvalues, blob, bytes);
    layer->eigenvalue_count = bytes / sizeof(double);
    return SONDE_OK;
}

sonde_status sonde__store_layers(sonde__store *store, bool with_eigenvalues,
                                 sonde__layer_row **rows, size_t *count)
{
    reader r = {.store = store,
                .table = &sonde__layers_table,
                .row_size = sizeof(sonde__layer_row),
                .each = with_eigenvalues ? read_eigenvalues : NULL};
    SONDE_TRY(
        prepare_select(store, r.table, with_eigenvalues ? ", eigenvalues" : "", "", &r.statement));
    sonde_status status = read_all(&r);
    if (status != SONDE_OK) {
        sonde__store_free_layers(store, (sonde__layer_row *)(void *)r.rows, r.count);
        return status;
    }
    *rows = (sonde__layer_row *)(void *)r.rows;
    *count = r.count;
    return SONDE_OK;
}

sonde_status sonde__store_decision(sonde__store *store, int64_t epoch, sonde_decision *decision)
{
    sqlite3_stmt *statement;
    SONDE_TRY(sonde__store_prepare(store,
                                   "SELECT decision FROM decisions WHERE ?1 < 0 OR epoch = ?1 "
                                   "ORDER BY epoch DESC LIMIT 1",
                                   &statement));
    sqlite3_bind_int64(statement, 1, epoch);
    int result = sqlite3_step(statement);
    sonde_status status;
    if (result == SQLITE_ROW && sqlite3_column_text(statement, 0))
        status = sonde__decision_from_json(
            store->context, (const char *)sqlite3_column_text(statement, 0), decision);
    else if (result == SQLITE_ROW || result == SQLITE_DONE)
        status = sonde__fail_at(store->context, SONDE_ERROR_NOT_FOUND, store->path, NULL, -1,
                                "%s holds no decision yet", store->folder);
    else
        status = sonde__store_fail(store, result, "read the run");
    sqlite3_finalize(statement);
    return status;
}

void sonde__store_free_rows(sonde__store *store, void *rows)
{
    sonde__free(store->context, rows);
}

void sonde__store_free_layers(sonde__store *store, sonde__layer_row *rows, size_t count)
{
    for (size_t i = 0; rows && i < count; i++)
        sonde__free(store->context, rows[i].eigenvalues);
    sonde__free(store->context, rows);
}
