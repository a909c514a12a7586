/*
 * tacq_say.c - the lines of the summary
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "experiments/tacq/tacq.h"

static void say_model(Tacq *t, int index, int s)
{
    const MaskModel *m = &t->model[index];
    const Side *side = &t->side[s];
    const OnSide *on = &m->on[s];
    const Mean kl = side_mean(side, on->kl), linear = kl_ratio(side, on->kl, on->forms.linear), joint = kl_ratio(side, on->kl, on->forms.joint);
    char *text[] = { with_error(kl.value, kl.se), with_error(linear.value, linear.se), with_error(joint.value, joint.se) };
    run_say(t->run, "%-36s %.4f bits: KL %s; over sum of a^G t2 %s, over <G, E>^2/2T %s%s", m->label, m->bits, text[0], text[1], text[2],
            kl.value > FLOOR_FACTOR * side->floor_kl ? "" : "; near the noise floor");
    for (int i = 0; i < 3; i++) free(text[i]);
}

static void say_rivals(Tacq *t, int index, int s)
{
    const MaskModel *m = &t->model[index];
    const Side *side = &t->side[s];
    if (index < t->n_choices && t->plain[index]) return;
    const PlainPath path = plain_path(t, m, s);
    char *plain = with_error(path.ratio.value, path.ratio.se), *best = NULL;
    for (int a = t->n_choices; a < t->n_models; a++) {
        if (t->model[a].spends != index) continue;
        const Mean ratio = kl_ratio(side, m->on[s].kl, t->model[a].on[s].kl);
        best = with_error(ratio.value, ratio.se);
    }
    if (isfinite(path.kl) || best)
        run_say(t->run, "%-36s KL over that of one plain choice of its size %s%s%s", m->label, plain, best ? ", of the best allocation of its size " : "", best ? best : "");
    free(plain);
    free(best);
}

void tacq_say(Tacq *t)
{
    for (int s = 0; s < t->n_sides; s++) {
        run_say(t->run, "On %s:", t->side[s].name);
        for (int m = 0; m < t->n_models; m++) say_model(t, m, s);
        for (int m = 0; m < t->n_choices; m++) say_rivals(t, m, s);
        if (units_count(t->side[s].corpus) < 2) run_say(t->run, "One window (or item) of text: nothing here has an error or an interval.");
    }
    run_say_first_token(t->run);
}
