/*
 * Signals that end a run; see interrupt.h.
 *
 * They are blocked in every thread and taken by one thread of their own with sigwait. A handler
 * would run on the stack of whatever it interrupts, and oneDNN's generated kernels use the stack
 * pointer for data: the handler's frame would land in the middle of an array.
 *
 * Invariant: installed before any other thread is started, so that all of them inherit the mask.
 */
#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "base/thread.h"

static atomic_int caught;
static _Atomic(sonde_context *) cancelled_context;
static sigset_t awaited;

/* The user insists: the live line is left behind, and the signal's default ends the process. */
static void end_now(int number)
{
    sigset_t only;
    const ssize_t written = write(STDERR_FILENO, "\n", 1);
    (void)written;
    sigemptyset(&only);
    sigaddset(&only, number);
    signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &only, NULL);
    raise(number);
}

/* timeout(1) sends its signal to the process and at once again to its group: that is one wish. */
static const double one_wish_seconds = 1;

static void *take_signals(void *unused)
{
    double first_at = 0;
    (void)unused;
    for (;;) {
        int number = 0;
        int expected = 0;
        if (sigwait(&awaited, &number) != 0)
            continue;
        if (atomic_compare_exchange_strong(&caught, &expected, number))
            first_at = sonde__seconds();
        else if (number == expected && sonde__seconds() - first_at < one_wish_seconds)
            continue;
        else
            end_now(number);
        sonde_context *context = atomic_load(&cancelled_context);
        if (context)
            sonde_context_cancel(context);
    }
    return NULL;
}

void sonde__interrupt_install(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction before;
    pthread_t taker;
    sigset_t mask;
    atomic_store(&caught, 0);
    sigemptyset(&awaited);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        /* A signal that the caller had ignored stays so (nohup, background jobs). */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaddset(&awaited, numbers[i]);
    }
    if (pthread_sigmask(SIG_BLOCK, &awaited, &mask) != 0)
        return;
    if (pthread_create(&taker, NULL, take_signals, NULL) == 0)
        pthread_detach(taker);
    else
        pthread_sigmask(SIG_SETMASK, &mask, NULL); /* then a signal ends the run at once */
}

void sonde__interrupt_cancels(sonde_context *context)
{
    atomic_store(&cancelled_context, context);
}

int sonde__interrupt_signal(void)
{
    return atomic_load(&caught);
}

bool sonde__interrupted(void *user)
{
    (void)user;
    return sonde__interrupt_signal() != 0;
}
