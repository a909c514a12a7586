/*
 * additivity_say.c - what the experiment `additivity` says at the end
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/estimate/fit.h"
#include "experiments/additivity.h"

void additivity_say(Additivity *a)
{
    run_say(a->run, "floor %g", a->floor_kl);
}
