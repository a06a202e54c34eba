/*
 * SIGINT, SIGTERM and SIGHUP: the first one asks for a clean end, the second one kills. To be
 * installed before any thread is started.
 */
#ifndef SONDE_CLI_INTERRUPT_H
#define SONDE_CLI_INTERRUPT_H

#include <stdbool.h>

#include <sonde.h>

void sonde__interrupt_install(void);
/* The signal that came, or 0. */
int sonde__interrupt_signal(void);
/* The first signal also cancels what runs with this context; NULL: nothing any more. */
void sonde__interrupt_cancels(sonde_context *context);
/* For sonde__train_hooks; `user` is not used. */
bool sonde__interrupted(void *user);

#endif
