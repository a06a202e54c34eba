/*
 * The run store, opening and writing.
 *
 * SQLite with a rollback journal (truncated, not WAL) and synchronous FULL: one transaction an epoch
 * makes speed immaterial, a reader needs no write access to the folder, and after power loss the
 * database is at a whole epoch. The lock is a flock on RUN/lock, which the kernel drops with its
 * holder, however that ended. Invariant: a folder holds a run once the fact "config" is there;
 * before that, creating may start over.
 */
#include "run/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/text.h"

/* ---- Errors ---- */

static sonde_status status_of(sqlite3 *database, int result)
{
    int error = database ? sqlite3_system_errno(database) : 0;
    switch (result & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_MISMATCH:
    case SQLITE_SCHEMA:
        return SONDE_ERROR_CORRUPT;
    case SQLITE_FULL:
        return SONDE_ERROR_NO_SPACE;
    case SQLITE_NOMEM:
        return SONDE_ERROR_MEMORY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return SONDE_ERROR_LOCKED;
    case SQLITE_IOERR:
        if (error == ENOSPC || error == EDQUOT || error == EFBIG)
            return SONDE_ERROR_NO_SPACE;
        return SONDE_ERROR_FILE;
    case SQLITE_ERROR: /* a table or column is missing */
        return SONDE_ERROR_CORRUPT;
    default:
        return SONDE_ERROR_FILE;
    }
}

static const char *advice_for(sonde_status status)
{
    switch (status) {
    case SONDE_ERROR_CORRUPT:
        return "the database is damaged; restore it from a copy, or train anew into another folder";
    case SONDE_ERROR_NO_SPACE:
        return "free space and resume the run";
    case SONDE_ERROR_LOCKED:
        return "another process is using the database; wait for it";
    default:
        return "check the folder and its permissions";
    }
}

sonde_status sonde__store_fail(sonde__store *store, int result, const char *what)
{
    sonde_status status = status_of(store->database, result);
    return sonde__fail_at(
        store->context, status, store->path, NULL, -1, "%s: cannot %s: %s; %s", store->path, what,
        store->database ? sqlite3_errmsg(store->database) : sqlite3_errstr(result),
        advice_for(status));
}

/* ---- Statements ---- */

sonde_status sonde__store_run(sonde__store *store, const char *sql)
{
    int result = sqlite3_exec(store->database, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? SONDE_OK : sonde__store_fail(store, result, "write the run");
}

sonde_status sonde__store_prepare(sonde__store *store, const char *sql, sqlite3_stmt **statement)
{
    int result = sqlite3_prepare_v2(store->database, sql, -1, statement, NULL);
    return result == SQLITE_OK ? SONDE_OK : sonde__store_fail(store, result, "read the run");
}

static sonde_status finish(sonde__store *store, sqlite3_stmt *statement)
{
    int result = sqlite3_step(statement);
    sonde_status status = SONDE_OK;
    if (result != SQLITE_DONE && result != SQLITE_ROW)
        status = sonde__store_fail(store, result, "write the run");
    sqlite3_finalize(statement);
    return status;
}

static int bind_column(sqlite3_stmt *statement, int index, const sonde__column *column,
                       const void *row)
{
    const char *at = (const char *)row + column->offset;
    switch (column->type) {
    case SONDE__COLUMN_INTEGER:
        return sqlite3_bind_int64(statement, index, *(const int64_t *)at);
    case SONDE__COLUMN_INT:
        return sqlite3_bind_int(statement, index, *(const int *)at);
    case SONDE__COLUMN_SIZE:
        return sqlite3_bind_int64(statement, index, (sqlite3_int64) * (const size_t *)at);
    case SONDE__COLUMN_FLAG:
        return sqlite3_bind_int(statement, index, *(const bool *)at);
    case SONDE__COLUMN_REAL:
        return isnan(*(const double *)at)
                   ? sqlite3_bind_null(statement, index)
                   : sqlite3_bind_double(statement, index, *(const double *)at);
    case SONDE__COLUMN_TEXT:
    default:
        return sqlite3_bind_text(statement, index, at, -1, SQLITE_STATIC);
    }
}

/* "INSERT OR REPLACE INTO t(a, b, extra) VALUES(?, ?, ?)"; `extra` NULL: none. */
static sonde_status prepare_insert(sonde__store *store, const sonde__table *table,
                                   const char *extra, sqlite3_stmt **statement)
{
    sonde__text sql;
    sonde__text_init(&sql, store->context);
    sonde__text_format(&sql, "INSERT OR REPLACE INTO %s(", table->name);
    for (int i = 0; i < table->count; i++)
        sonde__text_format(&sql, "%s%s", i ? ", " : "", table->columns[i].name);
    if (extra)
        sonde__text_format(&sql, ", %s", extra);
    sonde__text_add(&sql, ") VALUES(?");
    for (int i = extra ? 0 : 1; i < table->count; i++)
        sonde__text_add(&sql, ", ?");
    sonde__text_add(&sql, ")");
    sonde_status status = sonde__text_status(&sql);
    if (status == SONDE_OK)
        status = sonde__store_prepare(store, sql.bytes, statement);
    sonde__text_free(&sql);
    return status;
}

static sonde_status insert_row(sonde__store *store, const sonde__table *table, const void *row)
{
    sqlite3_stmt *statement;
    SONDE_TRY(prepare_insert(store, table, NULL, &statement));
    for (int i = 0; i < table->count; i++)
        bind_column(statement, i + 1, &table->columns[i], row);
    return finish(store, statement);
}

/* ---- Opening ---- */

static void add_table(sonde__text *sql, const sonde__table *table, const char *extra)
{
    sonde__text_format(sql, "CREATE TABLE IF NOT EXISTS %s(", table->name);
    for (int i = 0; i < table->count; i++)
        sonde__text_format(sql, "%s, ", table->columns[i].name);
    sonde__text_format(sql, "%sPRIMARY KEY(%s));", extra, table->key);
}

static sonde_status create_schema(sonde__store *store)
{
    sonde__text sql;
    sonde__text_init(&sql, store->context);
    sonde__text_add(&sql, "BEGIN IMMEDIATE;"
                          "CREATE TABLE IF NOT EXISTS schema(version INTEGER);"
                          "DELETE FROM schema;"
                          "CREATE TABLE IF NOT EXISTS facts(key TEXT PRIMARY KEY, value TEXT);"
                          "CREATE TABLE IF NOT EXISTS events(epoch INTEGER, text TEXT);"
                          "CREATE TABLE IF NOT EXISTS decisions(epoch INTEGER PRIMARY KEY,"
                          " decision TEXT);");
    sonde__text_format(&sql, "INSERT INTO schema VALUES(%d);", SONDE__STORE_VERSION);
    add_table(&sql, &sonde__epochs_table, "");
    add_table(&sql, &sonde__scores_table, "");
    add_table(&sql, &sonde__layers_table, "eigenvalues BLOB, ");
    sonde__text_add(&sql, "COMMIT;");
    sonde_status status = sonde__text_status(&sql);
    if (status == SONDE_OK)
        status = sonde__store_run(store, sql.bytes);
    sonde__text_free(&sql);
    if (status != SONDE_OK)
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static long lock_holder(int descriptor)
{
    char text[32] = "";
    ssize_t got = pread(descriptor, text, sizeof(text) - 1, 0);
    return got > 0 ? strtol(text, NULL, 10) : 0;
}

static sonde_status refuse_locked(sonde__store *store, const char *path)
{
    long holder = lock_holder(store->lock);
    char who[48] = "another process";
    if (holder > 0)
        snprintf(who, sizeof(who), "process %ld", holder);
    return sonde__fail_at(store->context, SONDE_ERROR_LOCKED, path, NULL, -1,
                          "the run %s is being written by %s; wait for it, or end it first",
                          store->folder, who);
}

/* The holder's process number is written into the file for the message alone. */
static sonde_status take_lock(sonde__store *store)
{
    char *path = sonde__path_join(store->context, store->folder, "lock");
    if (!path)
        return SONDE_ERROR_MEMORY;
    sonde_status status = SONDE_OK;
    store->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (store->lock < 0) {
        status = sonde__fail_errno(store->context, path, "write");
    } else if (flock(store->lock, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK ? refuse_locked(store, path)
                                      : sonde__fail_errno(store->context, path, "lock");
    } else {
        char text[32];
        int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
        if (ftruncate(store->lock, 0) != 0 || pwrite(store->lock, text, (size_t)length, 0) < 0)
            status = sonde__fail_errno(store->context, path, "write");
    }
    sonde__free(store->context, path);
    return status;
}

/* SQLite would wait for ever for the other end of a FIFO. */
static sonde_status check_plain(sonde__store *store)
{
    struct stat about;
    if (stat(store->path, &about) != 0 || S_ISREG(about.st_mode))
        return SONDE_OK;
    return sonde__fail_at(store->context, SONDE_ERROR_FILE, store->path, NULL, -1,
                          "%s is not a plain file; name another folder", store->path);
}

static sonde_status connect_database(sonde__store *store, int flags)
{
    int result = sqlite3_open_v2(store->path, &store->database, flags | SQLITE_OPEN_NOMUTEX, NULL);
    if (result != SQLITE_OK)
        return sonde__store_fail(store, result, "open the run");
    sqlite3_extended_result_codes(store->database, 1);
    sqlite3_busy_timeout(store->database, 10000);
    return SONDE_OK;
}

/* A writer killed within its transaction leaves a journal, which somebody has to roll back before
 * anything can be read; a connection for reading may not. */
static sonde_status roll_back_if_killed(sonde__store *store)
{
    int result = sqlite3_exec(store->database, "PRAGMA schema_version", NULL, NULL, NULL);
    if ((result & 0xff) != SQLITE_READONLY)
        return SONDE_OK; /* what else is wrong is told by who reads */
    sqlite3_close(store->database);
    store->database = NULL;
    SONDE_TRY(connect_database(store, SQLITE_OPEN_READWRITE));
    result = sqlite3_exec(store->database, "PRAGMA schema_version", NULL, NULL, NULL);
    if ((result & 0xff) != SQLITE_READONLY)
        return SONDE_OK;
    return sonde__fail_at(store->context, SONDE_ERROR_FILE, store->path, NULL, -1,
                          "%s: its writer was killed within a transaction, which cannot be rolled "
                          "back here: the folder is read-only; copy it to where it can be written",
                          store->path);
}

static sonde_status open_database(sonde__store *store, sonde__store_mode mode)
{
    int flags = mode == SONDE__STORE_READ     ? SQLITE_OPEN_READONLY
                : mode == SONDE__STORE_CREATE ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                                              : SQLITE_OPEN_READWRITE;
    if (mode != SONDE__STORE_CREATE && !sonde__path_exists(store->path))
        return sonde__fail_at(store->context, SONDE_ERROR_NOT_FOUND, store->path, NULL, -1,
                              "%s holds no run (there is no run.sqlite in it)", store->folder);
    SONDE_TRY(check_plain(store));
    SONDE_TRY(connect_database(store, flags));
    if (mode == SONDE__STORE_READ)
        SONDE_TRY(roll_back_if_killed(store));
    SONDE_TRY(sonde__store_run(store, "PRAGMA cache_size = -512"));
    if (mode == SONDE__STORE_READ)
        return SONDE_OK;
    return sonde__store_run(store, "PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL");
}

/* A single integer; `fallback` where the query gives no row. */
static sonde_status query_integer(sonde__store *store, const char *sql, int64_t fallback,
                                  int64_t *value)
{
    sqlite3_stmt *statement;
    SONDE_TRY(sonde__store_prepare(store, sql, &statement));
    int result = sqlite3_step(statement);
    sonde_status status = SONDE_OK;
    if (result == SQLITE_ROW)
        *value = sqlite3_column_int64(statement, 0);
    else if (result == SQLITE_DONE)
        *value = fallback;
    else
        status = sonde__store_fail(store, result, "read the run");
    sqlite3_finalize(statement);
    return status;
}

static sonde_status holds_schema(sonde__store *store, bool *holds)
{
    int64_t count = 0;
    SONDE_TRY(query_integer(store, "SELECT count(*) FROM sqlite_master WHERE name = 'schema'", 0,
                            &count));
    *holds = count > 0;
    return SONDE_OK;
}

sonde_status sonde__store_has_column(sonde__store *store, const sonde__table *table,
                                     const sonde__column *column, bool *has)
{
    char sql[128];
    int64_t count = 0;
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM pragma_table_info('%s') WHERE name = '%s'",
             table->name, column->name);
    SONDE_TRY(query_integer(store, sql, 0, &count));
    *has = count > 0;
    return SONDE_OK;
}

static sonde_status add_later_columns(sonde__store *store, const sonde__table *table)
{
    char sql[128];
    for (int i = 0; i < table->count; i++) {
        const sonde__column *column = &table->columns[i];
        bool has = true;
        if (column->later)
            SONDE_TRY(sonde__store_has_column(store, table, column, &has));
        snprintf(sql, sizeof(sql), "ALTER TABLE %s ADD COLUMN %s", table->name, column->name);
        if (!has)
            SONDE_TRY(sonde__store_run(store, sql));
    }
    return SONDE_OK;
}

static sonde_status check_version(sonde__store *store)
{
    bool holds = false;
    int64_t version = 0;
    SONDE_TRY(holds_schema(store, &holds));
    if (!holds)
        return sonde__fail_at(store->context, SONDE_ERROR_NOT_FOUND, store->path, NULL, -1,
                              "%s holds no whole run: it was ended before training began; train "
                              "into it anew",
                              store->folder);
    SONDE_TRY(query_integer(store, "SELECT version FROM schema", 0, &version));
    if (version > SONDE__STORE_VERSION)
        return sonde__fail_at(store->context, SONDE_ERROR_VERSION, store->path, NULL, -1,
                              "%s was written by a newer version (format %lld, this one knows %d); "
                              "use the newer sonde",
                              store->folder, (long long)version, SONDE__STORE_VERSION);
    if (version < 1)
        return sonde__fail_at(store->context, SONDE_ERROR_CORRUPT, store->path, NULL, -1,
                              "%s: the format version is missing; the database is damaged",
                              store->path);
    return SONDE_OK;
}

static sonde_status create_run(sonde__store *store)
{
    bool holds = false;
    int64_t used = 0;
    SONDE_TRY(holds_schema(store, &holds));
    if (holds) {
        SONDE_TRY(check_version(store));
        SONDE_TRY(query_integer(store,
                                "SELECT (SELECT count(*) FROM facts WHERE key = 'config') +"
                                " (SELECT count(*) FROM epochs)",
                                0, &used));
    }
    if (used > 0)
        return sonde__fail_at(store->context, SONDE_ERROR_STATE, store->path, NULL, -1,
                              "%s already holds a run; resume it, or name another folder",
                              store->folder);
    return create_schema(store);
}

static sonde_status open_parts(sonde__store *store, sonde__store_mode mode)
{
    if (mode == SONDE__STORE_CREATE)
        SONDE_TRY(sonde__make_folder(store->context, store->folder));
    else if (!sonde__path_exists(store->folder))
        return sonde__fail_at(store->context, SONDE_ERROR_NOT_FOUND, store->folder, NULL, -1,
                              "there is no folder %s", store->folder);
    if (mode == SONDE__STORE_WRITE && !sonde__path_exists(store->path))
        return open_database(store, mode);
    if (mode != SONDE__STORE_READ)
        SONDE_TRY(take_lock(store));
    SONDE_TRY(open_database(store, mode));
    if (mode == SONDE__STORE_CREATE)
        return create_run(store);
    SONDE_TRY(check_version(store));
    return mode == SONDE__STORE_WRITE ? add_later_columns(store, &sonde__layers_table) : SONDE_OK;
}

sonde_status sonde__store_open(sonde_context *context, const char *folder, sonde__store_mode mode,
                               sonde__store **store)
{
    sonde__store *made = sonde__alloc_zero(context, 1, sizeof(*made));
    if (!made)
        return SONDE_ERROR_MEMORY;
    made->context = context;
    made->lock = -1;
    made->folder = sonde__copy_string(context, folder);
    made->path = made->folder ? sonde__path_join(context, folder, "run.sqlite") : NULL;
    sonde_status status = made->path ? open_parts(made, mode) : SONDE_ERROR_MEMORY;
    if (status != SONDE_OK) {
        sonde__store_close(made);
        return status;
    }
    *store = made;
    return SONDE_OK;
}

void sonde__store_close(sonde__store *store)
{
    if (!store)
        return;
    sqlite3_close(store->database);
    if (store->lock >= 0)
        close(store->lock);
    sonde__free(store->context, store->folder);
    sonde__free(store->context, store->path);
    sonde__free(store->context, store);
}

const char *sonde__store_folder(const sonde__store *store)
{
    return store->folder;
}

/* ---- Writing ---- */

static sonde_status write_layers(sonde__store *store, const sonde__layer_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sqlite3_stmt *statement;
        const sonde__table *table = &sonde__layers_table;
        SONDE_TRY(prepare_insert(store, table, "eigenvalues", &statement));
        for (int j = 0; j < table->count; j++)
            bind_column(statement, j + 1, &table->columns[j], &rows[i]);
        if (rows[i].eigenvalues)
            sqlite3_bind_blob64(statement, table->count + 1, rows[i].eigenvalues,
                                rows[i].eigenvalue_count * sizeof(double), SQLITE_STATIC);
        SONDE_TRY(finish(store, statement));
    }
    return SONDE_OK;
}

static sonde_status write_decision(sonde__store *store, const sonde_decision *decision)
{
    char *json = NULL;
    sqlite3_stmt *statement = NULL;
    SONDE_TRY(sonde__decision_to_json(store->context, decision, &json));
    sonde_status status =
        sonde__store_prepare(store, "INSERT OR REPLACE INTO decisions VALUES(?, ?)", &statement);
    if (status == SONDE_OK) {
        sqlite3_bind_int64(statement, 1, decision->epoch);
        sqlite3_bind_text(statement, 2, json, -1, SQLITE_STATIC);
        status = finish(store, statement);
    }
    sonde__free(store->context, json);
    return status;
}

static sonde_status write_event(sonde__store *store, const sonde__event_row *event)
{
    sqlite3_stmt *statement;
    SONDE_TRY(sonde__store_prepare(store, "INSERT INTO events VALUES(?, ?)", &statement));
    sqlite3_bind_int64(statement, 1, event->epoch);
    sqlite3_bind_text(statement, 2, event->text, -1, SQLITE_STATIC);
    return finish(store, statement);
}

/* Eigenvalues are for plots: those of the first, the newest and every tenth epoch stay, and those of
 * the epochs that the decision names. */
static sonde_status thin_eigenvalues(sonde__store *store, int64_t epoch,
                                     const sonde_decision *decision)
{
    sqlite3_stmt *statement;
    SONDE_TRY(sonde__store_prepare(store,
                                   "UPDATE layers SET eigenvalues = NULL WHERE eigenvalues IS NOT "
                                   "NULL AND epoch > (SELECT min(epoch) FROM layers) AND epoch < "
                                   "(SELECT max(epoch) FROM layers WHERE epoch <= ?1) AND epoch % "
                                   "10 != 0 AND epoch != ?2 AND epoch != ?3",
                                   &statement));
    sqlite3_bind_int64(statement, 1, epoch);
    sqlite3_bind_int64(statement, 2, decision ? decision->stop_epoch : -1);
    sqlite3_bind_int64(statement, 3, decision ? decision->keep.epoch : -1);
    return finish(store, statement);
}

typedef struct epoch_rows {
    const sonde__epoch_row *row;
    const sonde__score_row *scores;
    const sonde__layer_row *layers;
    const sonde_decision *decision;
    const sonde__event_row *events;
    size_t score_count, layer_count, event_count;
} epoch_rows;

static sonde_status write_rows(sonde__store *store, const epoch_rows *rows)
{
    SONDE_TRY(insert_row(store, &sonde__epochs_table, rows->row));
    for (size_t i = 0; i < rows->score_count; i++)
        SONDE_TRY(insert_row(store, &sonde__scores_table, &rows->scores[i]));
    SONDE_TRY(write_layers(store, rows->layers, rows->layer_count));
    if (rows->decision)
        SONDE_TRY(write_decision(store, rows->decision));
    for (size_t i = 0; rows->events && i < rows->event_count; i++)
        SONDE_TRY(write_event(store, &rows->events[i]));
    return thin_eigenvalues(store, rows->row->epoch, rows->decision);
}

/* Ends the transaction: with everything in it, or with nothing. */
static sonde_status end_transaction(sonde__store *store, sonde_status status)
{
    if (status == SONDE_OK)
        status = sonde__store_run(store, "COMMIT");
    if (status != SONDE_OK && !sqlite3_get_autocommit(store->database))
        sqlite3_exec(store->database, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

sonde_status sonde__store_write_epoch(sonde__store *store, const sonde__epoch_row *row,
                                      const sonde__score_row *scores, size_t score_count,
                                      const sonde__layer_row *layers, size_t layer_count,
                                      const sonde_decision *decision,
                                      const sonde__event_row *events, size_t event_count)
{
    epoch_rows rows = {row,    scores,      layers,      decision,
                       events, score_count, layer_count, event_count};
    SONDE_TRY(sonde__store_run(store, "BEGIN IMMEDIATE"));
    return end_transaction(store, write_rows(store, &rows));
}

sonde_status sonde__store_event(sonde__store *store, const sonde__event_row *event)
{
    return write_event(store, event);
}

sonde_status sonde__store_rewind(sonde__store *store, int64_t epoch)
{
    static const char *const tables[] = {"epochs", "scores", "layers", "decisions", "events"};
    char sql[96];
    SONDE_TRY(sonde__store_run(store, "BEGIN IMMEDIATE"));
    sonde_status status = SONDE_OK;
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && status == SONDE_OK; i++) {
        snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE epoch > %lld", tables[i],
                 (long long)epoch);
        status = sonde__store_run(store, sql);
    }
    return end_transaction(store, status);
}

sonde_status sonde__store_set(sonde__store *store, const char *key, const char *value)
{
    sqlite3_stmt *statement;
    SONDE_TRY(sonde__store_prepare(store, "INSERT OR REPLACE INTO facts VALUES(?, ?)", &statement));
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC);
    return finish(store, statement);
}
