/*
 * A training loop that is not Sonde's, steered through sonde.h alone.
 *
 * A network with one hidden layer learns noisy Gaussian blobs by plain stochastic gradient descent.
 * After every epoch the loop shows Sonde what it has (losses, one probe batch, the hidden layer's
 * weights), asks which examples still need training, and whether to go on. Half-way it saves the
 * steer and goes on with a restored one, as a resumed run would.
 *
 *     cc -std=c11 own_loop.c -o own_loop $(pkg-config --cflags --libs sonde) -lm && ./own_loop
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <sonde.h>

enum { N = 2000, HELD = 128, D = 64, H = 48, C = 4, EPOCHS = 30 }; /* N examples, D -> H -> C */

static float x[N + HELD][D]; /* the last HELD examples are never trained on */
static int64_t label[N + HELD];
static float w1[H][D], b1[H], w2[C][H], b2[C];

/* --- a small generator of random numbers ------------------------------------------------------ */

static uint64_t random_state = 42;

static double uniform(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

/* Class c is centred on a random point; a tenth of the training labels is wrong. */
static void make_data(void)
{
    static float centre[C][D];
    for (int c = 0; c < C; c++)
        for (int j = 0; j < D; j++)
            centre[c][j] = (float)(0.35 * normal());
    for (int i = 0; i < N + HELD; i++) {
        int c = i % C;
        for (int j = 0; j < D; j++)
            x[i][j] = centre[c][j] + (float)normal();
        label[i] = i < N && uniform() < 0.1 ? (int64_t)(uniform() * C) : c;
    }
    for (int h = 0; h < H; h++)
        for (int j = 0; j < D; j++)
            w1[h][j] = (float)(normal() * sqrt(2.0 / D));
    for (int c = 0; c < C; c++)
        for (int h = 0; h < H; h++)
            w2[c][h] = (float)(normal() * sqrt(1.0 / H));
}

/* --- the network ------------------------------------------------------------------------------- */

/* Hidden activations and logits of one example; returns its loss, and the probabilities in p. */
static float forward(int i, float *hidden, float *logits, float *p)
{
    float largest = -INFINITY, sum = 0;
    for (int h = 0; h < H; h++) {
        float s = b1[h];
        for (int j = 0; j < D; j++)
            s += w1[h][j] * x[i][j];
        hidden[h] = s > 0 ? s : 0;
    }
    for (int c = 0; c < C; c++) {
        logits[c] = b2[c];
        for (int h = 0; h < H; h++)
            logits[c] += w2[c][h] * hidden[h];
        largest = logits[c] > largest ? logits[c] : largest;
    }
    for (int c = 0; c < C; c++)
        sum += p[c] = expf(logits[c] - largest);
    for (int c = 0; c < C; c++)
        p[c] /= sum;
    return -logf(p[label[i]] + 1e-30f);
}

/* One step of stochastic gradient descent on one example. */
static void backward(int i, const float *hidden, const float *p, float rate)
{
    float back[H] = {0};
    for (int c = 0; c < C; c++) {
        float g = p[c] - (c == label[i]); /* dL/dlogit */
        for (int h = 0; h < H; h++) {
            back[h] += g * w2[c][h];
            w2[c][h] -= rate * g * hidden[h];
        }
        b2[c] -= rate * g;
    }
    for (int h = 0; h < H; h++) {
        if (hidden[h] <= 0)
            continue;
        for (int j = 0; j < D; j++)
            w1[h][j] -= rate * back[h] * x[i][j];
        b1[h] -= rate * back[h];
    }
}

/* --- Sonde ------------------------------------------------------------------------------------- */

static sonde_context *context;

static void must(sonde_status status)
{
    if (status == SONDE_OK)
        return;
    fprintf(stderr, "own_loop: %s\n", sonde_context_error(context)->message);
    exit(1);
}

/* The probe batch: features are the inputs of the last layer, logits its outputs. */
static void show_probe(sonde_steer *steer)
{
    static float features[HELD][H], logits[HELD][C];
    float p[C];
    for (int i = 0; i < HELD; i++)
        forward(N + i, features[i], logits[i], p);
    sonde_head_batch batch;
    sonde_head_batch_init(&batch);
    batch.features = (sonde_matrix){features, SONDE_F32, HELD, H, 0};
    batch.logits = (sonde_matrix){logits, SONDE_F32, HELD, C, 0};
    batch.weight = (sonde_matrix){w2, SONDE_F32, C, H, 0};
    batch.labels = label + N;
    must(sonde_steer_head(steer, &batch, 0, NULL));
}

/* What a run does when it is interrupted: the state to bytes, and back into a new steer. */
static sonde_steer *save_and_restore(sonde_steer *steer, const sonde_steer_options *options)
{
    size_t size = 0;
    must(sonde_steer_save(steer, NULL, 0, &size));
    void *bytes = malloc(size);
    if (!bytes)
        exit(1);
    must(sonde_steer_save(steer, bytes, size, &size));
    sonde_steer_free(steer);
    must(sonde_steer_create(context, options, &steer));
    must(sonde_steer_restore(steer, bytes, size));
    printf("saved and restored the steer: %zu bytes\n", size);
    free(bytes);
    return steer;
}

static int train_one_epoch(sonde_steer *steer, float rate, double *mean_loss)
{
    static uint64_t ids[N];
    static float losses[N];
    float hidden[H], logits[C], p[C];
    int trained = 0;
    size_t n = 0;
    double sum = 0;
    for (int k = 0; k < N; k++) {
        int i = (k * 1009 + (int)(random_state % N)) % N; /* 1009 shares no factor with N */
        bool active = sonde_steer_active(steer, (uint64_t)i);
        if (!active && !sonde_steer_checks(steer))
            continue; /* mastered, and nobody asks for its loss in this epoch */
        ids[n] = (uint64_t)i;
        losses[n] = forward(i, hidden, logits, p);
        sum += (double)losses[n++];
        if (active) {
            backward(i, hidden, p, rate);
            trained++;
        }
    }
    must(sonde_steer_losses(steer, ids, losses, n));
    *mean_loss = n > 0 ? sum / (double)n : 0;
    return trained;
}

int main(void)
{
    must(sonde_context_create(NULL, &context));
    sonde_steer_options options;
    sonde_steer_options_init(&options);
    options.skip.examples = N;          /* ids are 0 .. N - 1 */
    options.skip.total_epochs = EPOCHS; /* so that the last epochs use every example */
    options.skip.delta = 5e-3;
    options.probe = SONDE_PROBE_HELD;
    sonde_steer *steer = NULL;
    must(sonde_steer_create(context, &options, &steer));
    make_data();

    sonde_decision decision;
    for (int64_t epoch = 1; epoch <= EPOCHS; epoch++) {
        double loss = 0;
        float rate = 0.01f;
        uniform(); /* another order of the examples */
        int trained = train_one_epoch(steer, rate, &loss);
        show_probe(steer);
        const sonde_matrix weights = {w1, SONDE_F32, H, D, 0};
        must(sonde_steer_weights(steer, "hidden", &weights));
        sonde_steer_learning_rate(steer, (double)rate);
        must(sonde_steer_end_epoch(steer, epoch, &decision));
        printf("epoch %2d  loss %.4f  trained on %4d of %d  keep %d\n", (int)epoch, loss, trained,
               (int)N, (int)decision.keep.epoch);
        if (epoch == EPOCHS / 2)
            steer = save_and_restore(steer, &options);
        if (decision.stop)
            break;
    }
    must(sonde_steer_decide(steer, &decision));
    printf("stop: %s\nkeep: %s\nskip: %s\n", decision.stop_reason, decision.keep.reason,
           decision.skip_reason);
    sonde_steer_free(steer);
    sonde_context_free(context);
    return 0;
}
