# mask_ratio.gp - what a kept weight is worth: KL over the share that is kept, a line for each score and width, a panel for each text
width = 6.5
height = 3.4
if (!exists("scripts")) scripts = "plots"
load scripts."/style.gp"
call scripts."/first.gp" "masks"
wanted(k) = column("ratio") > 0
load scripts."/mask_series.gp"

# All series are of one method or few: colours tell scores and widths apart here.
array shade[8] = [vermilion, black, blue, green, purple, orange, sky, grey]
do for [i = 1:n] { tone[i] = shade[(i - 1) % 8 + 1] }
least = 1e300; most = 0
meet(x) = (least = min(least, x), most = max(most, x), 0)
stats table("masks") using (drawn(0) ? meet(column("ratio")) : 0, 1) nooutput
set label 1 note."bars: ±1.96 standard errors over windows or items" at screen 0.985, 0.97 right font ",8" textcolor rgb grey noenhanced
set multiplot
set tmargin screen 0.86
set bmargin screen 0.15
from = low / 1.3
to = high * 1.3
start = 100 * least / 1.5
end = 100 * most * 1.5
call scripts."/log_axis.gp" "x" start end
call scripts."/log_axis.gp" "y" from to
bottom = from
right = 0.73
panel = (right - 0.10) / sides
do for [s = 1:sides] {
    set lmargin screen 0.10 + (s - 1) * panel + (s > 1 ? 0.02 : 0)
    set rmargin screen 0.10 + s * panel
    set title heading[s] offset 0, -0.6 font ",9" noenhanced
    set ylabel (s > 1 ? "" : "KL(clean ‖ quantized)  [nats/token]") offset 0.5, 0
    if (s > 1) { set format y ""; unset label 1 }
    set xlabel "weights kept  [%]"
    if (s == sides) { set key at screen right + 0.015, 0.84 left top Left reverse noenhanced } else { unset key }
    plot for [i = 1:n] table("masks") using (of(i, s, 100 * column("ratio"))):(column("kl")) smooth unique with lines linewidth 0.75 linecolor rgb tone[i], \
        for [i = 1:n] table("masks") using (of(i, s, 100 * column("ratio"))):(column("kl")):(max(bottom, column("kl") - bar("kl"))):(column("kl") + bar("kl")) \
            with yerrorbars pointsize 0 linecolor rgb tone[i], \
        for [i = 1:n] table("masks") using (of(i, s, 100 * column("ratio"))):(column("kl")) with points pointtype mark[i] linecolor rgb tone[i], \
        for [i = 1:n] NaN with points pointtype mark[i] linecolor rgb tone[i] title name[i]
}
unset multiplot
