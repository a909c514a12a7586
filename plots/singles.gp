# singles.gp - each layer alone: measured KL over a t^2, against a t^2; the quantizer's own error beside noise of the same size
width = 6.5
height = 3.6
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "singles"

laws = "quantizer noise"
n = 0; low = 1e300; high = 0; least = 0.8; most = 1.25
array name[64]
known(label) = (sum [i = 1:n] (name[i] eq label)) > 0
add(label) = known(label) ? 0 : (n = n + 1, name[n] = label, 0)
drawn(law) = chosen(0) && strcol("law") eq law && column("ratio") > 0 && column("predicted") > 0
clear(x) = column("near_floor") != 1
span(x) = (low = min(low, column("predicted")), high = max(high, column("predicted")), least = min(least, max(0.1, column("ratio"))), most = max(most, min(10, column("ratio"))))
do for [law in laws] { stats table("singles") using (drawn(law) ? (add(strcol("choice")), span(0)) : 0, 1) nooutput }
low = low / 1.5
high = high * 1.5
least = least / 1.1
most = most * 1.1
array colour[6] = [sky, blue, vermilion, green, orange, purple]
inside(y) = max(least, min(most, y))
point(law, i) = drawn(law) && strcol("choice") eq name[i] ? column("predicted") : NaN

call scripts."/log_axis.gp" "x" low high
set logscale y 2
set yrange [least:most]
set ytics (0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 5, 10)
set format y "%g"
set label 1 note."one point per layer and choice; at the edge where outside; open near the noise floor" at screen 0.98, (words(swept) > 0 ? 0.975 : 0.965) right font ",8" textcolor rgb grey noenhanced
set label 2 "predicted KL of one layer, a t²  [nats/token]" at screen 0.545, 0.03 center
set multiplot layout 1, 2 margins screen 0.1, 0.98, 0.16, (words(swept) > 0 ? 0.8 : 0.84) spacing screen 0.03, screen 0
do for [panel = 1:2] {
    law = word(laws, panel)
    set title (panel == 1 ? "the quantizer's own error" : "noise of the same t²") offset 0, -0.7
    if (panel == 1) { set ylabel "measured / predicted" offset 0.5, 0; unset key } else { unset ylabel; set format y ""; set key bottom right Left reverse noenhanced }
    plot 1 with lines linecolor rgb black linewidth 0.75, \
        for [i = 1:n] table("singles") using (clear(0) ? point(law, i) : NaN):(inside(column("ratio"))) with points pointtype 7 pointsize 0.35 linecolor rgb colour[(i - 1) % 6 + 1], \
        for [i = 1:n] table("singles") using (clear(0) ? NaN : point(law, i)):(inside(column("ratio"))) with points pointtype 6 pointsize 0.35 linecolor rgb colour[(i - 1) % 6 + 1], \
        for [i = 1:n] NaN with points pointtype 7 pointsize 0.5 linecolor rgb colour[(i - 1) % 6 + 1] title name[i]
    unset label
}
unset multiplot
