# coefficients.gp - the fitted coefficient alpha of every layer against its block, by type of layer
#
# Attention above, the perceptron below, on one scale.  Where several estimators are in the table,
# that of the backward pass ("fisher"), then of the one-pass KL ("kl"), otherwise the first.
width = 6.5
height = 4.6
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "coefficients"

estimator = ""
rank(name) = name eq "fisher" ? 3 : name eq "kl" ? 2 : name eq "" ? 0 : 1
choose(name) = (estimator = rank(name) > rank(estimator) ? name : estimator, 0)
stats table("coefficients") using (chosen(0) ? choose(strcol("estimator")) : 0, 1) nooutput
drawn(type) = chosen(0) && strcol("estimator") eq estimator && strcol("type") eq type && column("alpha") > 0

alpha_low = 1e300; alpha_high = 0; blocks = 0; metric = ""
# A bar may reach to zero; it may not stretch the axis by more than a factor of three.
span(alpha, low, high) = (alpha_low = min(alpha_low, low > alpha / 3 ? low : alpha / 3), alpha_high = max(alpha_high, max(alpha, or_else(high, alpha))), \
    blocks = max(blocks, column("block")), metric = strcol("metric"))
do for [type in types] {
    stats table("coefficients") using (drawn(type) ? span(column("alpha"), or_else(column("alpha_low"), column("alpha")), column("alpha_high")) : 0, 1) nooutput
}
alpha_low = alpha_low / 1.3
alpha_high = alpha_high * 1.3

aside(k) = blocks < 6 ? 0.08 * (k < 5 ? k - 2.5 : k - 6) : 0       # few blocks leave room to set types side by side
position(k) = drawn(word(types, k)) ? column("block") + aside(k) : NaN
set xrange [-0.5:blocks + 0.5]
set xtics max(1, step(blocks + 1, 12))
call scripts."/log_axis.gp" "y" alpha_low alpha_high
set label 1 "alpha  [".(metric eq "ppl" ? "perplexity" : "nats/token")." per unit t²]" at screen 0.02, 0.5 center rotate
set label 2 note."estimator ".estimator."; bars: 95 % intervals" at screen 0.1, 0.975 left font ",8" textcolor rgb grey noenhanced
set key at screen 0.89, graph 1 left top Left reverse samplen 1
set multiplot layout 2, 1 margins screen 0.1, 0.89, 0.13, (words(swept) > 0 ? 0.89 : 0.93) spacing screen 0, screen 0.05
do for [panel = 1:2] {
    from = panel == 1 ? 1 : 5
    to = panel == 1 ? 4 : 7
    if (panel == 2) { set xlabel "block" offset 0, 0.3; set format x "%g" } else { set format x "" }
    plot for [k = from:to] table("coefficients") using (position(k)):(column("alpha")) with lines linewidth 0.4 linecolor rgb type_colour[k], \
        for [k = from:to] table("coefficients") using (position(k)):(column("alpha")):(edge(column("alpha_low"), alpha_low)):(column("alpha_high")) \
            with yerrorbars pointsize 0 linewidth 0.8 linecolor rgb type_colour[k], \
        for [k = from:to] table("coefficients") using (position(k)):(column("alpha")) with points pointtype type_marker[k] linecolor rgb type_colour[k], \
        for [k = from:to] NaN with points pointtype type_marker[k] linecolor rgb type_colour[k] title word(types, k)
    unset label
}
unset multiplot
