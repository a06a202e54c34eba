/*
 * Reads the named choices of a configuration.
 *
 * Each choice is a table of names; a name that is not in it is refused with the whole table in the
 * message. `--probe` is a comma list of `train`, `augmented` and `held:N`, each at most once.
 */
#include "run/choice.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

typedef struct named {
    const char *name;
    int value;
} named;

static const named optimizers[] = {{"sgd", SONDE__OPTIMIZER_SGD},
                                   {"adam", SONDE__OPTIMIZER_ADAM},
                                   {"adamw", SONDE__OPTIMIZER_ADAMW},
                                   {NULL, 0}};
static const named schedules[] = {
    {"constant", SONDE__SCHEDULE_CONSTANT}, {"step", SONDE__SCHEDULE_STEP},
    {"cosine", SONDE__SCHEDULE_COSINE},     {"exponential", SONDE__SCHEDULE_EXPONENTIAL},
    {"linear", SONDE__SCHEDULE_LINEAR},     {NULL, 0}};
static const named losses[] = {{"cross-entropy", SONDE_HEAD_SOFTMAX},
                               {"squared", SONDE_HEAD_SQUARED},
                               {"sigmoid", SONDE_HEAD_SIGMOID},
                               {NULL, 0}};
static const named scores[] = {{"raw", SONDE_SCORE_RAW},
                               {"head-scaled", SONDE_SCORE_HEAD_SCALED},
                               {"feature-scaled", SONDE_SCORE_FEATURE_SCALED},
                               {"loss", SONDE_SCORE_LOSS},
                               {"accuracy", SONDE_SCORE_ACCURACY},
                               {"tpv", SONDE_SCORE_TPV},
                               {NULL, 0}};
static const named windows[] = {
    {"auto", SONDE_WINDOW_AUTO}, {"tail", SONDE_WINDOW_TAIL}, {"all", SONDE_WINDOW_ALL}, {NULL, 0}};
static const named skip_modes[] = {{"corrected", SONDE_MASTERY_CORRECTED},
                                   {"paper", SONDE_MASTERY_PAPER},
                                   {"code", SONDE_MASTERY_CODE},
                                   {NULL, 0}};

const char *sonde__probe_name(sonde_probe_kind kind)
{
    static const char *const names[] = {"train", "augmented", "held"};
    return names[kind];
}

static sonde_status pick(sonde_context *context, const char *option, const named *table,
                         const char *name, int *value)
{
    char known[160] = "";
    size_t used = 0;
    for (const named *entry = table; entry->name; entry++) {
        if (strcmp(entry->name, name) == 0) {
            *value = entry->value;
            return SONDE_OK;
        }
        const char *joint = entry == table ? "" : entry[1].name ? ", " : " or ";
        int wrote = snprintf(known + used, sizeof(known) - used, "%s%s", joint, entry->name);
        used += wrote > 0 ? (size_t)wrote : 0;
    }
    return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, option, -1,
                          "--%s takes %s, not \"%.80s\"", option, known, name);
}

/* Copies the piece of a comma list at *position and moves past it; false at the end. */
static bool next_piece(const char **position, char *piece, size_t size)
{
    if (!*position)
        return false;
    const char *comma = strchr(*position, ',');
    size_t length = comma ? (size_t)(comma - *position) : strlen(*position);
    snprintf(piece, size, "%.*s", (int)(length < size ? length : size - 1), *position);
    *position = comma ? comma + 1 : NULL;
    return true;
}

static sonde_status read_milestones(sonde_context *context, const sonde__config *config,
                                    sonde__choices *choices)
{
    if (!config->milestones[0]) {
        choices->milestones[0] = config->epochs / 2;
        choices->milestones[1] = config->epochs * 3 / 4;
        choices->milestone_count = 2;
        return SONDE_OK;
    }
    const char *position = config->milestones;
    char piece[64];
    int64_t last = 0;
    choices->milestone_count = 0;
    while (next_piece(&position, piece, sizeof(piece))) {
        int64_t epoch;
        if (!sonde__parse_int64(piece, &epoch) || epoch <= last ||
            choices->milestone_count == SONDE__MILESTONES_MAX)
            return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "milestones", -1,
                                  "--milestones takes up to %d rising epochs as in 50,100, not "
                                  "\"%.80s\"",
                                  SONDE__MILESTONES_MAX, config->milestones);
        choices->milestones[choices->milestone_count++] = last = epoch;
    }
    return SONDE_OK;
}

static bool read_probe(const char *piece, sonde_probe_kind *kind, int64_t *held)
{
    if (strcmp(piece, "train") == 0)
        *kind = SONDE_PROBE_TRAIN;
    else if (strcmp(piece, "augmented") == 0)
        *kind = SONDE_PROBE_AUGMENTED;
    else if (strncmp(piece, "held:", 5) == 0 && sonde__parse_int64(piece + 5, held) && *held >= 2 &&
             *held <= 1000000)
        *kind = SONDE_PROBE_HELD;
    else
        return false;
    return true;
}

static bool has_probe(const sonde__choices *choices, sonde_probe_kind kind)
{
    for (int i = 0; i < choices->probe_count; i++)
        if (choices->probes[i] == kind)
            return true;
    return false;
}

static sonde_status read_probes(sonde_context *context, const sonde__config *config,
                                sonde__choices *choices)
{
    const char *position = config->probe;
    char piece[64];
    while (next_piece(&position, piece, sizeof(piece))) {
        sonde_probe_kind kind;
        if (!read_probe(piece, &kind, &choices->held) || has_probe(choices, kind))
            return sonde__fail_at(context, SONDE_ERROR_ARGUMENT, NULL, "probe", -1,
                                  "--probe takes train, augmented or held:N (N at least 2), or "
                                  "several of them as in held:256,train, not \"%.80s\"",
                                  config->probe);
        choices->probes[choices->probe_count++] = kind;
    }
    return SONDE_OK;
}

sonde_status sonde__choices_read(sonde_context *context, const sonde__config *config,
                                 sonde__choices *choices)
{
    sonde__choices read = {.learning_rate = config->lr};
    int optimizer, schedule, loss, keep_by, window, skip_mode;
    SONDE_TRY(pick(context, "optimizer", optimizers, config->optimizer, &optimizer));
    SONDE_TRY(pick(context, "schedule", schedules, config->schedule, &schedule));
    SONDE_TRY(pick(context, "loss", losses, config->loss, &loss));
    SONDE_TRY(pick(context, "keep-by", scores, config->keep_by, &keep_by));
    SONDE_TRY(pick(context, "window", windows, config->window, &window));
    SONDE_TRY(pick(context, "skip-mode", skip_modes, config->skip_mode, &skip_mode));
    read.optimizer = (sonde__optimizer_kind)optimizer;
    read.schedule = (sonde__schedule_kind)schedule;
    read.loss = (sonde_head_kind)loss;
    read.keep_by = (sonde_score_kind)keep_by;
    read.window = (sonde_keep_window)window;
    read.skip_mode = (sonde_mastery_mode)skip_mode;
    if (read.learning_rate == 0)
        read.learning_rate = read.optimizer == SONDE__OPTIMIZER_SGD ? 0.05 : 0.001;
    SONDE_TRY(read_milestones(context, config, &read));
    SONDE_TRY(read_probes(context, config, &read));
    *choices = read;
    return SONDE_OK;
}
