# frontier.gp - KL against average bits per weight: bits allocated by sensitivity, and uniform ones
width = 5.2
height = 3.9
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "predictions"

models = "allocated uniform"
array colour[2] = [blue, vermilion]
array marker[2] = [7, 5]
is(model) = chosen(0) && strcol("model") eq model && column("bits") > 0

low = 1e300; high = 0; bits_low = 1e300; bits_high = 0
meet(x) = x > 0 ? (low = min(low, x), high = max(high, x)) : 0
reach(bits) = (bits_low = min(bits_low, bits), bits_high = max(bits_high, bits))
bar(x) = or_else(1.96 * column("kl_se"), 0 * x)
do for [model in models] {
    stats table("predictions") using (is(model) && column("kl") > 0 ? (reach(column("bits")), meet(column("kl")), meet(column("predicted_kl")), \
        meet(column("kl") + bar(0)), meet(max(column("kl") - bar(0), column("kl") / 3))) : 0, 1) nooutput
}
low = low / 1.4
high = high * 1.4
margin = max(0.15, 0.04 * (bits_high - bits_low))

set xrange [bits_low - margin:bits_high + margin]
set xtics step(bits_high - bits_low + 2 * margin, 10)
call scripts."/log_axis.gp" "y" low high
set xlabel "average bits per weight"
set ylabel "KL  [nats/token]" offset 0.5, 0
set label note."bars: ±1.96 standard errors" at screen 0.97, 0.965 right font ",8" textcolor rgb grey noenhanced
set tmargin (words(swept) > 0 ? 4 : 2.5)
set key top right Left reverse
plot for [k = 1:2] table("predictions") using (is(word(models, k)) ? column("bits") : NaN):(column("predicted_kl")) smooth unique \
        with lines dashtype 2 linewidth 0.75 linecolor rgb colour[k], \
    for [k = 1:2] table("predictions") using (is(word(models, k)) ? column("bits") : NaN):(column("predicted_kl")) \
        with points pointtype marker[k] - 1 pointsize 0.9 linewidth 0.75 linecolor rgb colour[k], \
    for [k = 1:2] table("predictions") using (is(word(models, k)) ? column("bits") : NaN):(column("kl")):(edge(column("kl") - bar(0), low)):(column("kl") + bar(0)) \
        with yerrorbars pointsize 0 linecolor rgb colour[k], \
    for [k = 1:2] table("predictions") using (is(word(models, k)) ? column("bits") : NaN):(column("kl")) \
        with points pointtype marker[k] linecolor rgb colour[k], \
    for [k = 1:2] NaN with points pointtype marker[k] linecolor rgb colour[k] title word(models, k).", measured", \
    for [k = 1:2] NaN with linespoints pointtype marker[k] - 1 dashtype 2 linewidth 0.75 linecolor rgb colour[k] title word(models, k).", predicted"
