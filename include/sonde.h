/*
 * Sonde: steer the training of a neural network without a validation set, and diagnose networks
 * that are trained already, from their files.
 *
 * Five decisions, each from published methods that need no validation set:
 *
 *   stop    is more training worth it?       weight spectra against the Marchenko-Pastur law
 *   keep    which checkpoint is to be shipped? norm of the classifier head's gradient on one batch
 *   skip    which examples need no backward pass? instance-dependent early stopping
 *   choose  which architecture is worth training? proxies of an untrained network
 *   cut     which channels and weights may go? importances, label-free ones among them
 *
 * Whoever trains needs one object, `sonde_steer`, which holds the first three for a run. Each method
 * is also a plain function on arrays, for those who only want the number; so is test prediction
 * variance, which tells how a trained network bears noise.
 *
 * Model files (safetensors, PyTorch, npy, npz, GGUF) are opened without trusting them, surveyed
 * layer by layer, compared and converted by the last three sections; they need nothing of the
 * others.
 *
 * Sections: status and context; arrays and scores; keep; stop; skip; steer; test prediction variance;
 * choose; cut; model files; spectra of a whole model; two models.
 *
 * Rules that hold everywhere
 * - Fallible calls return `sonde_status`; `sonde_context_error` then tells the detail. On failure
 *   outputs are untouched and handles stay usable.
 * - Arrays given to a call are borrowed for that call only, unless its comment says otherwise.
 * - Handles are created and freed in pairs; freeing NULL is legal. A context must outlive what was
 *   made with it.
 * - A context and its handles belong to one thread at a time; different contexts are independent.
 *   Only sonde_context_cancel may be called at any time.
 * - Option structs are filled by their `_init` function, which sets `size` and every default. `size`
 *   must be that of the linked library: after another 0.x header it is SONDE_ERROR_ARGUMENT, never a
 *   wrong read.
 * - Scores carry their direction and validity: nobody has to know whether larger is better.
 * - The library prints nothing, exits never, and keeps no global state.
 */
#ifndef SONDE_H
#define SONDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SONDE_VERSION_MAJOR 0
#define SONDE_VERSION_MINOR 1
#define SONDE_VERSION_PATCH 0

#if defined(__GNUC__)
#define SONDE_API __attribute__((visibility("default")))
#else
#define SONDE_API
#endif

/* The version of the library that is linked, as "0.1.0". Never freed. */
SONDE_API const char *sonde_version(void);

/* ---------------------------------------------------------------------------------------------
 * Status and context
 *
 * Numbers are grouped, pinned, and never reused. The sentence says what kind of failure it is; the
 * context's error says which file, which tensor, which value, and what to do about it.
 * ------------------------------------------------------------------------------------------- */

#define SONDE_STATUS_LIST(X) \
    X(SONDE_OK, 0, "done") \
    X(SONDE_ERROR_ARGUMENT, 10, "an argument is wrong") \
    X(SONDE_ERROR_SHAPE, 11, "shapes do not fit together") \
    X(SONDE_ERROR_RANGE, 12, "a value is outside its range") \
    X(SONDE_ERROR_MEMORY, 20, "memory is exhausted or over the budget") \
    X(SONDE_ERROR_OVERFLOW, 21, "a size does not fit in memory") \
    X(SONDE_ERROR_FILE, 30, "a file cannot be read or written") \
    X(SONDE_ERROR_NOT_FOUND, 31, "something named does not exist") \
    X(SONDE_ERROR_NO_SPACE, 32, "no space is left on the device") \
    X(SONDE_ERROR_LOCKED, 33, "another process is using it") \
    X(SONDE_ERROR_FORMAT, 40, "the content does not follow its format") \
    X(SONDE_ERROR_TRUNCATED, 41, "the content ends too early") \
    X(SONDE_ERROR_CORRUPT, 42, "the content is damaged") \
    X(SONDE_ERROR_VERSION, 43, "the content was written by a newer version") \
    X(SONDE_ERROR_UNSUPPORTED, 44, "this variant is not supported") \
    X(SONDE_ERROR_NUMERIC, 50, "a computation did not converge or is not finite") \
    X(SONDE_ERROR_STATE, 60, "the call does not fit the object's state") \
    X(SONDE_ERROR_CANCELLED, 70, "cancelled") \
    X(SONDE_ERROR_INTERNAL, 90, "an error inside the library")

typedef enum sonde_status {
#define SONDE_STATUS_ENUM(name, number, sentence) name = number,
    SONDE_STATUS_LIST(SONDE_STATUS_ENUM)
#undef SONDE_STATUS_ENUM
} sonde_status;

/* "SONDE_ERROR_SHAPE" and "shapes do not fit together"; for unknown numbers a fixed text. */
SONDE_API const char *sonde_status_name(sonde_status status);
SONDE_API const char *sonde_status_sentence(sonde_status status);

/*
 * One function allocates (old NULL), resizes and frees (new_size 0), and is told the old size.
 * Returns NULL on failure and after freeing. Must be callable from several threads at once.
 */
typedef void *(*sonde_allocate_fn)(void *user, void *old, size_t old_size, size_t new_size);

typedef struct sonde_context sonde_context;

typedef struct sonde_context_options {
    size_t size;                /* of this struct; set by the init function */
    sonde_allocate_fn allocate; /* NULL: the C library's */
    void *allocate_user;        /* handed to `allocate` */
    size_t memory_limit;        /* bytes; 0: no limit. Exceeding it is SONDE_ERROR_MEMORY */
    int threads;                /* worker threads for costly observations; 0: all cores */
} sonde_context_options;

/* What went wrong in the last failed call. Strings live until the next failing call or the free. */
typedef struct sonde_error {
    sonde_status status;
    const char *message; /* one line: what was wrong, with the value, and what to do */
    const char *file;    /* path, or "" */
    const char *item;    /* tensor, entry, option or layer, or "" */
    int64_t offset;      /* byte offset in `file`, or -1 */
} sonde_error;

SONDE_API void sonde_context_options_init(sonde_context_options *options);
/* `options` may be NULL for the defaults. */
SONDE_API sonde_status sonde_context_create(const sonde_context_options *options,
                                            sonde_context **context);
SONDE_API void sonde_context_free(sonde_context *context);
/* Never NULL; status SONDE_OK when nothing has failed yet. */
SONDE_API const sonde_error *sonde_context_error(const sonde_context *context);
/* Asks running calls to end with SONDE_ERROR_CANCELLED; may be called from another thread or from a
 * signal handler. It is not taken back: later costly calls with this context end so as well. */
SONDE_API void sonde_context_cancel(sonde_context *context);
/* Bytes held now, and the most that was ever held, through this context. */
SONDE_API size_t sonde_context_memory_used(const sonde_context *context);
SONDE_API size_t sonde_context_memory_peak(const sonde_context *context);

/* ---------------------------------------------------------------------------------------------
 * Arrays and scores
 * ------------------------------------------------------------------------------------------- */

typedef enum sonde_dtype {
    SONDE_F64 = 1,
    SONDE_F32 = 2,
    SONDE_BF16 = 3,
    SONDE_F16 = 4
} sonde_dtype;

/* A row-major matrix in the caller's memory. */
typedef struct sonde_matrix {
    const void *data;
    sonde_dtype dtype;
    size_t rows;
    size_t cols;
    size_t row_stride; /* elements from one row to the next; 0: `cols` */
} sonde_matrix;

typedef enum sonde_direction {
    SONDE_NEUTRAL = 0,
    SONDE_LOWER_IS_BETTER = -1,
    SONDE_HIGHER_IS_BETTER = 1
} sonde_direction;

#define SONDE_VALIDITY_LIST(X) \
    X(SONDE_VALID, 0, "valid") \
    X(SONDE_NOT_MEASURED, 1, "not measured") \
    X(SONDE_NOT_FINITE, 2, "input holds NaN or infinity") \
    X(SONDE_TOO_FEW, 3, "too few values for a meaningful number") \
    X(SONDE_DEGENERATE, 4, "input is constant, zero or of low rank") \
    X(SONDE_NEARLY_SQUARE, 5, "matrix is too nearly square for the published statistic") \
    X(SONDE_SMALL, 6, "matrix is too small for the published statistic") \
    X(SONDE_OUT_OF_RANGE, 7, "result does not fit in a double")

typedef enum sonde_validity {
#define SONDE_VALIDITY_ENUM(name, number, sentence) name = number,
    SONDE_VALIDITY_LIST(SONDE_VALIDITY_ENUM)
#undef SONDE_VALIDITY_ENUM
} sonde_validity;

SONDE_API const char *sonde_validity_sentence(sonde_validity validity);

/* `value` means something only where `validity` is SONDE_VALID; it is 0 otherwise. */
typedef struct sonde_score {
    double value;
    double error_bound; /* of rounding, absolute; 0 where exact or unknown */
    sonde_direction direction;
    sonde_validity validity;
} sonde_score;

/* ---------------------------------------------------------------------------------------------
 * Keep: the head-gradient probe
 *
 * The gradient of the loss with respect to the last layer's weights, on one fixed batch, in closed
 * form from arrays every trainer has: features (inputs of the last layer), logits, targets. No
 * backward pass. Its norm falls as the network fits the batch; the checkpoint where it is lowest
 * is proposed. On examples that training has seen it cannot see over-fitting: prefer a few hundred
 * held-out ones (docs/head-gradient.md).
 *
 *     sonde_head_batch batch;
 *     sonde_head_batch_init(&batch);
 *     batch.features = (sonde_matrix){features, SONDE_F32, 128, 512, 0};
 *     batch.logits = (sonde_matrix){logits, SONDE_F32, 128, 10, 0};
 *     batch.labels = labels;
 *     sonde_head_report report;
 *     if (sonde_head_gradient(context, &batch, &report) == SONDE_OK) use(report.raw.value);
 * ------------------------------------------------------------------------------------------- */

typedef enum sonde_head_kind {
    SONDE_HEAD_SOFTMAX = 0, /* mean cross-entropy over rows */
    SONDE_HEAD_SIGMOID = 1, /* mean binary cross-entropy over rows and outputs */
    SONDE_HEAD_SQUARED = 2  /* mean squared error over rows and outputs; `logits` are outputs */
} sonde_head_kind;

typedef enum sonde_head_form {
    SONDE_FORM_AUTO = 0,   /* whichever is cheaper for the shapes */
    SONDE_FORM_DIRECT = 1, /* the C x d gradient itself, B C d multiply-adds */
    SONDE_FORM_GRAM = 2    /* from two B x B Gram matrices, B^2 (C + d) / 2 multiply-adds */
} sonde_head_form;

/* B rows (examples, tokens, or positions), C outputs, d features. */
typedef struct sonde_head_batch {
    size_t size;
    sonde_head_kind kind;
    sonde_head_form form;
    sonde_matrix features;  /* B x d, inputs of the head, detached */
    sonde_matrix logits;    /* B x C, outputs of the head, before softmax or sigmoid */
    const int64_t *labels;  /* B class numbers in [0, C), or NULL when `targets` is given */
    sonde_matrix targets;   /* B x C soft, multi-label or regression targets; data NULL: `labels` */
    sonde_matrix weight;    /* C x d, for the head-scaled score; data NULL: that is not measured */
    double label_smoothing; /* in [0, 1), applied to `labels` */
} sonde_head_batch;

typedef struct sonde_head_report {
    sonde_score raw;            /* ||dL/dW||_F */
    sonde_score head_scaled;    /* raw / (||W||_F + 1e-12) */
    sonde_score feature_scaled; /* raw / (root-mean-square row norm of the features + 1e-12) */
    sonde_score bias;           /* ||dL/db||_2 */
    sonde_score loss;           /* mean over rows */
    sonde_score accuracy;       /* of argmax against labels; not measured without labels */
    sonde_score confidence;     /* mean over rows of the largest probability */
    sonde_score entropy;        /* mean over rows, nats */
    sonde_score margin;         /* mean of the largest minus the second largest probability */
    sonde_score true_margin;    /* mean of the true logit minus the largest other logit */
    sonde_head_form form;       /* the one that was used */
} sonde_head_report;

/* Geometry of a convolutional head: its input is B x channels x height x width (NCHW), dense. */
typedef struct sonde_head_patches {
    size_t size;
    const void *input; /* NCHW, dense */
    sonde_dtype dtype;
    size_t batch, channels, height, width;
    size_t kernel_height, kernel_width, stride, padding, dilation;
} sonde_head_patches;

SONDE_API void sonde_head_batch_init(sonde_head_batch *batch);
SONDE_API void sonde_head_patches_init(sonde_head_patches *patches);

/*
 * Every score of one probe batch. Non-finite input gives scores of validity SONDE_NOT_FINITE, not a
 * failure; a label outside [0, C) is SONDE_ERROR_RANGE. Sums in double; the same bits for every
 * thread count. Source: arXiv 2601.16874, section 1 of docs/head-gradient.md.
 */
SONDE_API sonde_status sonde_head_gradient(sonde_context *context, const sonde_head_batch *batch,
                                           sonde_head_report *report);
/*
 * The same for a convolutional head: every (example, output position) pair is a row. `batch` gives
 * logits, labels and targets with batch * out_height * out_width rows (position fastest) and no
 * features; `weight` is C x (channels * kernel_height * kernel_width).
 */
SONDE_API sonde_status sonde_head_gradient_patches(sonde_context *context,
                                                   const sonde_head_patches *patches,
                                                   const sonde_head_batch *batch,
                                                   sonde_head_report *report);

/* One epoch of a score series, for `sonde_keep_choose`. */
typedef enum sonde_keep_window {
    SONDE_WINDOW_AUTO = 0, /* the tail for annealed runs whose score has not turned; else all */
    SONDE_WINDOW_TAIL = 1, /* the last `tail_fraction` of epochs, at least `tail_least` */
    SONDE_WINDOW_ALL = 2
} sonde_keep_window;

typedef struct sonde_keep_options {
    size_t size;
    sonde_keep_window window;
    double tail_fraction; /* 0.2 */
    int tail_least;       /* 5 epochs */
    double ema;           /* smoothing factor beta in [0, 1); 0: none */
    double tie;           /* relative difference below which the later epoch wins; 0 */
    int stability;        /* two probe batches may disagree by this many epochs; 2 */
    int top;              /* how many candidates to name, at most 16; 3 */
} sonde_keep_options;

enum { SONDE_KEEP_TOP_MAX = 16 };

typedef struct sonde_keep_series {
    size_t count;
    const int64_t *epochs;       /* strictly increasing */
    const sonde_score *scores;   /* of the probe batch; invalid ones are left out of the choice */
    const sonde_score *second;   /* of a second probe batch, or NULL */
    const double *learning_rate; /* per epoch, or NULL when unknown */
} sonde_keep_series;

#define SONDE_KEEP_WARNING_LIST(X) \
    X(SONDE_KEEP_WARN_LEFT_EDGE, 1u, "the choice is the first epoch of its window") \
    X(SONDE_KEEP_WARN_RIGHT_EDGE, 2u, "the score was still improving at the last epoch") \
    X(SONDE_KEEP_WARN_UNSTABLE, 4u, "two probe batches choose different epochs") \
    X(SONDE_KEEP_WARN_FEW, 8u, "fewer than five usable scores") \
    X(SONDE_KEEP_WARN_INVALID, 16u, "some epochs have no valid score") \
    X(SONDE_KEEP_WARN_FLAT, 32u, "the scores in the window hardly differ") \
    X(SONDE_KEEP_WARN_SEEN, 64u, "the probe batch is trained on and cannot see over-fitting") \
    X(SONDE_KEEP_WARN_TPV, 128u, \
      "test prediction variance tells stability, not accuracy: against the test loss it is " \
      "U-shaped")

enum {
#define SONDE_KEEP_WARNING_ENUM(name, bit, sentence) name = (int)bit,
    SONDE_KEEP_WARNING_LIST(SONDE_KEEP_WARNING_ENUM)
#undef SONDE_KEEP_WARNING_ENUM
};

enum { SONDE_REASON_MAX = 512 };

typedef struct sonde_keep_choice {
    int64_t epoch;            /* -1: no usable score at all */
    double score;             /* of that epoch, smoothed as asked */
    bool meaningful;          /* false when a warning means "do not rely on this" */
    uint32_t warnings;        /* bits SONDE_KEEP_WARN_* */
    sonde_keep_window window; /* the one used: TAIL or ALL */
    int64_t window_first;     /* first and last epoch looked at */
    int64_t window_last;
    double trend;         /* Spearman of score against epoch inside the window, or 0 */
    int64_t second_epoch; /* choice of the second probe batch, or -1 */
    int top_count;
    int64_t top[SONDE_KEEP_TOP_MAX]; /* best first; top[0] == epoch */
    char reason[SONDE_REASON_MAX];   /* one or two sentences for a person */
} sonde_keep_choice;

SONDE_API void sonde_keep_options_init(sonde_keep_options *options);
/* A pure function of the series: the same series gives the same choice. NULL options: defaults. */
SONDE_API sonde_status sonde_keep_choose(sonde_context *context, const sonde_keep_series *series,
                                         const sonde_keep_options *options,
                                         sonde_keep_choice *choice);
/* The sentence of one warning bit, or NULL. */
SONDE_API const char *sonde_keep_warning_sentence(uint32_t bit);

/* ---------------------------------------------------------------------------------------------
 * Stop: the spectral criterion
 *
 * The eigenvalues of W W^T of an untrained layer follow the Marchenko-Pastur law. Training adds
 * spikes (what it learns), then deforms the bulk; the published criterion stops at the first epoch
 * at which the bulk's histogram leaves the law by more than a threshold. That threshold is wrong
 * for small and nearly square layers, so one calibrated on random matrices of the same shape is the
 * default, and the published one stays at hand (docs/spectrum.md).
 *
 *     const sonde_matrix weight = {weights, SONDE_F32, 512, 784, 0};
 *     sonde_spectrum_report report;
 *     if (sonde_spectrum(context, &weight, NULL, &report, NULL) == SONDE_OK &&
 *         report.validity == SONDE_VALID && report.statistic > report.threshold_calibrated)
 *         puts("the bulk has left the law");
 * ------------------------------------------------------------------------------------------- */

typedef enum sonde_spectrum_type {
    SONDE_SPECTRUM_UNKNOWN = 0,
    SONDE_SPECTRUM_LIGHT_TAIL = 1,      /* LT: the bulk follows the law, spikes allowed */
    SONDE_SPECTRUM_BULK_TRANSITION = 2, /* BT: near the law, mass bleeds over the edge */
    SONDE_SPECTRUM_HEAVY_TAIL = 3,      /* HT: the bulk has left the law */
    SONDE_SPECTRUM_RANK_COLLAPSE = 4    /* RC: over a tenth of the mass near zero */
} sonde_spectrum_type;

/* "LT", "BT", "HT", "RC" or "--". */
SONDE_API const char *sonde_spectrum_type_name(sonde_spectrum_type type);

typedef enum sonde_mp_fit {
    SONDE_MP_EXTREMES = 0, /* the law's edges are the extreme eigenvalues (published) */
    SONDE_MP_BULK = 1      /* the law's scale from matching bulk quantiles, shape from the matrix */
} sonde_mp_fit;

typedef struct sonde_spectrum_options {
    size_t size;
    sonde_mp_fit fit;   /* of `distance`; SONDE_MP_EXTREMES */
    double published_c; /* 0.4, the constant C of the published threshold */
    double false_alarm; /* 0.01, rate at which the calibrated threshold fires at random */
    bool calibrate;     /* true: fill `threshold_calibrated` (cached by shape) */
    bool remove_spikes; /* true */
    double spike_level; /* 0.99, Tracy-Widom level of the spike edge: 0.95 or 0.99 */
    int slices;         /* matrices of the shape whose eigenvalues are pooled; 1. Only
                           sonde_spectrum_judge takes more; a survey sets it by itself */
} sonde_spectrum_options;

typedef struct sonde_spectrum_report {
    size_t rows, cols;       /* n <= N after transposing; n eigenvalues, X = s^2 / N */
    double aspect;           /* n / N */
    sonde_validity validity; /* of the distance and its thresholds */
    sonde_spectrum_type type;
    int spikes;                   /* eigenvalues above the edge */
    int bleed;                    /* spikes within 3 Tracy-Widom widths of the edge */
    double sigma2;                /* elements' variance, from matching bulk quantiles */
    double edge;                  /* spike edge, in units of the eigenvalues */
    double mp_low, mp_high;       /* support [a, b] of the law used for `distance` */
    double distance;              /* s_hat, L1 distance of histogram and law */
    double statistic;             /* s_hat n^(1/3) / sqrt(log n), comparable over shapes */
    double statistic_with_spikes; /* the same with the spikes left in; no threshold fits it */
    double threshold_published;   /* C, on the scale of `statistic`; 0 where it may not be used:
                                    fewer than 64 rows, an aspect over 0.8, or (when
                                    calibrated) random matrices of the shape reach it */
    double threshold_calibrated;  /* on the scale of `statistic`; 0 when not calibrated */
    double null_mean;             /* mean statistic of random matrices of this shape; 0 likewise */
    double smallest, largest;     /* eigenvalues, all included */
    double stable_rank;           /* sum / largest */
    double frobenius, spectral;   /* norms of W */
    double entropy;               /* of eigenvalues / sum, divided by log n */
} sonde_spectrum_report;

SONDE_API void sonde_spectrum_options_init(sonde_spectrum_options *options);
/*
 * One weight matrix, out x in; a convolution kernel as out x (in * kh * kw). `eigenvalues` is NULL
 * or room for min(rows, cols) doubles, filled ascending (zeros where the validity is NOT_FINITE or
 * OUT_OF_RANGE). NULL options: defaults.
 *
 * Validity, with n = min(rows, cols) and c = n / max(rows, cols):
 *   VALID          distance, statistic and type may be used, with every threshold that is not 0;
 *   NOT_FINITE     NaN or infinity in the matrix: all numbers are 0;
 *   OUT_OF_RANGE   eigenvalues beyond the range of doubles: all numbers are 0;
 *   TOO_FEW        n < 10, or fewer than 10 eigenvalues left below the spikes: no distance;
 *   DEGENERATE     zero, constant, of low rank, or all eigenvalues equal: no distance;
 *   SMALL          n < 16 with calibration, n < 64 without it: a distance, but no threshold;
 *   NEARLY_SQUARE  c > 0.8 without calibration: a distance, but no threshold.
 * Norms, eigenvalues, stable rank and entropy are filled in all but the first two failing cases.
 *
 * Errors: SONDE_ERROR_SHAPE for an empty matrix, SONDE_ERROR_RANGE for options, UNSUPPORTED where
 * both sides exceed 32000, NUMERIC where the eigenvalues do not converge. On the calling thread
 * alone.
 *
 * Cost: n^2 N + 4/3 n^3 multiply-adds in double, and once a shape under a second for the
 * calibration (400 to 2000 random spectra, kept in the context). Source: JMLR 24(28) 2023.
 */
SONDE_API sonde_status sonde_spectrum(sonde_context *context, const sonde_matrix *weight,
                                      const sonde_spectrum_options *options,
                                      sonde_spectrum_report *report, double *eigenvalues);
/* The Marchenko-Pastur density at x for support [low, high]; 0 outside. For plots. */
SONDE_API double sonde_marchenko_pastur_density(double x, double low, double high);

/*
 * Singular values of a matrix, ascending, into room for min(rows, cols) doubles; each within 1e-14
 * of the largest, also those near zero. NaN or infinity in the matrix is SONDE_ERROR_NUMERIC, both
 * sides over 32000 SONDE_ERROR_UNSUPPORTED. Runs on the calling thread alone; the same bits for a
 * matrix and its transpose. Cost, with n <= N the sides: at most n^2 N + 4/3 n^3 multiply-adds
 * where N is several times n, else 2 n^2 (N - n) + 8/3 n^3, and memory for about the matrix in
 * double. Method: Gram matrix where it is accurate enough, else reduction to a band, to a
 * bidiagonal, and dqds (docs/reading-spectra.md).
 */
SONDE_API sonde_status sonde_singular_values(sonde_context *context, const sonde_matrix *matrix,
                                             double *values);
/*
 * The report of eigenvalues that were computed elsewhere: `count` ascending values X = s^2 / N of a
 * `rows` x `cols` matrix, or of options->slices matrices of that shape, pooled (count is then
 * slices times min(rows, cols)). Everything of sonde_spectrum but the eigenvalues themselves.
 * Validity goes by the shape of one slice; pooled, `threshold_published` is always 0. NaN or
 * infinity among the eigenvalues is the validity NOT_FINITE; a negative or descending one
 * SONDE_ERROR_RANGE, another count SONDE_ERROR_SHAPE, more than 2^24 of them too. Cost: the
 * calibration, once a shape.
 *
 *     for (size_t i = 0; i < n; i++)                  // singular values s, ascending, of n x N
 *         eigenvalues[i] = s[i] * s[i] / N;
 *     sonde_spectrum_judge(context, eigenvalues, n, n, N, NULL, &report);
 */
SONDE_API sonde_status sonde_spectrum_judge(sonde_context *context, const double *eigenvalues,
                                            size_t count, size_t rows, size_t cols,
                                            const sonde_spectrum_options *options,
                                            sonde_spectrum_report *report);

/* What is read off a spectrum beside the law: the power law of its tail, norms, ranks. */
typedef struct sonde_spectrum_shape_report {
    sonde_validity power_law; /* of the next six: TOO_FEW, DEGENERATE (constant), VALID */
    double alpha;             /* exponent of p(x) ~ x^-alpha above xmin, by maximum likelihood */
    double alpha_error;       /* its standard error, (alpha - 1) / sqrt(tail) */
    double ks_distance;       /* D, Kolmogorov-Smirnov distance of the tail from that law */
    double xmin, xmax;        /* the tail, in units of squared singular values s^2 (not s^2 / N) */
    size_t tail;              /* eigenvalues in [xmin, xmax] */
    double alpha_weighted;    /* alpha * log10(s_max^2) */
    double log_alpha_norm;    /* log10 sum (s^2)^alpha */
    double log_norm;          /* log10 ||W||_F^2 */
    double log_spectral_norm; /* log10 s_max^2 */
    double stable_rank;       /* ||W||_F^2 / s_max^2 */
    double effective_rank;    /* exp of the entropy of the shares s^2 / sum (Roy, Vetterli 2007,
                               take s / sum) */
    size_t matrix_rank;       /* singular values above s_max * max(rows, cols) * 2^-52 */
    double edge_margin;       /* (largest - edge) in Tracy-Widom widths; above 0: a spike */
} sonde_spectrum_shape_report;

/*
 * Of `count` ascending eigenvalues X = s^2 / N, with the report that sonde_spectrum or
 * sonde_spectrum_judge gave for them. `power_law` is the report's validity where that is NOT_FINITE
 * or OUT_OF_RANGE, and DEGENERATE where all eigenvalues are 0; everything else is then 0.
 * SONDE_ERROR_RANGE where the eigenvalues are not those of the report. Cost: a pass over the tail
 * for each start that is tried, count^2 / 2 steps at most. Source: Clauset, Shalizi, Newman 2009;
 * Martin, Mahoney 2021 (JMLR 22(165)); docs/reading-spectra.md.
 */
SONDE_API sonde_status sonde_spectrum_shape(sonde_context *context, const double *eigenvalues,
                                            size_t count, const sonde_spectrum_report *report,
                                            sonde_spectrum_shape_report *shape);

/* ---------------------------------------------------------------------------------------------
 * Skip: instance-dependent early stopping (mastery)
 *
 * An example is mastered when the second difference of its loss over epochs stays below delta; it
 * then needs no backward pass until its loss moves again. Kept per example: 12 + 4 * window + 2
 * bytes, and 8 to 24 more when ids are arbitrary.
 *
 *     sonde_mastery_record(mastery, ids, losses, n);   // as the losses come, any order
 *     sonde_mastery_end_epoch(mastery, epoch);          // recompute the active set
 *     if (sonde_mastery_active(mastery, id)) train_on(id);
 *
 * Every check_every-th ended epoch is a check (with 1: each). Only losses of checks enter the
 * histories, so that second differences are of equally spaced losses: in a check record the losses
 * of active examples as training gives them, and those of mastered ones from a forward pass. Between
 * checks mastered examples need no pass at all.
 * ------------------------------------------------------------------------------------------- */

typedef struct sonde_mastery sonde_mastery;

typedef enum sonde_mastery_mode {
    SONDE_MASTERY_CORRECTED = 0, /* mean |D2| of the last `window` checks, recomputed every check */
    SONDE_MASTERY_PAPER = 1,     /* Algorithm 1: the newest |D2| alone */
    SONDE_MASTERY_CODE = 2       /* the authors' script: window 3, first exclusion after epoch 6 */
} sonde_mastery_mode;

typedef struct sonde_mastery_options {
    size_t size;
    sonde_mastery_mode mode;
    double delta;           /* threshold on |D2|; 1e-3; 0 skips nothing */
    int window;             /* 1 to 16, how many |D2| are averaged; 3. PAPER: always 1 */
    int check_every;        /* epochs between checks, 1 */
    double anneal_fraction; /* share of the last epochs in which all are active; 0.1. CODE: none */
    int64_t total_epochs;   /* planned count of epochs, for annealing; 0: unknown, no annealing */
    uint64_t examples;      /* ids are 0 .. examples-1; 0: ids are arbitrary 64-bit numbers */
} sonde_mastery_options;

SONDE_API void sonde_mastery_options_init(sonde_mastery_options *options);
SONDE_API sonde_status sonde_mastery_create(sonde_context *context,
                                            const sonde_mastery_options *options,
                                            sonde_mastery **mastery);
SONDE_API void sonde_mastery_free(sonde_mastery *mastery);
/*
 * Losses of n examples in this epoch; of several for one example the last counts. A non-finite loss
 * makes its example active and restarts its history. 5 ns an example.
 */
SONDE_API sonde_status sonde_mastery_record(sonde_mastery *mastery, const uint64_t *ids,
                                            const float *losses, size_t n);
/*
 * Epochs must increase (SONDE_ERROR_STATE otherwise). An example without a loss in a check stays
 * active or mastered as it was and its history starts anew; in mode CODE its history stays too, and
 * its last difference counts again. Under 5 ms a million examples.
 */
SONDE_API sonde_status sonde_mastery_end_epoch(sonde_mastery *mastery, int64_t epoch);
/* True when the running epoch is a check, in which mastered examples need a forward pass too. */
SONDE_API bool sonde_mastery_checks(const sonde_mastery *mastery);
/* Unknown ids are active. */
SONDE_API bool sonde_mastery_active(const sonde_mastery *mastery, uint64_t id);
/* Counts known examples (all of 0 .. examples-1 when dense), and those active in the next epoch. */
SONDE_API void sonde_mastery_count(const sonde_mastery *mastery, uint64_t *known, uint64_t *active);
/* Writes up to `capacity` active (or mastered) ids, ascending when dense, else in order of first
 * sight. *count is how many there are, also where `capacity` was less; `ids` NULL only counts. */
SONDE_API sonde_status sonde_mastery_list(const sonde_mastery *mastery, bool active, uint64_t *ids,
                                          size_t capacity, size_t *count);
/* Share of backward passes saved over all epochs ended so far, in [0, 1]. Mode CODE counts as the
 * authors' script does: also the last set, which no epoch has used yet. */
SONDE_API double sonde_mastery_saved(const sonde_mastery *mastery);

/* ---------------------------------------------------------------------------------------------
 * Steer: all signals and rules of one run
 *
 *     for (int64_t epoch = 1; ; epoch++) {
 *         ... train on the active examples ...
 *         sonde_steer_losses(steer, ids, losses, n);            // -> skip
 *         sonde_steer_head(steer, &batch, 0, NULL);             // -> keep
 *         sonde_steer_weights(steer, "fc1", &matrix);           // -> stop, on worker threads
 *         sonde_steer_end_epoch(steer, epoch, &decision);
 *         if (decision.stop) break;
 *     }
 *
 * See examples/own_loop.c for a whole program.
 * ------------------------------------------------------------------------------------------- */

typedef struct sonde_steer sonde_steer;

typedef enum sonde_score_kind {
    SONDE_SCORE_RAW = 0,
    SONDE_SCORE_HEAD_SCALED = 1,
    SONDE_SCORE_FEATURE_SCALED = 2,
    SONDE_SCORE_LOSS = 3,     /* of the probe batch: for held-out ones, which may read better */
    SONDE_SCORE_ACCURACY = 4, /* likewise (docs/results.md) */
    SONDE_SCORE_TPV = 5 /* measured by the caller, sonde_steer_tpv; a warning goes with it, and
                           spectra decide on stopping alone */
} sonde_score_kind;

typedef enum sonde_probe_kind {
    SONDE_PROBE_TRAIN = 0,     /* a training batch, un-augmented (published) */
    SONDE_PROBE_AUGMENTED = 1, /* a training batch, augmented once */
    SONDE_PROBE_HELD = 2       /* examples that training never sees */
} sonde_probe_kind;

typedef struct sonde_stop_options {
    size_t size;
    bool use_published; /* false: calibrated threshold; true: C = 0.4, where it may be used */
    int patience;       /* consecutive epochs over the threshold before stopping; 1 */
    int64_t warm_up;    /* epochs at the start in which stop is never advised; 1 */
    bool baseline;      /* measure exceedance from a layer's own first spectrum; false */
    /*
     * Epochs without a better head-gradient score after which that confirms the spectra; 3. With 0,
     * or where no score is given, the spectra decide alone, as published.
     */
    int confirm;
} sonde_stop_options;

typedef struct sonde_steer_options {
    size_t size;
    sonde_stop_options stop;
    sonde_keep_options keep;
    sonde_mastery_options skip;
    sonde_spectrum_options spectrum;
    sonde_score_kind keep_by; /* SONDE_SCORE_HEAD_SCALED */
    sonde_probe_kind probe;   /* what the probe batch is, for the warnings; SONDE_PROBE_TRAIN */
    bool obey_stop;           /* false: decision.stop is never set, only advised */
    /*
     * true: end_epoch(t) waits for the spectra of epoch t. false: it uses those of epoch t - 1, which
     * are long done, so that training never waits and every run decides alike.
     */
    bool wait;
    /*
     * For distributed callers: sums `n` doubles over all ranks in place; NULL: one process. Called
     * twice in each end_epoch and decide, with the same `n` on each rank, whatever the rank saw: head
     * scores are averaged, stopping is advised to all as soon as one rank advises it, and a rank that
     * fails or meets a NaN tells the others instead of leaving them waiting. Nonzero: failed.
     */
    int (*reduce_sum)(void *user, double *values, size_t n);
    void *reduce_user;
} sonde_steer_options;

enum { SONDE_LAYER_NAME_MAX = 128 };

typedef struct sonde_decision {
    int64_t epoch;
    bool stop;          /* end the run now (only with obey_stop) */
    bool stop_advised;  /* some layer is over its threshold, now or before */
    int64_t stop_epoch; /* first epoch at which it was advised, or -1 */
    char stop_layer[SONDE_LAYER_NAME_MAX];
    char stop_reason[SONDE_REASON_MAX];
    sonde_keep_choice keep;    /* as of now; keep.epoch is the checkpoint to hold on to */
    uint64_t examples, active; /* skip: known, and active in the next epoch */
    double saved_fraction;     /* of backward passes, so far */
    char skip_reason[SONDE_REASON_MAX];
    double worst_ratio; /* largest statistic / threshold over layers, 0: none yet */
    char worst_layer[SONDE_LAYER_NAME_MAX];
} sonde_decision;

/* One observed layer at one epoch. `eigenvalues` (ascending, `report.rows` of them) live until the
 * next call on the steer. */
typedef struct sonde_layer_view {
    const char *name;
    int64_t epoch;
    bool over;        /* over the threshold that the stop rule uses */
    double threshold; /* that threshold, on the scale of report.statistic */
    sonde_spectrum_report report;
    const double *eigenvalues;
} sonde_layer_view;

SONDE_API void sonde_stop_options_init(sonde_stop_options *options);
SONDE_API void sonde_steer_options_init(sonde_steer_options *options);
SONDE_API sonde_status sonde_steer_create(sonde_context *context,
                                          const sonde_steer_options *options, sonde_steer **steer);
SONDE_API void sonde_steer_free(sonde_steer *steer);

/* Per-example losses of the running epoch, as they come. */
SONDE_API sonde_status sonde_steer_losses(sonde_steer *steer, const uint64_t *ids,
                                          const float *losses, size_t n);
/* The probe batch of the running epoch; `which` 0, or 1 for the second batch of the stability
 * check. The report may be NULL. */
SONDE_API sonde_status sonde_steer_head(sonde_steer *steer, const sonde_head_batch *batch,
                                        int which, sonde_head_report *report);
/*
 * Test prediction variance of the running epoch (`epoch` -1) or of one that has ended, which was
 * measured meanwhile. Decides where keep_by is SONDE_SCORE_TPV, and is otherwise ignored; epochs
 * without it cannot be kept then. SONDE_ERROR_NOT_FOUND for an epoch that was not ended. One rank's
 * own number: it is not reduced for an epoch that has ended, so give it to all ranks alike.
 */
SONDE_API sonde_status sonde_steer_tpv(sonde_steer *steer, int64_t epoch, const sonde_score *tpv);
/* Copies the matrix and returns; its spectrum is computed on a worker thread. */
SONDE_API sonde_status sonde_steer_weights(sonde_steer *steer, const char *layer,
                                           const sonde_matrix *weight);
/* The running epoch's learning rate, so that keep can tell annealed runs. Optional. */
SONDE_API void sonde_steer_learning_rate(sonde_steer *steer, double rate);
/*
 * Ends the running epoch and decides. `epoch` must be larger than the last one ended
 * (SONDE_ERROR_STATE otherwise, nothing changed).
 */
SONDE_API sonde_status sonde_steer_end_epoch(sonde_steer *steer, int64_t epoch,
                                             sonde_decision *decision);

/* The decision as of now, with every spectrum observed so far (waits for them). After the last epoch. */
SONDE_API sonde_status sonde_steer_decide(sonde_steer *steer, sonde_decision *decision);

/* True when the losses of mastered examples are wanted in the running epoch (sonde_mastery_checks). */
SONDE_API bool sonde_steer_checks(const sonde_steer *steer);
SONDE_API bool sonde_steer_active(const sonde_steer *steer, uint64_t id);
SONDE_API sonde_status sonde_steer_list(const sonde_steer *steer, bool active, uint64_t *ids,
                                        size_t capacity, size_t *count);
/*
 * Layers can be read of the newest epoch whose spectra have been judged: without `wait` that is the
 * epoch before the one ended last. This call waits for running spectra and judges them, so that the
 * layers of the epoch ended last can be read. Later decisions are the same with and without it.
 */
SONDE_API sonde_status sonde_steer_wait(sonde_steer *steer);
SONDE_API size_t sonde_steer_layer_count(const sonde_steer *steer);
SONDE_API sonde_status sonde_steer_layer(const sonde_steer *steer, size_t index,
                                         sonde_layer_view *view);

/*
 * The whole state as bytes, the same on every machine. With `buffer` NULL only `*written` is set,
 * to the size needed. Waits for running spectra. Call between end_epoch and the next observation.
 */
SONDE_API sonde_status sonde_steer_save(sonde_steer *steer, void *buffer, size_t capacity,
                                        size_t *written);
/* Into a steer created with the same options. Damaged or foreign bytes: a status, steer unchanged. */
SONDE_API sonde_status sonde_steer_restore(sonde_steer *steer, const void *buffer, size_t size);

/* ---------------------------------------------------------------------------------------------
 * Test prediction variance (TPV)
 *
 * How far the outputs f(x) of a trained network move when its weights are perturbed: to first order
 * the perturbation's variance times the trace Tr(H) = mean over x of ||J(x)||_F^2, with J the
 * Jacobian of the outputs by the parameters. No labels, and nearly the same number on training
 * inputs as on test inputs. The caller's backward passes give squared gradient norms of single
 * examples; here they become traces with standard errors, and traces become TPVs (docs/tpv.md).
 *
 *     sonde_tpv_trace *trace;
 *     sonde_tpv_trace_create(context, layers, NULL, &trace);
 *     for (each batch)                                  // squares[layer * n + example]
 *         sonde_tpv_trace_add(trace, squares, n);       // sum over outputs, or mean over draws
 *     sonde_tpv_noise noise;
 *     sonde_tpv_noise_init(&noise);                     // SGD, learning rate 1e-3, batch 128
 *     sonde_estimate total, tpv;
 *     double variance;
 *     if (sonde_tpv_trace_read(trace, &total, NULL) == SONDE_OK &&
 *         sonde_tpv_variance(context, &noise, &variance) == SONDE_OK)
 *         tpv = sonde_tpv_scale(&total, variance);      // tpv.value +/- tpv.standard_error
 * ------------------------------------------------------------------------------------------- */

/* A mean over examples or draws; `value` and `standard_error` are 0 where not SONDE_VALID. */
typedef struct sonde_estimate {
    double value;
    double standard_error; /* of the mean; infinite where there is one example only */
    size_t count;          /* examples (or draws) that it is the mean of */
    sonde_validity validity;
} sonde_estimate;

/*
 * One linear map at n examples: `rows` tokens (or unfolded positions of a convolution) each. The
 * gradient of example i by the weights is the sum over its rows t of dy_t x_t^T.
 */
typedef struct sonde_example_layer {
    size_t size;
    sonde_matrix x;  /* (n * rows) x in, the map's inputs, an example's rows together */
    sonde_matrix dy; /* (n * rows) x out, gradients by its outputs */
    size_t rows;     /* of one example; 1 */
    sonde_head_form form;
} sonde_example_layer;

SONDE_API void sonde_example_layer_init(sonde_example_layer *layer);
/*
 * Squared gradient norms of every example, into room for n = x.rows / rows doubles each: by the
 * weights ||sum_t dy_t x_t^T||_F^2, and by the bias ||sum_t dy_t||^2 (may be NULL). Exact, without
 * forming gradients where the Gram form rows^2 (in + out) is cheaper. NaN stays NaN. On the calling
 * thread; sums in double.
 */
SONDE_API sonde_status sonde_example_norms(sonde_context *context, const sonde_example_layer *layer,
                                           double *weight_norms, double *bias_norms);

/* n independent signs +1 or -1, the same for the same seed and index on every machine. */
SONDE_API void sonde_rademacher(uint64_t seed, uint64_t index, float *signs, size_t n);

/*
 * Mean and standard error over examples, for each layer and for their (weighted) sum. Handed in is
 * ||J_layer(x)||_F^2 of each example: the sum over all outputs of the squared gradient norms, or the
 * mean over draws v of random signs of those of v . f(x), which is unbiased. The standard error
 * then covers both examples and draws.
 */
typedef struct sonde_tpv_trace sonde_tpv_trace;

/* `weights`: what each layer counts in the total (a variance each gives the TPV itself, with the
 * right standard error); NULL: 1. Copied. */
SONDE_API sonde_status sonde_tpv_trace_create(sonde_context *context, size_t layers,
                                              const double *weights, sonde_tpv_trace **trace);
SONDE_API void sonde_tpv_trace_free(sonde_tpv_trace *trace);
/* squares[layer * n + example]. Any number of calls; order does not matter beyond rounding. */
SONDE_API sonde_status sonde_tpv_trace_add(sonde_tpv_trace *trace, const double *squares, size_t n);
/* `layers`: NULL, or room for as many as were created. NOT_MEASURED before the first example,
 * NOT_FINITE after a NaN or infinity. */
SONDE_API sonde_status sonde_tpv_trace_read(const sonde_tpv_trace *trace, sonde_estimate *total,
                                            sonde_estimate *layers);

typedef enum sonde_tpv_kind {
    SONDE_TPV_SGD = 0,          /* residual_variance * learning_rate / (2 batch) */
    SONDE_TPV_QUANTIZATION = 1, /* delta^2 / 12, delta = (high - low) / (2^bits - 1) */
    SONDE_TPV_ISOTROPIC = 2     /* deviation^2 */
} sonde_tpv_kind;

typedef struct sonde_tpv_noise {
    size_t size;
    sonde_tpv_kind kind;
    double learning_rate;     /* 1e-3 */
    double batch;             /* 128 */
    double residual_variance; /* sigma_eps^2; 1: left out, as published */
    double low, high;         /* smallest and largest weight, of all tensors (published) or one */
    int bits;                 /* 1 to 32; 8 */
    double deviation;         /* of Gaussian noise on each weight; 0.01 */
} sonde_tpv_noise;

SONDE_API void sonde_tpv_noise_init(sonde_tpv_noise *noise);
/* The variance of each weight that the noise stands for: what a trace is multiplied by. */
SONDE_API sonde_status sonde_tpv_variance(sonde_context *context, const sonde_tpv_noise *noise,
                                          double *variance);
/* A trace times a variance, value and standard error. */
SONDE_API sonde_estimate sonde_tpv_scale(const sonde_estimate *trace, double variance);

typedef enum sonde_tpv_convention {
    SONDE_TPV_SUM_OUTPUTS = 0, /* of squared differences: the definition, what traces give */
    SONDE_TPV_MEAN_OUTPUTS = 1 /* what the published code reports for SGD: K times smaller */
} sonde_tpv_convention;

/*
 * Empirical TPV of one perturbation: outputs of the perturbed and of the reference network on the
 * same inputs, both n x K. The mean over inputs of ||f' - f||^2 and its standard error over inputs;
 * `distances`: NULL, or room for the n squared distances. For several draws average the values.
 */
SONDE_API sonde_status sonde_tpv_empirical(sonde_context *context, const sonde_matrix *perturbed,
                                           const sonde_matrix *reference,
                                           sonde_tpv_convention convention, double *distances,
                                           sonde_estimate *estimate);
/*
 * How far a perturbation is from first order: E ||d - g||^2 / (E ||d||^2 + 1e-12), with d the change
 * of the outputs and g the directional derivative, both n x K. Above 0.2 the authors discard a point.
 */
SONDE_API sonde_status sonde_tpv_first_order(sonde_context *context, const sonde_matrix *change,
                                             const sonde_matrix *derivative, sonde_score *error);

typedef struct sonde_tpv_label_options {
    size_t size;
    double sigma;     /* deviation of the noise on the training targets; 1 */
    double tolerance; /* singular values below this share of the largest count as zero; 1e-5 */
    size_t outputs;   /* K: rows of the Jacobians that belong to one input; 1 */
} sonde_tpv_label_options;

typedef struct sonde_tpv_label_report {
    sonde_score train, test; /* test is not measured without a test Jacobian */
    size_t rank;             /* singular values that count */
} sonde_tpv_label_report;

SONDE_API void sonde_tpv_label_options_init(sonde_tpv_label_options *options);
/*
 * TPV of a minimum-norm (linearised) fit to noisy labels, in closed form: sigma^2 sum_i B_ii / s_i^2
 * with s_i, v_i the singular values and right vectors of the training Jacobian (rows x p) and
 * B_ii = v_i^T H_test v_i. `test`: NULL, or the test Jacobian (any rows x p). For small networks:
 * min(rows, p)^2 (rows + p) multiply-adds. NULL options: defaults.
 */
SONDE_API sonde_status sonde_tpv_label_noise(sonde_context *context, const sonde_matrix *train,
                                             const sonde_matrix *test,
                                             const sonde_tpv_label_options *options,
                                             sonde_tpv_label_report *report);

/* ---------------------------------------------------------------------------------------------
 * Choose: proxies of an untrained network
 *
 * Numbers that rank architectures after one forward and backward pass of one batch at
 * initialisation. The caller's framework runs the pass; here its arrays become scores, as
 * zero-cost-nas and NASLib define them. Read them beside the number of parameters and of
 * multiply-adds, which often rank as well (docs/proxies.md).
 *
 *     sonde_proxy_sums sums = {0};
 *     for (each convolution and linear layer) {      // weights alone: no bias, no norm
 *         const sonde_proxy_layer layer = {weight, gradient, {0}, {0}};
 *         sonde_proxy_add_layer(context, &layer, &sums);
 *     }
 *     sonde_score snip = sonde_proxy_score(SONDE_PROXY_SNIP, &sums);
 * ------------------------------------------------------------------------------------------- */

/* Name, pinned number, text, and the sentence that says what it is. Higher is better for all. */
#define SONDE_PROXY_LIST(X) \
    X(SONDE_PROXY_PARAMS, 0, "params", "number of parameters") \
    X(SONDE_PROXY_FLOPS, 1, "flops", "multiply-adds of one forward pass of one example") \
    X(SONDE_PROXY_GRAD_NORM, 2, "grad_norm", "sum over layers of the norm of the gradient") \
    X(SONDE_PROXY_SNIP, 3, "snip", "sum over weights of |weight * gradient|") \
    X(SONDE_PROXY_PLAIN, 4, "plain", "sum over weights of weight * gradient") \
    X(SONDE_PROXY_L2_NORM, 5, "l2_norm", "sum over layers of the norm of the weights") \
    X(SONDE_PROXY_GRASP, 6, "grasp", \
      "sum over weights of -weight * (Hessian * gradient): how the gradient's norm would change") \
    X(SONDE_PROXY_FISHER, 7, "fisher", \
      "squared activation * gradient of each channel, weighted by its number of weights") \
    X(SONDE_PROXY_SYNFLOW, 8, "synflow", \
      "sum over weights of |weight * dR/dweight| with absolute weights, an input of ones and no " \
      "batch norm; NASLib's is its natural logarithm") \
    X(SONDE_PROXY_SYNFLOW_BN, 9, "synflow_bn", "synflow with batch norm left in") \
    X(SONDE_PROXY_JACOB_COV, 10, "jacob_cov", \
      "how little the input gradients of different examples correlate") \
    X(SONDE_PROXY_NWOT, 11, "nwot", \
      "log-determinant of how often two examples switch the same ReLUs") \
    X(SONDE_PROXY_EPE_NAS, 12, "epe_nas", "how the input gradients correlate within each class") \
    X(SONDE_PROXY_ZEN, 13, "zen", \
      "how far the features move with the input, with Gaussian weights, batch norm undone") \
    X(SONDE_PROXY_DISWOT_SEMANTIC, 14, "diswot_semantic", \
      "likeness of teacher and student in the gradients of their classifiers") \
    X(SONDE_PROXY_DISWOT_RELATION, 15, "diswot_relation", \
      "likeness of teacher and student in how examples relate to each other") \
    X(SONDE_PROXY_DISWOT, 16, "diswot", "diswot_semantic plus diswot_relation") \
    X(SONDE_PROXY_VOTE, 17, "vote", \
      "share of the other candidates that synflow, jacob_cov and snip by majority put below")

typedef enum sonde_proxy_kind {
#define SONDE_PROXY_ENUM(name, number, text, sentence) name = number,
    SONDE_PROXY_LIST(SONDE_PROXY_ENUM)
#undef SONDE_PROXY_ENUM
} sonde_proxy_kind;

enum { SONDE_PROXY_COUNT = 18 };

/* "grad_norm", and what it is; "?" for unknown numbers. */
SONDE_API const char *sonde_proxy_name(sonde_proxy_kind kind);
SONDE_API const char *sonde_proxy_sentence(sonde_proxy_kind kind);
/* SONDE_NEUTRAL for unknown numbers. */
SONDE_API sonde_direction sonde_proxy_direction(sonde_proxy_kind kind);
/* False, and nothing set, where there is none of that name. */
SONDE_API bool sonde_proxy_find(const char *name, sonde_proxy_kind *kind);

/* One layer's weights with what belongs to each of them, all of one shape; data NULL: not known. Of
 * the last two one is enough, along the weights of all counted layers: sum w . Hg = sum g . Hw. */
typedef struct sonde_proxy_layer {
    sonde_matrix weight;
    sonde_matrix gradient;         /* of the mean loss */
    sonde_matrix hessian_gradient; /* H g */
    sonde_matrix hessian_weight;   /* H w: how the gradient changes when the weights are scaled */
} sonde_proxy_layer;

/* Begins as {0}; sums over the layers that were added. */
typedef struct sonde_proxy_sums {
    double grad_norm, snip, plain, l2_norm, grasp, fisher;
    size_t layers;    /* added */
    size_t gradients; /* of them with a gradient, with a Hessian product, with channels */
    size_t hessians;
    size_t channels;
} sonde_proxy_sums;

/* Adds one layer. Sums in double. Synflow is the `snip` of absolute weights and dR/dW. */
SONDE_API sonde_status sonde_proxy_add_layer(sonde_context *context, const sonde_proxy_layer *layer,
                                             sonde_proxy_sums *sums);
/*
 * Adds one layer's Fisher information. `products`: n x channels, for each example and output channel
 * the sum over positions of a * dL/da, with L the mean loss over the n examples and a the layer's
 * output. `weights`: of one channel.
 */
SONDE_API sonde_status sonde_proxy_add_fisher(sonde_context *context, const sonde_matrix *products,
                                              size_t weights, sonde_proxy_sums *sums);
/* grad_norm, snip, plain, l2_norm, grasp, fisher; NOT_MEASURED for others, and where no layer had
 * what it needs; NOT_FINITE after a NaN or infinity. */
SONDE_API sonde_score sonde_proxy_score(sonde_proxy_kind kind, const sonde_proxy_sums *sums);

/*
 * Of the input Jacobian: row i is the gradient of the sum of all outputs by input i, flattened (n x
 * D). - sum (log(v + 1e-5) + 1 / (v + 1e-5)) over the eigenvalues v of the rows' correlations.
 * TOO_FEW for one row, DEGENERATE where a row is constant (no correlation exists) or all are alike.
 */
SONDE_API sonde_status sonde_jacob_cov(sonde_context *context, const sonde_matrix *jacobian,
                                       sonde_score *score);
/*
 * Of the same Jacobian: s_c = sum log(|correlation| + 1e-5) over the pairs of rows of class c; the
 * sum of |s_c| up to 100 classes, above that the mean over classes c of sum_j |s_c - s_j| with s_c
 * divided by the class's size. Classes without rows do not count; TOO_FEW where none has two.
 */
SONDE_API sonde_status sonde_epe_nas(sonde_context *context, const sonde_matrix *jacobian,
                                     const int64_t *labels, size_t classes, sonde_score *score);

/* Codes of ReLUs: K_ij = how many of all units are on in both examples i and j, or off in both. */
typedef struct sonde_nwot sonde_nwot;

/* `n` examples. */
SONDE_API sonde_status sonde_nwot_create(sonde_context *context, size_t n, sonde_nwot **nwot);
SONDE_API void sonde_nwot_free(sonde_nwot *nwot);
/*
 * One ReLU: what goes in or what comes out, n x `stride` floats, of which `units` are real; lanes
 * beyond, wherever they stand, must be zero. About a float a cycle, and n^2 / 128 cycles a unit.
 */
SONDE_API sonde_status sonde_nwot_add(sonde_nwot *nwot, const float *values, size_t stride,
                                      size_t units);
/* log |det K|. DEGENERATE where two examples share every code, or K is singular; TOO_FEW for one
 * example; NOT_MEASURED without a unit; NOT_FINITE after a NaN. */
SONDE_API sonde_status sonde_nwot_score(const sonde_nwot *nwot, sonde_score *score);

/*
 * Zen: log(mean over examples of sum |f - f'|) + sum over batch norms of log sqrt(mean variance).
 * `features` and `perturbed`: n x D, of inputs e and e + 0.01 e'; `variances`: of each batch norm
 * the mean over channels of its running variance. DEGENERATE where the features do not move or a
 * variance is not positive.
 */
SONDE_API sonde_status sonde_zen(sonde_context *context, const sonde_matrix *features,
                                 const sonde_matrix *perturbed, const double *variances,
                                 size_t count, sonde_score *score);

typedef enum sonde_diswot_mode {
    SONDE_DISWOT_PAPER = 0, /* relation of all examples of the batch */
    SONDE_DISWOT_REPO = 1   /* what the authors' scripts run: of the first example alone */
} sonde_diswot_mode;

/*
 * DisWOT's semantic metric: gradients of the mean loss by the classifier's weights, C x d, of
 * teacher and student: -(1 / (d C)) sum_c ||G_c^T - G_c^S||_F^2, G_c = g_c g_c^T with rows of norm
 * 1, in closed form (C d steps). Shapes must be equal.
 */
SONDE_API sonde_status sonde_diswot_semantic(sonde_context *context, const sonde_matrix *teacher,
                                             const sonde_matrix *student, sonde_score *score);
/*
 * DisWOT's relation metric, of flattened features, B x m each; PAPER: -(1 / B^2) ||G^T - G^S||_F^2
 * with G = A A^T with rows of norm 1, and m may differ; REPO: the same of the m x m outer product of
 * the first row alone, over m^2.
 */
SONDE_API sonde_status sonde_diswot_relation(sonde_context *context, sonde_diswot_mode mode,
                                             const sonde_matrix *teacher,
                                             const sonde_matrix *student, sonde_score *score);
/*
 * What the authors' script for the space S1 runs: the first example's feature map, (channels *
 * height) x width; per channel the height x height Gram matrix with rows of norm 1, squared
 * differences summed, over -(channels * height).
 */
SONDE_API sonde_status sonde_diswot_channels(sonde_context *context, size_t channels,
                                             const sonde_matrix *teacher,
                                             const sonde_matrix *student, sonde_score *score);

/*
 * Ranks candidates by one score each: `order` (room for n) lists them best first, `ranks` (n, may be
 * NULL) holds 1 .. n, ties their mean; invalid scores come last, in order of their index, with rank
 * 0. Valid scores must share one direction that is not neutral (SONDE_ERROR_ARGUMENT).
 */
SONDE_API sonde_status sonde_choose_rank(sonde_context *context, const sonde_score *scores,
                                         size_t n, size_t *order, double *ranks);
/*
 * The majority of `voters` proxies, scores[voter * n + candidate]: of each pair that candidate wins
 * which more voters put first; invalid scores lose to valid ones. `votes[i]`: share of the other
 * candidates that i wins against, ties counted half; NOT_MEASURED where no voter has a valid score
 * of it. n^2 voters / 2 steps.
 */
SONDE_API sonde_status sonde_choose_vote(sonde_context *context, const sonde_score *scores,
                                         size_t voters, size_t n, sonde_score *votes);

/* How well a proxy ranks what was measured; not finite pairs are left out. TOO_FEW under two pairs,
 * DEGENERATE where one side is constant. */
typedef struct sonde_agreement {
    sonde_score spearman, kendall, pearson; /* ties: mean ranks, tau-b */
    size_t pairs;                           /* that were used */
} sonde_agreement;

SONDE_API sonde_status sonde_choose_agreement(sonde_context *context, const double *x,
                                              const double *y, size_t n,
                                              sonde_agreement *agreement);

/* ---------------------------------------------------------------------------------------------
 * Cut: importances, and what may go
 *
 * How much each channel (or weight) matters, from arrays of a layer, and which of them go for a
 * given ratio. Coupled channels are the caller's: their scores are summed into one unit. Higher is
 * more important, for every criterion (docs/pruning.md).
 *
 *     double scores[out] = {0};
 *     sonde_importance_layer layer = {weight, gradient, bias, bias_gradient, out, in, kh * kw};
 *     for (each mini-batch)                              // fresh gradients of the mean loss
 *         sonde_importance_add(context, SONDE_CRITERION_JBR, SONDE_SIDE_OUTPUTS, &layer, scores);
 *     sonde_cut_unit units[out];                         // score, cost, layer of each
 *     sonde_cut_options options;
 *     sonde_cut_options_init(&options);
 *     options.ratio = 0.5;
 *     sonde_cut(context, units, out, &options, keep, &report);
 * ------------------------------------------------------------------------------------------- */

/* Name, pinned number, text, what it reads, whether it scores channels (else single weights), and
 * a sentence. */
#define SONDE_CRITERION_LIST(X) \
    X(SONDE_CRITERION_JBR, 0, "jbr", SONDE_NEEDS_GRADIENT, true, \
      "squared change of the loss to pseudo-labels when the channel is scaled, over mini-batches") \
    X(SONDE_CRITERION_JACOBIAN, 1, "jacobian", SONDE_NEEDS_GRADIENT, true, \
      "as jbr, with true labels") \
    X(SONDE_CRITERION_TAYLOR, 2, "taylor", SONDE_NEEDS_GRADIENT, true, \
      "sum of |weight * gradient|, gradients summed over mini-batches") \
    X(SONDE_CRITERION_L1, 3, "l1", SONDE_NEEDS_WEIGHT, true, "sum of |weight|") \
    X(SONDE_CRITERION_BN_SCALE, 4, "bn_scale", SONDE_NEEDS_WEIGHT, true, \
      "|scale| of the batch norm behind") \
    X(SONDE_CRITERION_FPGM, 5, "fpgm", SONDE_NEEDS_WEIGHT, true, \
      "distances to the other filters of the layer (geometric median)") \
    X(SONDE_CRITERION_FPGM_SQUARES, 6, "fpgm_squares", SONDE_NEEDS_WEIGHT, true, \
      "as torch-pruning computes fpgm: of the filters' elementwise squares") \
    X(SONDE_CRITERION_WHC, 7, "whc", SONDE_NEEDS_WEIGHT, true, \
      "norm times the norms of the other filters, weighted by 1 - |cosine|") \
    X(SONDE_CRITERION_RANDOM, 8, "random", SONDE_NEEDS_NOTHING, true, "a random number, seeded") \
    X(SONDE_CRITERION_MAGNITUDE, 9, "magnitude", SONDE_NEEDS_WEIGHT, false, "|weight|") \
    X(SONDE_CRITERION_SNIP, 10, "snip", SONDE_NEEDS_GRADIENT, false, "|weight * gradient|") \
    X(SONDE_CRITERION_GRASP, 11, "grasp", SONDE_NEEDS_HESSIAN, false, \
      "weight * (Hessian * gradient): what goes first is what removes least gradient flow") \
    X(SONDE_CRITERION_SYNFLOW, 12, "synflow", SONDE_NEEDS_SYNFLOW, false, \
      "|weight * dR/dweight| with absolute weights and an input of ones")

/* What a criterion reads beside the weights. */
typedef enum sonde_criterion_needs {
    SONDE_NEEDS_NOTHING = 0,
    SONDE_NEEDS_WEIGHT = 1,
    SONDE_NEEDS_GRADIENT = 2, /* of the loss */
    SONDE_NEEDS_HESSIAN = 3,  /* H g, in place of the gradient */
    SONDE_NEEDS_SYNFLOW = 4   /* dR/dW, in place of the gradient */
} sonde_criterion_needs;

typedef enum sonde_criterion {
#define SONDE_CRITERION_ENUM(name, number, text, needs, channels, sentence) name = number,
    SONDE_CRITERION_LIST(SONDE_CRITERION_ENUM)
#undef SONDE_CRITERION_ENUM
} sonde_criterion;

enum { SONDE_CRITERION_COUNT = 13 };

/* "jbr", and what it is; "?" for unknown numbers. */
SONDE_API const char *sonde_criterion_name(sonde_criterion criterion);
SONDE_API const char *sonde_criterion_sentence(sonde_criterion criterion);
SONDE_API sonde_criterion_needs sonde_criterion_reads(sonde_criterion criterion);
/* True: scores channels (sonde_importance_add); false: single weights (sonde_importance_weights). */
SONDE_API bool sonde_criterion_of_channels(sonde_criterion criterion);
SONDE_API bool sonde_criterion_find(const char *name, sonde_criterion *criterion);

typedef enum sonde_importance_side {
    SONDE_SIDE_OUTPUTS = 0, /* output channels of a convolution or linear layer, with their bias */
    SONDE_SIDE_INPUTS = 1,  /* its input channels (of one group), without bias */
    SONDE_SIDE_NORM = 2     /* channels of a norm: scale and shift for weight and bias; in = 1 */
} sonde_importance_side;

typedef struct sonde_importance_layer {
    const float *weight;        /* out x in x kernel, dense */
    const float *gradient;      /* the same shape; NULL where the criterion needs none */
    const float *bias;          /* out, or NULL */
    const float *bias_gradient; /* out; counts only together with `bias` */
    size_t out, in, kernel;     /* kernel: positions, kh * kw */
} sonde_importance_layer;

/*
 * Adds one layer's importances to `scores` (out of them, for INPUTS in). Of JBR and JACOBIAN for each
 * mini-batch, with its gradient: the square of the batch's signed sum over a channel's w g. Of TAYLOR
 * once, with the gradients summed over the mini-batches; of the others once. A criterion that does not
 * look at that side (BN_SCALE at weights; TAYLOR, FPGM and WHC at norms) adds nothing.
 * SONDE_ERROR_ARGUMENT for RANDOM, for criteria of single weights, and where an array is missing.
 * NaN stays NaN.
 */
SONDE_API sonde_status sonde_importance_add(sonde_context *context, sonde_criterion criterion,
                                            sonde_importance_side side,
                                            const sonde_importance_layer *layer, double *scores);
/* Uniform numbers in [0, 1), for RANDOM: the same for the same seed and index. */
SONDE_API void sonde_importance_random(uint64_t seed, uint64_t index, double *scores, size_t n);
/* Of single weights, into `scores`: `other` is the gradient, H g or dR/dW (NULL for MAGNITUDE). */
SONDE_API sonde_status sonde_importance_weights(sonde_context *context, sonde_criterion criterion,
                                                const float *weight, const float *other, size_t n,
                                                float *scores);

/* What is removed as one: a channel with all that is coupled to it. */
typedef struct sonde_cut_unit {
    double score; /* higher is more important; NaN and infinity: not known, never removed */
    double cost;  /* parameters, or multiply-adds; not negative */
    size_t layer; /* units of one layer (group of coupled layers) share a number below 2^32 */
} sonde_cut_unit;

typedef enum sonde_cut_scope {
    SONDE_CUT_GLOBAL = 0, /* all units are ranked together */
    SONDE_CUT_LAYER = 1   /* each layer loses the ratio */
} sonde_cut_scope;

typedef enum sonde_cut_measure {
    SONDE_CUT_BY_COUNT = 0, /* ratio of units */
    SONDE_CUT_BY_COST = 1   /* ratio of their summed cost */
} sonde_cut_measure;

typedef struct sonde_cut_options {
    size_t size;
    double ratio; /* in [0, 1], what is to be removed; 0.5 */
    sonde_cut_scope scope;
    sonde_cut_measure measure;
    size_t least; /* units that every layer keeps, its best ones; 1 */
} sonde_cut_options;

typedef struct sonde_cut_report {
    size_t units, kept;
    size_t layers, layers_at_least; /* layers; those that keep only what `least` leaves them */
    size_t unscored;                /* units whose score is not finite; they are kept */
    double cost, cost_kept;
    double threshold; /* largest score that was removed; 0 where nothing was */
    double reached;   /* ratio that was removed, by the measure asked for */
    char reason[SONDE_REASON_MAX];
} sonde_cut_report;

SONDE_API void sonde_cut_options_init(sonde_cut_options *options);
/*
 * keep[i] is set to whether unit i stays. Lowest scores go first, of equal ones the later unit; never
 * more than the ratio by count (rounded to the nearest), and by cost as little as reaches it. Where
 * `least` and unknown scores leave too few, the ratio is not reached and the reason says so. NULL
 * options: defaults. n log n.
 */
SONDE_API sonde_status sonde_cut(sonde_context *context, const sonde_cut_unit *units, size_t n,
                                 const sonde_cut_options *options, bool *keep,
                                 sonde_cut_report *report);

/* One layer's weights, for cutting single ones. */
typedef struct sonde_cut_weights_layer {
    const float *scores; /* n, higher is more important */
    bool *keep;          /* n, filled */
    size_t n;
} sonde_cut_weights_layer;

/* The same for single weights, of which there may be many: by count, costs of 1, linear in n. */
SONDE_API sonde_status sonde_cut_weights(sonde_context *context,
                                         const sonde_cut_weights_layer *layers, size_t count,
                                         const sonde_cut_options *options,
                                         sonde_cut_report *report);

/* ---------------------------------------------------------------------------------------------
 * Model files
 *
 * Reads safetensors (also sharded), PyTorch's .pt/.pth/.bin/.ckpt (zip and the older pickles, also
 * sharded), .npy, .npz and GGUF. Nothing in a file is ever executed, no other file than the named
 * one and its shards in the same folder is opened, and nothing is allocated because a file claims a
 * size. Opening reads the directory of the file alone; numbers are read when asked for, in slices.
 * What is read of each format, and what is refused: docs/formats.md; why it is safe:
 * docs/safety.md.
 *
 *     sonde_model *model;
 *     if (sonde_model_open(context, "model.safetensors", NULL, &model) == SONDE_OK) {
 *         for (size_t i = 0; i < sonde_model_count(model); i++) {
 *             sonde_tensor tensor;
 *             sonde_model_tensor(model, i, &tensor);
 *             for (uint64_t at = 0; at < tensor.elements; at += 4096) {   // float numbers[4096]
 *                 uint64_t left = tensor.elements - at, n = left < 4096 ? left : 4096;
 *                 if (sonde_model_read(model, i, at, n, SONDE_F32, numbers) == SONDE_OK)
 *                     use(tensor.name, numbers, n);
 *             }
 *         }
 *         sonde_model_close(model);
 *     }
 * ------------------------------------------------------------------------------------------- */

/* How a tensor's numbers are stored: name, pinned number, text, elements and bytes of a block, and
 * whether it `reads`: those with 0 are listed, not read. The first four are those of sonde_dtype. */
#define SONDE_NUMBER_LIST(X) \
    X(SONDE_NUMBER_F64, 1, "F64", 1, 8, 1) \
    X(SONDE_NUMBER_F32, 2, "F32", 1, 4, 1) \
    X(SONDE_NUMBER_BF16, 3, "BF16", 1, 2, 1) \
    X(SONDE_NUMBER_F16, 4, "F16", 1, 2, 1) \
    X(SONDE_NUMBER_F8_E4M3, 5, "F8_E4M3", 1, 1, 1) \
    X(SONDE_NUMBER_F8_E5M2, 6, "F8_E5M2", 1, 1, 1) \
    X(SONDE_NUMBER_F8_E4M3FNUZ, 7, "F8_E4M3FNUZ", 1, 1, 1) \
    X(SONDE_NUMBER_F8_E5M2FNUZ, 8, "F8_E5M2FNUZ", 1, 1, 1) \
    X(SONDE_NUMBER_F8_E8M0, 9, "F8_E8M0", 1, 1, 1) \
    X(SONDE_NUMBER_I64, 10, "I64", 1, 8, 1) \
    X(SONDE_NUMBER_I32, 11, "I32", 1, 4, 1) \
    X(SONDE_NUMBER_I16, 12, "I16", 1, 2, 1) \
    X(SONDE_NUMBER_I8, 13, "I8", 1, 1, 1) \
    X(SONDE_NUMBER_U64, 14, "U64", 1, 8, 1) \
    X(SONDE_NUMBER_U32, 15, "U32", 1, 4, 1) \
    X(SONDE_NUMBER_U16, 16, "U16", 1, 2, 1) \
    X(SONDE_NUMBER_U8, 17, "U8", 1, 1, 1) \
    X(SONDE_NUMBER_BOOL, 18, "BOOL", 1, 1, 1) \
    X(SONDE_NUMBER_C64, 20, "C64", 1, 8, 0) \
    X(SONDE_NUMBER_C128, 21, "C128", 1, 16, 0) \
    X(SONDE_NUMBER_F4, 22, "F4", 2, 1, 0) \
    X(SONDE_NUMBER_F6_E2M3, 23, "F6_E2M3", 4, 3, 0) \
    X(SONDE_NUMBER_F6_E3M2, 24, "F6_E3M2", 4, 3, 0) \
    X(SONDE_NUMBER_Q4_0, 40, "Q4_0", 32, 18, 1) \
    X(SONDE_NUMBER_Q4_1, 41, "Q4_1", 32, 20, 1) \
    X(SONDE_NUMBER_Q5_0, 42, "Q5_0", 32, 22, 1) \
    X(SONDE_NUMBER_Q5_1, 43, "Q5_1", 32, 24, 1) \
    X(SONDE_NUMBER_Q8_0, 44, "Q8_0", 32, 34, 1) \
    X(SONDE_NUMBER_Q8_1, 45, "Q8_1", 32, 36, 1) \
    X(SONDE_NUMBER_Q2_K, 46, "Q2_K", 256, 84, 1) \
    X(SONDE_NUMBER_Q3_K, 47, "Q3_K", 256, 110, 1) \
    X(SONDE_NUMBER_Q4_K, 48, "Q4_K", 256, 144, 1) \
    X(SONDE_NUMBER_Q5_K, 49, "Q5_K", 256, 176, 1) \
    X(SONDE_NUMBER_Q6_K, 50, "Q6_K", 256, 210, 1) \
    X(SONDE_NUMBER_Q8_K, 51, "Q8_K", 256, 292, 1) \
    X(SONDE_NUMBER_IQ2_XXS, 60, "IQ2_XXS", 256, 66, 0) \
    X(SONDE_NUMBER_IQ2_XS, 61, "IQ2_XS", 256, 74, 0) \
    X(SONDE_NUMBER_IQ3_XXS, 62, "IQ3_XXS", 256, 98, 0) \
    X(SONDE_NUMBER_IQ1_S, 63, "IQ1_S", 256, 50, 0) \
    X(SONDE_NUMBER_IQ4_NL, 64, "IQ4_NL", 32, 18, 0) \
    X(SONDE_NUMBER_IQ3_S, 65, "IQ3_S", 256, 110, 0) \
    X(SONDE_NUMBER_IQ2_S, 66, "IQ2_S", 256, 82, 0) \
    X(SONDE_NUMBER_IQ4_XS, 67, "IQ4_XS", 256, 136, 0) \
    X(SONDE_NUMBER_IQ1_M, 68, "IQ1_M", 256, 56, 0) \
    X(SONDE_NUMBER_TQ1_0, 69, "TQ1_0", 256, 54, 0) \
    X(SONDE_NUMBER_TQ2_0, 70, "TQ2_0", 256, 66, 0) \
    X(SONDE_NUMBER_MXFP4, 71, "MXFP4", 32, 17, 0) \
    X(SONDE_NUMBER_NVFP4, 72, "NVFP4", 64, 36, 0) \
    X(SONDE_NUMBER_Q1_0, 73, "Q1_0", 128, 18, 0)

typedef enum sonde_number {
#define SONDE_NUMBER_ENUM(name, number, text, elements, bytes, reads) name = number,
    SONDE_NUMBER_LIST(SONDE_NUMBER_ENUM)
#undef SONDE_NUMBER_ENUM
} sonde_number;

/* "F32", "Q4_K", ...; "?" for unknown numbers. */
SONDE_API const char *sonde_number_name(sonde_number number);

enum { SONDE_TENSOR_DIMS_MAX = 8 };

typedef struct sonde_model sonde_model;

/* Strings live as long as the model. */
typedef struct sonde_tensor {
    const char *name; /* path through nested dictionaries, joined by '.' */
    sonde_number number;
    bool readable; /* false: sonde_model_read is SONDE_ERROR_UNSUPPORTED for it */
    int dims;
    int64_t shape[SONDE_TENSOR_DIMS_MAX]; /* outermost first */
    uint64_t elements;
    uint64_t bytes;      /* that its elements take as stored */
    const char *file;    /* path of the file (shard) that holds it */
    int64_t offset;      /* of its first byte in that file; -1 where the file is packed there */
    bool contiguous;     /* row-major without gaps; others are gathered when read */
    const char *tied_to; /* an earlier tensor that is the same numbers in the file, or NULL */
    const char *scale;   /* the tensor by which reading multiplies this one (f8), or NULL */
} sonde_tensor;

typedef enum sonde_model_kind {
    SONDE_MODEL_SAFETENSORS = 1,
    SONDE_MODEL_TORCH_ZIP = 2,
    SONDE_MODEL_TORCH_LEGACY = 3,
    SONDE_MODEL_NPY = 4,
    SONDE_MODEL_NPZ = 5,
    SONDE_MODEL_GGUF = 6
} sonde_model_kind;

/* "safetensors", "PyTorch (zip)", "PyTorch (before 1.6)", "npy", "npz", "GGUF". */
SONDE_API const char *sonde_model_kind_name(sonde_model_kind kind);

typedef struct sonde_model_info {
    sonde_model_kind kind; /* of its files; shards are all of one kind */
    size_t files;          /* 1, or the number of shards */
    uint64_t file_bytes;
    uint64_t elements; /* tied ones once */
    size_t tensors;
    size_t tied;
    size_t metadata; /* key-value pairs */
    size_t warnings;
} sonde_model_info;

typedef struct sonde_model_options {
    size_t size;
    bool verify; /* check the format's checksums (zip's CRC-32) when a tensor is first read; true */
} sonde_model_options;

SONDE_API void sonde_model_options_init(sonde_model_options *options);
/*
 * Opens a model file, a shard index (NAME.index.json), or a folder that holds one model: an index,
 * or a single model file. NULL options: defaults. The format is known by content, not by name.
 * Takes time and memory in proportion to the names, not to the numbers. Its files stay open until
 * it is closed; it belongs to the thread of its context, and is closed before the context is freed.
 *
 * Errors name the file, and the tensor and byte offset where there are any: SONDE_ERROR_NOT_FOUND
 * and FILE; FORMAT (not what it claims to be), TRUNCATED, CORRUPT, VERSION, UNSUPPORTED (a variant
 * or a claim that is refused), MEMORY (the budget).
 */
SONDE_API sonde_status sonde_model_open(sonde_context *context, const char *path,
                                        const sonde_model_options *options, sonde_model **model);
SONDE_API void sonde_model_close(sonde_model *model);
/* Of the whole model; takes a pass over its tensors. */
SONDE_API void sonde_model_describe(const sonde_model *model, sonde_model_info *info);
SONDE_API size_t sonde_model_count(const sonde_model *model);
/* SONDE_ERROR_RANGE past the end. Tensors stand in the order of the file's directory. */
SONDE_API sonde_status sonde_model_tensor(const sonde_model *model, size_t index,
                                          sonde_tensor *tensor);
/* By a hash of the names. SONDE_ERROR_NOT_FOUND when there is none of that name. */
SONDE_API sonde_status sonde_model_find(const sonde_model *model, const char *name, size_t *index);
/* The i-th pair of strings that the file carries beside its tensors; SONDE_ERROR_RANGE past the end. */
SONDE_API sonde_status sonde_model_metadata(const sonde_model *model, size_t index,
                                            const char **key, const char **value);
/* What is odd about the file, yet harmless: a sentence, or NULL past the end. */
SONDE_API const char *sonde_model_warning(const sonde_model *model, size_t index);
/*
 * Elements [first, first + count) of a tensor, row-major, as SONDE_F32 or SONDE_F64 into room for
 * `count` of them. Integers become the nearest number, quantised blocks are dequantised, f8 with a
 * scale is scaled (both in float, also as SONDE_F64). A file that has become shorter is
 * SONDE_ERROR_TRUNCATED, other dtypes SONDE_ERROR_ARGUMENT, elements past the end
 * SONDE_ERROR_RANGE, a tensor that is not `readable` SONDE_ERROR_UNSUPPORTED, one whose checksum is
 * wrong SONDE_ERROR_CORRUPT. On failure the content of `out` is not specified.
 *
 * A tensor needs no memory but the caller's, and 128 KiB of the model. Of packed (deflated)
 * tensors, slices in order cost one pass and a step backwards begins anew; those that are begun
 * anew again and again are kept unpacked, within 1 GiB and a quarter of the context's budget.
 */
SONDE_API sonde_status sonde_model_read(sonde_model *model, size_t index, uint64_t first,
                                        uint64_t count, sonde_dtype dtype, void *out);

/* ---------------------------------------------------------------------------------------------
 * Spectra of a whole model
 *
 * Every matrix in a model file, one by one, on the context's threads: convolutions as the pooled
 * spectra of their kernel positions, stacked experts one by one, embeddings, LoRA pairs as their
 * product. A layer that has no spectrum says why. examples/model_spectra.c is a whole program.
 *
 *     sonde_survey *survey;
 *     if (sonde_survey_run(context, model, NULL, &survey) == SONDE_OK) {
 *         for (size_t i = 0; i < sonde_survey_count(survey); i++) {
 *             sonde_layer_spectrum layer;
 *             sonde_survey_layer(survey, i, &layer);
 *             if (layer.skipped)
 *                 printf("%s: %s\n", layer.name, layer.skipped);
 *             else
 *                 printf("%s: %d spikes\n", layer.name, layer.report.spikes);
 *         }
 *         sonde_survey_free(survey);
 *     }
 * ------------------------------------------------------------------------------------------- */

typedef enum sonde_layer_kind {
    SONDE_LAYER_DENSE = 0,
    SONDE_LAYER_CONVOLUTION = 1,
    SONDE_LAYER_EMBEDDING = 2,
    SONDE_LAYER_EXPERT = 3, /* one matrix of a stack */
    SONDE_LAYER_LORA = 4    /* B A of an adapter, or the base layer plus it */
} sonde_layer_kind;

/* "dense", "conv", "embedding", "expert", "lora". */
SONDE_API const char *sonde_layer_kind_name(sonde_layer_kind kind);

typedef enum sonde_convolution_view {
    SONDE_CONVOLUTION_POOLED = 0, /* kh * kw slices out x in, eigenvalues pooled (WeightWatcher) */
    SONDE_CONVOLUTION_FLAT = 1,   /* one matrix, out x (in * kh * kw) (as in training) */
    SONDE_CONVOLUTION_SLICES = 2  /* each slice a layer of its own */
} sonde_convolution_view;

typedef struct sonde_survey_progress {
    size_t layers, layers_done; /* of those that are not skipped from the start */
    double work_done;           /* share of the estimated work, in [0, 1]; never falls */
    double seconds;             /* since the survey began */
    double seconds_left;        /* an estimate */
    const char *layer;          /* that was done last, or "" */
} sonde_survey_progress;

typedef struct sonde_survey_options {
    size_t size;
    sonde_spectrum_options spectrum; /* `slices` is not looked at */
    /* Patterns (* and ?) of tensor names, separated by commas; other tensors are not in the survey.
     * NULL: all, with optimizer state skipped. */
    const char *layers;
    sonde_convolution_view convolution;
    bool fast;    /* stochastic Lanczos with a stated error bound instead of all eigenvalues */
    size_t least; /* matrices with fewer rows or columns are skipped; 10 */
    /* For a LoRA adapter: spectra of base + adapter; NULL: of the adapter. Of the same context. */
    sonde_model *base;
    /* What B A of an adapter is multiplied by; 0: alpha / rank where the file tells alpha, else 1. */
    double adapter_scale;
    /* Called on the calling thread a few times a second, and once when all is done; false ends the
     * survey with what is done (sonde_survey_run then returns SONDE_ERROR_CANCELLED and the survey).
     * It may use the context and the model; workers that need to read wait meanwhile. */
    bool (*progress)(void *user, const sonde_survey_progress *progress);
    void *progress_user;
} sonde_survey_options;

typedef struct sonde_survey sonde_survey;

typedef struct sonde_layer_spectrum {
    const char *name; /* of the tensor; of experts with [i], of slices with [i,j] behind it */
    sonde_layer_kind kind;
    sonde_number number;
    int dims;
    int64_t dim[SONDE_TENSOR_DIMS_MAX]; /* of the tensor */
    size_t slices;                      /* matrices whose eigenvalues are pooled; else 1 */
    const char *skipped;          /* why there is no spectrum; all below but `note` means nothing
                                     then. NULL: there is one */
    const char *note;             /* what to know about the numbers (LoRA: scale), or NULL */
    sonde_spectrum_report report; /* rows and cols are those of one slice */
    sonde_spectrum_shape_report shape;
    const double *eigenvalues; /* X = s^2 / N, ascending; fast: estimates of them */
    size_t count; /* slices * min(rows, cols); of an adapter alone as many as its rank gives */
    double error_bound; /* fast: of their cumulative distribution, at 95 %; 0: exact */
    double seconds;     /* on its one thread */
} sonde_layer_spectrum;

SONDE_API void sonde_survey_options_init(sonde_survey_options *options);
/*
 * All layers of the model. Memory stays within the context's budget: fewer matrices at once, and a
 * matrix that does not fit alone is skipped with the bytes it would need. Without a budget half of
 * the machine's memory is shared out, and the largest matrix is tried even so. NULL options:
 * defaults.
 *
 * Runs on as many worker threads as the context has, and returns when they are done; results do not
 * depend on their number. What is wrong with one layer (too small, does not converge, a format that
 * is not read) skips that layer; a file that cannot be read ends the survey. On
 * SONDE_ERROR_CANCELLED `*survey` holds the layers that were finished, the rest say so, and it is
 * to be freed; on any other failure it is untouched. A survey may outlive its models, not the
 * context.
 *
 * Cost of a layer: sonde_spectrum's, on one thread. With `fast`, for matrices of 768 rows and more:
 * 1536 floating-point operations and 4 bytes an element.
 */
SONDE_API sonde_status sonde_survey_run(sonde_context *context, sonde_model *model,
                                        const sonde_survey_options *options, sonde_survey **survey);
SONDE_API void sonde_survey_free(sonde_survey *survey);
SONDE_API size_t sonde_survey_count(const sonde_survey *survey);
/* In order of the file; pointers live as long as the survey. SONDE_ERROR_RANGE past the end. */
SONDE_API sonde_status sonde_survey_layer(const sonde_survey *survey, size_t index,
                                          sonde_layer_spectrum *layer);

/* ---------------------------------------------------------------------------------------------
 * Two models, and a model in a safer file
 *
 * What changed between two checkpoints, whether a conversion lost anything; and the numbers of a
 * pickle as safetensors, so that the pickle can be thrown away.
 *
 *     if (sonde_model_convert(model, "safe.safetensors") == SONDE_OK &&
 *         sonde_model_open(context, "safe.safetensors", NULL, &safe) == SONDE_OK &&
 *         sonde_compare(context, model, safe, &comparison) == SONDE_OK)
 *         for (size_t i = 0; i < sonde_comparison_count(comparison); i++) {
 *             sonde_tensor_difference each;
 *             sonde_comparison_tensor(comparison, i, &each);
 *             if (each.difference != SONDE_SAME)
 *                 printf("%s differs\n", each.name);
 *         }
 * ------------------------------------------------------------------------------------------- */

typedef enum sonde_difference {
    SONDE_SAME = 0, /* every number is equal (NaN equals NaN) */
    SONDE_CHANGED = 1,
    SONDE_RESHAPED = 2, /* shapes differ; the numbers are not compared */
    SONDE_ONLY_FIRST = 3,
    SONDE_ONLY_SECOND = 4,
    SONDE_UNREADABLE = 5 /* a number format that is not read, and not the same in both */
} sonde_difference;

typedef struct sonde_tensor_difference {
    const char *name; /* in the first model; in the second where only that has it */
    sonde_difference difference;
    int64_t first, second; /* indexes in the models, or -1 */
    bool number_differs;   /* another number format */
    double relative;       /* ||b - a|| / ||a||, over finite numbers; infinite for a = 0 */
    double largest;        /* max |b - a| */
    uint64_t changed;      /* elements that differ; of blocks that are not read all of a block */
    uint64_t nonfinite;    /* NaN and infinities, of both */
} sonde_tensor_difference;

typedef struct sonde_comparison sonde_comparison;

/*
 * Tensors matched by name, after a prefix that all names of one model share ("module.", "model.")
 * was dropped where that matches more, or where one model is as a whole a part of the other
 * ("state_dict.", beside an optimizer's state); in order of the first model, then what only the
 * second has. Numbers are compared by value, also of different formats, and 64-bit integers
 * exactly. Of a format that is listed but not read, where both have it, the stored bytes are
 * compared: `relative` and `largest` stay 0 then, as they are not known.
 *
 * Reads every number of both once, on the calling thread, with 256 KiB. The models may be of
 * different contexts, but of one thread. A file that fails ends it: there is a comparison of
 * all or none. Freed with sonde_comparison_free; its strings live as long as it does,
 * also without the models.
 */
SONDE_API sonde_status sonde_compare(sonde_context *context, sonde_model *first,
                                     sonde_model *second, sonde_comparison **comparison);
SONDE_API void sonde_comparison_free(sonde_comparison *comparison);
SONDE_API size_t sonde_comparison_count(const sonde_comparison *comparison);
/* SONDE_ERROR_RANGE past the end. */
SONDE_API sonde_status sonde_comparison_tensor(const sonde_comparison *comparison, size_t index,
                                               sonde_tensor_difference *difference);

/*
 * Writes the model as one safetensors file, atomically, slice by slice: plain formats as they are,
 * bit by bit, quantised ones and scaled f8 as F32. Tied tensors are written once, with a note of
 * the other names in the file's metadata ("tied.NAME" = first name). A file that the model is read
 * from is SONDE_ERROR_ARGUMENT, a tensor that safetensors cannot hold SONDE_ERROR_UNSUPPORTED;
 * nothing is written then. Another file at `path` is replaced, once all is written. Reads every
 * number once, on the calling thread.
 */
SONDE_API sonde_status sonde_model_convert(sonde_model *model, const char *path);

#ifdef __cplusplus
}
#endif

#endif /* SONDE_H */
