# checks.gp - coefficients by noise in single layers over those of the backward pass, by block and type
#
# Attention above, the perceptron below, on one scale.
width = 6.5
height = 4.2
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "checks"

blocks = 0; low = 0.8; high = 1.25
half(k) = or_else(column("ratio_half"), 0 * k)
drawn(type) = chosen(0) && strcol("type") eq type && column("ratio") > 0
span(k) = (blocks = max(blocks, column("block")), low = min(low, max(0.25, column("ratio") - half(0))), high = max(high, min(4, column("ratio") + half(0))))
do for [type in types] { stats table("checks") using (drawn(type) ? span(0) : 0, 1) nooutput }
low = low / 1.05
high = high * 1.05

shift(k) = 0.09 * (k < 5 ? k - 2.5 : k - 6)
position(k) = drawn(word(types, k)) ? column("block") + shift(k) : NaN
set xrange [-0.7:blocks + 0.7]
set xtics max(1, step(blocks + 1, 12))
set logscale y 2
set yrange [low:high]
set ytics (0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4)
set format y "%g"
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead linecolor rgb grey linewidth 0.75
set label 1 "injected / backward pass" at screen 0.02, 0.5 center rotate
set label 2 note."bars: 95 % intervals over windows, paired" at screen 0.1, 0.975 left font ",8" textcolor rgb grey noenhanced
set key at screen 0.89, graph 1 left top Left reverse samplen 1
set multiplot layout 2, 1 margins screen 0.1, 0.89, 0.13, (words(swept) > 0 ? 0.89 : 0.93) spacing screen 0, screen 0.05
do for [panel = 1:2] {
    from = panel == 1 ? 1 : 5
    to = panel == 1 ? 4 : 7
    if (panel == 2) { set xlabel "block" offset 0, 0.3; set format x "%g" } else { set format x "" }
    plot for [k = from:to] table("checks") using (position(k)):(column("ratio")):(edge(column("ratio") - half(0), low)):(column("ratio") + half(0)) \
            with yerrorbars pointsize 0 linewidth 0.8 linecolor rgb type_colour[k], \
        for [k = from:to] table("checks") using (position(k)):(column("ratio")) with points pointtype type_marker[k] linecolor rgb type_colour[k], \
        for [k = from:to] NaN with points pointtype type_marker[k] linecolor rgb type_colour[k] title word(types, k)
    unset label
}
unset multiplot
