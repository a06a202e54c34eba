/* Signals that end a run; see interrupt.h. */
#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    if (caught) { /* the user insists: the live line is left behind, and the default kills */
        const ssize_t written = write(STDERR_FILENO, "\n", 1);
        (void)written;
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    caught = number;
}

void sonde__interrupt_install(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {0}, before;
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    caught = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        /* A signal that the caller had ignored stays so (nohup, background jobs). */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
}

int sonde__interrupt_signal(void)
{
    return (int)caught;
}

bool sonde__interrupted(void *user)
{
    (void)user;
    return caught != 0;
}
