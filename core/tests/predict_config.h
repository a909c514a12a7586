/* predict_config.h - the config of a run that measures three layers of a tiny model and predicts */
#ifndef CORE_TESTS_PREDICT_CONFIG_H
#define CORE_TESTS_PREDICT_CONFIG_H

#include "core/tests/program.h"

static const char predict_config[] =
    "experiment: [sensitivity, predict]\n"
    "estimator: inject\n"
    "model: " TINY "\n"
    "text: {random: {windows: 4, length: 24, seed: 1}}\n"
    "layers: [\"blocks.*.q\", \"blocks.1.down\"]\n"
    "noise: {group: 16, t2: [0.01, 0.1], draws: 2}\n"
    "choices: [{rtn: {bits: [3, 4, 8], group: 16}}]\n"
    "budgets: [5.0]\n"
    "bootstrap: 200\n";

#endif
