# slopes.gp - slope of the loss in each layer with noise in all of them, over that without: one panel per type
#
# Points: raw ratios, as noisy as they come; lines: drawn toward layers of the same type and depth.
width = 6.8
height = 4.6
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "slopes"

# The choices in the order of the table, up to five.
choices = " "; blocks = 0; bits = " "
meet(choice, b) = strstrt(choices, " ".choice." ") ? 0 : (choices = choices.choice." ", bits = bits.b." ", 0)
low = 1; high = 1
span(y) = y == y ? (low = min(low, y), high = max(high, y)) : 0
stats table("slopes") using (chosen(0) ? (meet(strcol("choice"), sprintf("%.3g", column("bits"))), blocks = max(blocks, column("block")), \
    span(column("shrunk"))) : 0, 1) nooutput
array colour[5] = [sky, blue, vermilion, purple, green]
array tint[5] = [0xBBDDF4, 0x99C7E0, 0xEEBF99, 0xEBC9DC, 0x99D8C7]
n = min(5, words(choices))
from = low - 0.15 * (high - low)
to = high + 0.15 * (high - low)
# A point outside the panel stands at its edge.
inside(y) = max(from, min(to, y))
is(choice, type) = chosen(0) && strcol("choice") eq choice && strcol("type") eq type

set xrange [-0.5:blocks + 0.5]
set xtics max(1, step(blocks + 1, 4))
set yrange [from:to]
set ytics step(to - from, 6)
set label 1 "block" at screen 0.53, 0.025 center
set label 2 "slope with noise in all layers / without" at screen 0.018, 0.5 center rotate
set label 3 note."points: raw, at the edge where outside; lines: shrunken, with bands of ±1 standard deviation" at screen 0.09, (words(swept) > 0 ? 0.975 : 0.965) left \
    font ",8" textcolor rgb grey noenhanced
set multiplot layout 2, 4 margins screen 0.09, 0.985, 0.105, (words(swept) > 0 ? 0.87 : 0.89) spacing screen 0.02, screen 0.09
do for [panel = 1:7] {
    type = word(types, panel)
    set title type offset 0, -0.8
    set format y (panel % 4 == 1 ? "%g" : "")
    set format x (panel > 3 ? "%g" : "")
    plot for [k = 1:n] table("slopes") using (is(word(choices, k), type) ? column("block") : NaN):(inside(column("shrunk") - column("shrunk_se"))):(inside(column("shrunk") + column("shrunk_se"))) \
            with filledcurves fillcolor rgb tint[k] fillstyle transparent solid 0.4 noborder, \
        1 with lines linecolor rgb black linewidth 0.75, \
        for [k = 1:n] table("slopes") using (is(word(choices, k), type) && column("ratio") == column("ratio") ? column("block") : NaN):(inside(column("ratio"))) \
            with points pointtype 7 pointsize 0.35 linecolor rgb tint[k], \
        for [k = 1:n] table("slopes") using (is(word(choices, k), type) ? column("block") : NaN):(column("shrunk")) with lines linewidth 1.3 linecolor rgb colour[k]
    unset label
}
unset border
unset tics
unset title
set key at graph 0.5, 0.75 center top Left reverse samplen 1.5 spacing 1.3
set key title "noise as at" left
plot [0:1][0:1] for [k = 1:n] NaN with lines linewidth 1.3 linecolor rgb colour[k] title word(bits, k)." bits"
unset multiplot
