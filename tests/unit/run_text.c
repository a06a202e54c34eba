/*
 * Training on texts: the loss of an example is the mean over its characters, and its gradient that of
 * the mean over examples, for every kind of loss.
 */
#include "check.h"

#include "base/random.h"
#include "net/loss.h"
#include "run/session.h"

enum { EXAMPLES = 3, ROWS = 5, CLASSES = 4, LOGITS = EXAMPLES * ROWS * CLASSES };

static double mean_loss(sonde__session *session, const float *logits, const int32_t *labels,
                        float *losses, float *gradient)
{
    return sonde__session_loss(session, logits, labels, EXAMPLES, losses, gradient);
}

static void check_kind(sonde_head_kind kind)
{
    sonde__dataset dataset = {.count = EXAMPLES, .rows = ROWS, .classes = CLASSES};
    float logits[LOGITS], gradient[LOGITS], targets[LOGITS], losses[EXAMPLES * ROWS];
    float single[EXAMPLES * ROWS];
    int32_t labels[EXAMPLES * ROWS];
    sonde__session session;
    memset(&session, 0, sizeof session);
    session.train = &dataset;
    session.choices.loss = kind;
    session.targets = targets;
    sonde__stream stream = sonde__stream_open(1, SONDE__RANDOM_TEST, 0);
    for (int i = 0; i < LOGITS; i++)
        logits[i] = (float)sonde__random_normal(&stream);
    for (int i = 0; i < EXAMPLES * ROWS; i++)
        labels[i] = (int32_t)sonde__random_below(&stream, CLASSES);
    const double mean = mean_loss(&session, logits, labels, losses, gradient);
    /* every character as an example of its own */
    dataset.rows = 1;
    sonde__session_loss(&session, logits, labels, EXAMPLES * ROWS, single, NULL);
    dataset.rows = ROWS;
    double all = 0;
    for (int n = 0; n < EXAMPLES; n++) {
        double sum = 0;
        for (int t = 0; t < ROWS; t++)
            sum += (double)single[n * ROWS + t];
        check_close((double)losses[n], sum / ROWS, 1e-7, 1e-6, "loss of an example");
        all += (double)losses[n] / EXAMPLES;
    }
    check_close(mean, all, 1e-7, 1e-6, "mean");
    for (int i = 0; i < LOGITS; i += 7) {
        const float kept = logits[i], h = 1.0F / 128;
        logits[i] = kept + h;
        const double up = mean_loss(&session, logits, labels, NULL, NULL);
        logits[i] = kept - h;
        const double down = mean_loss(&session, logits, labels, NULL, NULL);
        logits[i] = kept;
        check_close((double)gradient[i], (up - down) / (2.0 / 128), 1e-4, 1e-3, "gradient");
    }
}

static void the_loss_of_a_text_is_the_mean_over_its_characters(void **state)
{
    (void)state;
    check_kind(SONDE_HEAD_SOFTMAX);
    check_kind(SONDE_HEAD_SQUARED);
    check_kind(SONDE_HEAD_SIGMOID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loss_of_a_text_is_the_mean_over_its_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
