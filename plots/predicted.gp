# predicted.gp - measured against predicted KL of whole models: on the diagonal, losses add up
#
# The interval says where the KL measured on the same text may lie: it stands upright above its prediction.
# Below, the same relative to the prediction: small deviations do not show on a scale of decades.
width = 4.6
height = 6
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "predictions"

models = "allocated uniform"
array colour[2] = [blue, vermilion]
array tint[2] = [0xA6CEE8, 0xF5C29B]; white = 0xFFFFFF
array marker[2] = [7, 5]
is(model) = chosen(0) && strcol("model") eq model && column("predicted_kl") > 0 && column("kl") > 0
has_interval(x) = column("predicted_high") >= column("predicted_low")
is_outside(x) = column("kl") < column("predicted_low") || column("kl") > column("predicted_high")

low = 1e300; high = 0; ratio_low = 1; ratio_high = 1
meet(predicted, kl) = (low = min(low, kl), high = max(high, kl), ratio_low = min(ratio_low, kl / predicted), ratio_high = max(ratio_high, kl / predicted))
# A bar may reach to zero; it may not stretch an axis by more than a factor of three.
reach(predicted, bound) = bound == bound ? meet(predicted, max(bound, predicted / 3)) : 0
do for [model in models] {
    stats table("predictions") using (is(model) ? (meet(column("predicted_kl"), column("predicted_kl")), meet(column("predicted_kl"), column("kl")), \
        reach(column("predicted_kl"), column("predicted_low")), reach(column("predicted_kl"), column("predicted_high"))) : 0, 1) nooutput
}
from = low / 1.4
to = high * 1.4
floor_kl = 0
rows = 0
stats table("floor") using (rows = rows + 1, rows == 1 ? (floor_kl = column("kl")) : 0, 1) nooutput

# Where the bars and points of model k lie; in the relative panel, upwards is divided by the prediction.
across(k) = is(word(models, k)) ? column("predicted_kl") : NaN
across_bar(k) = has_interval(0) ? across(k) : NaN
across_outside(k) = is_outside(0) ? across(k) : NaN
up(name) = column(name) / (relative ? column("predicted_kl") : 1)
bar_foot(x) = edge(up("predicted_low"), foot)

call scripts."/log_axis.gp" "x" from to
call scripts."/log_axis.gp" "y" from to
left = 0.78 / width
right = 1 - 0.17 / width
top = 1 - 0.42 / height                         # both panels as wide as the upper one is high
middle = top - (right - left) * width / height
set lmargin at screen left
set rmargin at screen right
set label 1 note."bar: 95 % interval for the measured KL if the law holds; open: outside it" \
    at screen right, 1 - (words(swept) > 0 ? 0.14 : 0.28) / height right font ",8" textcolor rgb grey noenhanced
if (floor_kl > from && floor_kl < to) {
    set arrow 1 from from, floor_kl to to, floor_kl nohead dashtype 2 linecolor rgb grey linewidth 1
    set label 2 "noise floor" at to, floor_kl right offset 0, 0.5 front textcolor rgb grey
}
wide = ratio_high > 4 * ratio_low                # then a ratio of 1/2 is as far from 1 as 2 is
margin = max(0.08 * (ratio_high - ratio_low), 0.01)
foot = from
set key top left Left reverse
set multiplot
do for [relative = 0:1] {
    if (relative) {
        unset label
        unset arrow
        set tmargin at screen middle - 0.14 / height
        set bmargin at screen 0.52 / height
        call scripts."/log_axis.gp" "x" from to
        set xlabel "predicted KL  [nats/token]"
        set ylabel "measured / predicted"
        foot = wide ? ratio_low / 1.2 : ratio_low - margin
        head = wide ? ratio_high * 1.2 : ratio_high + margin
        if (wide) {
            call scripts."/log_axis.gp" "y" foot head
        } else {
            unset logscale y
            unset mytics
            set format y "%g"
            set yrange [foot:head]
            set ytics step(head - foot, 6)
        }
    } else {
        set tmargin at screen top
        set bmargin at screen middle
        set format x ""
        set ylabel "measured KL  [nats/token]"
    }
    plot for [k = 1:2] table("predictions") using (across_bar(k)):(bar_foot(0)):(0):(up("predicted_high") - bar_foot(0)) \
            with vectors nohead linewidth 5 linecolor rgb tint[k], \
        relative ? 1 : x with lines linecolor rgb black linewidth 0.75 title (relative ? "" : "measured = predicted"), \
        for [k = 1:2] table("predictions") using (across(k)):(up("kl")) with points pointtype marker[k] linecolor rgb colour[k] title (relative ? "" : word(models, k)), \
        for [k = 1:2] table("predictions") using (across_outside(k)):(up("kl")) with points pointtype marker[k] pointsize 0.35 linecolor rgb white
}
unset multiplot
