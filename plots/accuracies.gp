# accuracies.gp - what quantizing costs in answers: change of accuracy over KL, a colour for each choice, a panel for each way to score
width = 6.5
height = 3.4
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "quantizers"

n = 0; low = 1e300; high = 0; least = 0; most = 0
array name[48]
array score[2] = ["acc", "acc_norm"]
array heading[2] = ["most likely answer", "most likely answer by its length"]
known(label) = (sum [i = 1:n] (name[i] eq label)) > 0
add(label) = known(label) || n == 48 ? 0 : (n = n + 1, name[n] = label, 0)
drawn(k) = chosen(0) && column("kl") > 0 && column("acc") >= 0
bar(y) = or_else(1.96 * column(y."_se"), 0)
from(s) = 100 * (column(score[s]."_change") - bar(score[s]."_change"))
to(s) = 100 * (column(score[s]."_change") + bar(score[s]."_change"))
span(x) = (low = min(low, column("kl")), high = max(high, column("kl")), least = min(least, min(from(1), from(2))), most = max(most, max(to(1), to(2))), 0)
stats table("quantizers") using (drawn(0) ? (add(strcol("choice")), span(0)) : 0, 1) nooutput

array colour[8] = [vermilion, blue, green, orange, purple, sky, black, grey]
array marker[8] = [7, 5, 9, 11, 13, 15, 7, 5]
tone(i) = colour[(i - 1) % 8 + 1]
mark(i) = marker[(i - 1) % 8 + 1] - (i > 8 ? 1 : 0)
of(i, x) = drawn(0) && strcol("choice") eq name[i] ? x : NaN
bottom = low / 1.5
top = high * 1.5
call scripts."/log_axis.gp" "x" bottom top
edge_of = 0.06 * max(1, most - least)
set yrange [least - edge_of:most + edge_of]
set ytics step(most - least + 2 * edge_of, 8)
set label 1 note."bars: ±1.96 standard errors of the paired change, over items" at screen 0.985, 0.97 right font ",8" textcolor rgb grey noenhanced
set multiplot
set tmargin screen 0.86
set bmargin screen 0.15
right = 0.73
panel = (right - 0.10) / 2
do for [s = 1:2] {
    set lmargin screen 0.10 + (s - 1) * panel + (s > 1 ? 0.02 : 0)
    set rmargin screen 0.10 + s * panel
    set title heading[s] offset 0, -0.6 font ",9"
    set ylabel (s > 1 ? "" : "change of accuracy  [percentage points]") offset 0.5, 0
    if (s > 1) { set format y ""; unset label 1 }
    set xlabel "KL  [nats/token]"
    if (s == 2) { set key at screen right + 0.01, 0.86 left top Left reverse noenhanced samplen 1 font ",8" } else { unset key }
    plot 0 with lines linecolor rgb black linewidth 0.75, \
        for [i = 1:n] table("quantizers") using (of(i, column("kl"))):(100 * column(score[s]."_change")):(from(s)):(to(s)) with yerrorbars pointsize 0 linecolor rgb tone(i), \
        for [i = 1:n] table("quantizers") using (of(i, column("kl"))):(100 * column(score[s]."_change")) with points pointtype mark(i) linecolor rgb tone(i), \
        for [i = 1:n] NaN with points pointtype mark(i) linecolor rgb tone(i) title name[i]
}
unset multiplot
