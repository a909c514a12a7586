# predicted.gp - measured against predicted KL of whole models: on the diagonal, losses add up
width = 4.6
height = 4.4
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "predictions"

models = "allocated uniform"
array colour[2] = [blue, vermilion]
array marker[2] = [7, 5]
is(model) = chosen(0) && strcol("model") eq model && column("predicted_kl") > 0 && column("kl") > 0

low = 1e300; high = 0
meet(x) = x > 0 ? (low = min(low, x), high = max(high, x)) : 0
bar(x) = or_else(1.96 * column("kl_se"), 0 * x)
do for [model in models] {
    stats table("predictions") using (is(model) ? (meet(column("kl")), meet(column("predicted_kl")), meet(column("predicted_high")), \
        meet(max(column("predicted_low"), column("predicted_kl") / 3)), meet(column("kl") + bar(0)), meet(max(column("kl") - bar(0), column("kl") / 3))) : 0, 1) nooutput
}
low = low / 1.4
high = high * 1.4
floor_kl = 0
rows = 0
stats table("floor") using (rows = rows + 1, rows == 1 ? (floor_kl = column("kl")) : 0, 1) nooutput
if (floor_kl > low && floor_kl < high) {
    set arrow from first low, floor_kl to high, floor_kl nohead dashtype 2 linecolor rgb grey linewidth 1
    set label "noise floor" at high, floor_kl right offset 0, 0.5 textcolor rgb grey
}

call scripts."/log_axis.gp" "x" low high
call scripts."/log_axis.gp" "y" low high
set size square
set xlabel "predicted KL  [nats/token]"
set ylabel "measured KL  [nats/token]" offset 0.5, 0
set label note."bars: 95 % prediction intervals, ±1.96 standard errors" at screen 0.97, 0.965 right font ",8" textcolor rgb grey noenhanced
set tmargin (words(swept) > 0 ? 4 : 2.5)
set key top left Left reverse
plot x with lines linecolor rgb black linewidth 0.75 title "measured = predicted", \
    for [k = 1:2] table("predictions") using (is(word(models, k)) ? column("predicted_kl") : NaN):(column("kl")):(edge(column("predicted_low"), low)):(column("predicted_high")) \
        with xerrorbars pointsize 0 linecolor rgb colour[k], \
    for [k = 1:2] table("predictions") using (is(word(models, k)) ? column("predicted_kl") : NaN):(column("kl")):(edge(column("kl") - bar(0), low)):(column("kl") + bar(0)) \
        with yerrorbars pointsize 0 linecolor rgb colour[k], \
    for [k = 1:2] table("predictions") using (is(word(models, k)) ? column("predicted_kl") : NaN):(column("kl")) \
        with points pointtype marker[k] linecolor rgb colour[k] title word(models, k)
