/*
 * The configuration of a run: one list of fields drives the struct, the defaults, the command's
 * options and help, and the JSON in the run store.
 *
 * A field `label_noise` is the option --label-noise; a flag `skip` is --skip and --no-skip.
 */
#ifndef SONDE_RUN_CONFIG_H
#define SONDE_RUN_CONFIG_H

#include "base/context.h"

enum { SONDE__CONFIG_TEXT_MAX = 512 };

/* X(type, field, default, placeholder, help); SECTION(title) starts a group of the help. */
#define SONDE__CONFIG_LIST(SECTION, X) \
    SECTION("Data") \
    X(TEXT, data, "strokes", "NAME", "data set (`sonde data` lists them)") \
    X(TEXT, data_dir, "", "DIR", "folder of the data set's files") \
    X(TEXT, train_features, "", "FILE", "npy: training features") \
    X(TEXT, train_labels, "", "FILE", "npy: training labels") \
    X(TEXT, test_features, "", "FILE", "npy: test features, only ever used to report accuracy") \
    X(TEXT, test_labels, "", "FILE", "npy: test labels") \
    X(INTEGER, train_size, 0, "N", "use N training examples; 0: all, or the generator's default") \
    X(INTEGER, test_size, 0, "N", "use N test examples; 0: all, or the generator's default") \
    X(REAL, difficulty, 0, "X", "generated data: class separation or distortion; 0: the default") \
    X(INTEGER, context, 64, "N", "texts: characters of an example") \
    X(REAL, label_noise, 0, "SHARE", "replace this share of training labels (experiments)") \
    X(FLAG, augment, false, "", "random crop (4 pixels of padding), and flip where classes allow") \
    SECTION("Model") \
    X(TEXT, model, "cnn", "SPEC", "architecture, as in mlp:widths=512x512 or resnet20:option=B") \
    X(REAL, dropout, -1, "RATE", "dropout rate; -1: the architecture's own") \
    X(TEXT, pruned, "", "PLAN", \
      "what a pruning plan leaves of the model (`sonde prune` writes one)") \
    SECTION("Training") \
    X(INTEGER, epochs, 30, "N", "epochs to train") \
    X(TEXT, weights, "", "FILE", "begin with the weights of this model file") \
    X(INTEGER, batch, 128, "N", "examples in a batch") \
    X(TEXT, optimizer, "sgd", "NAME", "sgd, adam or adamw") \
    X(REAL, lr, 0, "RATE", "learning rate; 0: 0.05 for sgd, 0.001 for adam and adamw") \
    X(REAL, momentum, 0.9, "X", "momentum of sgd") \
    X(FLAG, nesterov, false, "", "Nesterov momentum") \
    X(REAL, beta1, 0.9, "X", "first decay of adam") \
    X(REAL, beta2, 0.999, "X", "second decay of adam") \
    X(REAL, weight_decay, 0.0005, "X", "weight decay (decoupled for adamw)") \
    X(TEXT, schedule, "cosine", "NAME", "constant, step, cosine, exponential or linear") \
    X(REAL, lr_final, 0, "RATE", "cosine, linear: rate at the end") \
    X(REAL, gamma, 0.1, "X", "step, exponential: factor") \
    X(TEXT, milestones, "", "LIST", "step: epochs, as in 50,100; empty: half and three quarters") \
    X(INTEGER, warm_up, 0, "N", "epochs of linear warm-up") \
    X(TEXT, loss, "cross-entropy", "NAME", "cross-entropy, squared or sigmoid") \
    X(REAL, label_smoothing, 0, "X", "label smoothing") \
    X(REAL, clip, 0, "NORM", "clip the gradient's norm; 0: do not") \
    X(INTEGER, seed, 1, "N", "seed of everything random") \
    X(INTEGER, threads, 0, "N", "threads; 0: chosen by the size of the network") \
    SECTION("Decisions") \
    X(FLAG, stop, false, "", "obey the stop advice (it is only given otherwise)") \
    X(FLAG, published_threshold, false, "", "stop: the published C = 0.4 for every layer") \
    X(INTEGER, stop_patience, 1, "N", "stop: epochs in a row over the threshold") \
    X(INTEGER, stop_confirm, 3, "N", \
      "stop: epochs without a better probe score that confirm; 0: spectra alone") \
    X(FLAG, spectrum, true, "", "observe the spectra of the layers") \
    X(INTEGER, spectrum_every, 1, "N", "observe them every N epochs") \
    X(TEXT, probe, "train", "KIND", "probe batch: train, augmented or held:N") \
    X(INTEGER, probe_size, 128, "N", "examples in a train or augmented probe batch") \
    X(INTEGER, tpv_every, 0, "N", \
      "observe test prediction variance every N epochs, on a thread of its own; 0: never") \
    X(INTEGER, tpv_inputs, 256, "N", "training inputs that it is measured on") \
    X(TEXT, keep_by, "head-scaled", "SCORE", \
      "keep by raw, head-scaled or feature-scaled gradient, the probe's loss or accuracy, or tpv") \
    X(TEXT, window, "auto", "KIND", "keep: auto, tail or all") \
    X(FLAG, skip, true, "", "skip the backward pass of mastered examples") \
    X(TEXT, skip_mode, "corrected", "MODE", "skip: corrected, paper or code") \
    X(REAL, delta, 0.01, "X", "skip: mastered below this second difference of the loss") \
    X(INTEGER, check_every, 1, "N", "skip: epochs between checks") \
    X(REAL, anneal, 0.1, "SHARE", "skip: share of last epochs that use every example") \
    SECTION("Run") \
    X(INTEGER, checkpoint_every, 1, "N", "epochs between checkpoints") \
    X(FLAG, thin, false, "", "drop checkpoints that cannot be the kept one any more") \
    X(FLAG, test_each_epoch, true, "", \
      "report test accuracy after every epoch, where there is a test part")

/* Types of fields. */
#define SONDE__CONFIG_C_TEXT(field) char field[SONDE__CONFIG_TEXT_MAX]
#define SONDE__CONFIG_C_INTEGER(field) int64_t field
#define SONDE__CONFIG_C_REAL(field) double field
#define SONDE__CONFIG_C_FLAG(field) bool field

typedef struct sonde__config {
#define SONDE__CONFIG_SECTION(title)
#define SONDE__CONFIG_FIELD(type, field, initial, placeholder, help) SONDE__CONFIG_C_##type(field);
    SONDE__CONFIG_LIST(SONDE__CONFIG_SECTION, SONDE__CONFIG_FIELD)
#undef SONDE__CONFIG_SECTION
#undef SONDE__CONFIG_FIELD
} sonde__config;

enum { SONDE__CONFIG_FIELDS_MAX = 96 };

/* Which fields somebody has set, by their index (sonde__config_field). */
typedef struct sonde__config_named {
    bool field[SONDE__CONFIG_FIELDS_MAX];
} sonde__config_named;

typedef enum sonde__field_type {
    SONDE__FIELD_SECTION, /* `help` is the title */
    SONDE__FIELD_TEXT,
    SONDE__FIELD_INTEGER,
    SONDE__FIELD_REAL,
    SONDE__FIELD_FLAG
} sonde__field_type;

typedef struct sonde__field {
    sonde__field_type type;
    const char *name; /* as the option is written, "label-noise" */
    const char *placeholder, *help;
    size_t offset; /* in sonde__config */
} sonde__field;

/* The i-th field or section, or NULL past the end; the one of that option name, or NULL. */
const sonde__field *sonde__config_field(int index);
const sonde__field *sonde__config_find(const char *name);

void sonde__config_init(sonde__config *config);
/* Copies the named fields. */
void sonde__config_take(sonde__config *config, const sonde__config *from,
                        const sonde__config_named *named);
/* Data, model, seed, threads and probe size: what measuring takes of a configuration. */
bool sonde__config_of_subject(const sonde__field *field);
/* Sets one field from text ("on"/"off" for flags). Errors name the option and what it takes. */
sonde_status sonde__config_set(sonde_context *context, sonde__config *config,
                               const sonde__field *field, const char *value);
/* Ranges, known names, and combinations. */
sonde_status sonde__config_check(sonde_context *context, const sonde__config *config);
/* JSON object of all fields; freed with sonde__free. Reading ignores unknown names and keeps the
 * default where one is missing, so that old runs stay readable. */
sonde_status sonde__config_to_json(sonde_context *context, const sonde__config *config,
                                   char **json);
sonde_status sonde__config_from_json(sonde_context *context, const char *json,
                                     sonde__config *config);

#endif
