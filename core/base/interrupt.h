/*
 * interrupt.h - stopping at the user's request without losing what is measured
 *
 * The first Ctrl-C (or SIGTERM, which a batch system sends before it kills) only asks: long loops
 * look at interrupt_requested between measurements and return ERR_INTERRUPTED.  The second one ends
 * the program at once.
 */
#ifndef CORE_BASE_INTERRUPT_H
#define CORE_BASE_INTERRUPT_H

#include <stdbool.h>

void interrupt_install(void);
bool interrupt_requested(void);

#endif
