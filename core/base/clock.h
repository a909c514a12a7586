/*
 * clock.h - seconds that only go forward, for wall times
 */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

double clock_seconds(void);         /* since some moment in the past */

#endif
